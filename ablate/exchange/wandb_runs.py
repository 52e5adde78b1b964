"""The runs of a Weights & Biases project, exported as CSV or JSON.

Three forms are told apart by their columns: the table of runs as the page downloads it (`Name`,
`State`, `Created`, …, then configuration and summary side by side), the CSV of the example in
W&B's guide to exporting data (`summary`, `config`, `name`, as Python dictionaries), and a JSON list
of runs with `config` and `summary`.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ablate.exchange import taken
from ablate.exchange.columns import Columns
from trials.errors import Problem, UserError, nearest

ORIGIN = "runs of a W&B project"
STATUSES = {
    "finished": "finished", "failed": "crashed", "crashed": "crashed", "killed": "crashed",
    "running": "missing", "preempted": "missing", "preempting": "missing", "pending": "missing",
}  # fmt: skip

_MARKS = frozenset({"Name", "State", "Created", "Runtime"})
_OF_PAGE = (
    "ID", "Name", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep", "Group",
    "Job Type", "Updated", "End Time", "Hostname", "Description", "Commit", "GitHub",
    "GPU Count", "GPU Type", "Agent", "Host", "OS", "Python version",
)  # fmt: skip
_SUMMARY = "summary"

Run = Mapping[str, Any]


def recognises(table: pd.DataFrame) -> bool:
    """Whether a table is one of runs, or of a chart, which is refused by name."""
    names = set(map(str, table.columns))
    pairs = {"config", _SUMMARY, "name"} <= names
    return pairs or names >= _MARKS or _is_chart(names)


def recognises_json(rows: Sequence[Run]) -> bool:
    """Whether JSON rows are runs with their configuration and summary."""
    return all("config" in row and (_SUMMARY in row or "summary_metrics" in row) for row in rows)


def from_table(
    table: pd.DataFrame, columns: Columns, *, source: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Runs as rows of the frame, from either form of CSV.

    Args:
        table: as read.
        columns: at least which is the score.
        source: what to call it in messages.

    Returns:
        The rows, and how they were read.

    Raises:
        UserError: a chart's export, or what `taken.require` asks for.
    """
    names = set(map(str, table.columns))
    if _is_chart(names):
        raise UserError(
            Problem("this is a chart's export, which has no seeds or settings; export the table "
                    "of runs instead", file=source)
        )  # fmt: skip
    if {"config", _SUMMARY} <= names:
        return from_json(list(_literal_rows(table, source)), columns, source=source)
    flat = _page(table, source)
    settings = [name for name in flat if _may_be_setting(flat[name])]
    return _rows(flat, settings, columns, source)


def from_json(
    rows: Sequence[Run], columns: Columns, *, source: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """As `from_table`, of runs whose configuration and summary are apart."""
    configs = [_flat(_unwrapped(row.get("config") or {})) for row in rows]
    known = {name for config in configs for name in config}
    flat = []
    for row, config in zip(rows, configs, strict=True):
        summary = _flat(row.get(_SUMMARY) or row.get("summary_metrics") or {})
        results = {f"{_SUMMARY}.{k}" if k in known else k: v for k, v in summary.items()}
        about = {k: row.get(k) for k in ("id", "name", "state", "runtime") if k in row}
        flat.append({**results, **config, **{f"@{k}": v for k, v in about.items()}})
    table = pd.DataFrame(flat)
    table = table.rename(columns={"@name": "Name", "@state": "State", "@id": "ID",
                                  "@runtime": "Runtime"})  # fmt: skip
    return _rows(_page(table, source), [n for n in table.columns if n in known], columns, source)


def _rows(
    flat: pd.DataFrame, settings: Sequence[str], columns: Columns, source: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    seed = next((name for name in taken.SEEDS if name in flat), None)
    if seed is not None and seed != "seed" and "seed" not in columns.names:
        flat = flat.rename(columns={seed: "seed"})
    numbers = [
        name for name in flat.columns
        if name not in {*settings, *_OF_PAGE, "seconds", "seed"} and not name.startswith("_")
        and pd.api.types.is_numeric_dtype(flat[name])
    ]  # fmt: skip
    whole = [name for name in flat.columns if pd.api.types.is_float_dtype(flat[name])]
    taken.require(flat, columns, numbers or whole, source=source)
    settings = [name for name in settings if name in flat and name not in _APART]
    rest = [n for n in flat.columns if n not in {*settings, *_APART, *_OF_PAGE}]
    several = "seed" in flat and flat["seed"].nunique() > 1
    found = taken.take(flat[settings], rest, columns, several_seeds=several)
    made = taken.rows(flat, found, columns, source=source)
    return taken.with_stage(made), tuple(found.notes(ORIGIN, columns))


_APART = frozenset({"seed", "status", "reason", "trial_id", "seconds", "stage"})


def _page(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """With states and times in our words."""
    made = table.copy()
    if "State" in made:
        states = made["State"].fillna("").astype(str).str.strip().str.lower()
        unknown = sorted(set(states) - set(STATUSES))
        if unknown:
            raise UserError(
                *(Problem(f"unknown state {state!r}{nearest(state, STATUSES)}", file=source,
                          key="State") for state in unknown)
            )  # fmt: skip
        made["status"] = states.map(STATUSES)
        made["reason"] = states.where(made["status"] != "finished", None)
    if "Runtime" in made and pd.api.types.is_numeric_dtype(made["Runtime"]):
        made["seconds"] = made["Runtime"]
    identity = next((name for name in ("ID", "Name") if name in made), None)
    if identity is not None and made[identity].notna().all() and made[identity].is_unique:
        made["trial_id"] = made[identity].astype(str)
    return made


def _may_be_setting(values: "pd.Series[Any]") -> bool:
    """In a table that mixes settings and results, real numbers are taken for results."""
    name = str(values.name)
    if name in _OF_PAGE or name in _APART or name.startswith("_"):
        return False
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    there = values.dropna()
    return bool(len(there)) and bool((there == there.round()).all())


def _is_chart(names: set[str]) -> bool:
    return "Step" in names and any(name.endswith(("__MIN", "__MAX")) for name in names)


def _literal_rows(table: pd.DataFrame, source: str) -> Iterator[Run]:
    """Rows whose `config` and `summary` are dictionaries written as text."""
    problems, rows = [], []
    for number, row in enumerate(table.astype(object).to_dict("records"), start=1):
        made = {str(k): v for k, v in row.items()}
        for name in ("config", _SUMMARY):
            value = _literal(made.get(name))
            if value is None:
                told = f"row {number}: expected a dictionary, but got {str(made.get(name))[:40]!r}"
                problems.append(Problem(told, file=source, key=name))
            made[name] = value
        rows.append(made)
    if problems:
        raise UserError(*problems[:20])
    yield from rows


def _literal(text: Any) -> Mapping[str, Any] | None:
    """A dictionary written by Python or as JSON; None for anything else.

    Python writes `nan` and `inf` for what it does not read; both become None.
    """
    for read, given in ((json.loads, str(text)), (ast.literal_eval, _finite(str(text)))):
        try:
            value = read(given)
        except (ValueError, SyntaxError):
            continue
        return value if isinstance(value, Mapping) else None
    return None


def _finite(text: str) -> str:
    return re.sub(r"(?<=[:\[(,] )-?(nan|inf)(?=[,}\])])", "None", text)


def _unwrapped(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run's `config.yaml` has each value under `value`, with a description beside it."""
    return {
        key: item["value"]
        if isinstance(item, Mapping) and "value" in item and set(item) <= {"value", "desc"}
        else item
        for key, item in config.items()
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; what W&B keeps for itself (`_…`) is left out."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if str(key).startswith("_"):
            continue
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
