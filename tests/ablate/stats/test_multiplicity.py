import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from ablate.stats.multiplicity import benjamini_hochberg, holm

FAMILY = st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=12)


@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@settings(max_examples=15, deadline=None)
@given(family=FAMILY)
def test_against_statsmodels(ours: object, theirs: str, family: list[float | None]) -> None:
    filled = [1.0 if p is None else p for p in family]
    expected = multipletests(filled, method=theirs)[1]
    for mine, other, given_p in zip(ours(family), expected, family, strict=True):
        assert (mine is None) == (given_p is None)
        if mine is not None:
            assert mine == pytest.approx(other)


@settings(max_examples=50, deadline=None)
@given(FAMILY)
def test_holm_keeps_the_order_and_never_lowers_p(family: list[float | None]) -> None:
    pairs = sorted((p, q) for p, q in zip(family, holm(family), strict=True) if p is not None)
    adjusted = [q for _, q in pairs]
    assert adjusted == sorted(adjusted)
    assert all(p <= q <= 1 for p, q in pairs)


def test_what_could_not_be_tested_stays_in_the_family() -> None:
    assert holm([0.01, None, float("nan")]) == (pytest.approx(0.03), None, None)
    assert benjamini_hochberg([0.01, np.nan]) == (pytest.approx(0.02), None)
    assert holm([]) == ()


def test_ties_get_one_value() -> None:
    assert holm([0.02, 0.02, 0.5]) == (pytest.approx(0.06), pytest.approx(0.06), 0.5)


def test_a_p_value_lies_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])
