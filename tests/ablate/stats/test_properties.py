"""What holds for any scores: shift, scale, order, sides, ties, unequal numbers of seeds."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ablate.stats.aggregate import iqm
from ablate.stats.components import crossed
from ablate.stats.effect import cliff_delta, hedges_gav, hedges_gz
from ablate.stats.equivalence import tost
from ablate.stats.interaction import interaction
from ablate.stats.level import level_of
from ablate.stats.multiplicity import benjamini_hochberg, holm
from ablate.stats.paired import compare_paired
from ablate.stats.tasks import heterogeneity
from ablate.stats.unpaired import compare_unpaired
from ablate.stats.variance import compare_spread, compare_spread_unpaired

# Whole numbers, so that there are ties and that shifting loses nothing.
SCORES = st.lists(st.integers(-30, 30), min_size=4, max_size=9)
PAIRS = st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)), min_size=4, max_size=9)
SHIFT = st.integers(-100, 100)
SCALE = st.sampled_from([0.25, 0.5, 2.0, 8.0])
SEED = st.integers(0, 999)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def arrays(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array(pairs, dtype=float)
    return both[:, 0], both[:, 1]


@settings(max_examples=40, deadline=None)
@given(PAIRS, SHIFT, SCALE)
def test_paired_shift_and_scale(pairs: list[tuple[int, int]], shift: int, scale: float) -> None:
    t, c = arrays(pairs)
    one = compare_paired(t, c, level=0.95, rng=rng())
    other = compare_paired(shift + scale * t, shift + scale * c, level=0.95, rng=rng())
    assert other.gain.estimate == pytest.approx(scale * one.gain.estimate)
    assert other.gain.p_value == pytest.approx(one.gain.p_value)
    assert other.gain.p_wilcoxon == pytest.approx(one.gain.p_wilcoxon)
    assert (other.gain.status, other.cliff_delta) == (one.gain.status, one.cliff_delta)
    assert (other.hedges_gav is None) == (one.hedges_gav is None)
    if one.hedges_gav is not None:
        assert other.hedges_gav == pytest.approx(one.hedges_gav)


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_paired_order_and_sides(pairs: list[tuple[int, int]], random: object) -> None:
    t, c = arrays(pairs)
    moved = arrays(random.sample(pairs, len(pairs)))
    one = compare_paired(t, c, level=0.95, rng=rng())
    other = compare_paired(moved[1], moved[0], level=0.95, rng=rng())
    assert other.gain.estimate == pytest.approx(-one.gain.estimate)
    assert other.gain.p_value == pytest.approx(one.gain.p_value)
    assert other.cliff_delta == pytest.approx(-one.cliff_delta)
    assert (other.collapsed_treatment, other.collapsed_control) == (
        one.collapsed_control, one.collapsed_treatment,
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES, SHIFT, SCALE)
def test_unpaired_of_unequal_numbers(
    one_side: list[int], other_side: list[int], shift: int, scale: float
) -> None:
    t, c = np.array(one_side, float), np.array(other_side, float)
    one = compare_unpaired(t, c, level=0.95, rng=rng())
    other = compare_unpaired(shift + scale * c[::-1], shift + scale * t, level=0.95, rng=rng())
    assert other.estimate == pytest.approx(-scale * one.estimate)
    assert other.p_permutation == pytest.approx(one.p_permutation)
    assert (other.p_value is None) == (one.p_value is None)
    if one.p_value is not None:
        assert other.p_value == pytest.approx(one.p_value)
        assert other.ci_low == pytest.approx(-scale * one.ci_high)
    assert cliff_delta(c, t) == pytest.approx(-cliff_delta(t, c))


@settings(max_examples=25, deadline=None)
@given(PAIRS, SHIFT, SHIFT, SCALE)
def test_spread_ignores_the_means(
    pairs: list[tuple[int, int]], shift: int, other_shift: int, scale: float
) -> None:
    t, c = arrays(pairs)
    for compare in (compare_spread, compare_spread_unpaired):
        one = compare(t, c, level=0.95, rng=rng())
        other = compare(scale * t + shift, scale * c + other_shift, level=0.95, rng=rng())
        assert other.estimate == pytest.approx(scale * one.estimate, abs=1e-9)
        assert other.status == one.status
        assert (other.p_value is None) == (one.p_value is None)
        if one.p_value is not None:
            assert other.p_value == pytest.approx(one.p_value)


@settings(max_examples=40, deadline=None)
@given(SCORES, st.integers(1, 60), SCALE)
def test_equivalence_sides_scale_and_margin(values: list[int], margin: int, scale: float) -> None:
    d = np.array(values, float)
    one = tost(d, margin=margin, level=0.95, rng=rng())
    other = tost(-scale * d, margin=scale * margin, level=0.95, rng=rng())
    assert other.p_value == pytest.approx(one.p_value)
    wider = tost(d, margin=margin + 5, level=0.95, rng=rng())
    assert wider.p_value <= one.p_value + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=12), st.randoms())
def test_adjusted_p_values(values: list[float | None], random: object) -> None:
    order = random.sample(range(len(values)), len(values))
    for adjust in (holm, benjamini_hochberg):
        seen = adjust(values)
        assert [seen[i] for i in order] == list(adjust([values[i] for i in order]))
        pairs = sorted((p, q) for p, q in zip(values, seen, strict=True) if p is not None)
        assert all(p <= q + 1e-12 and q <= 1 for p, q in pairs)
        assert [q for _, q in pairs] == sorted(q for _, q in pairs)
    strict, loose = holm(values), benjamini_hochberg(values)
    assert all(a is None or a >= b - 1e-12 for a, b in zip(strict, loose, strict=True))


@settings(max_examples=25, deadline=None)
@given(SEED, SHIFT, SCALE)
def test_components_shift_scale_and_order(seed: int, shift: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    y = generator.normal(size=(5, 7))
    one = crossed(y, task="t", backbone="b")
    moved = shift + scale * y[generator.permutation(5)][:, generator.permutation(7)]
    for a, b in zip(one, crossed(moved, task="t", backbone="b"), strict=True):
        assert b.variance == pytest.approx(scale**2 * a.variance, rel=1e-6)
        assert (b.ci_low, b.ci_high) == pytest.approx(
            (scale * a.ci_low, scale * a.ci_high), abs=1e-6
        )
        assert a.ci_low <= a.sd <= a.ci_high


@settings(max_examples=25, deadline=None)
@given(SEED)
def test_over_tasks_order_does_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    gaps = generator.normal(size=(4, 6))
    one = heterogeneity(gaps, level=0.95)
    other = heterogeneity(gaps[::-1, ::-1], level=0.95)
    assert (other.q, other.p_random) == pytest.approx((one.q, one.p_random))
    assert (other.left_out_low, other.left_out_high) == pytest.approx(
        (one.left_out_low, one.left_out_high)
    )
    assert one.left_out_low <= gaps.mean() <= one.left_out_high


@settings(max_examples=15, deadline=None)
@given(SEED, SHIFT, SCALE)
def test_interquartile_means_shift_and_scale(seed: int, shift: int, scale: float) -> None:
    scores = np.random.default_rng(seed).normal(size=(2, 3, 5))
    for a, b in zip(iqm(scores, level=0.95, rng=rng()),
                    iqm(shift + scale * scores, level=0.95, rng=rng()), strict=True):  # fmt: skip
        assert b.estimate == pytest.approx(shift + scale * a.estimate)
        assert (b.low, b.high) == pytest.approx((shift + scale * a.low, shift + scale * a.high))
        assert a.low <= a.estimate <= a.high


@settings(max_examples=15, deadline=None)
@given(SEED, SCALE)
def test_interactions_do_not_know_units_or_names(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    a, b, s = (axis.ravel() for axis in np.indices((3, 2, 4)))
    kept = generator.random(a.size) > 0.1
    a, b, s = a[kept], b[kept], s[kept]
    y = generator.normal(size=a.size)
    one = interaction(y, list(a), list(b), list(s))
    assume(one.f is not None)
    other = interaction(5 + scale * y, [f"rank {x}" for x in 7 - a], list(b), list(s))
    swapped = interaction(y[::-1], list(b)[::-1], list(a)[::-1], list(s)[::-1])
    assert other.f == pytest.approx(one.f)
    assert (swapped.f, swapped.first.f) == pytest.approx((one.f, one.second.f))


@settings(max_examples=40, deadline=None)
@given(SCORES, SHIFT, SCALE)
def test_levels_and_effect_sizes(values: list[int], shift: int, scale: float) -> None:
    x = np.array(values, float)
    one = level_of(x, level=0.95)
    other = level_of(shift + scale * x[::-1], level=0.95)
    assert (other.mean, other.sd) == pytest.approx((shift + scale * one.mean, scale * one.sd))
    assert (other.status, other.n) == (one.status, one.n)
    if hedges_gz(x) is not None:
        assert hedges_gz(-scale * x) == pytest.approx(-hedges_gz(x))
        assert hedges_gav(scale * x, 0 * x) == pytest.approx(hedges_gav(x, 0 * x))
