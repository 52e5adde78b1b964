"""Which configuration to deploy: chosen on the search split, shown on the report split. Pure.

Configurations of one task are compared with each other; tasks are not. A cell without confirmed
seeds is listed with its chosen values and without scores.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablate.configurations import COSTS, configurations
from ablate.expressions import Expression
from ablate.frame import NUISANCE_PREFIX, plain
from ablate.ranking import Entry, Row, mark_front, mark_noise, of_levels, ordered, rank
from ablate.stats.level import t_interval
from trials.errors import Problem, UserError, nearest

_FIRST = ("study", "task", "metric", "split", "backbone", "label", "method")
_SUMMARY = ("mean", "sd", "ci_low", "ci_high", "n", "num_failed", *COSTS)
_MARKS = ("ranked_on", "within_noise", "cheapest", "pareto")
"""What is found out after the filter, which cannot read it."""

_LAST = (*_SUMMARY, "chosen_by", *_MARKS, "trial")
_COUNTS = ("n", "num_failed")
_HIDDEN = frozenset({"direction", "arm", "seeds", "scores", "choosing", "chosen_on", "trials"})
_TOP, _TOP_OF_LEVEL = 10, 1


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to show of the configurations.

    Attributes:
        by: a factor or tuned value: the best of each of its levels; any other column: to rank by.
        where: a condition such as `rank <= 8 and method != 'lora'`, over all columns of the
            result and `arm`; a tuned value goes by its own name as well.
        top: how many to show of each task, or of each level; None for 10, or 1 of each level.
        against: the cost of the front and of the cheapest, one of `COSTS`.
        cheapest: only the cheapest within noise of each task's best.
        front: only what the intervals do not show to be dominated.
        level: confidence of the intervals, in (0, 1).
    """

    by: str | None = None
    where: str | None = None
    top: int | None = None
    against: str = "trainable_parameters"
    cheapest: bool = False
    front: bool = False
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ValueError(f"top must be at least 1, but got {self.top}")
        if self.against not in COSTS:
            hint = f"no cost called '{self.against}'{nearest(self.against, COSTS)}"
            raise UserError(Problem(hint, key="against"))


def best(frame: pd.DataFrame, **choice: Any) -> pd.DataFrame:
    """The best configurations of each task in a checked table; see `choose`."""
    return choose(configurations(frame), Choice(**choice))


def choose(table: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """The best configurations of each task, one a cell.

    They are ranked by their mean on the split that the search reads, where all of a task's have
    one, else by what is shown. A configuration whose trials another one has as well, since a study
    reused them, is shown once.

    Args:
        table: of `configurations`, of one or more studies.
        choice: what to show.

    Returns:
        Study, task, metric, split, backbone, label, method, factors, tuned values (`tune.…`),
        mean, sd, ci_low, ci_high, n, num_failed, the costs, ranked_on (the split by which it is
        ranked), chosen_by, and four marks:

        - within_noise: the mean that ranks lies within one standard error of the task's best one,
          that of the best (Breiman et al. 1984, section 3.4.3); missing where that is unknown.
        - cheapest: of those within noise the one of the least cost.
        - pareto: `front`, `unproven` or `dominated` (see `ablate.pareto`).
        - trial: the confirmed one to export.

    Raises:
        UserError: an unknown column in `by` or `where`, or `where` cannot be read.
    """
    columns = _columns(table)
    return _table(picked(table, choice), columns)


def picked(table: pd.DataFrame, choice: Choice) -> list[Row]:
    """As `choose`, as rows with all that `configurations` says of them."""
    columns = _columns(table)
    levels = _level_column(choice.by, columns)
    rows = [_with_interval(row, choice.level) for row in _records(table)]
    kept = _without_repeats(_matching(rows, choice.where, columns))
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for row in kept:
        place = tuple(row[name] for name in ("task", "metric", "split"))
        entry = Entry(row, -1 if row["direction"] == "lower" else 1)
        groups.setdefault(place, []).append(entry)
    found: list[Row] = []
    for group in groups.values():
        rank(group)
        mark_noise(group, choice.against)
        found += [entry.row for entry in _shown(group, choice, levels)]
    return found


def _columns(table: pd.DataFrame) -> list[str]:
    given = [str(name) for name in table.columns if name not in {*_FIRST, *_LAST, *_HIDDEN}]
    factors = [name for name in given if not name.startswith(NUISANCE_PREFIX)]
    tuned = [name for name in given if name.startswith(NUISANCE_PREFIX)]
    return [*_FIRST, *factors, *tuned, *_LAST]


def _level_column(by: str | None, columns: Sequence[str]) -> str | None:
    """The column whose levels `by` asks for; None where it asks for an order."""
    if by is None:
        return None
    column = f"{NUISANCE_PREFIX}{by}" if f"{NUISANCE_PREFIX}{by}" in columns else by
    if column not in columns:
        hint = f"no column called '{by}'{nearest(by, _with_short(columns))}"
        raise UserError(Problem(hint, key="by"))
    return None if column in _LAST else column


def _with_short(columns: Iterable[str]) -> list[str]:
    return [name for c in columns for name in dict.fromkeys((c, c.removeprefix(NUISANCE_PREFIX)))]


def _records(table: pd.DataFrame) -> list[Row]:
    return [
        {str(key): value for key, value in row.items()}
        for row in table.astype(object).to_dict("records")
    ]


def _with_interval(row: Row, level: float) -> Row:
    row = {key: value if key in _HIDDEN else plain(value) for key, value in row.items()}
    low, high = None, None
    if row["mean"] is not None:
        low, high = t_interval(row["mean"], row["sd"], row["n"], level=level)
    return {**row, "ci_low": low, "ci_high": high}


def _matching(rows: Sequence[Row], where: str | None, columns: Sequence[str]) -> list[Row]:
    if where is None:
        return list(rows)
    condition = Expression.parse(where)
    known = {"arm", *_with_short(columns)} - {*_MARKS}
    wrong = sorted(condition.names - known)
    if wrong:
        hints = (f"no column called '{name}'{nearest(name, known)}" for name in wrong)
        raise UserError(*(Problem(hint, key="where") for hint in hints))
    return [row for row in rows if condition.holds(_values(row))]


def _values(row: Mapping[str, Any]) -> Row:
    """What a condition may read; what is missing is absent."""
    there = {name: value for name, value in row.items() if value is not None}
    return {**{name.removeprefix(NUISANCE_PREFIX): v for name, v in there.items()}, **there}


def _without_repeats(rows: Sequence[Row]) -> list[Row]:
    """Without configurations all of whose trials another one has, of equal ones the first."""
    owners: dict[str, list[int]] = {}
    trials = [frozenset(row["trials"]) for row in rows]
    for index, own in enumerate(trials):
        for trial in own:
            owners.setdefault(trial, []).append(index)
    return [
        row
        for index, row in enumerate(rows)
        if not any(
            trials[index] < trials[other] or (trials[index] == trials[other] and other < index)
            for other in owners.get(next(iter(trials[index]), ""), ())
        )
    ]


def _shown(group: Sequence[Entry], choice: Choice, levels: str | None) -> list[Entry]:
    entries = [entry for entry in group if entry.row["cheapest"] or not choice.cheapest]
    if choice.front:
        mark_front(entries, group, choice.against, level=choice.level)
        entries = [entry for entry in entries if entry.row["pareto"] in ("front", "unproven")]
    if levels is None:
        shown = ordered(entries, choice.by)[: choice.top or _TOP]
    else:
        shown = of_levels(entries, levels, choice.top or _TOP_OF_LEVEL)
    if not choice.front:
        mark_front(shown, group, choice.against, level=choice.level)
    return shown


def _table(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(columns))
    numbers = [name for name in _SUMMARY if name not in _COUNTS]
    types = {
        **dict.fromkeys(numbers, "float64"),
        **dict.fromkeys(_COUNTS, "int64"),
        "within_noise": "boolean",
        "cheapest": bool,
    }
    return table.astype(types)
