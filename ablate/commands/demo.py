"""`ablate demo`: the embedded study, and what to do next."""

import argparse
from pathlib import Path

from ablate.commands.common import flags, out
from ablate.commands.run import conduct


def run(given: argparse.Namespace) -> int:
    """Run the embedded study and print the commands for one's own data."""
    from ablate.api import load

    study = load("demo", **flags(given))
    status = conduct(study, given)
    out()
    out("On your own data, three commands:")
    out("  ablate init task my_task      # then put train.jsonl and validation.jsonl there")
    out("  ablate init study mine        # then name your task and backbone in mine.yaml")
    out("  ablate run mine.yaml")
    out()
    page = Path(study.folder.report) / "report.html"
    out(f"Open the report in a browser: file://{page}")
    return status
