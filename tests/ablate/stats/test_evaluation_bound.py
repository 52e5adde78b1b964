"""What examples alone allow: published values, statsmodels, and the calibration of the bound."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from ablate.frame import check
from ablate.stats.comparison import against_baselines
from ablate.stats.evaluation_bound import difference, scale_of, share
from ablate.stats.findings import analyse


def test_newcombes_own_examples() -> None:
    """Newcombe 1998, table II, method 10: 56/70 - 48/80."""
    for a, b, expected in (((56, 70), (48, 80), (0.0524, 0.3339)),):
        low, high = expected
        # Equal numbers of examples are ours; the paper's differ, so the parts are put together.
        p, q = a[0] / a[1], b[0] / b[1]
        one, other = share(p, a[1], 1.0, level=0.95), share(q, b[1], 1.0, level=0.95)
        assert one is not None
        assert other is not None
        assert p - q - np.hypot(p - one.low, other.high - q) == pytest.approx(low, abs=5e-5)
        assert p - q + np.hypot(one.high - p, q - other.low) == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(("k", "m", "n"), [(631, 492, 1319), (0, 3, 277), (50, 50, 50), (9, 3, 10)])
def test_statsmodels_agrees(k: int, m: int, n: int) -> None:
    for level in (0.9, 0.95):
        one = share(k / n, n, 1.0, level=level)
        gap = difference(k / n, m / n, n, 1.0, level=level)
        assert one is not None
        assert gap is not None
        theirs = proportion_confint(k, n, alpha=1 - level, method="wilson")
        assert (one.low, one.high) == pytest.approx(theirs, abs=1e-12)
        found = confint_proportions_2indep(k, n, m, n, method="newcomb", alpha=1 - level)
        assert (gap.low, gap.high) == pytest.approx(found, abs=1e-9)


@given(
    k=st.integers(0, 200), m=st.integers(0, 200), n=st.integers(200, 500),
    level=st.sampled_from([0.8, 0.95, 0.99]),
)  # fmt: skip
def test_swapping_the_arms_turns_the_interval_over_and_percent_scale_it(
    k: int, m: int, n: int, level: float
) -> None:
    one, back = (difference(a / n, b / n, n, 1.0, level=level) for a, b in ((k, m), (m, k)))
    percent = difference(100 * k / n, 100 * m / n, n, 100.0, level=level)
    assert one is not None
    assert back is not None
    assert percent is not None
    assert one.low <= (k - m) / n <= one.high
    assert (back.low, back.high) == pytest.approx((-one.high, -one.low), abs=1e-12)
    assert (percent.low, percent.high) == pytest.approx((100 * one.low, 100 * one.high), abs=1e-9)


def test_the_mean_of_seeds_varies_less_than_the_bound() -> None:
    """Seeds that err on the same examples, in part: the interval covers at least its level."""
    rng = np.random.default_rng(8)
    ability = rng.beta(2, 1, size=100_000)
    covered = 0
    for _ in range(400):
        chosen = rng.choice(ability, size=200)
        score = float((rng.random((5, 200)) < chosen).mean())
        found = share(score, 200, 1.0, level=0.9)
        assert found is not None
        covered += found.low <= 2 / 3 <= found.high
    assert covered / 400 >= 0.9


@pytest.mark.parametrize(("direction", "scores"), [("higher", (0.8, 0.9)), ("lower", (0.2, 0.1))])
def test_a_finding_is_turned_as_its_estimate_is(
    direction: str, scores: tuple[float, float]
) -> None:
    about = {"seed": 0, "direction": direction, "num_examples": 100, "grid_step": 0.01}
    rows = [{"method": m, "score": s, **about} for m, s in zip(("a", "b"), scores, strict=True)]
    table = check(pd.DataFrame(rows))
    made = analyse(
        table, comparisons=against_baselines(table, [{"method": "a"}], kinds=["mean"]), claims=(),
        rng=np.random.default_rng(0),
    )  # fmt: skip
    (finding,) = made.findings
    assert finding.estimate == pytest.approx(0.1)
    expected = difference(0.9, 0.8, 100, 1.0, level=0.95)
    assert expected is not None
    noise = finding.details["example_noise"]
    assert (noise["low"], noise["high"]) == pytest.approx((expected.low, expected.high), abs=0.004)
    assert noise["low"] < 0.1 < noise["high"]


def test_what_is_no_share_has_no_bound() -> None:
    assert scale_of(1 / 277, 277) == 1.0
    assert scale_of(100 / 277, 277) == 100.0
    assert scale_of(0.00361, 277) == 1.0, "typed by hand"
    for step, number in ((None, 277), (1 / 277, None), (0.5, 277), (1 / 277, 0)):
        assert scale_of(step, number) is None
    assert share(None, 277, 1.0, level=0.95) is None
    assert share(-0.2, 277, 1.0, level=0.95) is None
    assert share(0.5, 277, None, level=0.95) is None
    assert difference(1.2, 0.5, 277, 1.0, level=0.95) is None
