"""What methods share that spread a budget of ranks over sites: growth, its limits, orthogonality.

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trials.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor


class Growing(Method):
    """A method whose sites grow within a budget; space for the largest rank is allocated once.

    A subclass has the hyperparameters `rank` (the budget of a site), `initial_rank`, `max_rank`,
    `add_rank`, `overshoot` and `restart`.
    """

    rank: int
    max_rank: int | None
    add_rank: int | None
    overshoot: bool
    restart: bool

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """The start must lie within the budget, the budget within the cap."""
        rank, start = hyperparameters["rank"], hyperparameters["initial_rank"]
        cap = hyperparameters["max_rank"]
        if start > rank:
            return f"initial_rank {start} must be at most rank {rank}, the budget of a site"
        if cap is not None and cap < rank:
            return f"max_rank {cap} must be at least rank {rank}, the budget of a site"
        return None

    @property
    def cap(self) -> int:
        """The largest rank of one site."""
        return self.max_rank if self.max_rank is not None else 4 * self.rank

    @property
    def growth(self) -> int:
        """Ranks that a site gains at once; half the budget, as in the authors' tables."""
        return self.add_rank or max(1, self.rank // 2)

    def restarts(self) -> bool:
        """As the study says."""
        return self.restart

    def granted(self, remaining: int, num_sites: int) -> int:
        """Ranks that one round may give: what the budget has left, or whatever its sites ask for.

        Args:
            remaining: ranks still to give over all sites.
            num_sites: number of sites.
        """
        return self.growth * num_sites if self.overshoot else remaining


def grow(
    ranks: Sequence[int], scores: Sequence[float], k: int, *, add: int, budget: int, cap: int
) -> list[int]:
    """New ranks after one round: every site that scores at least the k-th best grows.

    Args:
        ranks, scores: (sites,) current ranks, and how much each site has moved.
        k: number of sites that set the threshold.
        add: ranks that a site gains.
        budget: ranks that may be given in all; the best scores are served first.
        cap: largest rank of a site.
    """
    threshold = sorted(scores, reverse=True)[k - 1]
    grown = list(ranks)
    for site in sorted(range(len(ranks)), key=lambda s: (-scores[s], s)):
        if scores[site] >= threshold:
            gain = max(0, min(add, budget, cap - grown[site]))
            grown[site] += gain
            budget -= gain
    return grown


def deviation(
    left: Tensor, right: Tensor, within: Tensor | None = None, *, power: int = 1
) -> Tensor:
    """How far the factors of S sites are from orthogonal: the mean of ‖AAᵀ-I‖ and ‖BᵀB-I‖, (S,).

    Args:
        left: B, (S, O, R).
        right: A, (S, R, I).
        within: (S, R) booleans: the ranks that count; None for all.
        power: of each norm.
    """
    import torch

    if within is None:
        identity = torch.eye(right.shape[-2], device=right.device, dtype=right.dtype)
    else:
        right, left = right * within[:, :, None], left * within[:, None, :]
        identity = torch.diag_embed(within.to(right.dtype))
    norms: list[Tensor] = [
        torch.linalg.matrix_norm(product - identity)
        for product in (right @ right.mT, left.mT @ left)
    ]
    return (norms[0] ** power + norms[1] ** power) / 2
