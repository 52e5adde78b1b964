"""Rehearsals: the light evidence equals the report's, and what a race is expected to take."""

from collections.abc import Mapping

import numpy as np
import pytest
from families import LOOKS, MIXED, Peeking, decided, decided_at_once, differences, questions
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.race import Question, Race
from ablate.rehearsal import evidence, expected_seeds
from ablate.stats.equivalence import tost
from ablate.stats.onesample import mean_gain
from ablate.stats.sequential import look_level

values = st.lists(st.integers(-8, 8).map(lambda k: k / 4), min_size=2, max_size=14)


@settings(max_examples=150, deadline=None)
@given(values=values, by=st.sampled_from([0.0, 0.25]), share=st.floats(0.02, 1.0))
def test_the_evidence_is_that_of_the_whole_analysis(
    values: list[float], by: float, share: float
) -> None:
    d = np.array(values)
    asked = Question("q", "mean", ("a", "b"), by=by)
    found = evidence(asked, d, 0.95, share, rng=np.random.default_rng(0))
    gain = mean_gain(d, level=look_level(0.95, share), rng=np.random.default_rng(0), by=by)
    assert (found.estimate, found.sd) == pytest.approx((gain.estimate, gain.sd))
    if gain.skewed and d.size < 8:
        assert (found.p_value, found.ci_low) == (None, None)
    else:
        assert found.p_value == gain.p_value
        assert (found.ci_low, found.ci_high) == (gain.ci_low, gain.ci_high)


def test_the_evidence_of_equivalence_is_two_one_sided_tests() -> None:
    d = np.random.default_rng(1).normal(0.1, 1, 12)
    asked = Question("q", "equivalence", ("a", "b"), margin=1.5)
    found = evidence(asked, d, 0.95, 0.25, rng=np.random.default_rng(0))
    wanted = tost(d, margin=1.5, level=0.9875, rng=np.random.default_rng(0))
    assert (found.p_value, found.p_beyond) == (wanted.p_value, wanted.p_beyond)
    assert (found.ci_low, found.ci_high) == (wanted.ci_low, wanted.ci_high)


def test_what_is_expected_lies_between_the_first_look_and_the_last() -> None:
    race = Race(questions(3), LOOKS, 0.95)
    nothing, clear = (
        expected_seeds(race, effect, rng=np.random.default_rng(0)) for effect in (0.0, 4.0)
    )
    assert nothing.keys() == {"control", "arm 0", "arm 1", "arm 2"}
    for cell, seeds in nothing.items():
        assert 5 < clear[cell] < seeds < 30
    assert max(nothing, key=nothing.__getitem__) == "control"
    assert nothing == expected_seeds(race, 0.0, rng=np.random.default_rng(0))


def test_what_the_cells_train_for_it_is_counted() -> None:
    race = Race(questions(1), LOOKS, 0.95)

    def trained(wanted: Mapping[str, int]) -> dict[str, int]:
        return {**wanted, "source": max(wanted.values()), "other": 5}

    found = expected_seeds(race, 0.0, rng=np.random.default_rng(0), trained=trained)
    assert found["source"] == found["control"] == found["arm 0"]
    assert found["other"] == 5


# What docs/statistics.md says of the race; families of eight arms beside one control.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "t3", "grid"])
def test_where_nothing_differs_few_families_reject(kind: str) -> None:
    rng = np.random.default_rng(20260101)
    gaps = differences(kind, 2_000, (0.0,) * 8, rng)
    found, trials = decided(Race, gaps, rng)
    assert found.any(axis=1).mean() <= 0.06
    assert 1 - trials.mean() / (9 * LOOKS[-1]) > 0.40


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "t3", "grid"])
def test_peeking_without_paying_fails_the_same_test(kind: str) -> None:
    rng = np.random.default_rng(20260101)
    found, _ = decided(Peeking, differences(kind, 1_000, (0.0,) * 8, rng), rng)
    assert found.any(axis=1).mean() > 0.06


@pytest.mark.slow
def test_mixed_effects_save_a_third_of_the_seeds_and_little_power_is_lost() -> None:
    rng = np.random.default_rng(20260101)
    gaps = differences("normal", 2_000, MIXED, rng)
    found, trials = decided(Race, gaps, rng)
    assert 1 - trials.mean() / (9 * LOOKS[-1]) >= 0.35
    medium = np.array(MIXED) == 0.8
    lost = decided_at_once(gaps)[:, medium].mean() - found[:, medium].mean()
    assert lost <= 0.05
    assert found[:, np.array(MIXED) == 0.0].any(axis=1).mean() <= 0.06
