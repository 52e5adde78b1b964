import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from ablate.stats.reml import reml

FORMULAS = {"t": "0 + C(t)", "at": "0 + C(at)", "s": "0 + C(s)"}


def unbalanced(seed: int) -> pd.DataFrame:
    """Four arms on six tasks at eight seeds; about a seventh of the runs are missing."""
    rng = np.random.default_rng(seed)
    a, t, s = (axis.ravel() for axis in np.indices((4, 6, 8)))
    y = (
        a
        + 2 * rng.normal(size=6)[t]
        + 0.7 * rng.normal(size=(4, 6))[a, t]
        + 0.9 * rng.normal(size=8)[s]
        + 0.5 * rng.normal(size=a.size)
    )
    data = pd.DataFrame({"a": a, "t": t, "at": 10 * a + t, "s": s, "y": y, "all": 1})
    return data[rng.random(a.size) > 0.15]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_against_statsmodels(seed: int) -> None:
    data = unbalanced(seed)
    groups = [list(data[name]) for name in FORMULAS]
    seen = reml(data["y"].to_numpy(), groups, fixed=list(data["a"]), level=0.95)
    model = MixedLM.from_formula(
        "y ~ C(a)", data, groups="all", vc_formula=FORMULAS, re_formula="0"
    )
    oracle = model.fit(reml=True, method=["bfgs", "lbfgs"])
    names = list(model.exog_vc.names)
    for name, one in zip(FORMULAS, seen, strict=False):
        assert one.variance == pytest.approx(oracle.vcomp[names.index(name)], rel=1e-3)
    assert seen[-1].variance == pytest.approx(oracle.scale, rel=1e-3)


def test_without_groupings_the_interval_is_that_of_a_variance(rng: np.random.Generator) -> None:
    """With one source the restricted deviance is that of a normal sample's variance."""
    x = rng.normal(size=200)
    group = list(np.arange(200) // 10)
    residual = reml(x, [group], level=0.95)[-1]
    ends = 199 * x.var(ddof=1) / stats.chi2.ppf([0.975, 0.025], 199)
    assert (residual.low, residual.high) == pytest.approx(tuple(ends), rel=0.05)


def test_what_cannot_be_estimated() -> None:
    assert reml(np.ones(6), [[0, 0, 1, 1, 2, 2]], level=0.95) is None
    assert reml(np.array([1.0, 2.0]), [[0, 1]], level=0.95) is None
    assert reml(np.arange(3.0), [[0, 1, 2]], fixed=[0, 1, 2], level=0.95) is None
    exact = np.array([1.0, 1.0, 4.0, 4.0, 9.0, 9.0])
    assert reml(exact, [[0, 0, 1, 1, 2, 2]], level=0.95) is None
    with pytest.raises(ValueError, match="must have 3 levels"):
        reml(np.arange(3.0), [[0, 1]], level=0.95)


@settings(max_examples=10, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(0.01, 1e3), st.randoms(use_true_random=False))
def test_shift_scale_and_order(shift: float, scale: float, random: object) -> None:
    data = unbalanced(3)
    names = ["t", "s"]
    one = reml(data["y"].to_numpy(), [list(data[n]) for n in names], level=0.95)
    order = random.sample(range(len(data)), len(data))
    moved = data.iloc[order]
    other = reml(shift + scale * moved["y"].to_numpy(), [list(moved[n]) for n in names], level=0.95)
    for a, b in zip(one, other, strict=True):
        assert b.variance == pytest.approx(scale**2 * a.variance, rel=1e-3)
        assert b.high == pytest.approx(scale**2 * a.high, rel=0.01)
