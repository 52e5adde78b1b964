"""Which tuned value matters within one search: fANOVA, and PED-ANOVA beside it.

fANOVA asks how much of the variance of scores over the whole space goes with one value alone;
PED-ANOVA asks which values the best asks have in common. Both are Optuna's, wrapped where they
mislead: a value on a log scale is weighed on that scale, shares are of the whole variance and not
made to sum to one, the forest's own luck is shown, and what scores without any order would give
stands beside it, for a forest finds structure in anything.

Sources: Hutter, Hoos and Leyton-Brown 2014 (fANOVA); Watanabe, Bansal and Hutter 2023 (PED-ANOVA).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ablate.dimensions import dimensions
from ablate.quiet import quiet
from trials.spec import Json

if TYPE_CHECKING:
    from optuna.study import Study

FOREST_SEEDS = 10
TREES = 8
"""Of each forest: all ten together are as many as one of Optuna's."""

FEWEST = 10
"""Complete asks below which neither says anything."""

FEWEST_BEST = 5
"""Asks that PED-ANOVA needs among the best (Optuna's manual)."""

_BEST = 0.1


@dataclass(frozen=True)
class Importance:
    """What matters in one search.

    Attributes:
        n: complete asks that it rests on; stopped and failed ones have no final score.
        num_ignored: the others.
        num_best: asks that PED-ANOVA takes for the best.
        values: for each nuisance `name`; `share`, `share_sd`: of the variance of scores, its mean
            and standard deviation over forests; `by_chance`: the largest share of the same forests
            on shuffled scores; `among_best`: PED-ANOVA's divergence as a part of their sum.
        status: `insufficient_n` below 10 complete asks, `degenerate_zero_variance` where all
            scores are equal; then there are no numbers.
    """

    n: int
    num_ignored: int
    num_best: int
    values: tuple[dict[str, Json], ...]
    status: str

    def to_json(self) -> dict[str, Json]:
        """Plain JSON types."""
        return {"n": self.n, "num_ignored": self.num_ignored, "num_best": self.num_best,
                "values": list(self.values), "status": self.status}  # fmt: skip


def importance(
    space: Mapping[str, Mapping[str, Json]],
    asks: Sequence[tuple[Mapping[str, Json], float]],
    *,
    num_ignored: int,
    higher: bool,
) -> Importance | None:
    """Judge the nuisances of a search; always the same for the same asks.

    Args:
        space: of the search, by nuisance.
        asks: values and score of each complete ask, in the order asked.
        num_ignored: asks that ended without a score.
        higher: whether higher scores are better.

    Returns:
        The importance; None where fewer than two values are tuned, or scikit-learn is missing.
    """
    found = [(values, score) for values, score in asks if math.isfinite(score)]
    ignored = num_ignored + len(asks) - len(found)
    names = sorted(space)
    if len(names) < 2 or not _installed():
        return None
    scores = np.array([score for _, score in found], dtype=np.float64)
    constant = scores.size > 0 and bool(np.ptp(scores) == 0)
    if len(found) < FEWEST or constant:
        status = "insufficient_n" if len(found) < FEWEST else "degenerate_zero_variance"
        return Importance(len(found), ignored, 0, (), status)
    points = _points(space, [values for values, _ in found])
    real, shuffled = _shares(points, scores)
    best = max(_BEST, FEWEST_BEST / len(found))
    apart = _among_best(points, scores if higher else -scores, best)
    values = tuple(
        {
            "name": name,
            "share": float(real[:, place].mean()),
            "share_sd": float(real[:, place].std(ddof=1)),
            "by_chance": float(shuffled[:, place].max()),
            "among_best": apart[name],
        }
        for place, name in enumerate(names)
    )
    return Importance(len(found), ignored, math.ceil(best * len(found)), values, "ok")


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("sklearn") is not None and find_spec("optuna") is not None


_Points = list[tuple[str, Any, list[Any]]]
"""(nuisance, distribution, drawn values), by name, logarithms in the place of log scales."""


def _points(
    space: Mapping[str, Mapping[str, Json]], values: Sequence[Mapping[str, Json]]
) -> _Points:
    from optuna.distributions import FloatDistribution

    made: _Points = []
    for dimension in dimensions(space):
        drawn = [dimension.encode(each[dimension.name]) for each in values]
        kind: Any = dimension.distribution
        if getattr(kind, "log", False):
            kind = FloatDistribution(math.log(kind.low), math.log(kind.high))
            drawn = [min(max(math.log(x), kind.low), kind.high) for x in drawn]
        made.append((dimension.name, kind, drawn))
    return made


def _study(points: _Points, scores: Any) -> "Study":
    import optuna
    from optuna.trial import create_trial

    study = optuna.create_study(direction="maximize")
    kinds = {name: kind for name, kind, _ in points}
    study.add_trials(
        [
            create_trial(
                params={name: drawn[place] for name, _, drawn in points},
                distributions=kinds,
                value=float(score),
            )
            for place, score in enumerate(scores)
        ]
    )
    return study


def _shares(points: _Points, scores: Any) -> tuple[Any, Any]:
    """(forests, nuisances) shares of variance: of the scores, and of the scores shuffled."""
    from optuna.importance import FanovaImportanceEvaluator

    names = [name for name, _, _ in points]
    found: tuple[list[list[float]], list[list[float]]] = ([], [])
    with quiet():
        whole = _study(points, scores)
        for seed in range(FOREST_SEEDS):
            shuffled = np.random.default_rng(seed).permutation(scores)
            evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
            for made, study in zip(found, (whole, _study(points, shuffled)), strict=True):
                shares = evaluator.evaluate(study)
                made.append([float(shares[name]) for name in names])
    return np.array(found[0]), np.array(found[1])


def _among_best(points: _Points, scores: Any, best: float) -> dict[str, float | None]:
    """PED-ANOVA's divergences as parts of their sum; absent where nothing sets the best apart."""
    from optuna.importance import PedAnovaImportanceEvaluator

    with quiet():
        evaluator = PedAnovaImportanceEvaluator(target_quantile=best)
        raw = evaluator.evaluate(_study(points, scores))
    total = sum(raw.values())
    return {name: float(raw[name]) / total if total > 0 else None for name, _, _ in points}
