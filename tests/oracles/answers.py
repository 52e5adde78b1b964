"""Print `tests/oracles/answers.json`: what the statistics must give, found in other ways.

Nothing of `ablate` is imported. Sources: scipy and statsmodels, brute force over all outcomes, and
worked examples of the literature, each named beside its values. Run from the root of the checkout:

    python tests/oracles/answers.py > tests/oracles/answers.json
"""

import itertools
import json
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy import stats
from scipy.optimize import brentq
from scipy.special import gammaln
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

RNG = np.random.default_rng(20260101)
# Student 1908, table of Cushny and Peebles: hours of sleep gained by two drugs, ten patients.
SLEEP = (
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
)
# Fisher 1935, section 21: Darwin's plants, crossed less self-fertilised, in eighths of an inch.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def correction(df: float) -> float:
    return float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def flip_p(d: np.ndarray, *, greater: bool = False) -> float:
    """Over all sign patterns, one after another, in exact integers of a millionth."""
    whole = np.round(np.abs(d) * 1e6).astype(np.int64)
    seen = int(np.round(d * 1e6).astype(np.int64).sum())
    hits = total = 0
    for signs in itertools.product((-1, 1), repeat=len(d)):
        value = int((whole * signs).sum())
        hits += value >= seen if greater else abs(value) >= abs(seen)
        total += 1
    return hits / total


def part_p(t: np.ndarray, c: np.ndarray) -> float:
    pooled = np.concatenate([t, c])
    seen, hits, total = abs(t.mean() - c.mean()), 0, 0
    for chosen in itertools.combinations(range(pooled.size), t.size):
        mask = np.zeros(pooled.size, bool)
        mask[list(chosen)] = True
        hits += abs(pooled[mask].mean() - pooled[~mask].mean()) >= seen - 1e-9
        total += 1
    return hits / total


def level(scores: np.ndarray, failed: int) -> dict[str, Any]:
    made = DescrStatsW(scores)
    low, high = made.tconfint_mean(0.05)
    bad = proportion_confint(failed, failed + scores.size, 0.05, method="beta")
    return {"mean": scores.mean(), "sd": stats.tstd(scores), "low": low, "high": high,
            "failure_low": bad[0] if failed else 0.0, "failure_high": bad[1]}  # fmt: skip


def paired(t: np.ndarray, c: np.ndarray) -> dict[str, Any]:
    d = np.round(t - c, 9)
    made = stats.ttest_rel(t, c)
    ends = made.confidence_interval(0.95)
    ranks = np.sign(d) * np.where(d == 0, 0, stats.rankdata(np.where(d == 0, np.inf, np.abs(d))))
    pooled = np.sqrt((t.var(ddof=1) + c.var(ddof=1)) / 2)
    wins = [np.sign(a - b) for a in t for b in c]
    return {"estimate": d.mean(), "p_t": made.pvalue, "low": ends.low, "high": ends.high,
            "p_sign_flip": flip_p(d), "p_wilcoxon": flip_p(ranks),
            "hedges_gz": d.mean() / d.std(ddof=1) * correction(d.size - 1),
            "hedges_gav": d.mean() / pooled * correction(2 * d.size - 2),
            "cliff_delta": np.mean(wins), "skew": stats.skew(d),
            "seed_correlation": stats.pearsonr(t, c).statistic}  # fmt: skip


def unpaired(t: np.ndarray, c: np.ndarray) -> dict[str, Any]:
    made = stats.ttest_ind(t, c, equal_var=False)
    ends = made.confidence_interval(0.95)
    return {"estimate": t.mean() - c.mean(), "df": made.df, "p": made.pvalue, "low": ends.low,
            "high": ends.high, "p_permutation": part_p(t, c)}  # fmt: skip


def spread(t: np.ndarray, c: np.ndarray) -> dict[str, Any]:
    gaps = (t - np.median(t)) ** 2 - (c - np.median(c)) ** 2
    ratio = t.var(ddof=1) / c.var(ddof=1)
    tail = stats.f.sf(ratio, t.size - 1, c.size - 1)
    return {"sd_difference": stats.tstd(t) - stats.tstd(c), "log_ratio": np.log(ratio) / 2,
            "swap_median": flip_p(gaps),
            "brown_forsythe": stats.levene(t, c, center="median").pvalue,
            "pitman_morgan": stats.pearsonr(t + c, t - c).pvalue,
            "f": 2 * min(tail, 1 - tail)}  # fmt: skip


def tasks(gaps: np.ndarray) -> dict[str, Any]:
    seeds = stats.ttest_1samp(gaps.mean(axis=0), 0)
    random = stats.ttest_1samp(gaps.mean(axis=1), 0)
    weights = gaps.shape[1] / gaps.var(axis=1, ddof=1)
    centre = np.average(gaps.mean(axis=1), weights=weights)
    q = (weights * (gaps.mean(axis=1) - centre) ** 2).sum()
    left = [np.delete(gaps, i, axis=0).mean() for i in range(len(gaps))]
    return {"clustered_p": seeds.pvalue, "clustered_low": seeds.confidence_interval().low,
            "random_p": random.pvalue, "random_low": random.confidence_interval().low, "q": q,
            "p_q": stats.chi2.sf(q, len(gaps) - 1), "left_out": [min(left), max(left)]}  # fmt: skip


def ranks(scores: np.ndarray) -> dict[str, Any]:
    n, k = scores.shape
    made = stats.friedmanchisquare(*scores.T)
    f = (n - 1) * made.statistic / (n * (k - 1) - made.statistic)
    q = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2)
    means = stats.rankdata(-scores, axis=1).mean(axis=0)
    return {"mean_ranks": means, "chi_square": made.statistic, "f": f,
            "p_chi_square": made.pvalue, "p_f": stats.f.sf(f, k - 1, (k - 1) * (n - 1)),
            "critical_difference": q * np.sqrt(k * (k + 1) / (6 * n))}  # fmt: skip


def crossed(y: np.ndarray) -> dict[str, Any]:
    rows = [(a, s, y[a, s]) for a, s in np.ndindex(y.shape)]
    table = anova_lm(smf.ols("y ~ C(a) + C(s)", pd.DataFrame(rows, columns=list("asy"))).fit())
    square, df = table["mean_sq"], table["df"]["Residual"]
    rest = square["Residual"]
    return {"arm": max(0, (square["C(a)"] - rest) / y.shape[1]),
            "seed": max(0, (square["C(s)"] - rest) / y.shape[0]), "residual": rest,
            "residual_high": np.sqrt(df * rest / stats.chi2.ppf(0.025, df))}  # fmt: skip


def luck(y: np.ndarray) -> dict[str, Any]:
    rows = [(i, j, y[i, j, k]) for i, j, k in np.ndindex(y.shape)]
    table = anova_lm(smf.ols("y ~ C(i) * C(j)", pd.DataFrame(rows, columns=list("ijy"))).fit())
    square, (i, j, k) = table["mean_sq"], y.shape
    both = square["C(i):C(j)"]
    return {"initialisation": max(0, (square["C(i)"] - both) / (j * k)),
            "order": max(0, (square["C(j)"] - both) / (i * k)),
            "initialisation:order": max(0, (both - square["Residual"]) / k),
            "repeat": square["Residual"]}  # fmt: skip


def mixed(data: pd.DataFrame) -> dict[str, Any]:
    parts = {"t": "0 + C(t)", "at": "0 + C(at)", "s": "0 + C(s)"}
    model = MixedLM.from_formula("y ~ C(a)", data, groups="all", vc_formula=parts, re_formula="0")
    made = model.fit(reml=True, method=["bfgs", "lbfgs"])
    names = list(model.exog_vc.names)
    return {"variances": [*(made.vcomp[names.index(name)] for name in parts), made.scale]}


def tost(d: np.ndarray, margin: float) -> dict[str, Any]:
    low = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    high = stats.ttest_1samp(d, margin, alternative="less").pvalue
    ends = stats.ttest_1samp(d, 0).confidence_interval(0.90)
    return {"p": max(low, high), "low": ends.low, "high": ends.high}


def interaction(data: pd.DataFrame) -> dict[str, Any]:
    table = anova_lm(smf.ols("y ~ C(a) * C(b) + C(s)", data).fit(), typ=2)
    return {f"{kind}{name}": table.loc[row, column]
            for name, row in (("", "C(a):C(b)"), ("_a", "C(a)"), ("_b", "C(b)"))
            for kind, column in (("f", "F"), ("p", "PR(>F)"))}  # fmt: skip


def powers(alpha: float) -> dict[str, Any]:
    made = TTestPower()
    edges = stats.f.ppf([alpha / 2, 1 - alpha / 2], 19, 19)
    seeds = next(n for n in range(2, 999) if made.power(0.8, n, alpha) >= 0.8)
    return {"power": made.power(0.8, 10, alpha), "seeds": seeds,
            "detectable": brentq(lambda e: made.power(e, 10, alpha) - 0.8, 0.1, 2),
            "ratio": sum(side(edge / 4, 19, 19) for side, edge in
                         zip((stats.f.cdf, stats.f.sf), edges, strict=True))}  # fmt: skip


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


CASES: list[dict[str, Any]] = []


def case(statistic: str, name: str, source: str, given: Any, expected: Any) -> None:
    CASES.append(plain({"statistic": statistic, "name": f"{statistic}: {name}", "source": source,
                        "given": given, "expected": expected}))  # fmt: skip


def unbalanced(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, t, s = (axis.ravel() for axis in np.indices((4, 6, 8)))
    y = a + 2 * rng.normal(size=6)[t] + 0.7 * rng.normal(size=(4, 6))[a, t]
    y = y + 0.9 * rng.normal(size=8)[s] + 0.5 * rng.normal(size=a.size)
    data = pd.DataFrame({"a": a, "t": t, "at": 10 * a + t, "s": s, "y": y, "all": 1})
    return data[rng.random(a.size) > 0.15]


def pairs() -> None:
    sleep = [np.array(x) for x in SLEEP]
    both = {"treatment": SLEEP[0], "control": SLEEP[1]}
    # R's help page of `sleep` and Student 1908: t = 4.0621, df = 9, p = 0.002833, mean 1.58.
    made = paired(*sleep)
    assert abs(made["p_t"] - 0.002833) < 5e-7
    assert abs(made["low"] - 0.7001142) < 1e-6
    assert abs(made["high"] - 2.4598858) < 1e-6
    case("paired", "sleep", "scipy, all 1,024 sign patterns; R's t.test(sleep)", both, made)
    welch = unpaired(*(x[:7] for x in sleep))
    case("unpaired", "sleep", "scipy, all 3,432 partings", {k: v[:7] for k, v in both.items()},
         welch)  # fmt: skip
    whole = stats.ttest_ind(*sleep, equal_var=False)
    assert abs(whole.pvalue - 0.07939) < 5e-6  # R: Welch, t = 1.8608, df = 17.776
    assert abs(whole.df - 17.776) < 5e-4
    case("spread", "sleep", "scipy, all 1,024 sign patterns", both, spread(*sleep))
    darwin = np.array(DARWIN, dtype=float)
    # Fisher: of 32,768 sums 863 are as large as 314, so p = 0.02634 one-sided.
    assert round(flip_p(darwin, greater=True) * 2**15) == 863
    case("flips", "Darwin", "Fisher 1935, section 21, and all 32,768 sign patterns",
         {"gaps": DARWIN},
         {"two_sided": flip_p(darwin), "greater": flip_p(darwin, greater=True)})  # fmt: skip
    ties = [1.0, 1.0, -1.0, 0.0, 2.0, 2.0, -0.5]
    case("flips", "ties and a zero", "all sign patterns", {"gaps": ties},
         {"two_sided": flip_p(np.array(ties)),
          "greater": flip_p(np.array(ties), greater=True)})  # fmt: skip
    for name, n in (("five", 5), ("twelve", 12)):
        t, c = np.round(RNG.normal(0.5, 1.5, n), 4), np.round(RNG.normal(0, 1, n), 4)
        given = {"treatment": t, "control": c}
        case("paired", f"{name} seeds", "scipy, all sign patterns", given, paired(t, c))
        case("spread", f"{name} seeds", "scipy, all sign patterns", given, spread(t, c))
        other = {"treatment": t[: n - 2], "control": c}
        expected = unpaired(t[: n - 2], c) if n < 10 else None
        if expected is not None:
            case("unpaired", f"{name} seeds", "scipy, all partings", other, expected)
        # Evenly spread, because of skewed differences sign-flips have a say as well.
        even = np.round(0.3 + stats.norm.ppf((np.arange(n) + 0.5) / n), 4)
        case("tost", f"{name} seeds", "scipy, one-sided t tests", {"gaps": even, "margin": 1.0},
             tost(even, 1.0))  # fmt: skip


def single() -> None:
    for scores, failed in (([0.81, 0.83, 0.79, 0.85, 0.80], 0), ([1.0, 2.0, 4.0], 2)):
        given = {"scores": scores, "failed": failed}
        case("level", f"{len(scores)} seeds", "statsmodels", given, level(np.array(scores), failed))
    # Holm 1979's step-down and Benjamini-Hochberg's step-up by statsmodels; None counts as 1.
    p = [0.01, 0.04, 0.03, 0.005, 0.2]
    expected = {"holm": multipletests(p, method="holm")[1],
                "benjamini_hochberg": multipletests(p, method="fdr_bh")[1]}  # fmt: skip
    case("families", "five", "statsmodels", {"p": p}, expected)
    gap = [multipletests([*p, 1.0], method=m)[1][:5] for m in ("holm", "fdr_bh")]
    case("families", "one without a test", "statsmodels with p = 1 in its place",
         {"p": [*p, None]},
         {"holm": [*gap[0], None], "benjamini_hochberg": [*gap[1], None]})  # fmt: skip
    for share, discordant in (((3, 20), (3, 12)), ((0, 8), (0, 6))):
        table = [[9, discordant[0]], [discordant[1], 9]]
        low, high = proportion_confint(*share, 0.05, method="beta")
        expected = {"clopper_pearson": [low if share[0] else 0.0, high],
                    "mcnemar": mcnemar(table, exact=True).pvalue}  # fmt: skip
        given = {"share": share, "discordant": discordant}
        case("rates", f"{share[0]} of {share[1]}", "statsmodels", given, expected)
    for alpha in (0.05, 0.05 / 8):
        case("power", f"alpha {alpha}", "statsmodels, scipy", {"alpha": alpha}, powers(alpha))


def designs() -> None:
    gaps = np.round(RNG.normal(0.4, 1, (4, 7)), 4)
    case("tasks", "four tasks", "scipy, formula of Cochran 1954", {"gaps": gaps}, tasks(gaps))
    scores = np.round(RNG.normal(size=(9, 4)), 1)
    case("ranks", "nine tasks with ties", "scipy", {"scores": scores}, ranks(scores))
    runs = np.round(RNG.normal(size=(3, 9)), 4)
    case("iqm", "27 runs", "scipy.stats.trim_mean", {"scores": runs},
         {"iqm": stats.trim_mean(runs.ravel(), 0.25)})  # fmt: skip
    y = np.round(RNG.normal(size=(6, 8)) + RNG.normal(size=(6, 1)), 4)
    case("crossed", "six arms", "statsmodels anova_lm", {"scores": y}, crossed(y))
    y = np.round(RNG.normal(size=(5, 6, 3)) + RNG.normal(size=(1, 6, 1)), 4)
    case("luck", "five by six by three", "statsmodels anova_lm", {"scores": y}, luck(y))
    for seed in (0, 1):
        data = unbalanced(seed)
        given = {"y": data["y"], "groups": [data[name] for name in ("t", "at", "s")],
                 "fixed": data["a"]}  # fmt: skip
        given = json.loads(json.dumps(given, default=lambda column: column.tolist()))
        case("mixed", f"unbalanced {seed}", "statsmodels MixedLM", given, mixed(data))
    grid = itertools.product("xyz", "pq", range(5))
    data = pd.DataFrame(grid, columns=list("abs")).drop(index=[0, 7, 8, 21])
    data["y"] = np.round(RNG.normal(size=len(data)) + (data["a"] == "x"), 4)
    given = {name: data[name].tolist() for name in ("y", "a", "b", "s")}
    case("interaction", "unbalanced", "statsmodels anova_lm(typ=2)", given, interaction(data))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    pairs()
    single()
    designs()
    sys.stdout.write(json.dumps(CASES, indent=1) + "\n")
