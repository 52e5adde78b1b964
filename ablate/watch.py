"""One running ask beside what it may be compared with: the pruner's view of a search."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trials.spec import Json

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial as OptunaTrial


class Watch:
    """One running ask in a study of its own.

    Attributes:
        applied: the reports that the pruner has seen, by step.
        stopped: whether it said stop.
    """

    def __init__(self, study: "Study", trial: "OptunaTrial") -> None:
        self.applied: dict[int, float] = {}
        self.stopped = False
        self._study, self._trial = study, trial

    def leads_to(self, reports: Mapping[int, float]) -> bool:
        """Whether what was applied is how these reports begin (NaN equals NaN)."""
        begin = list(reports.items())[: len(self.applied)]
        return repr(begin) == repr(list(self.applied.items()))

    def feed(self, reports: Mapping[int, float]) -> None:
        """Report what is new, one step at a time, until the pruner says stop."""
        for step, value in reports.items():
            if self.stopped:
                return
            if step not in self.applied:
                self._trial.report(value, step)
                self.applied[step] = value
                self.stopped = bool(self._trial.should_prune())

    def attributes(self) -> Mapping[str, Json]:
        """What the pruner noted on the trial, such as the rungs it completed."""
        noted: Mapping[str, Json] = self._study.get_trials(deepcopy=False)[
            self._trial.number
        ].system_attrs
        return noted


def clean(reports: Mapping[int, float | None]) -> dict[int, float]:
    """In step order; what a journal cannot hold (NaN, infinity) is NaN live and replayed."""
    return {
        int(step): math.nan if value is None or not math.isfinite(value) else float(value)
        for step, value in sorted(reports.items())
    }
