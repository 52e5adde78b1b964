"""`ablate run`: run, resume or extend a study."""

import argparse
import json
from typing import TYPE_CHECKING

from ablate.commands.common import load, out
from ablate.commands.live import Live
from ablate.commands.summary import summary

if TYPE_CHECKING:
    from ablate.api import Ablation


def run(given: argparse.Namespace) -> int:
    """Run a study with live progress; print verdicts and where the report is."""
    study = load(given)
    return conduct(study, given)


def conduct(study: "Ablation", given: argparse.Namespace) -> int:
    """Run a loaded study and say how it ended."""
    from ablate.runner import EXIT_STATUS, Options

    options = Options(in_process=given.in_process, spool=given.spool)
    with Live() as live:
        outcome = study.run(options, live.watch)
    summarise(study)
    if outcome == "stopped":
        out("\nstopped before the end; the same command continues")
    return EXIT_STATUS[outcome]


def summarise(study: "Ablation") -> None:
    """Cells, claims and where everything is."""
    from ablate.runner import shown_uri

    document = json.loads((study.folder.report / "findings.json").read_text(encoding="utf-8"))
    out(summary(document))
    out(f"report   {study.folder.report / 'report.html'}")
    out(f"results  {study.folder.frame}")
    out(f"spent    {study.spent()}")
    out(f"MLflow   mlflow ui --backend-store-uri {shown_uri(study.profile)}")
