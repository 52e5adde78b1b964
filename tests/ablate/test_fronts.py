"""Fronts: nothing of a front is beaten by anything of it or of a later one."""

from collections.abc import Sequence

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.fronts import dominates, fronts, ranked

TWO = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((0.9, 10), (0.8, 10), True),
        ((0.9, 9), (0.9, 10), True),
        ((0.9, 10), (0.9, 10), False),
        ((0.9, 11), (0.8, 10), False),
    ],
)
def test_one_beats_another(left: Sequence[float], right: Sequence[float], expected: bool) -> None:
    """More score, fewer parameters."""
    assert dominates(left, right, (True, False)) is expected
    assert not dominates(right, left, (True, False))


@given(TWO)
def test_fronts_hold_everything_once_and_come_in_order(points: list[tuple[int, int]]) -> None:
    scores = dict(enumerate(points))
    found = fronts(scores, (True, False))
    assert sorted(n for front in found for n in front) == sorted(scores)
    for place, front in enumerate(found):
        later = [n for rest in found[place:] for n in rest]
        for one in front:
            assert not any(dominates(scores[n], scores[one], (True, False)) for n in later)
        for one in front if place else ():
            assert any(dominates(scores[n], scores[one], (True, False)) for n in found[place - 1])


@given(TWO.filter(bool))
def test_the_first_front_is_optunas(points: list[tuple[int, int]]) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for point in points:
        study.add_trial(optuna.trial.create_trial(values=[float(x) for x in point]))
    first = fronts(dict(enumerate(points)), (True, False))[0]
    assert sorted(first) == sorted(t.number for t in study.best_trials)


def test_one_objective_ranks_by_it_alone_and_ties_go_to_the_lower_number() -> None:
    assert ranked({0: (1.0,), 1: (3.0,), 2: (3.0,)}, (True,)) == [1, 2, 0]
    assert ranked({0: (1.0,), 1: (3.0,), 2: (3.0,)}, (False,)) == [0, 1, 2]
    assert ranked({}, (True,)) == []


def test_many_rank_by_front_and_then_by_the_first() -> None:
    scores = {0: (0.9, 100.0), 1: (0.8, 10.0), 2: (0.7, 50.0), 3: (0.95, 200.0)}
    assert ranked(scores, (True, False)) == [3, 0, 1, 2]
