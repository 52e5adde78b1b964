"""The race: which seed next, when it stops, and that order and repetition change nothing."""

import random
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from families import LOOKS, Array, questions
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.race import Evidence, Examine, Looked, Question, Race
from ablate.rehearsal import evidence, play
from ablate.stats.multiplicity import holm
from ablate.stats.onesample import t_test
from ablate.stats.sequential import look_weights, sequential_p

NO_EVIDENCE = Evidence(seeds=())
Gaps = Mapping[str, Array]


def family(seed: int, effects: tuple[float, ...]) -> Gaps:
    rng = np.random.default_rng(seed)
    return {f"q{i}": rng.normal(effect, 1, size=LOOKS[-1]) for i, effect in enumerate(effects)}


def race(effects: tuple[float, ...], level: float = 0.95) -> Race:
    return Race(questions(len(effects)), LOOKS, level)


def examiner(race: Race, gaps: Gaps, failed: frozenset[int] = frozenset()) -> Examine:
    """Evidence from the seeds that did not fail."""

    def examine(question: Question, num_seeds: int, share: float) -> Evidence:
        seeds = tuple(s for s in range(num_seeds) if s not in failed)
        if not seeds:
            return NO_EVIDENCE
        d = gaps[question.id][list(seeds)]
        found = evidence(question, d, race.level, share, rng=np.random.default_rng(num_seeds))
        return replace(found, seeds=seeds)

    return examine


def run(
    race: Race, gaps: Gaps, rng: random.Random, failed: frozenset[int] = frozenset()
) -> tuple[Race, list[tuple[str, int]]]:
    """Trials end in any order; the race is asked again after each. Returns what was asked for."""
    known: set[tuple[str, int]] = set()
    running: list[tuple[str, int]] = []
    ended: dict[str, set[int]] = {cell: set() for cell in race.wanted}
    given: list[tuple[str, int]] = []
    while True:
        for trial in race.trials(known):
            known.add(trial)
            given.append(trial)
            running.append(trial)
            if rng.random() < 0.3:
                break
        if not running:
            return race, given
        cell, seed = running.pop(rng.randrange(len(running)))
        ended[cell].add(seed)
        while (after := race.look(ended, examiner(race, gaps, failed))) is not race:
            race = after


effects_of = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=4).map(tuple)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 10**6), effects=effects_of,
       failed=st.frozensets(st.integers(0, 29), max_size=6))  # fmt: skip
def test_the_order_in_which_trials_end_does_not_matter(
    seed: int, order: int, effects: tuple[float, ...], failed: frozenset[int]
) -> None:
    gaps, start = family(seed, effects), race(effects)
    first, asked = run(start, gaps, random.Random(0), failed)
    second, again = run(start, gaps, random.Random(order), failed)
    assert first == second
    assert sorted(asked) == sorted(again)
    assert len(set(asked)) == len(asked), "a seed was asked for twice"
    assert sorted(asked) == sorted((c, s) for c, n in first.wanted.items() for s in range(n))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), effects=effects_of, cut=st.integers(0, 40))
def test_a_race_replayed_from_any_point_decides_the_same(
    seed: int, effects: tuple[float, ...], cut: int
) -> None:
    """From its record, as the journal keeps it: plain JSON."""
    gaps, start = family(seed, effects), race(effects)
    whole = play(start, gaps, rng=np.random.default_rng(0))
    rounds = sorted({test.num_seeds for test in whole.tests})
    kept = rounds[: cut % (len(rounds) + 1)]
    record = [t.to_json() for t in whole.tests if t.num_seeds in kept]
    resumed = replace(start, tests=tuple(Looked.from_json(value) for value in record))
    end = play(resumed, gaps, rng=np.random.default_rng(0))
    assert [(t.question, t.num_seeds, t.decision) for t in end.tests] == [
        (t.question, t.num_seeds, t.decision) for t in whole.tests
    ]
    assert end.wanted == whole.wanted


def test_the_numbers_are_those_of_the_formulas() -> None:
    """p over its share, smallest so far, Holm over the family; by hand."""
    effects = (0.0, 0.4, 0.7)
    gaps = family(11, effects)
    end = play(race(effects), gaps, rng=np.random.default_rng(0))
    weights = look_weights(LOOKS)
    for number, n in enumerate(LOOKS, 1):
        made = [test for test in end.tests if test.num_seeds == n]
        spent = {}
        for name, d in gaps.items():
            seen = len([t for t in end.history[name] if t.num_seeds <= n])
            p = [t_test(d[:k], level=0.95)[2] for k in LOOKS[: min(number, seen)]]
            spent[name] = sequential_p(p, weights)
        adjusted = dict(zip(spent, holm(list(spent.values())), strict=True))
        for test in made:
            assert test.p_sequential == pytest.approx(spent[test.question])
            assert test.p_adjusted == pytest.approx(adjusted[test.question])
            assert (test.decision == "decided") == (test.p_adjusted <= 0.05)
    assert {t.num_seeds for t in end.tests} >= {5, 8}


def test_what_differs_much_stops_early_and_what_does_not_goes_on() -> None:
    effects = (4.0, 0.55)
    end = play(race(effects), family(3, effects), rng=np.random.default_rng(0))
    assert end.decision("q0") == "decided"
    assert end.wanted["arm 0"] < end.wanted["arm 1"] == end.wanted["control"]
    # The clear one had stopped at an early look, while the other went on beside the same control.
    assert len(end.history["q0"]) < len(end.history["q1"])


def test_nothing_at_all_is_futile_at_the_first_look() -> None:
    gaps = {"q0": np.zeros(30)}
    end = play(race((0.0,)), gaps, rng=np.random.default_rng(0))
    (test,) = end.tests
    assert (test.decision, test.p_value, test.num_seeds) == ("futile", 1.0, 5)


def test_a_constant_gain_is_found_by_signs_alone() -> None:
    """No t test; 2 / 2^12 over the share of the third look is enough, 2 / 2^8 is not."""
    end = play(race((0.0,)), {"q0": np.full(30, 0.5)}, rng=np.random.default_rng(0))
    assert end.decision("q0") == "decided"
    assert end.wanted["arm 0"] == 12


def test_spread_waits_for_the_last_look() -> None:
    asked = (Question("spread", "variance", ("a", "b")), Question("mean", "mean", ("a", "c")))
    start = Race(asked, LOOKS, 0.95)
    gaps = {"spread": np.linspace(-1, 1, 30), "mean": np.full(30, 3.0)}
    end = play(start, gaps, rng=np.random.default_rng(0))
    assert end.wanted == {"a": 30, "b": 30, "c": 12}
    assert [t.p_value for t in end.history["spread"]] == [None] * 5
    assert start.weights(asked[0]) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("centre", "decision", "most"),
    [(0.0, "decided", 29), (1.6, "decided", 18), (0.5, "undecided", 30)],
)
def test_equivalence_stops_within_and_beyond_the_margin(
    centre: float, decision: str, most: int
) -> None:
    """Within the margin it is supported, beyond it contradicted; both decide it."""
    draws = np.random.default_rng(5).normal(size=30)
    d = centre + 0.5 * (draws - draws.mean())
    asked = Question("same", "equivalence", ("a", "b"), margin=0.5)
    end = play(Race((asked,), LOOKS, 0.95), {"same": d}, rng=np.random.default_rng(0))
    last = end.tests[-1]
    assert end.decision("same") in (decision, "futile" if decision == "undecided" else decision)
    assert last.num_seeds <= most
    if centre == 0:
        assert last.p_adjusted <= 0.05
    if centre > 1:
        assert last.p_adjusted > 0.05
        assert last.p_beyond < 0.05


def test_skewed_differences_are_not_tested_at_five_seeds() -> None:
    d = np.array([1.0, 1.01, 1.02, 1.01, 9.0, *np.linspace(1.0, 1.3, 25)])
    end = play(race((0.0,)), {"q0": d}, rng=np.random.default_rng(0))
    first, second = end.tests[:2]
    assert (first.p_value, first.decision, first.num_seeds) == (None, "open", 5)
    assert second.p_value is not None
    # At eight seeds both tests must speak: the sign-flip test cannot go below 2 / 2^8.
    assert second.p_value >= 2 / 2**8


def test_a_look_uses_the_seeds_it_has() -> None:
    effects = (0.6,)
    gaps = family(2, effects)
    end, _ = run(race(effects), gaps, random.Random(0), failed=frozenset({1, 6}))
    assert end.tests[0].seeds == (0, 2, 3, 4)
    assert end.tests[1].seeds == (0, 2, 3, 4, 5, 7)


def test_a_question_without_seeds_waits_and_holds_nobody_up() -> None:
    start = race((0.0, 0.0))
    gaps = family(4, (3.0, 3.0))
    every = frozenset(range(30))

    def examine(question: Question, num_seeds: int, share: float) -> Evidence:
        if question.id == "q0":
            return NO_EVIDENCE
        return examiner(start, gaps)(question, num_seeds, share)

    after = start
    while (more := after.look(dict.fromkeys(after.wanted, every), examine)) is not after:
        after = more
    assert after.decision("q1") == "decided"
    assert (after.decision("q0"), after.wanted["arm 0"], len(after.history["q0"])) == ("open", 5, 0)
    # Its trials were retried: now it has its first look.
    again = after.look(dict.fromkeys(after.wanted, every), examiner(start, gaps))
    assert [t.num_seeds for t in again.history["q0"]] == [5]


def test_a_waiting_question_counts_in_the_family_and_asks_for_nothing() -> None:
    effects = (3.0, 3.0)
    gaps = family(4, effects)
    waiting = replace(race(effects), waiting=frozenset({"q0"}))
    end = play(waiting, gaps, rng=np.random.default_rng(0))
    assert end.wanted["arm 0"] == 0
    assert {t.question for t in end.tests} == {"q1"}
    assert end.tests[0].p_adjusted == pytest.approx(min(1, 2 * end.tests[0].p_sequential))
