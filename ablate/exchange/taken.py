"""What is taken for what where a tracker's table does not tell settings from results."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from ablate.exchange.columns import Columns
from ablate.frame import FIXED_COLUMNS, NUISANCE_PREFIX, plain
from trials.errors import Problem, UserError

SEEDS = ("seed", "random_seed", "training.seed", "train.seed")
_NAMED = 12


@dataclass(frozen=True)
class Taken:
    """The columns of a tracker's table that are settings.

    Attributes:
        factors: those that distinguish arms.
        tuned: those that vary and are real numbers.
        dropped: those that are left out.
    """

    factors: tuple[str, ...]
    tuned: tuple[str, ...]
    dropped: tuple[str, ...]

    def notes(self, origin: str, columns: Columns) -> Iterator[str]:
        """How the table was read, for a reader to judge."""
        named = [f"{ours} is its '{theirs}'" for ours, theirs in columns.named.items()]
        parts = [*named]
        if self.factors:
            parts.append(f"taken for factors: {_listed(self.factors)}")
        if self.tuned:
            parts.append(f"for tuned values: {_listed(self.tuned)}")
        if self.dropped:
            parts.append(f"left out: {_listed(self.dropped)}")
        if parts:
            yield f"Read as {origin}; {'; '.join(parts)}."
        if "direction" not in columns.names:
            yield "Higher scores were taken to be better, as nothing in the file says otherwise."


def take(
    settings: pd.DataFrame, others: Iterable[str], columns: Columns, *, several_seeds: bool
) -> Taken:
    """Tell factors from tuned values, among columns that the user has not named.

    What never varies says nothing and is left out, and so is what differs in every row though
    there are several seeds, such as a run's name.

    Args:
        settings: what may be a setting.
        others: columns that are none.
        columns: what the user named.
        several_seeds: whether rows have more than one seed.
    """
    spoken = {*columns.named.values(), *columns.dropped}
    factors, tuned, dropped = [], [], [name for name in others if name not in spoken]
    for name in map(str, settings.columns):
        if name in spoken or name in columns.names:
            continue
        values = settings[name].map(plain)
        kinds = values.dropna()
        unique = values.nunique(dropna=False)
        if unique < 2 and name not in FIXED_COLUMNS:
            continue
        if name.startswith("_") or (several_seeds and unique == len(values) > 2):
            dropped.append(name)
        elif any(isinstance(value, float) for value in kinds):
            tuned.append(name)
        else:
            factors.append(name)
    return Taken(tuple(factors), tuple(tuned), tuple(dropped))


def rows(table: pd.DataFrame, taken: Taken, columns: Columns, *, source: str) -> pd.DataFrame:
    """Our columns alone: what the user named, factors, and tuned values under their prefix."""
    ours = [name for name in table.columns if name in _OURS and name not in columns.dropped]
    theirs = [*columns.named.values(), *columns.dropped]
    wanted = dict.fromkeys(
        name for name in [*ours, *taken.factors, *taken.tuned, *theirs] if name in table.columns
    )
    tuned = {name: f"{NUISANCE_PREFIX}{name}" for name in taken.tuned}
    made = columns.apply(table[list(wanted)], source=source).rename(columns=tuned)
    made = made.map(_text_of_list)
    if not {"arm", "method", "label"} & set(made) and not taken.factors:
        return made.assign(arm="runs")
    return made


_OURS = ("seed", "status", "reason", "trial_id", "seconds", "stage")


def with_stage(table: pd.DataFrame) -> pd.DataFrame:
    """A search where an arm has several tuned values at one seed, else trials that confirm."""
    if "stage" in table:
        return table
    tuned = [name for name in table.columns if str(name).startswith(NUISANCE_PREFIX)]
    apart = {*tuned, *FIXED_COLUMNS} - {"seed", "task", "backbone", "arm", "method"}
    key = [name for name in table.columns if name not in apart]
    once = table.drop_duplicates([*key, *tuned])
    return table.assign(stage="search" if once.duplicated(key).any() else "confirm")


def require(
    table: pd.DataFrame, columns: Columns, candidates: Sequence[str], *, source: str
) -> None:
    """Ask for what a table cannot say itself: which number is the score, and the seed.

    Raises:
        UserError: columns that are not there, no score, or no seed.
    """
    problems = [Problem(text, file=source, key=key) for key, text in columns.missing(table)]
    if not {"score"} & columns.names:
        told = f"say which it is; there are {_listed(candidates)}" if candidates else (
            "the file has no number that could be one")  # fmt: skip
        problems.append(Problem(told, file=source, key="--column score=COLUMN"))
    if "seed" not in columns.names and "seed" not in table:
        told = "there is no column 'seed'; where all ran at one seed, add --value seed=0"
        problems.append(Problem(told, file=source, key="--column seed=COLUMN"))
    if problems:
        raise UserError(*problems)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _text_of_list(value: object) -> object:
    return plain(value) if isinstance(value, list | tuple) else value
