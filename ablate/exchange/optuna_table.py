"""Optuna's trials: the table of `study.trials_dataframe()`, of one study or several.

Its columns are `number`, `state`, `value` (or `values_0`, `value_<metric>`, …), `params_…` and
`user_attrs_…`. A CSV of it does not say which direction is better, so the user does; a storage says
it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ablate.exchange import taken
from ablate.exchange.columns import Columns
from ablate.frame import NUISANCE_PREFIX, factors
from trials.errors import Problem, UserError, nearest

ORIGIN = "trials of Optuna"
STATUSES = {
    "COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "crashed", "RUNNING": "missing",
    "WAITING": "missing",
}  # fmt: skip
PARAMETER = "params_"
ATTRIBUTE = "user_attrs_"
_VALUES = ("values_", "value_")  # each objective's, by number or by the name of its metric
_FIXED = ("task", "backbone", "arm", "method", "label", "seed", "split", "num_examples")


def recognises(table: pd.DataFrame) -> bool:
    """Whether a table is one of Optuna's trials."""
    names = [str(name) for name in table.columns]
    return {"number", "state"} <= set(names) and any(is_value(name) for name in names)


def is_journal(rows: Sequence[Any]) -> bool:
    """Whether JSON lines are the log of Optuna's journal storage."""
    return bool(rows) and all(isinstance(r, Mapping) and "op_code" in r for r in rows)


def values_of(column: str) -> str:
    """The metric that a column of values is of."""
    return next((column.removeprefix(v) for v in _VALUES if column.startswith(v)), column)


def is_value(column: str) -> bool:
    """Whether a column has the values of an objective."""
    return column == "value" or column.startswith(_VALUES)


def from_table(
    table: pd.DataFrame, columns: Columns, *, source: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Trials as rows of the frame: parameters are tuned values, unless the user names them.

    A parameter or attribute that has the name of a column of the frame (`seed`, `method`, …) is
    that column.

    Args:
        table: as `trials_dataframe` makes it; `study` and `direction_…` of a storage beside it.
        columns: what the user names; of a CSV at least `direction`.
        source: what to call it in messages.

    Returns:
        The rows, and how they were read.

    Raises:
        UserError: unknown states, no direction, or columns that are not there.
    """
    problems = [Problem(text, file=source, key=key) for key, text in columns.missing(table)]
    problems += [
        Problem(f"unknown value {state!r}{nearest(state, STATUSES)}", file=source, key="state")
        for state in sorted(set(table["state"].astype(str)) - set(STATUSES))
    ]
    values = [str(name) for name in table.columns if is_value(str(name))]
    directed = {name: f"direction_{name}" for name in values if f"direction_{name}" in table}
    if "direction" not in columns.names and len(directed) < len(values):
        told = "the table does not say which are better: add --value direction=higher, or lower"
        problems.append(Problem(told, file=source, key="value"))
    if problems:
        raise UserError(*problems)
    rows = _base(table, columns, source)
    made = [_of_value(rows, table, name, directed, place) for place, name in enumerate(values)]
    whole = pd.concat(made, ignore_index=True)
    return taken.with_stage(whole), tuple(_notes(table, rows, columns))


def _base(table: pd.DataFrame, columns: Columns, source: str) -> pd.DataFrame:
    """What all values of a trial share."""
    spoken = {*columns.named.values(), *columns.dropped}
    made: dict[str, Any] = {}
    for name in map(str, table.columns):
        bare = name.removeprefix(PARAMETER).removeprefix(ATTRIBUTE)
        known = name.startswith((PARAMETER, ATTRIBUTE)) and bare in _FIXED
        if known and bare not in columns.names and name not in spoken:
            made.setdefault(bare, table[name])
        elif name.startswith(PARAMETER) and name not in spoken:
            made[f"{NUISANCE_PREFIX}{bare}"] = table[name]
        elif name in spoken:
            made[name] = table[name]
    rows = columns.apply(pd.DataFrame(made, index=table.index), source=source)
    about = {"status": table["state"].astype(str).map(STATUSES), "trial_id": _identity(table)}
    if "duration" in table:
        about["seconds"] = pd.to_timedelta(table["duration"]).dt.total_seconds()
    rows = rows.assign(**{k: v for k, v in about.items() if k not in rows})
    if not {"arm", "method", "label"} & set(rows) and not factors(rows):
        rows = rows.assign(arm=table.get("study", "trials"))
    return rows if "seed" in rows else rows.assign(seed=_repeats(rows))


def _identity(table: pd.DataFrame) -> "pd.Series[Any]":
    number = table["number"].astype(str)
    return table["study"].astype(str) + "/" + number if "study" in table else number


def _repeats(rows: pd.DataFrame) -> "pd.Series[Any]":
    """Trials of the same values, counted from 0: Optuna has no seeds."""
    key = [n for n in rows.columns if n not in ("status", "trial_id", "seconds", "reason")]
    return rows[key].astype(str).groupby(key, sort=False).cumcount()


def _of_value(
    rows: pd.DataFrame, table: pd.DataFrame, name: str, directed: Mapping[str, str], place: int
) -> pd.DataFrame:
    made = rows.assign(score=table[name], primary=place == 0)
    if "metric" not in made:
        made = made.assign(metric=values_of(name))
    if name not in directed:
        return made
    there = table[directed[name]].notna()
    made = made if "direction" in made else made.assign(direction=table[directed[name]])
    return made[there]


def _notes(table: pd.DataFrame, rows: pd.DataFrame, columns: Columns) -> list[str]:
    tuned = [str(n) for n in rows.columns if str(n).startswith(NUISANCE_PREFIX)]
    told = [f"Read as {ORIGIN}; tuned values: {', '.join(n.removeprefix('tune.') for n in tuned)}."]
    seeded = "seed" in columns.names or any(str(n).endswith("_seed") for n in table.columns)
    if not seeded:
        told.append("Optuna keeps no seed: repeats of the same values are numbered from 0.")
    return told if tuned else told[1:]
