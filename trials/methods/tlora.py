"""TLoRA: three matrices of which only the small middle one trains (Islam 2025, arXiv:2504.18735).

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trials.catalogue import hyper, register
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import normal, ones, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters


@register("tlora")
@dataclass(frozen=True, kw_only=True)
class TLoRA(Method):
    """`Δh = s · x A B C`: A and C fixed and random, B and the scalar s of each map trained.

    There is no α/r. The paper drops half of the update's output while training.
    `learn_scale: false` keeps s at 1, which shows what the trained scalar is worth.
    """

    source = "Islam 2025, arXiv:2504.18735"
    equation = "ΔW = s · Cᵀ Bᵀ Aᵀ"

    rank: int = hyper(32, low=1, help="width of the trained middle matrix")
    dropout: float = hyper(0.5, low=0.0, high=0.99, help="dropout on the update's output")
    learn_scale: bool = hyper(True, later=True, help="whether the scalar of each map trains")

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """The standard deviations of the authors' code, independent of memory layout."""
        rank = self.rank
        right = normal(rank, site.inputs, std=math.sqrt(1 / (3 * rank)), generator=generator)
        left = normal(
            site.outputs, rank, std=math.sqrt(1 / (3 * site.outputs)), generator=generator
        )
        return {"a": right, "b": zeros(rank, rank), "c": left, "scale": ones(1, 1)}

    def update(self, p: Parameters) -> Update:
        """Left Cᵀ (S, O, R), core Bᵀ (S, R, R), right Aᵀ (S, R, I), trained scale (S, 1, 1)."""
        return Update(left=p["c"], core=p["b"], right=p["a"], scale=p["scale"])

    def frozen(self) -> frozenset[str]:
        """A and C keep their random values, and the scalar its 1 where it is not learned."""
        return frozenset({"a", "c"} if self.learn_scale else {"a", "c", "scale"})

    def output_dropout(self) -> float:
        """After the update, before it is added (section 2.2)."""
        return self.dropout

    def num_parameters(self, site: Site) -> int:
        """r² + 1, whatever the widths; r² where the scalar is not learned."""
        return self.rank**2 + int(self.learn_scale)
