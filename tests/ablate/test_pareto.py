"""The front against one by brute force, with ties and with intervals."""

import math
import warnings
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.pareto import Candidate, Standing, standing, surely_better

LEVEL = 0.9

# Few values, so that ties are the rule; seeds that not all share.
COSTS = st.none() | st.sampled_from([1.0, 2.0, 2.0, 3.0])
SCORES = st.dictionaries(
    st.integers(0, 5), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), max_size=5
)
CANDIDATES = st.lists(st.builds(Candidate, COSTS, SCORES), max_size=7)


def mean(candidate: Candidate) -> float:
    return sum(candidate.scores.values()) / len(candidate.scores)


def lower_end(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """Of the difference's interval, by scipy."""
    shared = sorted(set(one) & set(other))
    if len(shared) >= 2:
        gaps = np.array([one[seed] - other[seed] for seed in shared])
        if gaps.std() == 0:
            # The t interval is absent; all signs flipped are two of 2^n patterns.
            return float(gaps[0]) if 2 / 2 ** len(gaps) <= 1 - LEVEL else None
        low, _ = stats.t.interval(LEVEL, len(gaps) - 1, gaps.mean(), stats.sem(gaps))
        return float(low)
    a, b = np.array(list(one.values())), np.array(list(other.values()))
    if min(len(a), len(b)) < 2 or a.std() == b.std() == 0:
        return None
    with warnings.catch_warnings():
        # One side may be constant; the other's spread is enough.
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL).low)


def by_brute_force(index: int, candidates: list[Candidate]) -> Standing | None:
    """Straight from the words: on the front if nobody is as cheap and as good, and not the same."""
    known = [c for c in candidates if c.cost is not None and c.scores]
    own = candidates[index]
    if not any(own is c for c in known):
        return None
    assert own.cost is not None
    above = []
    for other in known:
        assert other.cost is not None
        if other.cost > own.cost or mean(other) < mean(own):
            continue
        if (other.cost, mean(other)) != (own.cost, mean(own)):
            above.append(other)
    if not above:
        return "front"
    ends = [lower_end(other.scores, own.scores) for other in above]
    return "dominated" if any(end is not None and end > 1e-9 for end in ends) else "unproven"


@given(CANDIDATES)
def test_it_is_the_front_of_brute_force(candidates: list[Candidate]) -> None:
    found = [standing(index, candidates, level=LEVEL) for index in range(len(candidates))]
    assert found == [by_brute_force(index, candidates) for index in range(len(candidates))]
    if any(candidate.competes for candidate in candidates):
        assert "front" in found, "something is always on the front"


@given(CANDIDATES.filter(bool), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(candidates: list[Candidate], random: object) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    places = {id(candidate): index for index, candidate in enumerate(shuffled)}
    for index, candidate in enumerate(candidates):
        found = standing(places[id(candidate)], shuffled, level=LEVEL)
        assert found == standing(index, candidates, level=LEVEL)


def test_equals_stand_together_on_the_front() -> None:
    two = [Candidate(1.0, {0: 0.5, 1: 0.7}), Candidate(1.0, {0: 0.7, 1: 0.5})]
    assert [standing(i, two, level=LEVEL) for i in range(2)] == ["front", "front"]


def test_what_costs_more_and_scores_the_same_only_looks_beaten() -> None:
    two = [Candidate(1.0, {0: 0.5, 1: 0.7}), Candidate(2.0, {0: 0.5, 1: 0.7})]
    assert [standing(i, two, level=LEVEL) for i in range(2)] == ["front", "unproven"]


def test_shared_seeds_decide_what_overlapping_intervals_hide() -> None:
    """The levels of the seeds lie far apart, and one side is ahead at each of them."""
    seeds = {0: 0.1, 1: 0.5, 2: 0.9}
    ahead = {0: 0.13, 1: 0.52, 2: 0.93}
    own, better = Candidate(2.0, seeds), Candidate(1.0, ahead)
    assert standing(0, [own, better], level=0.9) == "dominated"
    elsewhere = Candidate(1.0, {seed + 10: score for seed, score in ahead.items()})
    assert standing(0, [own, elsewhere], level=0.9) == "unproven"


@pytest.mark.parametrize(("seeds", "is_sure"), [(2, False), (4, False), (5, True), (9, True)])
def test_a_constant_lead_has_no_interval_and_its_signs_decide(seeds: int, is_sure: bool) -> None:
    """Two sided, 2 / 2^n: 0.125 at four seeds, 0.0625 at five."""
    other = {seed: 0.1 + seed / 7 for seed in range(seeds)}
    one = {seed: score + 0.2 for seed, score in other.items()}
    assert surely_better(Candidate(1.0, one), Candidate(1.0, other), level=LEVEL) is is_sure
    assert not surely_better(Candidate(1.0, other), Candidate(1.0, one), level=LEVEL)


def test_without_scores_there_is_no_mean() -> None:
    assert math.isnan(Candidate(1.0, {}).mean)
    assert standing(0, [Candidate(1.0, {})], level=LEVEL) is None
    with pytest.raises(IndexError):
        standing(0, [], level=LEVEL)
