"""LoRA: a frozen weight plus a trained low-rank update (Hu et al. 2021, arXiv:2106.09685, eq. 3).

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trials.catalogue import hyper, register
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import kaiming_uniform, normal, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters


@register("lora")
@dataclass(frozen=True, kw_only=True)
class LoRA(Method):
    """`ΔW = α/r · B A`; B starts at zero.

    A starts Kaiming-uniform as in the authors' code. The paper draws it from a Gaussian of a width
    that it does not give; `start: gaussian` takes N(0, 1/r²), as the `peft` library does. α is 16
    as in the authors' scripts; table 9 of the paper has 8 for RoBERTa-base.
    """

    source = "Hu et al. 2021, arXiv:2106.09685"
    equation = "ΔW = α/r · B A"

    rank: int = hyper(8, low=1, help="inner dimension r")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / rank")
    start: str = hyper("kaiming", choices=("kaiming", "gaussian"), later=True, help="how A starts")

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """B starts at zero, so step 0 is exactly the backbone."""
        shape = (self.rank, site.inputs)
        if self.start == "kaiming":
            right = kaiming_uniform(*shape, generator=generator)
        else:
            right = normal(*shape, std=1 / self.rank, generator=generator)
        return {"a": right, "b": zeros(site.outputs, self.rank)}

    def update(self, p: Parameters) -> Update:
        """Left B (S, O, R), right A (S, R, I)."""
        return Update(left=p["b"], core=None, right=p["a"], scale=self.alpha / self.rank)

    def num_parameters(self, site: Site) -> int:
        """r (in + out)."""
        return self.rank * (site.inputs + site.outputs)
