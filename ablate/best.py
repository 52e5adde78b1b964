"""Which configuration to deploy: chosen on the search split, shown on the report split. Pure.

Configurations of one task are compared with each other; tasks are not. A cell without confirmed
seeds is listed with its chosen values and without scores.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate.configurations import COSTS, configurations
from ablate.expressions import Expression
from ablate.frame import NUISANCE_PREFIX, plain
from ablate.pareto import Candidate, standing
from ablate.stats.level import t_interval
from trials.errors import Problem, UserError, nearest

_IN_DIRECTION = ("mean", "ci_low", "ci_high")
_FIRST = ("study", "task", "metric", "split", "backbone", "label", "method")
_SUMMARY = ("mean", "sd", "ci_low", "ci_high", "n", "num_failed", *COSTS)
_LAST = (*_SUMMARY, "ranked_on", "chosen_by", "within_noise", "cheapest", "pareto", "trial")
_COUNTS = ("n", "num_failed")
_HIDDEN = frozenset({"direction", "arm", "seeds", "scores", "chosen_on", "trials"})
_TOP, _TOP_OF_LEVEL = 10, 1

Row = dict[str, Any]


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
    entries = [_entry(row, choice.level) for row in _records(table)]
    kept = _without_repeats(_matching(entries, choice.where, columns))
    tasks: dict[tuple[Any, Any], list[Row]] = {}
    for row in kept:
        tasks.setdefault((row["task"], row["metric"]), []).append(row)
    rows: list[Row] = []
    for group in tasks.values():
        _rank(group)
        _mark_noise(group, choice.against)
        rows += _shown(group, choice, levels)
    return rows


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


def _entry(row: Row, level: float) -> Row:
    """A configuration with its interval."""
    row = {key: value if key in _HIDDEN else plain(value) for key, value in row.items()}
    low, high = None, None
    if row["mean"] is not None:
        low, high = t_interval(row["mean"], row["sd"], row["n"], level=level)
    return {**row, "ci_low": low, "ci_high": high}


def _matching(entries: Sequence[Row], where: str | None, columns: Sequence[str]) -> list[Row]:
    if where is None:
        return list(entries)
    condition = Expression.parse(where)
    known = {"arm", *_with_short(columns)}
    wrong = sorted(condition.names - known)
    if wrong:
        hints = (f"no column called '{name}'{nearest(name, known)}" for name in wrong)
        raise UserError(*(Problem(hint, key="where") for hint in hints))
    return [row for row in entries if condition.holds(_values(row))]


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


def _rank(group: Sequence[Row]) -> None:
    """Give each configuration the mean that ranks it, higher is better, and say on which split."""
    scored = [row for row in group if row["mean"] is not None]
    apart = all(plain(row["chosen_on"]) is not None for row in scored)
    for row in group:
        row["ranked_on"] = (plain(row["chosen_on"]) if apart else None) or row["split"]
        sign = -1 if row["direction"] == "lower" else 1
        row["_scores"] = {}
        row["_sd"], row["_rank"] = row["sd"], None
        if row["mean"] is not None:
            row["_rank"] = sign * row["mean"]
        if row["mean"] is not None and apart:
            own = np.array(list(row["scores"]), dtype=np.float64)
            row["_rank"] = sign * float(own.mean())
            row["_sd"] = float(own.std(ddof=1)) if own.size > 2 else None


def _mark_noise(group: Sequence[Row], against: str) -> None:
    """One-standard-error rule, among the configurations of one task, and the least costly then."""
    scored = [row for row in group if row["_rank"] is not None]
    winner = max(scored, key=lambda row: float(row["_rank"]), default=None)
    for row in group:
        row["within_noise"], row["cheapest"] = None, False
        if winner is None or row["_rank"] is None:
            continue
        behind = winner["_rank"] - row["_rank"]
        if winner["_sd"] is not None:
            error = winner["_sd"] / math.sqrt(len(winner["scores"]))
            row["within_noise"] = bool(behind <= error)
        elif behind == 0:
            row["within_noise"] = True
    near = [row for row in group if row["within_noise"] and row[against] is not None]
    if near:
        min(near, key=lambda row: (row[against], -row["_rank"]))["cheapest"] = True


def _mark_front(rows: Sequence[Row], group: Sequence[Row], choice: Choice) -> None:
    """Say of some of a task's configurations where they stand among all."""
    given = [Candidate(row[choice.against], _by_seed(row)) for row in group]
    places = {id(row): index for index, row in enumerate(group)}
    for row in rows:
        row["pareto"] = standing(places[id(row)], given, level=choice.level)


def _by_seed(row: Mapping[str, Any]) -> dict[int, float]:
    """The scores that rank a configuration, higher is better."""
    if row["_rank"] is None:
        return {}
    sign = -1.0 if row["direction"] == "lower" else 1.0
    return {int(s): sign * float(v) for s, v in zip(row["seeds"], row["scores"], strict=True)}


def _shown(group: Sequence[Row], choice: Choice, levels: str | None) -> list[Row]:
    rows = [row for row in group if row["cheapest"] or not choice.cheapest]
    if choice.front:
        _mark_front(rows, group, choice)
        rows = [row for row in rows if row["pareto"] in ("front", "unproven")]
    chosen = _of_levels(rows, choice, levels) if levels else _ranked(rows, choice.by)
    chosen = chosen if levels else chosen[: choice.top or _TOP]
    _mark_front(chosen, group, choice)
    return chosen


def _of_levels(rows: Sequence[Row], choice: Choice, column: str) -> list[Row]:
    """The best of each level of a factor, the levels in order."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        if row.get(column) is not None:
            found.setdefault(row[column], []).append(row)
    ordered = [found[value] for value in sorted(found, key=_order)]
    return [row for own in ordered for row in _ranked(own, None)[: choice.top or _TOP_OF_LEVEL]]


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers before texts."""
    return isinstance(value, str), value


def _ranked(group: Sequence[Row], by: str | None) -> list[Row]:
    """Best first; those without a value last, in the order given."""
    column = by or "_rank"
    there = [row for row in group if row.get(column) is not None]
    gone = [row for row in group if row.get(column) is None]

    def rank(row: Row) -> tuple[bool, Any]:
        value = row[column]
        if by is None:
            return False, -value
        if by in _IN_DIRECTION and row["direction"] == "higher":
            return False, -value
        return _order(value)

    return [*sorted(there, key=rank), *gone]


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
