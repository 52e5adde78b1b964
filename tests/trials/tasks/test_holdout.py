"""A hold-out is whole groups, in proportion, of stated size, and the same everywhere."""

import time
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trials.tasks.holdout import group_rows, hold_out, hold_out_size, quantile_bins


@pytest.mark.parametrize(
    ("num_rows", "size"),
    [
        (10, 2),
        (12, 3),
        (399, 80),
        (400, 200),
        (1999, 200),
        (2000, 200),
        (2001, 201),
        (10**5, 10**4),
    ],
)
def test_size_is_a_tenth_or_200_or_a_fifth_of_little(num_rows: int, size: int) -> None:
    assert hold_out_size(num_rows) == size


def test_rows_that_share_a_value_in_any_column_are_one_group() -> None:
    first = ["a", "b", "c", "a", "d", None, None]
    second = ["p", "q", "q", "r", "s", None, "s"]
    assert group_rows([[first], [second]], 7) == [0, 1, 1, 0, 4, 5, 4]


def test_a_chain_of_shared_values_is_one_group_named_by_its_first_row() -> None:
    assert group_rows([[["d", "c", "b", "a"]], [["c", "b", "a", "z"]]], 4) == [0, 1, 2, 3]
    assert group_rows([[[3, 2, 2, 1]], [[9, 9, 8, 8]]], 4) == [0, 0, 0, 0]


def test_columns_that_share_their_values_link_rows_across_them() -> None:
    first, second = ["d", "c", "b", "p"], ["c", "b", "a", "p"]
    assert group_rows([[first, second]], 4) == [0, 0, 0, 3]
    assert group_rows([[[None, "a"], [None, None]]], 2) == [0, 1]


def test_no_columns_leave_every_row_alone() -> None:
    assert group_rows([], 3) == [0, 1, 2]


def test_quantile_bins_have_equal_sizes_and_ties_share_one() -> None:
    assert quantile_bins([0.4, 0.1, 0.3, 0.2], num_bins=2) == [1, 0, 1, 0]
    assert quantile_bins([5.0] * 7) == [0] * 7
    assert Counter(quantile_bins(range(1000))) == dict.fromkeys(range(10), 100)


@settings(deadline=None)  # machines may be busy
@given(
    num_rows=st.integers(50, 500),
    num_groups=st.integers(2, 300),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 99),
)
def test_a_hold_out_keeps_groups_whole_and_has_the_size_asked_for(
    num_rows: int, num_groups: int, shares: tuple[float, float], seed: int
) -> None:
    rng, key = Random(seed), str(seed)
    groups = group_rows([[[rng.randrange(num_groups) for _ in range(num_rows)]]], num_rows)
    strata = [sum(rng.random() < share for share in shares) for _ in range(num_rows)]
    size = hold_out_size(len(groups))
    out = hold_out(groups, strata, size=size, key=key)
    held = set(out)
    assert list(out) == sorted(held)
    assert not {groups[i] for i in held} & {groups[i] for i in range(len(groups)) if i not in held}
    assert len(out) <= len(groups) // 2
    largest = max(Counter(groups).values())
    assert min(size, len(groups) // 2 - largest) <= len(out) <= size + largest - 1
    assert out == hold_out(groups, strata, size=size, key=key)


@settings(deadline=None)  # machines may be busy
@given(num_rows=st.integers(20, 500), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_single_rows_are_held_out_in_exact_proportion(
    num_rows: int, share: float, seed: int
) -> None:
    rng = Random(seed)
    strata = [(rng.random() < share) + (rng.random() < share) for _ in range(num_rows)]
    size = hold_out_size(len(strata))
    out = hold_out(range(len(strata)), strata, size=size, key="k")
    assert len(out) == min(size, len(strata) // 2)
    counts, whole = Counter(strata[i] for i in out), Counter(strata)
    assert all(abs(counts[s] - size * whole[s] / len(strata)) < 1 for s in whole)


def test_small_groups_keep_the_strata_within_a_few_rows() -> None:
    groups = [i // 3 for i in range(6000)]
    strata = [int(i % 7 < 2) for i in range(6000)]
    out = hold_out(groups, strata, size=600, key="k")
    assert 600 <= len(out) <= 602
    assert abs(sum(strata[i] for i in out) / len(out) - 2 / 7) < 0.005


def test_another_key_draws_other_rows() -> None:
    rows = range(1000)
    assert hold_out(rows, [0] * 1000, size=200, key="a") != hold_out(
        rows, [0] * 1000, size=200, key="b"
    )


def test_the_draw_is_the_same_on_every_machine() -> None:
    """Golden value: changing it changes every study's hold-out and needs a new `NUMERICS`."""
    assert hold_out(range(30), [0, 1] * 15, size=6, key="golden") == (0, 5, 7, 8, 16, 23)


def test_one_group_of_everything_cannot_be_held_out() -> None:
    assert hold_out([0] * 50, [0] * 50, size=10, key="k") == ()


def test_a_giant_group_stays_in_train() -> None:
    groups = [0] * 600 + list(range(600, 1000))
    out = hold_out(groups, [0] * 1000, size=200, key="k")
    assert len(out) == 200
    assert 0 not in out


def test_a_hundred_thousand_rows_take_seconds() -> None:
    columns = [[i * 7919 % 75_011 for i in range(100_000)], [i // 3 for i in range(100_000)]]
    start = time.process_time()
    groups = group_rows([[column] for column in columns], 100_000)
    hold_out(groups, [i % 2 for i in range(100_000)], size=10_000, key="k")
    assert time.process_time() - start < 5
