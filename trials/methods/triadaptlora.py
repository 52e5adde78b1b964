"""TriAdaptLoRA: a triangular core whose rank grows where it moves (arXiv:2501.08008).

`ΔW = α/r · B (L + U) A`, L lower and U upper triangular, both with the diagonal. Growing by one
rank appends a row to L, a column to U, a row to A and a column to B and touches nothing else.

Space for `max_rank` is allocated once; what is not yet grown is masked, gets no gradient, and its
values are already those that growth would draw. So growth moves no memory, and trials that grow
can share a pack.

Shapes: S sites, I inputs, O outputs, R the largest rank that is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trials.catalogue import hyper, register
from trials.methods.base import Site, Update
from trials.methods.budget import Growing, deviation, grow
from trials.methods.initialisers import eye, normal, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters

_EPS = 1e-5
_DEAD = ("cb0", "abc0")


@register("triadaptlora")
@dataclass(frozen=True, kw_only=True)
class TriAdaptLoRA(Growing):
    """Grow the sites whose normalised Frobenius norm of L + U rose most.

    At every `interval` steps after `warmup`, with m the share of training done since then and G
    the ranks still to give, k sites grow: `linear` k = int(G m), `nonlinear` k = int(G^m),
    `fixed` k = `top_k`, always between 1 and the number of sites; ties grow too. Growth is cut
    to `max_rank` at one site and, unless it may `overshoot`, to the remaining budget (`rank` times
    the number of sites).

    `start` names the variants of the authors' code. Whatever is not said to be zero comes from
    N(0, 0.02²), at the start and at growth:

    - `single`: B is zero in the first block; what grows later has none that is zero;
    - `c0`: L and U are zero, B is not;
    - `eye`: L = U = I, B is zero (their fixed scale of 2 in place of α/r is not followed);
    - `cb0`, `abc0`: L, U and B are zero (and A, where it grows). They would never train and are
      refused.
    """

    source = "TriAdaptLoRA 2025, arXiv:2501.08008"
    equation = "ΔW = α/r · B (L + U) A, r the current rank of a site"

    rank: int = hyper(8, low=1, help="budget: the mean rank of a site at the end")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / current rank")
    threshold: str = hyper(
        "linear", choices=("linear", "nonlinear", "fixed"), help="how many sites grow at once"
    )
    top_k: int = hyper(1, low=1, help="sites that grow at once when the threshold is fixed")
    initial_rank: int = hyper(1, low=1, help="rank of every site at the start")
    max_rank: int | None = hyper(None, low=1, help="largest rank of a site; null: 4 × rank")
    add_rank: int | None = hyper(None, low=1, help="ranks a site gains at once; null: rank / 2")
    warmup: float = hyper(0.0, low=0.0, high=0.99, help="share of training before any growth")
    interval: int = hyper(1, low=1, help="steps between two rounds of growth")
    score: str = hyper(
        "normalised", choices=("normalised", "squared"), help="change of ‖L+U‖/r, or of ‖L+U‖²"
    )
    orthogonality: float = hyper(0.0, low=0.0, help="weight of ‖AAᵀ-I‖ + ‖BᵀB-I‖")
    start: str = hyper(
        "single", choices=("single", "c0", "eye", *_DEAD), later=True, help="how the factors start"
    )
    overshoot: bool = hyper(
        False, later=True, help="whether the last round may pass the budget, as the authors' does"
    )
    restart: bool = hyper(
        True, later=True, help="whether what is new has its own warm-up, or the running rate"
    )

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """Besides the budget: two zero factors stay zero."""
        if (start := hyperparameters["start"]) in _DEAD:
            return (
                f"start {start} would never train: L + U and B both start at zero, so the "
                "gradient of each of A, B, L and U has a zero factor, at the start and after growth"
            )
        return super().invalid(hyperparameters)

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """N(0, 0.02²), but B at zero in the first block, so that step 0 is the backbone.

        Or B at zero throughout, or L + U, as `start` says.
        """
        import torch

        cap, first = self.cap, self.initial_rank
        right = normal(cap, site.inputs, std=0.02, generator=generator)
        lower = normal(cap, cap, std=0.02, generator=generator).tril()
        upper = normal(cap, cap, std=0.02, generator=generator).triu()
        left = normal(site.outputs, cap, std=0.02, generator=generator)
        if self.start == "single":
            left[:, :first] = 0
        else:
            lower, upper = (eye(cap) if self.start == "eye" else zeros(cap, cap) for _ in "LU")
        if self.start in ("eye", *_DEAD):
            left.zero_()
        if self.start == "abc0":
            right[first:] = 0
        score = self._norm(lower[:first, :first] + upper[:first, :first], torch.tensor(first))
        return {
            "a": right, "lower": lower, "upper": upper, "b": left,
            "ranks": torch.tensor(float(first)), "previous": score,
        }  # fmt: skip

    def update(self, p: Parameters) -> Update:
        """Left B (S, O, R), core L + U within the current rank (S, R, R), right A (S, R, I)."""
        scale = self.alpha / (p["ranks"] + _EPS)
        return Update(left=p["b"], core=self._core(p), right=p["a"], scale=scale[:, None, None])

    def _core(self, p: Parameters) -> Tensor:
        # What lies outside its triangle is 0 and stays so: it may not add to the gradient's norm.
        within = self._within(p)
        core = p["lower"].tril() + p["upper"].triu()
        return core * (within[:, :, None] & within[:, None, :])

    def _within(self, p: Parameters) -> Tensor:
        """(S, R) booleans: the ranks that have grown."""
        import torch

        return torch.arange(self.cap, device=p["ranks"].device) < p["ranks"][:, None]

    def buffers(self) -> frozenset[str]:
        """The current rank of each site, and its norm at the last round of growth."""
        return frozenset({"ranks", "previous"})

    def alive(self, p: Parameters) -> Mapping[str, Tensor]:
        """Rows and columns up to the current rank; of L and U, their triangles."""
        within = self._within(p)
        square = within[:, :, None] & within[:, None, :]
        return {
            "a": within[:, :, None].expand_as(p["a"]),
            "b": within[:, None, :].expand_as(p["b"]),
            "lower": square.tril(),
            "upper": square.triu(),
        }

    def penalty(self, p: Parameters) -> Tensor | None:
        """`orthogonality` times the mean of both deviations from orthogonal factors, (S,)."""
        if self.orthogonality == 0:
            return None
        return self.orthogonality * deviation(p["b"], p["a"], self._within(p))

    def _norm(self, core: Tensor, ranks: Tensor) -> Tensor:
        norm = core.square().sum((-2, -1))
        return norm if self.score == "squared" else norm.sqrt() / ranks

    def num_growing(self, done: float, remaining: int, num_sites: int) -> int:
        """k, the number of sites that grow in one round.

        Args:
            done: share of training done since the warm-up, in [0, 1].
            remaining: ranks still to give over all sites, at least 1.
            num_sites: number of sites.
        """
        if self.threshold == "linear":
            k = int(remaining * done)
        elif self.threshold == "nonlinear":
            k = int(math.exp(done * math.log(remaining)))
        else:
            k = self.top_k
        return min(max(k, 1), num_sites)

    def after_step(self, groups: Sequence[Parameters], step: int, num_steps: int) -> None:
        """One round of growth where the schedule has one."""
        start = int(self.warmup * num_steps)
        if step <= start or step % self.interval:
            return
        ranks = [rank for p in groups for rank in p["ranks"].int().tolist()]
        remaining = self.rank * len(ranks) - sum(ranks)
        if remaining <= 0:
            return
        norms = [self._norm(self._core(p).detach(), p["ranks"]) for p in groups]
        scores = [
            score
            for p, norm in zip(groups, norms, strict=True)
            for score in (norm - p["previous"]).tolist()
        ]
        done = (step - start) / (num_steps - start)
        k = self.num_growing(done, remaining, len(ranks))
        budget = self.granted(remaining, len(ranks))
        grown = iter(grow(ranks, scores, k, add=self.growth, budget=budget, cap=self.cap))
        for p, norm in zip(groups, norms, strict=True):
            p["previous"].copy_(norm)
            p["ranks"].copy_(p["ranks"].new_tensor([next(grown) for _ in range(len(norm))]))

    def curves(self, groups: Sequence[Parameters]) -> Mapping[str, float]:
        """The total rank."""
        return {"total_rank": float(sum(p["ranks"].sum().item() for p in groups))}

    def num_parameters(self, site: Site) -> int:
        """r (in + out) + r (r + 1), at an even growth to the budget."""
        return self.rank * (site.inputs + site.outputs) + self.rank * (self.rank + 1)
