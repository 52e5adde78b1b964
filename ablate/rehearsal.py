"""How far will a race go? Played to its end on differences that are drawn, not trained."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ablate.race import Evidence, Question, Race
from ablate.stats.equivalence import tost
from ablate.stats.grid import constant
from ablate.stats.onesample import t_test
from ablate.stats.sequential import SKEWED_FROM, look_level
from ablate.stats.shape import is_skewed
from ablate.stats.signflip import sign_flip
from ablate.stats.status import Array

DRAWS = 1_000
"""Questions that are played for one expectation, over all its families; below a second."""


def play(race: Race, differences: Mapping[str, Array], *, rng: np.random.Generator) -> Race:
    """The race at its end, every trial finished.

    Args:
        race: before its first look.
        differences: question -> (seeds,) treatment minus control, as many as the last look has.
        rng: for sign patterns beyond 20 seeds.
    """

    def examine(question: Question, num_seeds: int, share: float) -> Evidence:
        return evidence(question, differences[question.id][:num_seeds], race.level, share, rng=rng)

    every = frozenset(range(race.looks[-1]))
    while (after := race.look(dict.fromkeys(race.wanted, every), examine)) is not race:
        race = after
    return race


def evidence(
    question: Question, differences: Array, level: float, share: float, *, rng: np.random.Generator
) -> Evidence:
    """What a look says of a question of means or equivalence, from its differences alone.

    Args:
        question: of either kind; one of spread is told nothing.
        differences: (seeds,) treatment minus control, in order of the seeds.
        level: of the study.
        share: of the level that the look spends.
        rng: for sign patterns beyond 20 seeds.
    """
    d = differences
    known = Evidence(
        seeds=tuple(range(d.size)),
        estimate=float(d.mean()),
        sd=0.0 if constant(d) else float(d.std(ddof=1)),
    )
    skewed = is_skewed(d)
    if question.kind == "variance" or (skewed and d.size < SKEWED_FROM):
        return known
    own = look_level(level, share)
    if question.margin is not None:
        found = tost(d, margin=question.margin, level=own, rng=rng)
        return replace(known, ci_low=found.ci_low, ci_high=found.ci_high, p_value=found.p_value,
                       p_beyond=found.p_beyond)  # fmt: skip
    low, high, p = t_test(d, level=own, by=question.by)
    if p is None or skewed:
        p = max(p or 0.0, sign_flip(d - question.by, rng=rng))
    return replace(known, ci_low=low, ci_high=high, p_value=p)


def expected_seeds(
    race: Race,
    effect: float,
    *,
    rng: np.random.Generator,
    trained: Callable[[Mapping[str, int]], Mapping[str, int]] = dict,
) -> dict[str, float]:
    """Cell -> how many seeds it takes on average.

    Args:
        race: before its first look.
        effect: true mean of every difference, in its sds; differences are normal, and those of
            different questions independent.
        rng: draws them.
        trained: seeds that the race wants of its cells -> seeds that all cells train for it.
    """
    size = (max(1, DRAWS // len(race.questions)), len(race.questions), race.looks[-1])
    drawn = rng.normal(effect, size=size)
    names = [question.id for question in race.questions]
    ends = [play(race, dict(zip(names, family, strict=True)), rng=rng) for family in drawn]
    found = [trained(end.wanted) for end in ends]
    return {cell: float(np.mean([seeds[cell] for seeds in found])) for cell in found[0]}
