"""`ablate best`: which configuration to deploy, from MLflow."""

import argparse
from pathlib import Path
from typing import Any

from ablate.commands.common import machine, out, out_json, table
from trials.errors import UserError

_LEFT_OUT = frozenset({"study", "metric", "split", "method", "chosen_by"})


def run(given: argparse.Namespace) -> int:
    """Print the best configurations of each task, with intervals."""
    from ablate.best import best
    from ablate.frame import plain
    from ablate.runner import tracking_uri
    from ablate.tracking import runs

    if given.top < 1:
        raise UserError(f"--top must be at least 1, but got {given.top}")
    profile = machine(given)
    names = [_name(study, Path(profile.store)) for study in given.studies]
    found = best(runs(tracking_uri(profile), names), by=given.by, where=given.where, top=given.top)
    rows: list[dict[str, Any]] = [
        {str(key): plain(value) for key, value in row.items()} for row in found.to_dict("records")
    ]
    if given.json:
        out_json(rows)
        return 0
    if not rows:
        out("no configuration fits")
        return 0
    shown = [
        key for key in rows[0] if key not in _LEFT_OUT and any(row[key] is not None for row in rows)
    ]
    for row in rows:
        row["trial"] = (row["trial"] or "")[:12] or None
    out(table(shown, [[row[key] for key in shown] for row in rows]))
    first = rows[0]
    out(f"\nchosen by {first['chosen_by']}, shown on {first['split']} ({first['metric']})")
    return 0


def _name(study: str, store: Path) -> str:
    """The study's name: of a file, the one that it states."""
    from ablate.api import locate
    from ablate.study import Study

    if Path(study).suffix in (".yaml", ".yml"):
        return Study.read(locate(study, store)[0]).name
    return study
