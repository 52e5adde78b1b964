"""AdaLoRA: triplets compete for a falling budget (Zhang et al. 2023, arXiv:2303.10512).

`ΔW = α/r₀ · P diag(λ) Q`. A triplet is a column of P, its λ and a row of Q; r₀ is the rank that
every site starts with. Pruning sets λ to zero and leaves the triplet in training: it may grow
again, and outlive another at the next round.

Where paper and authors' code differ the code is followed: the cubic schedule counts from the end
of the warm-up, and the distance from orthogonal factors is a norm, not its square.

Shapes: S sites, I inputs, O outputs, R rank at the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trials.catalogue import hyper, register
from trials.methods.base import Method, Site, Update
from trials.methods.budget import deviation
from trials.methods.initialisers import normal, ones, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters

_EPS = 1e-5
_TRAINED = ("q", "lambda", "p")


@register("adalora")
@dataclass(frozen=True, kw_only=True)
class AdaLoRA(Method):
    """Keep the triplets of all sites that matter most.

    The importance of one number is |w · ∂L/∂w|, with the weight and the gradient of the same step
    (the penalty's and the limit on the norm included, as the optimiser sees them). The weight is
    that before the optimiser moves it, as in the paper's algorithm 1; the authors' loop, and that
    of the `peft` library, read it afterwards: `scored: after`. Its running
    mean (β₁), times the running mean of its distance from that mean (β₂), is its score; a
    triplet's is the score of λ plus the mean scores of its column of P and of its row of Q.

    The budget stays at the start's for the `warmup`, then falls with the third power of the time
    that is left until the `final` share of training, in which it is `rank` times the number of
    sites. Until then λ is masked at every `interval` steps, from then on at every step, by scores
    that no longer change.
    """

    source = "Zhang et al. 2023, arXiv:2303.10512"
    equation = "ΔW = α/r₀ · P diag(λ) Q, r₀ the rank at the start"

    rank: int = hyper(8, low=1, help="budget: the mean rank of a site at the end")
    initial_rank: int | None = hyper(None, low=1, help="rank at the start; null: 1.5 × rank")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / initial rank")
    warmup: float = hyper(0.1, low=0.0, high=0.99, help="share of training before any pruning")
    final: float = hyper(0.4, low=0.0, high=1.0, help="share of training at the final budget")
    interval: int = hyper(10, low=1, help="steps between two rounds of pruning")
    beta1: float = hyper(0.85, low=0.0, high=0.9999, help="memory of the mean importance")
    beta2: float = hyper(0.85, low=0.0, high=0.9999, help="memory of the importance's spread")
    orthogonality: float = hyper(0.1, low=0.0, help="weight of ‖PᵀP-I‖ + ‖QQᵀ-I‖")
    distance: str = hyper(
        "norm", choices=("norm", "squared"), later=True, help="whether those norms are squared"
    )
    scored: str = hyper(
        "before", choices=("before", "after"), later=True, help="the weights of w · ∂L/∂w"
    )

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """The budget must fall, and have time to."""
        rank, start = hyperparameters["rank"], hyperparameters["initial_rank"]
        if start is not None and start < rank:
            return f"initial_rank {start} must be at least rank {rank}, the budget of a site"
        warmup, final = hyperparameters["warmup"], hyperparameters["final"]
        if warmup + final > 1:
            return f"warmup {warmup} and final {final} are shares of one training: at most 1"
        return None

    @property
    def start(self) -> int:
        """The rank of every site at the start; half as much again as the budget (section 4)."""
        return self.initial_rank if self.initial_rank is not None else max(1, self.rank * 3 // 2)

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """P and Q from N(0, 0.02²), λ at zero, so that step 0 is the backbone."""
        size = self.start
        values = {
            "q": normal(size, site.inputs, std=0.02, generator=generator),
            "lambda": zeros(size),
            "p": normal(site.outputs, size, std=0.02, generator=generator),
        }
        state = {
            f"{name}_{kind}": zeros(*values[name].shape)
            for name in _TRAINED
            for kind in ("importance", "spread")
        }
        return {**values, **state, "kept": ones(size)}

    def update(self, p: Parameters) -> Update:
        """Left P diag(λ) (S, O, R), right Q (S, R, I)."""
        left = p["p"] * p["lambda"][:, None, :]
        return Update(left=left, core=None, right=p["q"], scale=self.alpha / (self.start + _EPS))

    def buffers(self) -> frozenset[str]:
        """The running means of each trained number, and which triplets the last round kept."""
        kinds = ("importance", "spread")
        return frozenset({f"{name}_{kind}" for name in _TRAINED for kind in kinds} | {"kept"})

    def counted(self, p: Parameters) -> Mapping[str, Tensor]:
        """The triplets that the last round kept."""
        kept = p["kept"] > 0
        return {"q": kept[:, :, None], "lambda": kept, "p": kept[:, None, :]}

    def penalty(self, p: Parameters) -> Tensor | None:
        """`orthogonality` times the mean of both deviations from orthogonal factors, (S,).

        The paper has the sum of the squares over all sites: `distance: squared` with a weight
        that is 2 × sites larger.
        """
        if self.orthogonality == 0:
            return None
        power = 2 if self.distance == "squared" else 1
        return self.orthogonality * deviation(p["p"], p["q"], power=power)

    def budget(self, step: int, num_steps: int, num_sites: int) -> tuple[int, bool]:
        """Triplets that may stay after a step, and whether those that may not are masked then.

        Args:
            step: optimiser steps done.
            num_steps: optimiser steps in all.
            num_sites: number of sites.
        """
        most, least = self.start * num_sites, self.rank * num_sites
        first, last = int(self.warmup * num_steps), self._last(num_steps)
        if step <= first:
            return most, False
        if step > last:
            return least, True
        left = 1 - (step - first) / (last - first)
        return int(least + (most - least) * left**3), step % self.interval == 0

    def _last(self, num_steps: int) -> int:
        """The step at which the budget has fallen to its end."""
        return num_steps - int(self.final * num_steps)

    def before_step(
        self,
        groups: Sequence[Parameters],
        gradients: Sequence[Parameters],
        step: int,
        num_steps: int,
    ) -> None:
        """Take the step's gradient into the running means, unless that comes after the step."""
        if self.scored == "before":
            self._take_in(groups, gradients, step, num_steps)

    def _take_in(
        self,
        groups: Sequence[Parameters],
        gradients: Sequence[Mapping[str, Tensor | None]],
        step: int,
        num_steps: int,
    ) -> None:
        if step >= self._last(num_steps):
            return
        for p, gradient in zip(groups, gradients, strict=True):
            for name in _TRAINED:
                mean, spread = p[f"{name}_importance"], p[f"{name}_spread"]
                of_name = gradient[name]
                assert of_name is not None, f"{name} has no gradient"
                importance = (p[name] * of_name).abs()
                mean.mul_(self.beta1).add_(importance, alpha=1 - self.beta1)
                distance = (importance - mean).abs()
                spread.mul_(self.beta2).add_(distance, alpha=1 - self.beta2)

    def scores(self, p: Parameters) -> Tensor:
        """The importance of each triplet, (S, R)."""
        q, value, left = (p[f"{name}_importance"] * p[f"{name}_spread"] for name in _TRAINED)
        return value + q.mean(-1) + left.mean(-2)

    def after_step(self, groups: Sequence[Parameters], step: int, num_steps: int) -> None:
        """Mask λ of the triplets beyond the budget; ties with the last of them go too."""
        import torch

        if self.scored == "after":
            gradients = [{name: p[name].grad for name in _TRAINED} for p in groups]
            self._take_in(groups, gradients, step, num_steps)
        budget, is_round = self.budget(step, num_steps, sum(len(p["kept"]) for p in groups))
        scores = [self.scores(p) for p in groups] if is_round else []
        pruned = sum(s.numel() for s in scores) - budget
        if pruned <= 0:
            return
        threshold = torch.cat([s.flatten() for s in scores]).kthvalue(pruned).values
        for p, of_group in zip(groups, scores, strict=True):
            p["kept"].copy_(of_group > threshold)
            p["lambda"].masked_fill_(of_group <= threshold, 0.0)

    def curves(self, groups: Sequence[Parameters]) -> Mapping[str, float]:
        """The triplets that the last round kept."""
        return {"total_rank": float(sum(p["kept"].sum().item() for p in groups))}

    def num_parameters(self, site: Site) -> int:
        """r (in + out + 1), with the budget spread evenly."""
        return self.rank * (site.inputs + site.outputs + 1)
