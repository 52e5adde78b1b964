"""From the table to one record a configuration: what `best` chooses from. Pure.

A configuration is a cell at the nuisance values that its confirmed trials have. It is chosen by its
confirmed trials' scores on the split that the search reads, and shown by those on the report split.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ablate.frame import CONFIRM_STAGES, NUISANCE_PREFIX, factors, nuisances, plain
from ablate.stats.cells import SEARCH_SPLITS, Cell, collect, report_splits
from ablate.stats.level import level_of

FIRST = ("study", "task", "metric", "split", "direction", "backbone", "arm", "label", "method")
COSTS = ("trainable_parameters", "seconds", "peak_memory_bytes")
NAME = "configurations-2"
"""What they are kept as; another number when what follows computes them otherwise."""

_CELL = ["task", "backbone", "arm"]
_SHORT = 16
"""Digits of a trial's id that tell trials apart."""

Row = dict[str, Any]
Key = tuple[str, str, str]


def configurations(frame: pd.DataFrame) -> pd.DataFrame:
    """The configurations of each study.

    Args:
        frame: a checked table (see `ablate.frame`), of one or more studies.

    Returns:
        One row a cell: `FIRST`, factors, tuned values (`tune.…`); `n`, `mean`, `sd` over the
        confirmed `seeds` and `num_failed`, on the report split, and their `scores`; those on the
        split that the search reads (`choosing`, on `chosen_on`; missing where not all seeds have
        one, and the report split chooses); the means of `COSTS`;
        `chosen_by` (what chose the tuned values); `trials` (the beginnings of the ids of those
        that confirmed it and have ended) and `trial` (the one of them to export: the best where it
        is chosen).

    Raises:
        UserError: as for `ablate.stats.cells.collect`.
    """
    rows = [
        row
        for study, part in frame.groupby("study", sort=False)
        for row in _of_study(str(study), part)
    ]
    columns = [*FIRST, *factors(frame), *nuisances(frame)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def _of_study(study: str, frame: pd.DataFrame) -> list[Row]:
    primary = frame[frame["primary"]]
    confirmed = primary[primary["stage"].isin(CONFIRM_STAGES)]
    cells = collect(_needed(frame, confirmed))
    searched = _searched(primary)
    splits = _choosing(primary, confirmed)
    groups = _records(confirmed)
    metrics = primary.drop_duplicates("task").set_index("task")[["metric", "direction"]]
    return [
        {
            **_row(study, cell, groups.get(key, []), splits.get(key[0]), searched.get(key)),
            **(metrics.loc[cell.task].to_dict() if cell.task in metrics.index else {}),
        }
        for key, cell in cells.items()
    ]


def _needed(frame: pd.DataFrame, confirmed: pd.DataFrame) -> pd.DataFrame:
    """The rows that cells follow from: a search may have a hundred for each of them.

    Those of a search count where several configurations of a cell were confirmed.
    """
    seen = confirmed.groupby([*_CELL, "seed", "split"], dropna=False, sort=False).size()
    several = seen[seen > 1].reset_index()[_CELL].drop_duplicates()
    marked = frame[_CELL].merge(several.assign(several=True), on=_CELL, how="left")["several"]
    is_needed = frame.index.isin(confirmed.index) | ~frame.duplicated(_CELL).to_numpy()
    return frame[is_needed | marked.notna().to_numpy()]


def _choosing(primary: pd.DataFrame, confirmed: pd.DataFrame) -> dict[str, str]:
    """Task -> the split that chooses, where it is not the one that is shown."""
    shown = report_splits(confirmed)
    done = confirmed[confirmed["status"] == "finished"]
    searched = primary[(primary["stage"] == "search") & (primary["status"] == "finished")]
    found: dict[str, str] = {}
    for task, split in shown.items():
        there = set(done.loc[done["task"] == task, "split"]) - {split}
        first = list(searched.loc[searched["task"] == task, "split"].unique())
        ordered = [name for name in (*first, *SEARCH_SPLITS) if name in there]
        if ordered:
            found[task] = ordered[0]
    return found


def _records(confirmed: pd.DataFrame) -> dict[Key, list[Row]]:
    """The confirmed rows, by cell."""
    wanted = [
        *_CELL, "split", "seed", "status", "score", "trial_id", *COSTS, *nuisances(confirmed)
    ]  # fmt: skip
    found: dict[Key, list[Row]] = {}
    for row in confirmed[wanted].astype(object).to_dict("records"):
        found.setdefault((row["task"], row["backbone"], row["arm"]), []).append(row)
    return found


def _row(
    study: str,
    cell: Cell,
    rows: Sequence[Mapping[str, Any]],
    choosing: str | None,
    searched: Mapping[str, Any] | None,
) -> Row:
    values = cell.best_values if cell.scores or cell.failed else searched or {}
    own = [r for r in rows if _has(r, cell.best_values) and r["status"] != "missing"]
    summary = level_of(
        np.array(list(cell.scores.values()), dtype=np.float64), level=0.95,
        num_failed=len(cell.failed),
    )  # fmt: skip
    chosen = {int(r["seed"]): r for r in own if r["split"] == choosing and _finished(r)}
    on_other = set(chosen) == set(cell.scores) != set()
    choosing_scores = [float(chosen[seed]["score"]) for seed in cell.scores] if on_other else None
    return {
        "study": study,
        "task": cell.task,
        "metric": cell.metric,
        "split": cell.split,
        "direction": "lower" if cell.lower_is_better else "higher",
        "backbone": cell.backbone,
        "arm": cell.arm,
        "label": cell.label,
        "method": cell.method,
        **{name: plain(value) for name, value in cell.factors.items()},
        **{f"{NUISANCE_PREFIX}{name}": value for name, value in values.items()},
        **{name: getattr(summary, name) for name in ("n", "mean", "sd", "num_failed")},
        **_costs(cell, own),
        "seeds": list(cell.scores),
        "scores": list(cell.scores.values()),
        "choosing": choosing_scores,
        "chosen_on": choosing if on_other else None,
        "chosen_by": "nothing to choose" if searched is None else "search split mean",
        "trials": sorted({str(r["trial_id"])[:_SHORT] for r in own if plain(r["trial_id"])}),
        "trial": _deployed(own, cell, choosing if on_other else cell.split),
    }


def _has(row: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether a trial has a configuration's tuned values."""
    return all(plain(row[f"{NUISANCE_PREFIX}{name}"]) == value for name, value in values.items())


def _finished(row: Mapping[str, Any]) -> bool:
    return row["status"] == "finished" and plain(row["score"]) is not None


def _costs(cell: Cell, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Mean costs of the trials that finished, each counted once."""
    done = [row for row in rows if row["status"] == "finished"]
    trials = {(row["seed"], row["trial_id"]): row for row in done}.values()
    means: dict[str, float | None] = {"trainable_parameters": cell.trainable_parameters}
    for name in COSTS[1:]:
        known = [float(row[name]) for row in trials if plain(row[name]) is not None]
        means[name] = sum(known) / len(known) if known else None
    return means


def _deployed(rows: Sequence[Mapping[str, Any]], cell: Cell, split: str | None) -> str | None:
    """The confirmed trial whose adapter one would deploy: the best on the split that chooses."""
    sign = -1 if cell.lower_is_better else 1
    there = [r for r in rows if r["split"] == split and _finished(r)]
    first = max(there, key=lambda row: sign * row["score"], default=None)
    found = None if first is None else plain(first["trial_id"])
    return None if found is None else str(found)


def _searched(primary: pd.DataFrame) -> dict[Key, dict[str, Any]]:
    """The tuned values with the best mean on the search split, by cell that was searched."""
    rows = primary[
        (primary["stage"] == "search") & (primary["status"] == "finished")
        & primary["score"].notna()
    ]  # fmt: skip
    tuned = list(nuisances(primary))
    score = rows["score"].where(rows["direction"] == "higher", -rows["score"])
    cell = [rows[name] for name in _CELL]
    means = score.groupby([*cell, *(_hashable(rows[name]) for name in tuned)], dropna=False)
    first = means.transform("mean").groupby(cell, sort=False).idxmax()
    found: dict[Key, dict[str, Any]] = {}
    for row in rows.loc[list(first), [*_CELL, *tuned]].astype(object).to_dict("records"):
        values = {name.removeprefix(NUISANCE_PREFIX): plain(row[name]) for name in tuned}
        key = (row["task"], row["backbone"], row["arm"])
        found[key] = {name: value for name, value in values.items() if value is not None}
    return found


def _hashable(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Lists as text; numbers and texts as they are."""
    return values.map(plain).map(repr) if values.dtype == object else values
