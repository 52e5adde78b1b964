"""Does a gain rest on the seeds, or on which examples the evaluation set happens to hold?

A metric is written as a function of sums over examples, so that many resamples of the examples are
one matrix product.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ablate.stats.mcnemar import mcnemar
from ablate.stats.status import Array, Status

RESAMPLES = 1_999
_CHUNK = 4_000_000  # numbers in memory at once


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one arm said of the same examples at several seeds.

    Attributes:
        labels: (examples,) label ids, or real numbers.
        said: (seeds, examples) of the same kind.
        num_labels: for classification; None for real numbers.
    """

    labels: Array
    said: Array
    num_labels: int | None

    def __post_init__(self) -> None:
        if self.said.ndim != 2 or self.labels.shape != self.said.shape[1:]:
            raise ValueError(f"shapes do not fit: {self.labels.shape} and {self.said.shape}")


@dataclass(frozen=True, kw_only=True)
class TwoWay:
    """A mean difference over seeds, with what resampling seeds and examples does to it.

    Attributes:
        num_seeds, num_examples: it rests on.
        estimate: positive favours the treatment, in the metric's unit.
        ci_low, ci_high: percentile interval over both; None below 3 seeds.
        error_seeds, error_examples: standard errors from either alone.
        p_by_seed: McNemar's two-sided p at each seed; empty for real numbers.
        status: see `ablate.stats.status`.
    """

    num_seeds: int
    num_examples: int
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    error_seeds: float | None = None
    error_examples: float | None = None
    p_by_seed: tuple[float, ...] = ()
    status: Status = "insufficient_n"


class _Metric(NamedTuple):
    """Columns to be summed over examples, and the metric from their means (..., columns)."""

    columns: Callable[[Array, Array, int], Array]
    value: Callable[[Array], Array]


def two_way(
    treatment: Predictions,
    control: Predictions,
    metric: str,
    *,
    level: float,
    rng: np.random.Generator,
    lower_is_better: bool = False,
) -> TwoWay | None:
    """Compare two arms by their predictions of the same examples at the same seeds.

    Args:
        treatment, control: aligned by seed and example.
        metric: the name under which the scores are reported.
        level: confidence of the interval, in (0, 1).
        rng: for the bootstrap.
        lower_is_better: negates the difference.

    Returns:
        The comparison; None for a metric that is no function of sums over examples.

    Raises:
        ValueError: the arms differ in shape or in labels.

    Source: Owen 2007 (resampling both ways; it errs on the wide side); McNemar 1947.
    """
    if treatment.said.shape != control.said.shape or (treatment.labels != control.labels).any():
        raise ValueError("the arms must be about the same seeds and examples")
    if metric not in METRICS:
        return None
    seeds, examples = treatment.said.shape
    if min(seeds, examples) == 0:
        return TwoWay(num_seeds=seeds, num_examples=examples)
    sign = -1.0 if lower_is_better else 1.0
    own = METRICS[metric]
    sides = [_columns(side, own) for side in (treatment, control)]
    here = [own.value(side.mean(axis=0)) for side in sides]
    gaps = sign * (here[0] - here[1])
    if not np.isfinite(gaps).all():
        return TwoWay(num_seeds=seeds, num_examples=examples, status="nan_present")
    p_by_seed = _mcnemar(treatment, control) if treatment.num_labels is not None else ()
    known: dict[str, Any] = {"num_seeds": seeds, "num_examples": examples, "p_by_seed": p_by_seed,
                             "estimate": float(gaps.mean())}  # fmt: skip
    if seeds < 3:
        return TwoWay(**known)
    drawn = sign * _resampled(sides, own, rng)
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    index = rng.integers(0, seeds, size=drawn.shape)
    means = np.take_along_axis(drawn, index, axis=1).mean(axis=1)
    if not drawn.size or means.max() == means.min():
        return TwoWay(**known, status="degenerate_zero_variance")
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return TwoWay(
        **known,
        ci_low=float(low),
        ci_high=float(high),
        error_seeds=float(gaps.std(ddof=1)) / math.sqrt(seeds),
        error_examples=float(drawn.mean(axis=1).std(ddof=1)),
        status="ok",
    )


def _columns(side: Predictions, metric: _Metric) -> Array:
    """(examples, seeds, columns)."""
    made = [metric.columns(said, side.labels, side.num_labels or 0) for said in side.said]
    return np.stack(made, axis=1)


def _resampled(sides: list[Array], metric: _Metric, rng: np.random.Generator) -> Array:
    """(resamples, seeds) differences of the metric on examples drawn with replacement."""
    examples, seeds, columns = sides[0].shape
    flat = np.concatenate([side.reshape(examples, -1) for side in sides], axis=1)
    rows = max(1, _CHUNK // examples)
    found = []
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        drawn = rng.integers(0, examples, size=(size, examples))
        drawn += examples * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * examples).reshape(size, examples)
        means = (counts @ flat / examples).reshape(size, 2, seeds, columns)
        values = metric.value(means)
        found.append(values[:, 0] - values[:, 1])
    return np.concatenate(found)


def _mcnemar(treatment: Predictions, control: Predictions) -> tuple[float, ...]:
    """Exact p at each seed, over the examples that one arm alone got right."""
    right = [side.said == side.labels for side in (treatment, control)]
    only = [(right[0] & ~right[1]).sum(axis=1), (right[1] & ~right[0]).sum(axis=1)]
    return tuple(mcnemar(int(a), int(b)) for a, b in zip(*only, strict=True))


def _confusion(said: Array, labels: Array, num_labels: int) -> Array:
    """(examples, labels²) where each example lies in the table of truth by prediction."""
    return np.eye(num_labels**2)[(labels * num_labels + said).astype(np.intp)]


def _square(means: Array) -> Array:
    k = math.isqrt(means.shape[-1])
    return means.reshape(*means.shape[:-1], k, k)


def _accuracy(means: Array) -> Array:
    return np.asarray(np.trace(_square(means), axis1=-2, axis2=-1), dtype=np.float64)


def _mcc(means: Array) -> Array:
    """Gorodkin 2004; 0 where either side is constant."""
    table = _square(means)
    truth, said = table.sum(axis=-1), table.sum(axis=-2)
    both = np.trace(table, axis1=-2, axis2=-1) - (truth * said).sum(axis=-1)
    spread = (1 - (truth**2).sum(axis=-1)) * (1 - (said**2).sum(axis=-1))
    return _ratio(both, np.sqrt(np.maximum(spread, 0.0)), at_zero=0.0)


def _f1(means: Array) -> Array:
    return _f1_of_labels(means)[..., 1]


def _f1_macro(means: Array) -> Array:
    """Over labels that occur in predictions or labels."""
    table = _square(means)
    there = (table.sum(axis=-1) + table.sum(axis=-2)) > 1e-15
    summed = (_f1_of_labels(means) * there).sum(axis=-1)
    return np.asarray(summed / there.sum(axis=-1), dtype=np.float64)


def _f1_of_labels(means: Array) -> Array:
    table = _square(means)
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    return _ratio(2 * hits, table.sum(axis=-1) + table.sum(axis=-2), at_zero=0.0)


def _moments(said: Array, labels: Array, num_labels: int) -> Array:
    a, b = said - said.mean(), labels - labels.mean()
    return np.stack([a, b, a * a, b * b, a * b], axis=1)


def _pearson(means: Array) -> Array:
    a, b, aa, bb, ab = np.moveaxis(means, -1, 0)
    spread = np.maximum(aa - a * a, 0.0) * np.maximum(bb - b * b, 0.0)
    return _ratio(ab - a * b, np.sqrt(spread), at_zero=np.nan)


def _squares(said: Array, labels: Array, num_labels: int) -> Array:
    return np.asarray((said - labels)[:, None] ** 2, dtype=np.float64)


def _sizes(said: Array, labels: Array, num_labels: int) -> Array:
    return np.abs(said - labels)[:, None]


def _plain(means: Array) -> Array:
    return np.asarray(means[..., 0], dtype=np.float64)


def _ratio(numerator: Array, denominator: Array, *, at_zero: float) -> Array:
    whole = np.full(np.broadcast(numerator, denominator).shape, at_zero)
    np.divide(numerator, denominator, out=whole, where=denominator > 1e-12)
    return whole


METRICS: Mapping[str, _Metric] = {
    "accuracy": _Metric(_confusion, _accuracy),
    "mcc": _Metric(_confusion, _mcc),
    "f1": _Metric(_confusion, _f1),
    "f1_macro": _Metric(_confusion, _f1_macro),
    "pearson": _Metric(_moments, _pearson),
    "mse": _Metric(_squares, _plain),
    "mae": _Metric(_sizes, _plain),
}
"""Those that a bootstrap over examples is made for; a correlation of ranks is not among them."""
