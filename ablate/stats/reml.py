"""Variance components of unbalanced scores by restricted maximum likelihood.

Sources are crossed or nested groupings of the scores (task, arm within task, seed); what depends
on a fixed grouping (the arm) is taken out. Everything is computed from counts and sums, so that
time depends on the number of levels and not on the number of scores.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.stats.grid import constant
from ablate.stats.status import Array, vector

_LARGEST = 1e3  # sds of a source in sds of the residual: beyond, nothing is left unexplained
_CLOSE = 1e-3  # of the deviance, which crosses at 3.84 for a 95 % interval
_MOST_STEPS = 30
_WIDEST = 1e3  # sds of the scores: an interval that is wider has no end


@dataclass(frozen=True)
class Estimate:
    """One variance component.

    Attributes:
        variance: in the scores' unit squared.
        low, high: profile-likelihood interval of it; `high` is None where the data give no end.
    """

    variance: float
    low: float | None
    high: float | None


def reml(
    scores: Array,
    groups: Sequence[Sequence[Hashable]],
    *,
    fixed: Sequence[Hashable] | None = None,
    level: float,
) -> tuple[Estimate, ...] | None:
    """Estimate the variance that each grouping causes, and what is left.

    Args:
        scores: (n,) scores.
        groups: each (n,) levels of a random source.
        fixed: (n,) levels of what is no source of variance, such as the arm; None for a mean only.
        level: confidence of the intervals, in (0, 1).

    Returns:
        One estimate for each grouping, then the residual's; None where nothing is left to
        estimate from (no more scores than fixed levels, or a perfect fit).

    Raises:
        ValueError: a score is not finite, or a grouping of another length.

    Source: Patterson and Thompson 1971; deviance by one Cholesky factor after Bates et al. 2015;
        interval where the restricted deviance rises by the chi-square quantile.
    """
    y = vector(scores, name="scores")
    if any(len(group) != y.size for group in (*groups, *([] if fixed is None else [fixed]))):
        raise ValueError(f"every grouping must have {y.size} levels")
    if y.size < 3 or constant(y):
        return None
    unit = float(y.std())
    model = _Model((y - y.mean()) / unit, groups, [0] * y.size if fixed is None else fixed)
    if model.freedom < 1:
        return None
    best = model.best()
    if best.roots.max(initial=0.0) > 0.99 * _LARGEST:
        return None
    made = [_estimate(model, best, i, level) for i in range(len(groups) + 1)]
    return tuple(
        Estimate(one.variance * unit**2, _scaled(one.low, unit), _scaled(one.high, unit))
        for one in made
    )


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit**2


@dataclass(frozen=True)
class _Point:
    """Roots of the ratios of the components to the residual, the residual, and the deviance."""

    roots: Array
    residual: float
    deviance: float

    def variance(self, i: int) -> float:
        return self.residual * (float(self.roots[i]) ** 2 if i < self.roots.size else 1.0)


class _Model:
    """The restricted deviance as a function of the components."""

    def __init__(
        self, y: Array, groups: Sequence[Sequence[Hashable]], fixed: Sequence[Hashable]
    ) -> None:
        codes = [_codes(levels) for levels in groups]
        order = sorted(range(len(codes)), key=lambda i: -codes[i][1])
        self._order = order  # the grouping with most levels first: its own block is diagonal
        factors = [codes[i] for i in order] + [_codes(fixed)]
        self._widths = [size for _, size in factors]
        self._n, self._squares = y.size, float(y @ y)
        first, rest = factors[0], factors[1:]
        self._counts = np.bincount(first[0], minlength=first[1]).astype(np.float64)
        self._across = np.concatenate(
            [*(_cross(first, other) for other in rest), _sums(first, y)[:, None]], axis=1
        )
        self._inner = _inner(rest, y)
        self.freedom = y.size - self._widths[-1]
        self._levels = np.array([float(size) for _, size in codes])

    def _parts(self, roots: Array) -> tuple[float, float]:
        """Log determinants, and the residual sum of squares, at roots of ratios."""
        own = [float(roots[i]) for i in self._order]
        widths = self._widths[1:-1]
        ones = self._widths[-1] + 1  # fixed levels and the scores are not scaled
        scale = np.concatenate([*(np.full(w, r) for w, r in zip(widths, own[1:], strict=True)),
                                np.ones(ones)])  # fmt: skip
        inner = self._inner * scale[:, None] * scale[None, :]
        random = scale.size - ones
        inner[np.arange(random), np.arange(random)] += 1.0
        diagonal = 1.0 + own[0] ** 2 * self._counts
        across = own[0] * self._across * scale[None, :]
        inner -= across.T @ (across / diagonal[:, None])
        inner[-1, -1] = max(inner[-1, -1], 0.0) + 1e-14 * self._squares
        factor = np.linalg.cholesky(inner)
        pivots = np.diagonal(factor)
        logs = float(np.log(diagonal).sum()) + 2 * float(np.log(pivots[:-1]).sum())
        return logs, float(pivots[-1]) ** 2

    def deviance(self, roots: Array, residual: float) -> float:
        """Minus twice the restricted log likelihood, but for a constant."""
        logs, rss = self._parts(roots)
        return logs + self.freedom * math.log(residual) + rss / residual

    def _scale(self, roots: Array) -> Array:
        """About the steepness of the deviance along each root: in its unit all are alike."""
        return np.asarray(np.sqrt(2 * self._levels) / np.maximum(roots, 0.1), dtype=np.float64)

    def best(self) -> _Point:
        """The estimates; the residual's has a closed form given the ratios."""

        def profiled(roots: Array) -> float:
            logs, rss = self._parts(roots)
            return logs + self.freedom * math.log(rss / self.freedom)

        start = np.ones(len(self._order))
        roots = _minimum(profiled, start, start.size, scale=self._scale(start))
        residual = self._parts(roots)[1] / self.freedom
        return _Point(roots, residual, self.deviance(roots, residual))

    def at(self, i: int, variance: float, near: _Point) -> _Point:
        """The best point at which component i has a given variance."""
        k = len(self._order)
        scale = self._scale(near.roots)
        if i == k:
            roots = _minimum(
                lambda r: self.deviance(r, variance), near.roots, k, scale=scale, rough=True
            )
            return _Point(roots, variance, self.deviance(roots, variance))

        def unpack(free: Array) -> tuple[Array, float]:
            residual = math.exp(float(free[-1]))
            root = min(math.sqrt(variance / residual), _LARGEST)
            return np.insert(free[:-1], i, root), residual

        start = np.append(np.delete(near.roots, i), math.log(near.residual))
        scale = np.append(np.delete(scale, i), math.sqrt(self.freedom / 2))
        free = _minimum(lambda f: self.deviance(*unpack(f)), start, k - 1, scale=scale, rough=True)
        roots, residual = unpack(free)
        return _Point(roots, residual, self.deviance(roots, residual))


def _estimate(model: _Model, best: _Point, i: int, level: float) -> Estimate:
    """A component with its profile-likelihood interval."""
    from scipy.special import chdtri

    cut = best.deviance + float(chdtri(1, 1 - level))
    here = best.variance(i)
    found = [_end(model, best, i, cut, up=up) for up in (False, True)]
    return Estimate(here, found[0], found[1])


def _end(model: _Model, best: _Point, i: int, cut: float, *, up: bool) -> float | None:
    """Where the deviance crosses the cut: in steps of the component's root, then between two.

    Source: the Illinois variant of false position, Dowell and Jarratt 1971.
    """
    near, inside, below = best, math.sqrt(best.variance(i)), best.deviance - cut
    floor = 1e-3 * inside if i == best.roots.size else 0.0  # a residual of zero has no likelihood
    step = max(inside, 0.05 * math.sqrt(best.residual)) / 4

    def excess(root: float) -> float:
        nonlocal near
        near = model.at(i, root**2, near)
        return near.deviance - cut

    while True:
        outside = inside + step if up else max(inside - step, floor)
        above = excess(outside)
        if above > 0:
            break
        if outside == floor:
            return floor**2
        if outside > _WIDEST:
            return None
        inside, below, step = outside, above, step * (1.6 if up else 1.0)
    near = best
    for _ in range(_MOST_STEPS):
        middle = inside - below * (outside - inside) / (above - below)
        value = excess(middle)
        if abs(value) < _CLOSE:
            return middle**2
        if value > 0:
            outside, above, below = middle, value, below / 2
        else:
            inside, below, above = middle, value, above / 2
    return middle**2


def _minimum(
    function: Callable[[Array], float],
    start: Array,
    bounded: int,
    *,
    scale: Array,
    rough: bool = False,
) -> Array:
    """The place of the least value; the first `bounded` arguments are not negative.

    Roughly is enough where only the value counts, which hardly changes near its least.
    """
    from scipy.optimize import minimize

    if start.size == 0:
        return start
    ends = [(0.0, _LARGEST)] * bounded + [(-40.0, 40.0)] * (start.size - bounded)
    found = minimize(
        lambda scaled: function(scaled / scale), start * scale, method="L-BFGS-B",
        bounds=[(low * s, high * s) for (low, high), s in zip(ends, scale, strict=True)],
        jac=None if rough else "3-point",
        options={"ftol": 1e-9, "gtol": 3e-3, "eps": 1e-3} if rough
        else {"ftol": 1e-14, "gtol": 1e-5},
    )  # fmt: skip
    return np.asarray(found.x / scale, dtype=np.float64)


_Factor = tuple[NDArray[np.intp], int]


def _codes(levels: Sequence[Hashable]) -> _Factor:
    places = {level: i for i, level in enumerate(dict.fromkeys(levels))}
    return np.array([places[level] for level in levels], dtype=np.intp), len(places)


def _cross(one: _Factor, other: _Factor) -> Array:
    """(levels, levels) how often two levels meet."""
    counts = np.bincount(one[0] * other[1] + other[0], minlength=one[1] * other[1])
    return counts.reshape(one[1], other[1]).astype(np.float64)


def _sums(factor: _Factor, y: Array) -> Array:
    return np.bincount(factor[0], weights=y, minlength=factor[1]).astype(np.float64)


def _inner(factors: Sequence[_Factor], y: Array) -> Array:
    """Cross-products of all factors' indicator columns and the scores."""
    columns = [
        np.concatenate([*(_cross(one, other) for other in factors), _sums(one, y)[:, None]], axis=1)
        for one in factors
    ]
    last = np.concatenate([*(_sums(one, y) for one in factors), [float(y @ y)]])
    return np.concatenate([*columns, last[None, :]], axis=0)
