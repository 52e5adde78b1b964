"""Published counts of trained numbers, and whether this package's agree with them.

The figures are in `published.json`, one line for each configuration that a paper, or its authors'
code, names. A figure agrees where the computed count, rounded or cut to as many digits, is the
same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from trials.targets import canonical_targets

Verdict = Literal["agrees", "roughly", "disagrees", "not seen"]

ROUGHLY = 0.1
"""Share of the published figure up to which a count agrees roughly."""
_UNITS = {"%": 0.01, "M": 1e6}


@dataclass(frozen=True)
class Published:
    """One configuration, with what was published of it.

    Attributes:
        backbone, method: names.
        targets: canonical names; empty where the method chooses its sites.
        given: the fields of the method that the source names.
        figure: as printed: `0.35M`, `49,200`, or a share of the whole, `4.7%`; None where no
            figure was seen.
        source: where it is printed.
        note: what explains it.
        head: labels of a head that the figure includes; None where it is without.
        beside: numbers that train besides and are in the figure.
        of: numbers of the model of which a share is given, without what the method adds.
    """

    backbone: str
    method: str
    targets: tuple[str, ...]
    given: Mapping[str, Any]
    figure: str | None
    source: str
    note: str
    head: int | None
    beside: int
    of: int | None

    def is_of(
        self, reference: str, method: str, values: Mapping[str, Any], targets: Sequence[str]
    ) -> bool:
        """Whether a configuration is this one, as far as the source describes it.

        Args:
            reference: the backbone: a name, a folder or a hub id.
            method: registered name.
            values: every field of the method.
            targets: canonical names.
        """
        name = reference.partition("@")[0].rstrip("/").rpartition("/")[2]
        same = all(values.get(key) == value for key, value in self.given.items())
        here = not self.targets or self.targets == tuple(targets)
        return same and here and (name, method) == (self.backbone, self.method)

    def counted(self, adapter: int, head: int = 0) -> int:
        """What the figure counts.

        Args:
            adapter: trained numbers of the method.
            head: of the head with `head` labels.
        """
        return adapter + self.beside + (head if self.head is not None else 0)

    def _share(self, adapter: int) -> float | None:
        return None if self.of is None else self.counted(adapter) / (self.of + adapter)

    def shown(self, adapter: int, head: int = 0) -> str:
        """The count as people read it, with its share where that was published."""
        share = self._share(adapter)
        aside = "" if share is None else f" ({share:.2%})"
        return f"{self.counted(adapter, head):,}{aside}"

    def verdict(self, adapter: int, head: int = 0) -> Verdict:
        """Whether a count agrees with the figure; arguments as for `counted`."""
        if self.figure is None:
            return "not seen"
        number, digits, unit = _read(self.figure)
        share = self._share(adapter)
        found = self.counted(adapter, head) if share is None else share
        step = unit * 10.0**-digits
        if number in (round(found / step), int(found / step + 1e-9)):
            return "agrees"
        return "roughly" if abs(found / (number * step) - 1) <= ROUGHLY else "disagrees"


def _read(figure: str) -> tuple[int, int, float]:
    """A printed figure without its point, the digits behind it, and its unit."""
    text = figure.replace(",", "")
    unit = _UNITS.get(text[-1], 1.0)
    whole, _, part = text.rstrip("".join(_UNITS)).partition(".")
    return int(whole + part), len(part), unit


@cache
def published() -> tuple[Published, ...]:
    """Every figure, in the order of the file."""
    rows = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
    return tuple(_row(row) for row in rows)


def _row(row: Mapping[str, Any]) -> Published:
    targets = canonical_targets(row["targets"]) if "targets" in row else ()
    assert isinstance(targets, tuple)
    return Published(
        backbone=row["backbone"],
        method=row["method"],
        targets=targets,
        given=row["set"],
        figure=row.get("published"),
        source=row.get("source", ""),
        note=row.get("note", ""),
        head=row.get("head"),
        beside=row.get("beside", 0),
        of=row.get("of"),
    )
