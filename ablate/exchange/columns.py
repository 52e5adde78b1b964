"""Which columns of somebody else's table are ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from trials import yaml
from trials.errors import Problem, UserError, nearest
from trials.spec import Json


@dataclass(frozen=True)
class Columns:
    """What the user says of a table's columns.

    Attributes:
        named: our name (a column of the frame, a factor, or `tune.…`) -> the table's own.
        values: our name -> the value that every row has.
        dropped: columns of the table to leave out.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Json] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls, named: Sequence[str], values: Sequence[str] = (), dropped: Sequence[str] = ()
    ) -> "Columns":
        """From the texts of `--column NAME=COLUMN`, `--value NAME=VALUE` and `--drop COLUMN`.

        Raises:
            UserError: texts that are no pairs, or a name that is given twice.
        """
        columns, columns_wrong = _pairs("--column", named)
        constants, values_wrong = _pairs("--value", values)
        twice = [
            Problem(f"'{name}' has a column and a value; give one", key="--value")
            for name in columns.keys() & constants.keys()
        ]
        problems = [*columns_wrong, *values_wrong, *twice]
        if problems:
            raise UserError(*problems)
        parsed = {k: yaml.parse(v, file=f"--value {k}={v}").value for k, v in constants.items()}
        return cls(columns, parsed, tuple(dropped))

    @property
    def names(self) -> frozenset[str]:
        """Our names that the user speaks of."""
        return frozenset(self.named) | frozenset(self.values)

    def missing(self, table: pd.DataFrame) -> list[tuple[str, str]]:
        """(key, message) of each column that the table lacks."""
        there = [str(name) for name in table.columns]
        asked = [(f"--column {ours}", theirs) for ours, theirs in self.named.items()]
        asked += [("--drop", name) for name in self.dropped]
        return [
            (key, f"there is no column '{name}'{nearest(name, there)}")
            for key, name in asked
            if name not in there
        ]

    def apply(self, table: pd.DataFrame, *, source: str) -> pd.DataFrame:
        """The table with our names in the place of its own; a score's metric is its column's name.

        Raises:
            UserError: columns that are not there.
        """
        problems = self.missing(table)
        if problems:
            raise UserError(*(Problem(text, file=source, key=key) for key, text in problems))
        gone = {*self.named.values(), *self.dropped, *self.names}
        kept = table[[name for name in table.columns if name not in gone]]
        made = {ours: table[theirs] for ours, theirs in self.named.items()}
        if "score" in self.named and "metric" not in {*made, *self.values, *kept.columns}:
            made["metric"] = pd.Series(self.named["score"], index=table.index)
        constants = {k: pd.Series([v] * len(table), index=table.index, dtype=object)
                     for k, v in self.values.items()}  # fmt: skip
        return kept.assign(**made, **constants)


def _pairs(flag: str, texts: Sequence[str]) -> tuple[dict[str, str], list[Problem]]:
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for text in texts:
        name, separator, value = (part.strip() for part in text.partition("="))
        if not (separator and name and value):
            what = "COLUMN" if flag == "--column" else "VALUE"
            problems.append(Problem(f"expected NAME={what}", key=f"{flag} {text}"))
        elif name in found:
            problems.append(Problem(f"'{name}' is given twice", key=f"{flag} {text}"))
        else:
            found[name] = value
    return found, problems
