"""`ablate best`: which configuration to deploy, from MLflow."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.commands.common import machine, out, out_json, table
from trials.errors import UserError

if TYPE_CHECKING:
    from ablate.best import Choice

_LEFT_OUT = frozenset({"metric", "split", "method", "chosen_by", "ranked_on", "sd"})
_MARKS = {"within_noise": "noise", "trainable_parameters": "parameters"}


def run(given: argparse.Namespace) -> int:
    """Print the best configurations of each task, with intervals, or write them as a study."""
    from ablate import queries
    from ablate.best import Choice
    from ablate.frame import plain

    if given.top is not None and given.top < 1:
        raise UserError(f"--top must be at least 1, but got {given.top}")
    choice = Choice(
        by=given.by,
        where=given.where,
        top=given.top,
        against=given.against,
        cheapest=given.cheapest,
        front=given.pareto,
    )
    profile = machine(given)
    found = queries.best(given.studies, profile, choice, refresh=given.refresh)
    rows: list[dict[str, Any]] = [
        {str(key): plain(value) for key, value in row.items()} for row in found.to_dict("records")
    ]
    written = None
    if given.study is not None:
        written = Path(given.study)
        keys = queries.distilled(given.studies, profile, choice, written)
        _write(keys, written, rows)
    if given.json:
        out_json(rows)
        return 0
    _print(rows, choice)
    if written is not None:
        out(f"study    {written}, to be run with: ablate run {written}")
    return 0


def _print(rows: list[dict[str, Any]], choice: "Choice") -> None:
    if not rows:
        out("no configuration fits")
        return
    several = len({row["study"] for row in rows}) > 1
    costs = {"trainable_parameters", choice.against}
    hidden = _LEFT_OUT | ({"seconds", "peak_memory_bytes"} - costs)
    hidden |= set() if several else {"study"}
    shown = [
        key for key in rows[0] if key not in hidden and any(row[key] is not None for row in rows)
    ]
    for row in rows:
        row["trial"] = (row["trial"] or "")[:12] or None
        row["cheapest"] = "cheapest" if row["cheapest"] else None
    out(table([_MARKS.get(key, key) for key in shown], [[row[k] for k in shown] for row in rows]))
    first = rows[0]
    out(
        f"\nchosen by {first['chosen_by']}, ranked on {first['ranked_on']}, shown on "
        f"{first['split']} ({first['metric']}); noise: within one standard error of the task's "
        f"best; pareto: {first['metric']} against {choice.against}, unproven where the intervals "
        "do not show that it is beaten"
    )


def _write(keys: Mapping[str, Any], path: Path, rows: list[dict[str, Any]]) -> None:
    from ablate.store import write_text
    from trials import yaml

    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"--study {path}: expected a file that ends in .yaml")
    if path.exists():
        raise UserError(f"--study {path}: there is such a file already")
    told = (
        f"#   {row['label']} on {row['task']}: {row['metric']} {row['mean']} over {row['n']} seeds"
        for row in rows
    )
    text = yaml.dump(dict(keys))
    header = "# The same trials as those that were confirmed before; they scored\n"
    write_text(path, header + "\n".join(told) + "\n" + text)
