"""The report's numbers as CSV: exact, flat, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ablate.report.words import missing

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

CELL_COLUMNS = (
    "task", "backbone", "arm", "label", "method", "n", "num_failed", "mean", "sd", "ci_low",
    "ci_high", "status", "trainable_parameters", "late", "seeds",
)  # fmt: skip
FINDING_COLUMNS = (
    "id", "kind", "task", "treatment.label", "control.label", "n", "n_dropped", "num_failed",
    "paired", "estimate", "unit", "ci_low", "ci_high", "level", "test", "p_value", "p_adjusted",
    "adjustment", "family", "confirmatory", "sequential", "effect_size", "effect_size_kind",
    "status", "verdict", "seeds_needed", "claim_id", "late", "seed_correlation", "p_sign_flip",
)  # fmt: skip

_NOISE = {"example_noise": "example_noise."}
_UNWRAPPED = {"factors": "", "best_values": "tune.", "standing": "standing.", **_NOISE}


def exact(value: Any) -> str:
    """One CSV field: floats by `repr` so that they read back equal, text safe in a spreadsheet."""
    if missing(value):
        return ""
    if type(value) not in (str, float, int):
        value = plain(value)
    if value is None or (isinstance(value, float) and math.isinf(value)):
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def plain(value: Any) -> Any:
    """The value in JSON's own types: numpy scalars unwrapped, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(item) for item in items]
    if isinstance(value, str | bool) or value is None:
        return value
    if missing(value):
        return None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if isinstance(value, int) else str(value)


def flat(record: Mapping[str, Any], *, unwrap: Mapping[str, str]) -> dict[str, Any]:
    """A record without nesting: `unwrap` maps a nested field to the prefix of its columns."""
    row: dict[str, Any] = {}
    for name, value in record.items():
        if name in unwrap:
            prefix = unwrap[name]
            for key, item in (value or {}).items():
                row.setdefault(prefix + str(key).removeprefix(prefix), item)
        else:
            row[name] = value
    return row


def text(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> str:
    """CSV text with the given columns first and any others after them, in order of appearance."""
    names = list(dict.fromkeys(columns))
    names += list(dict.fromkeys(name for row in rows for name in row if name not in names))
    return _written(names, ([exact(row.get(name)) for name in names] for row in rows))


def _written(names: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([exact(name) for name in names])
    writer.writerows(rows)
    return buffer.getvalue()


def cells_csv(cells: Sequence[Mapping[str, Any]]) -> str:
    """One line per cell; factors are columns, chosen nuisances are columns prefixed `tune.`."""
    rows = []
    for cell in cells:
        row = flat(cell, unwrap=_UNWRAPPED)
        row.pop("scores", None)  # each is a line of trials.csv
        if isinstance(row.get("seeds"), list | tuple):
            row["seeds"] = " ".join(str(seed) for seed in row["seeds"])
        rows.append(row)
    return text(rows, CELL_COLUMNS)


def findings_csv(findings: Sequence[Mapping[str, Any]]) -> str:
    """One line per finding; treatment and control are columns with those prefixes."""
    unwrap = {"treatment": "treatment.", "control": "control.", "examples": "examples.", **_NOISE}
    return text([flat(finding, unwrap=unwrap) for finding in findings], FINDING_COLUMNS)


def over_tasks_csv(found: Sequence[Mapping[str, Any]]) -> str:
    """One line per backbone and arm over all tasks: mean rank and interquartile mean."""
    rows = [
        {"backbone": one.get("backbone"), **flat(arm, unwrap={"iqm": "iqm."})}
        for one in found
        for arm in one.get("arms") or []
    ]
    columns = ("backbone", "arm", "label", "mean_rank", "iqm.estimate", "iqm.low", "iqm.high")
    return text([{k: v for k, v in row.items() if k != "profile"} for row in rows], columns)


def pairs_csv(found: Sequence[Mapping[str, Any]]) -> str:
    """One line per backbone and pair of arms over all tasks."""
    rows = [
        {"backbone": one.get("backbone"), **pair}
        for one in found
        for pair in one.get("pairs") or []
    ]
    columns = ("backbone", "treatment", "control", "n", "estimate", "ci_low", "ci_high", "p_value",
               "p_adjusted", "status")  # fmt: skip
    return text(rows, columns)


def trials_csv(frame: pd.DataFrame) -> str:
    """The frame itself, a line per row, in its own column order."""
    columns = [_fields(frame[name].astype(object).tolist()) for name in frame.columns]
    return _written(map(str, frame.columns), zip(*columns, strict=True))


def _fields(values: Sequence[Any]) -> list[str]:
    """A column's fields; most of its texts stand in many rows."""
    known: dict[str, str] = {}
    made = []
    for value in values:
        if type(value) is not str:
            made.append("" if value is None else exact(value))
            continue
        if value not in known:
            known[value] = exact(value)
        made.append(known[value])
    return made
