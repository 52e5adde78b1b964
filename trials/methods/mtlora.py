"""MTLoRA: LoRA with a trained r × r transformation between its factors (arXiv:2403.07440).

Four structures of the transformation T (Neural Networks 199:108642, 2026):

    SHIM  T = C         spatial harmonic integration matrix
    ICFM  T = C Cᵀ      intrinsic correlation feature matrix
    CTCM  T = C D       composite transformation coupling matrix
    DTSM  T = C + D     dual transformation superposition matrix

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trials.catalogue import hyper, register
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import eye, kaiming_uniform, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters

_TWO_FACTORS = ("ctcm", "dtsm")


@register("mtlora")
@dataclass(frozen=True, kw_only=True)
class MTLoRA(Method):
    """`ΔW = α/r · B T A`; A, B and the factors of T are all trained.

    `init: kaiming` draws C and D as the authors' language-understanding code does;
    `init: identity` starts at T = I, their later advice (DTSM: C = D = I/2). Zero factors of T,
    as in their vision code, are not offered: ICFM and CTCM would have no gradient at all.
    """

    source = "MTLoRA 2024, arXiv:2403.07440"

    structure: str = hyper("shim", choices=("shim", "icfm", "ctcm", "dtsm"), help="form of T")
    rank: int = hyper(8, low=1, help="inner dimension r")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / rank")
    initial: str = hyper("kaiming", choices=("kaiming", "identity"), help="start of T's factors")

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """B starts at zero, so step 0 is exactly the backbone."""
        rank = self.rank
        values = {
            "a": kaiming_uniform(rank, site.inputs, generator=generator),
            "b": zeros(site.outputs, rank),
        }
        for factor in ("c", "d") if self.structure in _TWO_FACTORS else ("c",):
            values[factor] = self._factor(generator)
        return values

    def _factor(self, generator: Generator) -> Tensor:
        if self.initial == "kaiming":
            return kaiming_uniform(self.rank, self.rank, generator=generator)
        return eye(self.rank) * (0.5 if self.structure == "dtsm" else 1.0)

    def transformation(self, p: Parameters) -> Tensor:
        """T from its factors, (S, R, R)."""
        if self.structure == "icfm":
            return p["c"] @ p["c"].mT
        if self.structure == "ctcm":
            return p["c"] @ p["d"]
        return p["c"] + p["d"] if self.structure == "dtsm" else p["c"]

    def update(self, p: Parameters) -> Update:
        """Left B (S, O, R), core T (S, R, R), right A (S, R, I)."""
        return Update(
            left=p["b"], core=self.transformation(p), right=p["a"], scale=self.alpha / self.rank
        )

    def num_parameters(self, site: Site) -> int:
        """r (in + out) + m r², m = 1 for SHIM and ICFM, 2 for CTCM and DTSM."""
        factors = 2 if self.structure in _TWO_FACTORS else 1
        return self.rank * (site.inputs + site.outputs) + factors * self.rank**2
