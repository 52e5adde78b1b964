"""Does one factor's effect depend on another, or on the task?

A main effect (rank 8 beats rank 4) means little where it holds for one structure only.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.stats.cells import Cell, Cells
from ablate.stats.finding import Finding
from ablate.stats.multiplicity import adjust, adjustment
from ablate.stats.status import Array, Status

FAMILY = "interactions"


@dataclass(frozen=True)
class Effect:
    """An F test of one term of a factorial model.

    Attributes:
        f, df, p_value: None where it cannot be tested.
    """

    f: float | None = None
    df: int | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Interaction:
    """An F test of the interaction of two factors.

    Attributes:
        n: scores.
        f, df, df_residual: of the test; None where it cannot be made.
        p_value: small means that the effect of one factor depends on the other.
        partial_eta_squared: share of what is left by the main effects and blocks.
        first, second: the factors' main effects, to be read beside the interaction only.
        status: see `ablate.stats.status`.
    """

    n: int
    f: float | None = None
    df: int | None = None
    df_residual: int | None = None
    p_value: float | None = None
    partial_eta_squared: float | None = None
    first: Effect = Effect()
    second: Effect = Effect()
    status: Status = "insufficient_n"


def interaction(
    scores: Array,
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    block: Sequence[Hashable],
) -> Interaction:
    """Test an interaction beside both main effects and a blocking factor.

    Args:
        scores: (n,) scores.
        first, second: (n,) levels of the factors.
        block: (n,) what is shared besides, such as the seed (within its task).

    Returns:
        The Type II tests: each main effect given the other and the blocks, the interaction given
        both. Their sums of squares are the drop in squared residuals as the term enters.

    Source: Yates 1934; Langsrud 2003 for Type II; equal to statsmodels' `anova_lm(typ=2)`.
    """
    from scipy.special import fdtrc

    n = scores.size
    model = _Within(scores, first, second, block)
    both, full = model.fit(model.first, model.second), model.fit(np.eye(model.num_cells))
    df, df_residual = full.rank - both.rank, n - full.rank - model.num_blocks
    if df < 1 or df_residual < 1:
        return Interaction(n)
    noise = 1e-20 * max(float((scores**2).sum()), 1e-300)
    if full.rss <= noise:
        same: Status = "degenerate_no_difference" if both.rss <= noise else (
            "degenerate_zero_variance")  # fmt: skip
        return Interaction(n, df=df, df_residual=df_residual, status=same)

    def effect(without: _Fit, with_it: _Fit) -> Effect:
        own = with_it.rank - without.rank
        if own < 1:
            return Effect()
        f = max(without.rss - with_it.rss, 0.0) / own / (full.rss / df_residual)
        return Effect(f, own, float(fdtrc(own, df_residual, f)))

    seen = effect(both, full)
    share = max(both.rss - full.rss, 0.0) / both.rss
    first_, second_ = (effect(model.fit(other), both) for other in (model.second, model.first))
    return Interaction(n, seen.f, df, df_residual, seen.p_value, share, first_, second_, "ok")


@dataclass(frozen=True)
class _Fit:
    rss: float
    rank: int


class _Within:
    """Least squares on functions of the (first, second) cell, with the blocks taken out.

    Blocks are far more numerous than cells: they are swept out by their means, so that what is
    solved has the size of the cells, however many scores there are.
    """

    def __init__(
        self,
        scores: Array,
        first: Sequence[Hashable],
        second: Sequence[Hashable],
        block: Sequence[Hashable],
    ) -> None:
        self._cell, pairs = _codes(list(zip(first, second, strict=True)))
        self._block, blocks = _codes(block)
        self.num_cells, self.num_blocks = len(pairs), len(blocks)
        counts = np.zeros((self.num_blocks, self.num_cells))
        np.add.at(counts, (self._block, self._cell), 1.0)
        self._shares = counts / counts.sum(axis=1, keepdims=True)
        self._gram = np.diag(counts.sum(axis=0)) - counts.T @ self._shares
        self._y = scores - self._block_means(scores)
        self._sums = np.bincount(self._cell, weights=self._y, minlength=self.num_cells)
        self.first, self.second = (_dummies([pair[i] for pair in pairs]) for i in (0, 1))

    def _block_means(self, values: Array) -> Array:
        sums = np.bincount(self._block, weights=values, minlength=self.num_blocks)
        return np.asarray((sums / np.bincount(self._block))[self._block], dtype=np.float64)

    def fit(self, *columns: Array) -> _Fit:
        """Squared residuals and rank, beside the blocks, of (cells, k) columns."""
        design = np.concatenate(columns, axis=1)
        normal = design.T @ self._gram @ design
        values, vectors = np.linalg.eigh(normal)
        kept = values > 1e-9 * max(float(values.max(initial=0.0)), 1e-300)
        basis = vectors[:, kept]
        solution = basis @ ((basis.T @ (design.T @ self._sums)) / values[kept])
        effect = design @ solution
        rest = self._y - effect[self._cell] + (self._shares @ effect)[self._block]
        return _Fit(float((rest**2).sum()), int(kept.sum()))


def interactions(cells: Cells, *, level: float) -> tuple[Finding, ...]:
    """Every pair of factors with the task, and of factors within a task, that the table can test.

    Within a task a pair is tested inside each method in which both factors vary. All are
    exploratory and adjusted together.
    """
    found: list[Finding] = []
    for backbone in dict.fromkeys(key[1] for key in cells):
        here = [cell for key, cell in cells.items() if key[1] == backbone and cell.scores]
        for method in dict.fromkeys(cell.method for cell in here):
            own = [cell for cell in here if cell.method == method]
            names = [n for n in dict.fromkeys(n for c in own for n in c.factors) if _varies(own, n)]
            for a, b in combinations(names, 2):
                for task in dict.fromkeys(cell.task for cell in own):
                    found += _finding([c for c in own if c.task == task], a, b, level)
            for name in names:
                found += _finding(own, name, "task", level)
        found += _finding(here, "method", "task", level)
    adjusted = adjust([finding.p_value for finding in found], confirmatory=False)
    return tuple(
        replace(f, p_adjusted=p, verdict="different" if p is not None and p <= 1 - level
                else "undecided") for f, p in zip(found, adjusted, strict=True)
    )  # fmt: skip


def _finding(cells: Sequence[Cell], first: str, second: str, level: float) -> list[Finding]:
    used = [c for c in cells if _level(c, first) is not None and _level(c, second) is not None]
    if not (_varies(used, first) and _varies(used, second)):
        return []
    rows = [(c, seed, -y if c.lower_is_better else y) for c in used for seed, y in c.scores.items()]
    result = interaction(
        np.array([y for _, _, y in rows], dtype=np.float64),
        [str(_level(c, first)) for c, _, _ in rows],
        [str(_level(c, second)) for c, _, _ in rows],
        [(c.task, seed) for c, seed, _ in rows],
    )
    if result.df is None:
        return []
    one = used[0]
    task = one.task if second != "task" else None
    scope = one.method if first != "method" else "all methods"
    return [
        Finding(
            id=f"interaction: {first} × {second}, {scope}, {task or 'all tasks'}, {one.backbone}",
            kind="interaction",
            task=task,
            treatment={"label": f"{first} × {second}", "method": scope},
            control={"label": "no interaction"},
            n=result.n,
            num_failed=sum(len(cell.failed) for cell in used),
            level=level,
            test="F",
            p_value=result.p_value,
            family=FAMILY,
            adjustment=adjustment(confirmatory=False),
            effect_size=result.partial_eta_squared,
            effect_size_kind="partial_eta_squared",
            status=result.status,
            details={"backbone": one.backbone, "factors": [first, second], "f": result.f,
                     "df": result.df, "df_residual": result.df_residual,
                     "main_effects": {first: asdict(result.first), second: asdict(result.second)},
                     "late": any(cell.late for cell in used)},
        )
    ]  # fmt: skip


def _level(cell: Cell, name: str) -> Any:
    return {"task": cell.task, "method": cell.method}.get(name, cell.factors.get(name))


def _varies(cells: Sequence[Cell], name: str) -> bool:
    return len({str(v) for c in cells if (v := _level(c, name)) is not None}) > 1


def _codes(levels: Sequence[Hashable]) -> tuple[NDArray[np.intp], list[Any]]:
    """(n,) the place of each level, and the levels in order of appearance."""
    order = {level: place for place, level in enumerate(dict.fromkeys(levels))}
    return np.array([order[level] for level in levels], dtype=np.intp), list(order)


def _dummies(levels: Sequence[Hashable]) -> Array:
    """(n, levels) indicator columns, in order of appearance."""
    codes, names = _codes(levels)
    return np.eye(len(names))[codes]
