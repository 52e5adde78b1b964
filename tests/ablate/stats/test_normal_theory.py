import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.normal_theory import f_test, pitman_morgan


def test_pitman_morgan_is_a_correlation(rng: np.random.Generator) -> None:
    t, c = rng.normal(0, 2, 12), rng.normal(0, 1, 12)
    assert pitman_morgan(t, c) == pytest.approx(stats.pearsonr(t + c, t - c).pvalue)


def test_the_f_test_by_its_distribution(rng: np.random.Generator) -> None:
    t, c = rng.normal(0, 2, 12), rng.normal(0, 1, 9)
    ratio = t.var(ddof=1) / c.var(ddof=1)
    tail = stats.f.sf(ratio, 11, 8)
    assert f_test(t, c) == pytest.approx(2 * min(tail, 1 - tail))


def test_what_has_no_test() -> None:
    line = np.arange(5.0)
    assert pitman_morgan(line, np.ones(5)) is None
    assert pitman_morgan(line, line + 3) is None
    assert pitman_morgan(line, 3 * line) is None
    assert pitman_morgan(line[:2], line[:2]) is None
    assert f_test(line, np.ones(5)) is None
    assert f_test(line[:1], line) is None
    with pytest.raises(ValueError, match="shapes differ"):
        pitman_morgan(line, line[1:])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.floats(0.1, 10), st.floats(-10, 10))
def test_scale_shift_and_sides_do_not_matter(seed: int, scale: float, shift: float) -> None:
    t, c = np.random.default_rng(seed).normal(size=(2, 8))
    for test in (pitman_morgan, f_test):
        p = test(t, c)
        assert test(c, t) == pytest.approx(p)
        assert test(scale * t + shift, scale * c - shift) == pytest.approx(p)
