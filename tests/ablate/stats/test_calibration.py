"""Whether the tests keep their level and the intervals hold what they should, by simulation.

The figures of docs/statistics.md are these functions' values; `python` this file to print them.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from ablate.stats.aggregate import iqm
from ablate.stats.bootstrap import Resamples, bca
from ablate.stats.components import arms_and_seeds, over_tasks
from ablate.stats.equivalence import tost
from ablate.stats.multiplicity import holm
from ablate.stats.onesample import mean_gain, t_test
from ablate.stats.pairing import Aligned, Side, sample
from ablate.stats.robust import rank_test
from ablate.stats.signflip import sign_flip
from ablate.stats.tasks import clustered
from ablate.stats.variance import compare_spread, squared_gaps

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
SHAPES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "t with 3 degrees of freedom": lambda rng, size: rng.standard_t(3, size=size),
    "exponential": lambda rng, size: rng.exponential(size=size),
    "bimodal": lambda rng, size: rng.normal(size=size) + 4 * (rng.random(size) < 0.5),
}


def family_wise_error(sweeps: int = 2_000, cells: int = 24, seeds: int = 10) -> dict[str, float]:
    """Sweeps of null cells in which anything is rejected: with Holm's method and without."""
    rng = np.random.default_rng(1)
    found = {"adjusted": 0, "unadjusted": 0}
    for _ in range(sweeps):
        p = [mean_gain(d, level=0.95, rng=rng).p_value for d in rng.normal(size=(cells, seeds))]
        found["adjusted"] += min(q for q in holm(p) if q is not None) <= 0.05
        found["unadjusted"] += min(q for q in p if q is not None) <= 0.05
    return {name: count / sweeps for name, count in found.items()}


def coverage_of_means(seeds: int, draws: int = 5_000) -> float:
    """The t interval of normal seeds."""
    rng = np.random.default_rng(2)
    ends = [t_test(x, level=0.95)[:2] for x in rng.normal(size=(draws, seeds))]
    return float(np.mean([low <= 0 <= high for low, high in ends]))


def coverage_of_bca(shape: str, seeds: int = 20, draws: int = 1_500) -> float:
    """The BCa interval of a mean."""
    rng = np.random.default_rng(3)
    centre = SHAPES[shape](rng, (1_000_000,)).mean()
    counts = Resamples(lambda n: rng)(seeds)
    made = [bca(SHAPES[shape](rng, (seeds,)), level=0.95, rng=rng, counts=counts)
            for _ in range(draws)]  # fmt: skip
    return float(np.mean([one.low <= centre <= one.high for one in made]))


def coverage_of_spread(seeds: int, draws: int = 1_500) -> dict[str, float]:
    """The bootstrap intervals of the sd difference and log ratio, for sds of 1.5 and 1."""
    rng = np.random.default_rng(4)
    counts = Resamples(lambda n: rng)(seeds)
    held = np.zeros(2)
    for t, c in rng.normal(size=(draws, 2, seeds)):
        made = compare_spread(1.5 * t, c, level=0.95, rng=rng, counts=counts)
        held += [made.ci_low <= 0.5 <= made.ci_high, made.log_low <= np.log(1.5) <= made.log_high]
    return {"sd difference": float(held[0]) / draws, "log ratio": float(held[1]) / draws}


def coverage_of_iqm(seeds: int = 10, draws: int = 3_000) -> float:
    """The interquartile mean over six tasks whose seeds are partly shared."""
    rng = np.random.default_rng(11)
    shared = rng.normal(size=(draws, 1, seeds))
    made = iqm(shared + rng.normal(size=(draws, 6, seeds)), level=0.95, rng=rng)
    return float(np.mean([one.low <= 0 <= one.high for one in made]))


def tost_at_the_margin(seeds: int, draws: int = 4_000) -> float:
    """How often equivalence is found for a difference of exactly the margin."""
    rng = np.random.default_rng(5)
    made = (tost(d, margin=1.0, level=0.95, rng=rng) for d in rng.normal(1, 1, (draws, seeds)))
    return float(np.mean([one.p_value <= 0.05 for one in made]))


def swap_median_error(shape: str, seeds: int, draws: int = 4_000) -> float:
    """How often equal spreads are told apart; the arms share half of their variance."""
    rng = np.random.default_rng(6)
    own = SHAPES[shape](rng, (draws, 2, seeds))
    shared = SHAPES[shape](rng, (draws, 1, seeds))
    p = [sign_flip(squared_gaps(t, c), rng=rng) for t, c in own + shared]
    return float(np.mean(np.array(p) <= 0.05))


def errors_over_tasks(draws: int = 5_000, tasks: int = 8, seeds: int = 10) -> dict[str, float]:
    """Null gains whose seeds are lucky on all tasks at once: tested by seed and by task."""
    rng = np.random.default_rng(7)
    found = {"by seed": 0, "by task": 0}
    for _ in range(draws):
        shared = np.sqrt(0.2) * rng.normal(size=(1, seeds))
        gaps = shared + rng.normal(size=(tasks, seeds))
        found["by seed"] += t_test(clustered(gaps), level=0.95)[2] <= 0.05
        found["by task"] += t_test(gaps.mean(axis=1), level=0.95)[2] <= 0.05
    return {name: count / draws for name, count in found.items()}


def coverage_of_balanced_components(draws: int = 2_000) -> dict[str, float]:
    """Eight arms at ten seeds: variances 0.5, 0.3 and 1."""
    rng = np.random.default_rng(8)
    planted = {"arm": 0.5, "seed": 0.3, "residual": 1.0}
    held = dict.fromkeys(planted, 0)
    for _ in range(draws):
        y = 0.5**0.5 * rng.normal(size=(8, 1)) + 0.3**0.5 * rng.normal(size=(1, 10))
        for one in arms_and_seeds(y + rng.normal(size=(8, 10)), task="t", backbone="b"):
            held[one.source] += one.ci_low <= planted[one.source] ** 0.5 <= one.ci_high
    return {name: count / draws for name, count in held.items()}


def coverage_of_unbalanced_components(draws: int = 250) -> dict[str, float]:
    """Four arms on six tasks at eight seeds, a tenth of the runs missing."""
    rng = np.random.default_rng(9)
    planted = {"task": 2.0, "arm_by_task": 0.4, "seed": 0.3, "residual": 1.0}
    held = dict.fromkeys(planted, 0)
    for _ in range(draws):
        y = (
            2.0**0.5 * rng.normal(size=(1, 6, 1))
            + 0.4**0.5 * rng.normal(size=(4, 6, 1))
            + 0.3**0.5 * rng.normal(size=(1, 1, 8))
            + rng.normal(size=(4, 6, 8))
        )
        y[rng.random(y.shape) < 0.1] = np.nan
        for one in over_tasks(y, backbone="b"):
            high = np.inf if one.ci_high is None else one.ci_high
            held[one.source] += one.ci_low <= planted[one.source] ** 0.5 <= high
    return {name: count / draws for name, count in held.items()}


def errors_where_the_worst_fail(draws: int = 4_000, seeds: int = 20) -> dict[str, float]:
    """Equal arms, one of which loses the worst fifth of its seeds: rejections of either test."""
    rng = np.random.default_rng(10)
    found = {"finished runs": 0, "failed as worst rank": 0}
    for t, c in rng.normal(size=(draws, 2, seeds)):
        cut = np.sort(t)[seeds // 5]
        dead = frozenset(int(s) for s in np.flatnonzero(t < cut))
        kept = [s for s in range(seeds) if s not in dead]
        found["finished runs"] += t_test((t - c)[kept], level=0.95)[2] <= 0.05
        sides = [
            Side(scores={s: float(x[s]) for s in range(seeds) if s not in lost}, failed=lost,
                 not_a_number=False, late=False, devices=frozenset())
            for x, lost in ((t, dead), (c, frozenset[int]()))
        ]  # fmt: skip
        part = Aligned(task="t", treatment=sides[0], control=sides[1], seeds=tuple(kept),
                       dropped=tuple(sorted(dead)), step=None, unit=None)  # fmt: skip
        p = rank_test(sample([part]), by=0.0, count_failed=True, rng=rng)[1]
        found["failed as worst rank"] += p is not None and p <= 0.05
    return {name: count / draws for name, count in found.items()}


@pytest.mark.slow
def test_null_sweeps_seldom_show_anything() -> None:
    found = family_wise_error()
    assert found["adjusted"] <= 0.06
    assert found["unadjusted"] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
def test_intervals_of_means_hold_them(seeds: int) -> None:
    assert 0.93 <= coverage_of_means(seeds) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [10, 20])
def test_intervals_of_spread_hold_it(seeds: int) -> None:
    for share in coverage_of_spread(seeds).values():
        assert 0.92 <= share <= 0.97


@pytest.mark.slow
def test_intervals_of_interquartile_means_hold_them() -> None:
    assert 0.92 <= coverage_of_iqm() <= 0.98


@pytest.mark.slow
def test_bca_falls_short_where_the_document_says() -> None:
    assert coverage_of_bca("normal") >= 0.90
    assert coverage_of_bca("exponential") >= 0.87


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10, 20])
def test_a_difference_of_the_margin_is_seldom_called_equivalent(seeds: int) -> None:
    assert tost_at_the_margin(seeds) <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [10, 20])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_equal_spreads_are_seldom_told_apart(shape: str, seeds: int) -> None:
    assert swap_median_error(shape, seeds) <= 0.08


@pytest.mark.slow
def test_seeds_shared_by_tasks_are_clustered() -> None:
    found = errors_over_tasks()
    assert found["by seed"] <= 0.06
    assert found["by task"] > 0.15


@pytest.mark.slow
def test_intervals_of_components_hold_what_was_planted() -> None:
    assert min(coverage_of_balanced_components().values()) >= 0.90


@pytest.mark.slow
def test_intervals_of_unbalanced_components_hold_what_was_planted() -> None:
    assert min(coverage_of_unbalanced_components().values()) >= 0.90


@pytest.mark.slow
def test_failures_of_the_worst_seeds_mislead_those_who_leave_them_out() -> None:
    assert errors_where_the_worst_fail()["finished runs"] > 0.08


def main() -> None:
    """Print every figure, with the seconds that it took."""
    asked: list[tuple[str, Callable[[], object]]] = [
        ("family-wise error, 24 cells, 10 seeds", family_wise_error),
        *((f"t interval, {n} seeds", lambda n=n: coverage_of_means(n)) for n in (3, 5, 10, 20)),
        *((f"BCa, 20 {s} seeds", lambda s=s: coverage_of_bca(s)) for s in SHAPES),
        *((f"spread, {n} seeds", lambda n=n: coverage_of_spread(n)) for n in (10, 20)),
        ("interquartile mean, 6 tasks, 10 seeds", coverage_of_iqm),
        *((f"TOST at the margin, {n} seeds", lambda n=n: tost_at_the_margin(n))
          for n in (5, 10, 20)),
        *((f"swap-median, {n} {s} seeds", lambda n=n, s=s: swap_median_error(s, n))
          for s in SHAPES for n in (10, 20)),
        ("over tasks", errors_over_tasks),
        ("components, balanced", coverage_of_balanced_components),
        ("components, unbalanced", coverage_of_unbalanced_components),
        ("the worst fifth fails", errors_where_the_worst_fail),
    ]  # fmt: skip
    for name, figure in asked:
        start = time.perf_counter()
        sys.stdout.write(f"{name}: {figure()} ({time.perf_counter() - start:.0f} s)\n")


if __name__ == "__main__":
    main()
