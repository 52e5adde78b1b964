"""VeRA: two vectors train for each site, around random matrices that all sites share.

Kopiczko et al. 2023, arXiv:2310.11454, equation 2.

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trials.catalogue import hyper, register
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import kaiming_uniform, ones, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters


@register("vera")
@dataclass(frozen=True, kw_only=True)
class VeRA(Method):
    """`ΔW x = λ_b ∘ (B (λ_d ∘ (A x)))`: A and B fixed and random, λ_b and λ_d of each site trained.

    There is no α/r. Sites of unequal shapes share one A and one B as well: both are drawn as wide
    as the widest site asks for, and a narrower site uses the first columns of A and rows of B.
    """

    source = "Kopiczko et al. 2023, arXiv:2310.11454"
    equation = "ΔW = diag(λ_b) B diag(λ_d) A"

    rank: int = hyper(256, low=1, help="inner dimension r")
    d_initial: float = hyper(0.1, help="every element of λ_d at the start")

    def shared(self, sites: Sequence[Site], generator: Generator) -> dict[str, Tensor]:
        """A and B of the largest shape, Kaiming-uniform in ±√(6 / fan_in)."""
        inputs = max(site.inputs for site in sites)
        outputs = max(site.outputs for site in sites)
        return {
            "a": kaiming_uniform(self.rank, inputs, a=0.0, generator=generator),
            "b": kaiming_uniform(outputs, self.rank, a=0.0, generator=generator),
        }

    def shared_at(self, site: Site, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The first columns of A and rows of B, as many as the site has."""
        return {"a": shared["a"][:, : site.inputs], "b": shared["b"][: site.outputs]}

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """λ_b is zero, so that step 0 is the backbone."""
        return {"lambda_d": ones(self.rank) * self.d_initial, "lambda_b": zeros(site.outputs)}

    def update(self, p: Parameters) -> Update:
        """Left diag(λ_b) B diag(λ_d) (S, O, R), right A (1, R, I).

        λ_b in front of B costs less than behind it: what a step keeps for λ_b's gradient is then
        as large as B, and not as the map's output.
        """
        left = p["lambda_b"][:, :, None] * p["b"] * p["lambda_d"][:, None, :]
        return Update(left=left, core=None, right=p["a"], scale=1.0)

    def num_parameters(self, site: Site) -> int:
        """out + r."""
        return site.outputs + self.rank
