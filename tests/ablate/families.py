"""Families of arms whose truth is known, and races over them.

As a script it prints the table of docs/statistics.md, in minutes:

    PYTHONPATH=. python tests/ablate/families.py
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ablate.race import Question, Race
from ablate.rehearsal import play
from ablate.stats.multiplicity import holm
from ablate.stats.onesample import t_test

LOOKS = (5, 8, 12, 18, 30)
MIXED = (0.0, 0.0, 0.0, 0.0, 0.8, 0.8, 1.2, 1.6)
"""Half of the arms do nothing; the others differ, in sds of the difference."""

Array = NDArray[np.float64]


class Peeking(Race):
    """Looks as often, and pays for none of it."""

    def weights(self, question: Question) -> tuple[float, ...]:
        return tuple(1.0 for _ in self.looks)


def questions(num: int) -> tuple[Question, ...]:
    """Every arm beside one control."""
    return tuple(Question(f"q{i}", "mean", ("control", f"arm {i}")) for i in range(num))


def differences(
    kind: str, num_families: int, effects: tuple[float, ...], rng: np.random.Generator
) -> Array:
    """(families, arms, seeds): each arm minus the control, in sds of the difference.

    A seed's luck is shared by all arms; what is left is normal, t with 3 degrees of freedom, or
    normal on a grid of half an sd, as scores of a small evaluation set are.
    """
    shape = (num_families, len(effects) + 1, LOOKS[-1])
    shared = rng.normal(size=(num_families, 1, LOOKS[-1]))
    own = rng.standard_t(3, size=shape) / np.sqrt(3) if kind == "t3" else rng.normal(size=shape)
    scores = shared + own
    if kind == "grid":
        scores = np.round(scores * 2) / 2
    gaps: Array = (scores[:, 1:] - scores[:, :1]) / np.sqrt(2)
    return gaps + np.array(effects)[:, None]


def decided(race: type[Race], gaps: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """(families, arms) whether each question was decided; (families,) trials of all cells."""
    asked = questions(gaps.shape[1])
    ends = [
        play(race(asked, LOOKS, 0.95), dict(zip((q.id for q in asked), family, strict=True)),
             rng=rng)
        for family in gaps
    ]  # fmt: skip
    found = [[end.decision(q.id) == "decided" for q in asked] for end in ends]
    return np.array(found), np.array([sum(end.wanted.values()) for end in ends])


def decided_at_once(gaps: Array) -> Array:
    """(families, arms) what all seeds show, looked at once."""
    return np.array(
        [[p is not None and p <= 0.05 for p in holm([t_test(d, level=0.95)[2] for d in family])]
         for family in gaps]
    )  # fmt: skip


def rows(num_families: int) -> Iterator[tuple[str, tuple[float | None, ...]]]:
    """What is drawn; families that a race and all seeds at once reject, seeds saved, power lost."""
    nothing, clear = (0.0,) * len(MIXED), (1.5,) * len(MIXED)
    told = [(kind, nothing, Race) for kind in ("normal", "t3", "grid")]
    told += [("mixed", MIXED, Race), ("clear", clear, Race)]
    told += [(f"peeking, {kind}", nothing, Peeking) for kind in ("normal", "t3", "grid")]
    for name, effects, race in told:
        rng = np.random.default_rng(20260101)
        kind = name.split()[-1]
        gaps = differences(kind, num_families, effects, rng)
        found, trials = decided(race, gaps, rng)
        fixed, truth = decided_at_once(gaps), np.array(effects)
        saved = 1 - trials.mean() / ((len(effects) + 1) * LOOKS[-1])
        false: list[float | None] = [None, None]
        if (truth == 0).any():
            false = [array[:, truth == 0].any(axis=1).mean() for array in (found, fixed)]
        lost = None
        if (truth == 0.8).any():
            lost = fixed[:, truth == 0.8].mean() - found[:, truth == 0.8].mean()
        yield name, (*false, saved, lost)


if __name__ == "__main__":
    for name, numbers in rows(2_000):
        shown = ["–" if number is None else f"{number:.3f}" for number in numbers]
        sys.stdout.write(f"| {' | '.join((name, *shown))} |\n")
