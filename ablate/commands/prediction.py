"""What a plan says of time and money."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ablate.commands.live import clock

if TYPE_CHECKING:
    from ablate.api import Ablation
    from ablate.forecast import Expected
    from ablate.profile import Profile

_CASES = {
    "no_difference": "nothing differs",
    "one_sd": "every difference is one sd",
}


@dataclass(frozen=True)
class Prediction:
    """Time and money of what is left of a study.

    Attributes:
        cells: what is expected of each.
        profile: its price and limits.
        rehearsed: what a race takes on average, by how much arms differ: cell -> seeds.
    """

    cells: "list[Expected]"
    profile: "Profile"
    rehearsed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """Device time of all cells; None where nothing is known of one that has work left."""
        left = [item for item in self.cells if item.trials]
        known = [item.seconds for item in left if item.seconds is not None]
        return sum(known) if len(known) == len(left) else None

    @property
    def cost(self) -> float | None:
        """In the currency of the price; None without a price or a prediction."""
        return self._priced(self.seconds)

    @property
    def expected(self) -> list[dict[str, Any]]:
        """What confirms in a race, on average and from its beginning, by how much arms differ.

        Each has `case`, `trials`, `device_seconds` and `cost`; the latter two None where not known.
        """
        return [{"case": name, **self._expected(seeds)} for name, seeds in self.rehearsed.items()]

    def _expected(self, seeds: Mapping[str, float]) -> dict[str, Any]:
        times = [None if c.each is None else c.each * seeds[c.cell.key] for c in self.cells]
        known = [seconds for seconds in times if seconds is not None]
        seconds = sum(known) if len(known) == len(times) else None
        trials = round(sum(seeds.values()))
        return {"trials": trials, "device_seconds": seconds, "cost": self._priced(seconds)}

    def _priced(self, seconds: float | None) -> float | None:
        price = self.profile.price_per_gpu_hour
        return None if price is None or seconds is None else self._hours(seconds) * price

    def _hours(self, seconds: float) -> float:
        """Of devices, of which a trial may hold a part."""
        return seconds / 3600 * (self.profile.gpus_per_trial or 1.0)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "trials": sum(item.trials for item in self.cells),
            "steps": self._steps(),
            "device_seconds": self.seconds,
            "device_hours": None if self.seconds is None else self.seconds / 3600,
            "cost": self.cost,
            "expected": self.expected,
            "cells": [item.to_json() for item in self.cells],
        }

    def lines(self) -> Iterator[str]:
        """As the plan prints it."""
        yield from self._left()
        for item in self.expected:
            known = [] if item["device_seconds"] is None else [clock(item["device_seconds"])]
            known += [] if item["cost"] is None else [f"cost {item['cost']:.2f}"]
            of = f" ({', '.join(known)})" if known else ""
            yield f"expected  about {item['trials']:,} confirm where {_CASES[item['case']]}{of}"

    def _left(self) -> Iterator[str]:
        steps = self._steps()
        left = sum(item.trials for item in self.cells)
        of = "" if steps is None else f", {steps:,} steps"
        yield f"left      {left:,} trials{of}, at most"
        if self.seconds is None:
            unknown = sum(item.seconds is None and item.trials > 0 for item in self.cells)
            yield (f"time      unknown: nothing like {unknown} of {len(self.cells)} cells was "
                   "measured in this store (ablate run --smoke measures)")  # fmt: skip
            return
        bases = list(dict.fromkeys(item.basis for item in self.cells if item.basis))
        more = f" and {len(bases) - 3} more" if len(bases) > 3 else ""
        yield (f"time      {clock(self.seconds)} of device time at most, by "
               f"{', '.join(bases[:3]) or 'nothing left'}{more}")  # fmt: skip
        if self.cost is not None:
            yield (f"cost      {self.cost:.2f} at {self.profile.price_per_gpu_hour:g} per GPU-hour "
                   f"({self._hours(self.seconds):.2f} hours)")  # fmt: skip
            if self.profile.max_cost is not None and self.cost > self.profile.max_cost:
                yield f"warning   max_cost {self.profile.max_cost:g} stops the run before its end"

    def _steps(self) -> int | None:
        left = [item for item in self.cells if item.trials]
        known = [item.trials * item.steps for item in left if item.steps is not None]
        return sum(known) if len(known) == len(left) else None


def prediction(study: "Ablation") -> Prediction:
    """What is expected of a study."""
    from ablate.forecast import rehearsed

    return Prediction(study.forecast(), study.profile, rehearsed(study.plan()))
