"""Does one factor's effect depend on another, or on the task?

A main effect (rank 8 beats rank 4) means little where it holds for one structure only.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ablate.stats.cells import Cell, Cells
from ablate.stats.finding import Finding
from ablate.stats.multiplicity import holm
from ablate.stats.status import Array, Status

FAMILY = "interactions"


@dataclass(frozen=True)
class Interaction:
    """An F test of the interaction of two factors.

    Attributes:
        n: scores.
        f, df, df_residual: of the test; None where it cannot be made.
        p_value: small means that the effect of one factor depends on the other.
        partial_eta_squared: share of what is left by the main effects and blocks.
        status: see `ablate.stats.status`.
    """

    n: int
    f: float | None = None
    df: int | None = None
    df_residual: int | None = None
    p_value: float | None = None
    partial_eta_squared: float | None = None
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
        The Type II test, which here is the drop in squared residuals as the interaction enters
        last.

    Source: Fisher's factorial analysis; equal to statsmodels' `anova_lm(typ=2)`.
    """
    from scipy.special import fdtrc

    parts = [_dummies(levels) for levels in (block, first, second)]
    products = [a * b for a in parts[1].T[1:] for b in parts[2].T[1:]]
    main = np.column_stack([np.ones(scores.size), *(part[:, 1:] for part in parts)])
    full = np.column_stack([main, *products]) if products else main
    rss_main, rank_main = _residual(scores, main)
    rss_full, rank_full = _residual(scores, full)
    df, df_residual = rank_full - rank_main, scores.size - rank_full
    if df < 1 or df_residual < 1:
        return Interaction(scores.size)
    noise = 1e-20 * max(float((scores**2).sum()), 1e-300)
    if rss_full <= noise:
        same: Status = "degenerate_no_difference" if rss_main <= noise else (
            "degenerate_zero_variance")  # fmt: skip
        return Interaction(scores.size, df=df, df_residual=df_residual, status=same)
    gain = max(rss_main - rss_full, 0.0)
    f = (gain / df) / (rss_full / df_residual)
    return Interaction(scores.size, f, df, df_residual, float(fdtrc(df, df_residual, f)),
                       gain / rss_main, "ok")  # fmt: skip


def interactions(cells: Cells, *, level: float) -> tuple[Finding, ...]:
    """Every pair of factors with the task, and of factors within a task, that the table can test.

    Within a task a pair is tested inside each method in which both factors vary. All are
    exploratory and adjusted together by Holm's method.
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
    adjusted = holm([finding.p_value for finding in found])
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
            effect_size=result.partial_eta_squared,
            effect_size_kind="partial_eta_squared",
            status=result.status,
            details={"backbone": one.backbone, "factors": [first, second], "f": result.f,
                     "df": result.df, "df_residual": result.df_residual,
                     "late": any(cell.late for cell in used)},
        )
    ]  # fmt: skip


def _level(cell: Cell, name: str) -> Any:
    return {"task": cell.task, "method": cell.method}.get(name, cell.factors.get(name))


def _varies(cells: Sequence[Cell], name: str) -> bool:
    return len({str(v) for c in cells if (v := _level(c, name)) is not None}) > 1


def _dummies(levels: Sequence[Hashable]) -> Array:
    """(n, levels) indicator columns, in order of appearance."""
    order = {level: i for i, level in enumerate(dict.fromkeys(levels))}
    return np.eye(len(order))[[order[level] for level in levels]]


def _residual(scores: Array, design: Array) -> tuple[float, int]:
    solution, _, rank, _ = np.linalg.lstsq(design, scores, rcond=None)
    return float(((scores - design @ solution) ** 2).sum()), int(rank)
