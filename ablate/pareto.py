"""What no other configuration beats at its cost, and what is only beaten by luck. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ablate.fronts import dominates
from ablate.stats.grid import constant, differences
from ablate.stats.onesample import t_test
from ablate.stats.unpaired import compare_unpaired

Standing = Literal["front", "unproven", "dominated"]


@dataclass(frozen=True)
class Candidate:
    """A configuration that competes.

    Attributes:
        cost: the less the better; None where it is unknown.
        scores: by seed, higher is better.
        mean: of the scores; NaN without any.
    """

    cost: float | None
    scores: Mapping[int, float]
    mean: float = field(init=False)

    def __post_init__(self) -> None:
        values = self.scores.values()
        mean = math.fsum(values) / len(values) if values else math.nan
        object.__setattr__(self, "mean", mean)

    @property
    def competes(self) -> bool:
        """Whether it has a cost and a score."""
        return self.cost is not None and bool(self.scores)


def beats(one: Candidate, other: Candidate) -> bool:
    """Whether one costs no more and scores no less on average, one of the two strictly."""
    assert one.cost is not None
    assert other.cost is not None
    return dominates((one.mean, one.cost), (other.mean, other.cost), (True, False))


def surely_better(one: Candidate, other: Candidate, *, level: float) -> bool:
    """Whether the interval of the difference of their scores lies above zero.

    The interval is that of the paired differences where they share two seeds or more, else
    Welch's. Where every paired difference is the same there is none, and the sign-flip test speaks:
    its p is 2 / 2^n.

    Args:
        one, other: both with scores.
        level: confidence of the interval, in (0, 1).

    Source: Student 1908; Fisher 1935; Welch 1947.
    """
    shared = sorted(one.scores.keys() & other.scores.keys())
    if len(shared) >= 2:
        own = np.array([one.scores[seed] for seed in shared])
        others = np.array([other.scores[seed] for seed in shared])
        gaps = differences(own, others, step=None)
        if constant(gaps):
            return bool(gaps[0] > 0) and 2.0 ** (1 - len(shared)) <= 1 - level
        low = t_test(gaps, level=level, by=0.0)[0]
    else:
        sides = (np.array(list(side.scores.values())) for side in (one, other))
        low = compare_unpaired(*sides, level=level).ci_low
    return low is not None and low > 0


def standing(index: int, given: Sequence[Candidate], *, level: float) -> Standing | None:
    """Where one of the candidates stands.

    What nothing beats is the `front`. What is beaten is `dominated` where one of those that beat
    it is surely better, and `unproven` where it merely looks beaten.

    Args:
        index: of the candidate.
        given: all that compete, itself included.
        level: confidence of each interval, in (0, 1); not adjusted for their number.

    Returns:
        None where it has no cost or no score.
    """
    own = given[index]
    if not own.competes:
        return None
    above = [other for other in given if other.competes and beats(other, own)]
    if not above:
        return "front"
    # The best are the likeliest to be surely better.
    above.sort(key=lambda other: -other.mean)
    sure = any(surely_better(other, own, level=level) for other in above)
    return "dominated" if sure else "unproven"
