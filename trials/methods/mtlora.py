"""MTLoRA: LoRA with a trained r × r transformation between its factors (arXiv:2403.07440).

Four structures of the transformation T (Neural Networks 199:108642, 2026):

    SHIM  T = C         spatial harmonic integration matrix
    ICFM  T = C Cᵀ      intrinsic correlation feature matrix
    CTCM  T = C D       composite transformation coupling matrix
    DTSM  T = C + D     dual transformation superposition matrix

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trials.catalogue import hyper, register
from trials.methods.base import Method, Site, Update, in_blocks
from trials.methods.initialisers import eye, kaiming_uniform, normal, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters

_TWO_FACTORS = ("ctcm", "dtsm")
_PRODUCTS = ("icfm", "ctcm")


@register("mtlora")
@dataclass(frozen=True, kw_only=True)
class MTLoRA(Method):
    """`ΔW = α/r · B T A`; A, B and the factors of T are all trained.

    On slices of one fused map (GPT-2's query, key and value) `fused: full` is the authors' stepwise
    convolution: with n slices A is (n r) × in, T is (n r) × (n r) and mixes them, and each slice
    has its own r columns of B. `fused: block` keeps them apart: each has its own r × r T.

    `initial: kaiming` draws C and D as the authors' language-understanding code does;
    `initial: identity` starts at T = I, their later advice (DTSM: C = D = I/2).
    `initial: zero_core` is that of their vision code: C = D = 0, A and B from N(0, 0.02²). SHIM
    and DTSM train from there; ICFM and CTCM never would and are refused.
    """

    source = "MTLoRA 2024, arXiv:2403.07440"
    equation = "ΔW = α/r · B T A; T = C (shim), C Cᵀ (icfm), C D (ctcm), C + D (dtsm)"

    structure: str = hyper("shim", choices=("shim", "icfm", "ctcm", "dtsm"), help="form of T")
    rank: int = hyper(8, low=1, help="inner dimension r")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / rank")
    initial: str = hyper(
        "kaiming", choices=("kaiming", "identity", "zero_core"), help="start of T's factors"
    )
    fused: str = hyper(
        "full", choices=("full", "block"), later=True, help="whether T mixes slices of one map"
    )

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """A product of two zero factors stays zero."""
        structure = hyperparameters["structure"]
        if hyperparameters["initial"] != "zero_core" or structure not in _PRODUCTS:
            return None
        return (
            f"initial zero_core: {structure} would never train, for its T is a product of two zero "
            "factors: their gradients have the other one as a factor, and those of A and B have T; "
            "shim and dtsm train from there"
        )

    @property
    def fuses(self) -> bool:  # type: ignore[override]
        """One T for all slices of a map."""
        return self.fused == "full"

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """B starts at zero, or T does, so step 0 is exactly the backbone."""
        width = site.slices * self.rank
        if self.initial == "zero_core":
            right = normal(width, site.inputs, std=0.02, generator=generator)
            left = normal(site.outputs, self.rank, std=0.02, generator=generator)
        else:
            right = kaiming_uniform(width, site.inputs, generator=generator)
            left = zeros(site.outputs, self.rank)
        values = {"a": right, "b": left}
        for factor in ("c", "d") if self.structure in _TWO_FACTORS else ("c",):
            values[factor] = self._factor(width, generator)
        return values

    def _factor(self, width: int, generator: Generator) -> Tensor:
        if self.initial == "kaiming":
            return kaiming_uniform(width, width, generator=generator)
        if self.initial == "zero_core":
            return zeros(width, width)
        return eye(width) * (0.5 if self.structure == "dtsm" else 1.0)

    def transformation(self, p: Parameters) -> Tensor:
        """T from its factors, (S, R, R)."""
        if self.structure == "icfm":
            return p["c"] @ p["c"].mT
        if self.structure == "ctcm":
            return p["c"] @ p["d"]
        return p["c"] + p["d"] if self.structure == "dtsm" else p["c"]

    def update(self, p: Parameters) -> Update:
        """Left B (S, O, R), core T (S, R, R), right A (S, R, I); of n slices R is n r.

        The scale stays α/r, and B lies in blocks, one for each slice.
        """
        num_slices = p["a"].shape[-2] // self.rank
        return Update(
            left=in_blocks(p["b"], num_slices),
            core=self.transformation(p),
            right=p["a"],
            scale=self.alpha / self.rank,
        )

    def num_parameters(self, site: Site) -> int:
        """n r in + r out + m (n r)², m = 1 for SHIM and ICFM, 2 for CTCM and DTSM; n slices."""
        factors = 2 if self.structure in _TWO_FACTORS else 1
        width = site.slices * self.rank
        return width * site.inputs + self.rank * site.outputs + factors * width**2
