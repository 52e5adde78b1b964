"""`ablate run`: run, resume or extend a study."""

import argparse
import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.commands import remote
from ablate.commands.common import load, out
from ablate.commands.live import Live
from ablate.commands.summary import summary
from trials.errors import UserError

if TYPE_CHECKING:
    from ablate.api import Ablation
    from ablate.smoke import Smoke


def run(given: argparse.Namespace) -> int:
    """Run a study with live progress; print verdicts and where the report is."""
    if given.detach:
        return remote.detach(given)
    if given.job is not None:
        settle(given)
    study = load(given)
    return smoke(study) if given.smoke else conduct(study, given)


def settle(given: argparse.Namespace) -> None:
    """As a job of `--detach`: keep the study's files in the store, and which job runs it.

    Raises:
        UserError: the store is in the job's own folder, which is gone after it.
    """
    from ablate import shipping, store

    study = load(given)
    root = Path(study.profile.store)
    if root.is_relative_to(Path.cwd()):
        raise UserError(
            "--detach needs a --store that every node of the cluster sees, such as "
            "/mnt/ablate/store; or set ABLATE_STORE on the head"
        )
    store.require_writable(root)
    given.study = str(shipping.settle(Path(given.study), study.folder))
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"job": given.job, "host": socket.gethostname(), "began": moment}
    store.write_text(study.folder.job, json.dumps(content) + "\n")


def smoke(study: "Ablation") -> int:
    """Try every cell for two steps; exit status 3 when one of them does not come through."""

    def show(made: "Smoke") -> None:
        took = "" if made.seconds_per_step is None else f", {made.seconds_per_step:.2f} s a step"
        why = f": {made.reason}" if made.reason else f"; export: {made.export}"
        out(f"{made.status:<9} {made.name}{took}{why}")

    made = study.smoke(show)
    failed = sum(item.status != "finished" for item in made)
    out(f"\n{len(made) - failed} of {len(made)} cells come through two steps")
    return 3 if failed else 0


def conduct(study: "Ablation", given: argparse.Namespace) -> int:
    """Run a loaded study and say how it ended."""
    from ablate.runner import EXIT_STATUS, Options

    options = Options(in_process=given.in_process, spool=given.spool)
    with Live(study.folder.pulse) as live:
        outcome = study.run(options, live.watch)
    summarise(study)
    if outcome == "stopped":
        why = study.state.why or "before the end"
        out(f"\nstopped: {why}; the same command continues")
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
