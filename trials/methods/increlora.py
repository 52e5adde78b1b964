"""IncreLoRA: ranks go where the update matters most (Zhang et al. 2023, arXiv:2308.12043).

`ΔW = α/r · B diag(e) A`, r the site's current rank. A site grows by taking in a reserve of ranks
that it holds already; with advance learning the reserve's A and B train beforehand, at a small
fixed e.

Space for `max_rank` and a reserve is allocated once, as in TriAdaptLoRA: what is not yet there is
masked, gets no gradient, and its values are already those that growth would draw. What is new has
its own warm-up and decay of the learning rate (the authors' restart), which is the engine's way
with everything that is born late.

Shapes: S sites, I inputs, O outputs, R the largest rank that is allowed plus a reserve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trials.catalogue import hyper, register
from trials.methods.base import Site, Update
from trials.methods.budget import Growing, deviation, grow
from trials.methods.initialisers import normal, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters

_EPS = 1e-5
_RESERVED = 1e-5
"""The fixed e of a reserve that learns in advance."""


@register("increlora")
@dataclass(frozen=True, kw_only=True)
class IncreLoRA(Growing):
    """Grow the `top_k` sites of the best scores at every `interval` steps after `warmup`.

    The importance of a site at a step is Σ |ΔW ∘ ∂L/∂ΔW| / √(its elements), ΔW with its reserve.
    Its running mean (β₁) times the running mean of its distance from that mean (β₂) is the score;
    ties grow too. ∂L/∂ΔW is dense: the engine makes it for this method, at the cost of one product
    of the weight's shape for each site, and of holding it for the length of a step.

    Unlike the authors' code, growth is cut to `max_rank` at one site and, unless it may
    `overshoot`, to the remaining budget (`rank` times the number of sites), and reserves leave the
    penalty too when the budget is spent.
    """

    source = "Zhang et al. 2023, arXiv:2308.12043"
    equation = "ΔW = α/r · B diag(e) A, r the current rank of a site"
    reads_dense_gradient: ClassVar[bool] = True

    rank: int = hyper(8, low=1, help="budget: the mean rank of a site at the end")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / current rank")
    top_k: int = hyper(3, low=1, help="sites that grow at once")
    advance: bool = hyper(True, help="whether the reserve's A and B train before it is taken in")
    initial_rank: int = hyper(1, low=1, help="rank of every site at the start")
    max_rank: int | None = hyper(None, low=1, help="largest rank of a site; null: 4 × rank")
    add_rank: int | None = hyper(None, low=1, help="ranks a site gains at once; null: rank / 2")
    warmup: float = hyper(0.1, low=0.0, high=0.99, help="share of training before any growth")
    interval: int = hyper(10, low=1, help="steps between two rounds of growth")
    beta1: float = hyper(0.85, low=0.0, high=0.9999, help="memory of the mean importance")
    beta2: float = hyper(0.85, low=0.0, high=0.9999, help="memory of the importance's spread")
    orthogonality: float = hyper(0.1, low=0.0, help="weight of ‖AAᵀ-I‖ + ‖BᵀB-I‖")
    overshoot: bool = hyper(
        False, later=True, help="whether the last round may pass the budget, as the authors' does"
    )
    restart: bool = hyper(
        True, later=True, help="whether what is new has its own warm-up, or the running rate"
    )

    @property
    def starts_at_backbone(self) -> bool:  # type: ignore[override]
        """A reserve that learns in advance moves the network by 1e-5 of an update."""
        return not self.advance

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """A and B from N(0, 0.02²); e at zero, in advance learning at 1e-5 beyond the start."""
        import torch

        size = self.cap + self.growth
        right = normal(size, site.inputs, std=0.02, generator=generator)
        values = zeros(size)
        if self.advance:
            values[self.initial_rank :] = _RESERVED
        left = normal(site.outputs, size, std=0.02, generator=generator)
        return {
            "a": right, "e": values, "b": left,
            "ranks": torch.tensor(float(self.initial_rank)),
            "reserve": torch.tensor(float(self.growth)),
            "importance": torch.tensor(0.0), "spread": torch.tensor(0.0),
        }  # fmt: skip

    def update(self, p: Parameters) -> Update:
        """Left B diag(e) (S, O, R), right A (S, R, I), scale of the current rank (S, 1, 1)."""
        within = self._below(p["ranks"] + p["reserve"])
        left = p["b"] * (p["e"] * within)[:, None, :]
        scale = self.alpha / (p["ranks"] + _EPS)
        return Update(left=left, core=None, right=p["a"], scale=scale[:, None, None])

    def _below(self, ranks: Tensor) -> Tensor:
        """(S, R) booleans: the first so many."""
        import torch

        return torch.arange(self.cap + self.growth, device=ranks.device) < ranks[:, None]

    def buffers(self) -> frozenset[str]:
        """Current rank and reserve of each site, and the running means of its importance."""
        return frozenset({"ranks", "reserve", "importance", "spread"})

    def alive(self, p: Parameters) -> Mapping[str, Tensor]:
        """Up to the current rank, and A and B of a reserve that learns in advance."""
        within = self._below(p["ranks"])
        trained = self._below(p["ranks"] + p["reserve"]) if self.advance else within
        return {"a": trained[:, :, None], "b": trained[:, None, :], "e": within}

    def counted(self, p: Parameters) -> Mapping[str, Tensor]:
        """Up to the current rank; the budget does not know the reserves."""
        within = self._below(p["ranks"])
        return {"a": within[:, :, None], "b": within[:, None, :], "e": within}

    def penalty(self, p: Parameters) -> Tensor | None:
        """`orthogonality` times the mean of both deviations, reserves included, (S,)."""
        if self.orthogonality == 0:
            return None
        within = self._below(p["ranks"] + p["reserve"])
        return self.orthogonality * deviation(p["b"], p["a"], within)

    def before_step(
        self,
        groups: Sequence[Parameters],
        gradients: Sequence[Parameters],
        step: int,
        num_steps: int,
    ) -> None:
        """Take the step's importance of each site into the running means."""
        for p, gradient in zip(groups, gradients, strict=True):
            delta = self.update(p).delta()
            total = (delta * gradient["delta"]).abs().sum((-2, -1))
            importance = total / math.sqrt(delta[0].numel())
            p["importance"].mul_(self.beta1).add_(importance, alpha=1 - self.beta1)
            distance = (importance - p["importance"]).abs()
            p["spread"].mul_(self.beta2).add_(distance, alpha=1 - self.beta2)

    def after_step(self, groups: Sequence[Parameters], step: int, num_steps: int) -> None:
        """One round of growth where the schedule has one; reserves go when the budget is spent."""
        if step <= int(self.warmup * num_steps) or step % self.interval:
            return
        ranks = [rank for p in groups for rank in p["ranks"].int().tolist()]
        remaining = self.rank * len(ranks) - sum(ranks)
        if remaining <= 0:
            return
        scores = [score for p in groups for score in (p["importance"] * p["spread"]).tolist()]
        k = min(self.top_k, remaining, len(ranks))
        budget = self.granted(remaining, len(ranks))
        grown = grow(ranks, scores, k, add=self.growth, budget=budget, cap=self.cap)
        new = iter(grown)
        for p in groups:
            p["ranks"].copy_(p["ranks"].new_tensor([next(new) for _ in range(len(p["ranks"]))]))
            if sum(grown) >= self.rank * len(ranks):
                p["reserve"].zero_()

    def curves(self, groups: Sequence[Parameters]) -> Mapping[str, float]:
        """The total rank, without reserves."""
        return {"total_rank": float(sum(p["ranks"].sum().item() for p in groups))}

    def num_parameters(self, site: Site) -> int:
        """r (in + out + 1), with the budget spread evenly."""
        return self.rank * (site.inputs + site.outputs + 1)
