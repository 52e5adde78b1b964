"""Which configuration to deploy: chosen on the search split, shown on the report split. Pure.

Configurations of one task are compared with each other; tasks are not. A cell without confirmed
seeds is listed with its chosen values and without scores.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate.expressions import Expression
from ablate.frame import CONFIRM_STAGES, NUISANCE_PREFIX, factors, nuisances, plain
from ablate.stats.cells import Cell, collect
from ablate.stats.level import Level, level_of
from trials.errors import Problem, UserError, nearest

_IN_DIRECTION = ("mean", "ci_low", "ci_high")
_FIRST = ("study", "task", "metric", "split", "backbone", "label", "method")
_LAST = (
    "mean", "sd", "ci_low", "ci_high", "n", "num_failed", "trainable_parameters", "chosen_by",
    "within_noise", "trial",
)  # fmt: skip
_COUNTS = ("n", "num_failed")

Row = dict[str, Any]


@dataclass(frozen=True)
class _Entry:
    """One configuration: what is shown of it, and which way is up."""

    row: Row
    arm: str
    sign: int


def best(
    frame: pd.DataFrame,
    *,
    by: str | None = None,
    where: str | None = None,
    top: int = 10,
    level: float = 0.95,
) -> pd.DataFrame:
    """The best configurations of each task, one a cell.

    Args:
        frame: a checked table (see `ablate.frame`), of one or more studies.
        by: column to rank by; None for the mean. The mean and its bounds rank in the metric's
            direction, everything else from small to large.
        where: a condition such as `rank <= 8 and method != 'lora'`, over all columns of the
            result and `arm`; a tuned value goes by its own name as well.
        top: how many to show of each task.
        level: confidence of the intervals, in (0, 1).

    Returns:
        Study, task, metric, split, backbone, label, method, factors, tuned values (`tune.…`),
        mean, sd, ci_low, ci_high, n, num_failed, trainable_parameters, chosen_by, within_noise,
        trial (the confirmed one to export: the best by the split that chooses).
        The last says whether the mean lies within one standard error of the task's best mean,
        that of the best (Breiman et al. 1984, section 3.4.3); missing where that is unknown.

    Raises:
        UserError: an unknown column in `by` or `where`, or `where` cannot be read.
        ValueError: `top` is below 1.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, but got {top}")
    columns = [*_FIRST, *factors(frame), *nuisances(frame), *_LAST]
    if by is not None and by not in columns:
        raise UserError(Problem(f"no column called '{by}'{nearest(by, columns)}", key="by"))
    tasks: dict[str, list[_Entry]] = {}
    for entry in _entries(frame, level):
        if _kept(entry, where, columns):
            tasks.setdefault(entry.row["task"], []).append(entry)
    for group in tasks.values():
        _mark_noise(group)
    rows = [entry.row for group in tasks.values() for entry in _ranked(group, by)[:top]]
    return _table(rows, columns)


def _entries(frame: pd.DataFrame, level: float) -> Iterator[_Entry]:
    for study, part in frame.groupby("study", sort=False):
        cells = collect(part)
        searched = _searched(part)
        for key, cell in cells.items():
            row = _row(str(study), cell, searched.get(key), level)
            row["trial"] = _deployed(part, cell)
            yield _Entry(row, cell.arm, -1 if cell.lower_is_better else 1)


def _row(study: str, cell: Cell, searched: Mapping[str, Any] | None, level: float) -> Row:
    values = cell.best_values if cell.scores or cell.failed else searched or {}
    scores = np.asarray(list(cell.scores.values()), dtype=np.float64)
    summary = level_of(scores, level=level, num_failed=len(cell.failed))
    return {
        "study": study,
        "task": cell.task,
        "metric": cell.metric,
        "split": cell.split,
        "backbone": cell.backbone,
        "label": cell.label,
        "method": cell.method,
        **{name: plain(value) for name, value in cell.factors.items()},
        **{f"{NUISANCE_PREFIX}{name}": value for name, value in values.items()},
        **_summary(summary),
        "trainable_parameters": cell.trainable_parameters,
        "chosen_by": "nothing to choose" if searched is None else "search split mean",
    }


def _deployed(frame: pd.DataFrame, cell: Cell) -> str | None:
    """The confirmed trial whose adapter one would deploy.

    Chosen by the split that chooses; by the one that is shown only where it is the same.
    """
    rows = frame[
        (frame["task"] == cell.task) & (frame["backbone"] == cell.backbone)
        & (frame["arm"] == cell.arm) & frame["stage"].isin(CONFIRM_STAGES) & frame["primary"]
        & (frame["status"] == "finished") & frame["score"].notna()
    ]  # fmt: skip
    choosing = rows[rows["split"] != cell.split]
    scores = (choosing if len(choosing) else rows)["score"]
    if not len(scores):
        return None
    first = scores.idxmin() if cell.lower_is_better else scores.idxmax()
    found = plain(frame.loc[first, "trial_id"])
    return None if found is None else str(found)


def _summary(summary: Level) -> Row:
    names = ("mean", "sd", "ci_low", "ci_high", "n", "num_failed")
    return {name: getattr(summary, name) for name in names}


def _searched(frame: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The tuned values with the best mean on the search split, by cell that was searched."""
    tuned = list(nuisances(frame))
    rows = frame[
        (frame["stage"] == "search") & (frame["status"] == "finished") & frame["primary"]
        & frame["score"].notna()
    ]  # fmt: skip
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for key, part in rows.groupby(["task", "backbone", "arm"], sort=False):
        better = part["score"].where(part["direction"] == "higher", -part["score"])
        names = [name for name in tuned if part[name].notna().any()]
        first = better.idxmax()
        if names:
            values = part[names].map(plain).astype(object)
            means = better.groupby([values[n].map(repr) for n in names], sort=False)
            first = means.transform("mean").idxmax()
        picked = {n.removeprefix(NUISANCE_PREFIX): plain(part.loc[first, n]) for n in names}
        found[(str(key[0]), str(key[1]), str(key[2]))] = {
            name: value for name, value in picked.items() if value is not None
        }
    return found


def _kept(entry: _Entry, where: str | None, columns: Sequence[str]) -> bool:
    if where is None:
        return True
    condition = Expression.parse(where)
    short = [name.removeprefix(NUISANCE_PREFIX) for name in columns]
    known = {"arm", *columns, *short}
    wrong = sorted(condition.names - known)
    if wrong:
        hints = (f"no column called '{name}'{nearest(name, known)}" for name in wrong)
        raise UserError(*(Problem(hint, key="where") for hint in hints))
    row = {"arm": entry.arm, **entry.row}
    tuned = {name.removeprefix(NUISANCE_PREFIX): value for name, value in row.items()}
    values = {name: plain(value) for name, value in {**tuned, **row}.items()}
    return bool(condition.holds({k: v for k, v in values.items() if v is not None}))


def _mark_noise(group: Sequence[_Entry]) -> None:
    """One-standard-error rule, among the configurations of one task."""
    scored = [entry for entry in group if entry.row["mean"] is not None]
    winner = max(scored, key=lambda entry: entry.sign * float(entry.row["mean"]), default=None)
    for entry in group:
        entry.row["within_noise"] = None
        if winner is None or entry.row["mean"] is None:
            continue
        behind = winner.sign * (winner.row["mean"] - entry.row["mean"])
        if winner.row["sd"] is not None:
            error = winner.row["sd"] / math.sqrt(winner.row["n"])
            entry.row["within_noise"] = bool(behind <= error)
        elif behind == 0:
            entry.row["within_noise"] = True


def _ranked(group: list[_Entry], by: str | None) -> list[_Entry]:
    """Best first; those without a value last, in the order given."""
    column = by or "mean"
    there = [entry for entry in group if plain(entry.row.get(column)) is not None]
    gone = [entry for entry in group if plain(entry.row.get(column)) is None]

    def rank(entry: _Entry) -> tuple[bool, Any]:
        value = plain(entry.row[column])
        if isinstance(value, str):
            return True, value
        return False, -entry.sign * value if column in _IN_DIRECTION else value

    return [*sorted(there, key=rank), *gone]


def _table(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(columns))
    numbers = [
        name for name in _LAST if name not in ("chosen_by", "within_noise", "trial", *_COUNTS)
    ]
    types = {
        **dict.fromkeys(numbers, "float64"),
        **dict.fromkeys(_COUNTS, "int64"),
        "within_noise": "boolean",
    }
    return table.astype(types)
