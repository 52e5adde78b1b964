from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.stats.cells import collect
from ablate.stats.pairing import Sample, align, sample
from ablate.stats.robust import failure_p, rank_test


def lined_up(table: pd.DataFrame) -> Sample:
    found = {key[2]: cell for key, cell in collect(table).items()}
    return sample([align([found["a"]], [found["b"]], task="cola", with_late=True)])


def test_ranks_against_scipy_where_nothing_failed(
    table: Callable[..., pd.DataFrame], rng: np.random.Generator
) -> None:
    a, b = rng.normal(size=6), rng.normal(size=6)
    _, p = rank_test(lined_up(table({"a": a, "b": b})), by=0, count_failed=True, rng=rng)
    ranks = stats.rankdata(np.concatenate([a, b]))
    assert p == pytest.approx(stats.ttest_rel(ranks[:6], ranks[6:]).pvalue)


def test_a_failed_trial_ranks_last(
    table: Callable[..., pd.DataFrame], rng: np.random.Generator
) -> None:
    found = lined_up(table({"a": [0.9, 0.9, None, None], "b": [0.1, 0.2, 0.3, 0.4]}))
    without, _ = rank_test(found, by=0, count_failed=False, rng=rng)
    counted, _ = rank_test(found, by=0, count_failed=True, rng=rng)
    assert without > 0
    assert counted < without
    lower = table({"a": [0.9, None, 0.8], "b": [0.1, 0.2, 0.3]}, direction="lower")
    assert rank_test(lined_up(lower), by=0, count_failed=True, rng=rng)[0] < 0


def test_ranks_that_differ_by_a_constant_are_flipped(
    table: Callable[..., pd.DataFrame], rng: np.random.Generator
) -> None:
    found = lined_up(table({"a": [None] * 6, "b": [0.5] * 6}))
    shift, p = rank_test(found, by=0, count_failed=True, rng=rng)
    assert shift < 0
    assert p == 2 / 64
    assert rank_test(found, by=0, count_failed=False, rng=rng) == (0.0, None)


def test_failure_rates_are_paired(
    table: Callable[..., pd.DataFrame], rng: np.random.Generator
) -> None:
    found = lined_up(table({"a": [None] * 5 + [0.1], "b": [0.5] * 6}))
    assert failure_p(found, rng=rng) == pytest.approx(stats.binomtest(5, 5).pvalue)
    assert failure_p(lined_up(table({"a": [0.1], "b": [0.2]})), rng=rng) is None
