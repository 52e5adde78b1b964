"""BitFit: only the biases train (Ben Zaken et al. 2022, arXiv:2106.10199).

What is trained is the change of each bias, which starts at zero: the same updates as of the bias
itself, but for weight decay, which biases are spared.

Shapes: S sites, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trials.catalogue import hyper, register
from trials.errors import UserError
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters


@register("bitfit")
@dataclass(frozen=True, kw_only=True)
class BitFit(Method):
    """A change of every bias that the backbone's linear maps and layer norms have.

    `biases: query_and_intermediate` trains those of the query and of the first map of the
    feed-forward block alone, which the paper finds to do most of the work (section 4).
    Where biases are does not depend on the targets. Those of convolutions stay as they are.
    """

    source = "Ben Zaken et al. 2022, arXiv:2106.10199"
    equation = "y ← y + b"
    chooses_sites: ClassVar[bool] = True
    drops_input: ClassVar[bool] = False
    exports: ClassVar[bool] = False

    biases: str = hyper("all", choices=("all", "query_and_intermediate"), help="which biases train")

    def sites(self, targeted: Sequence[Site], body: Sequence[Site]) -> Sequence[Site]:
        """Whatever has a bias."""
        of = None if self.biases == "all" else ("query", "intermediate")
        found = [site for site in body if site.has_bias and (of is None or site.target in of)]
        if not found:
            raise UserError(f"method '{self.name}' trains biases, and this backbone has none")
        return found

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """Zero: step 0 is the backbone."""
        return {"bias": zeros(site.outputs)}

    def update(self, p: Parameters) -> Update:
        """A bias (S, O) alone."""
        return Update.of_bias(p["bias"])

    def num_parameters(self, site: Site) -> int:
        """One for each output."""
        return site.outputs
