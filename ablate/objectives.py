"""What a search makes better: a score of the task, or what a trial costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.tally import TaskFacts
from ablate.tune_keys import COSTS, PRIMARY
from trials.errors import nearest
from trials.spec import Json

_RESULT = {"trainable_parameters": "adapter_parameters"}
"""Fields of a trial's result, where frames and studies call them otherwise."""


@dataclass(frozen=True)
class Objective:
    """One of `tune.objectives` on a task.

    Attributes:
        name: as the study has it.
        direction: which values are better.
        metric: the task's metric; None for a cost.
    """

    name: str
    direction: Literal["higher", "lower"]
    metric: str | None

    def of(self, result: Mapping[str, Json], split: str) -> float | None:
        """Its value in a trial's result, or None where that has none.

        Args:
            result: of a finished trial, as plain JSON.
            split: the one that the search reads.
        """
        if self.metric is None:
            found = result.get(_RESULT.get(self.name, self.name))
        else:
            found = result["scores"].get(split, {}).get(self.metric)
        return None if found is None else float(found)

    def reported(self, report: Mapping[str, Json]) -> float | None:
        """Its value in a running trial's report; None for a cost."""
        if self.name == PRIMARY:
            found = report["primary"]
        else:
            found = None if self.metric is None else report["scores"].get(self.metric)
        return None if found is None else float(found)


def objectives(names: Sequence[str], facts: TaskFacts) -> tuple[Objective, ...]:
    """The objectives of a study on a task.

    Raises:
        ValueError: the task has no such metric; the message is one for the user.
    """
    return tuple(_objective(name, facts) for name in names)


def _objective(name: str, facts: TaskFacts) -> Objective:
    if name in COSTS:
        return Objective(name, "lower", None)
    metric = facts.primary if name == PRIMARY else name
    if metric not in facts.directions:
        known = (PRIMARY, *COSTS, *facts.directions)
        raise ValueError(f"no objective called '{name}'{nearest(name, known)}")
    higher = facts.directions[metric] == "higher"
    return Objective(name, "higher" if higher else "lower", metric)
