"""Bottleneck adapters (Houlsby et al. 2019, arXiv:1902.00751; Pfeiffer et al., arXiv:2005.00247).

`h ← h + U f(D h + c) + b` behind a map: down to a bottleneck, bent, up again.

Shapes: S sites, H hidden size, R bottleneck.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from trials.catalogue import hyper, register
from trials.errors import UserError
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import kaiming_uniform, zeros

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters


@register("adapter")
@dataclass(frozen=True, kw_only=True)
class Adapter(Method):
    """One or two adapters in each layer; where they stand does not depend on the targets.

    `houlsby`: behind the attention's output map and behind that of the feed-forward block, before
    what they give is added to the residual stream. Dropout on hidden states comes after them; the
    authors have it before.

    `pfeiffer`: one, of the feed-forward block. It reads what the layer norm behind that block
    makes, and its output goes into the same norm anew: `h = LN(y + x)`, then `LN(y + A(h) + x)`.

    The layer norms themselves keep their weights.

    The authors start near zero; `start: linear` starts both maps as `torch.nn.Linear` does, as
    the code does that LoRA's adapters were compared with. It changes the network.
    """

    source = "Houlsby et al. 2019, arXiv:1902.00751; Pfeiffer et al. 2021, arXiv:2005.00247"
    equation = "h ← h + U f(D h + c) + b"
    reads: ClassVar[Literal["input", "output"]] = "output"
    chooses_sites: ClassVar[bool] = True
    merges: ClassVar[bool] = False
    exports: ClassVar[bool] = False

    variant: str = hyper("houlsby", choices=("houlsby", "pfeiffer"), help="where adapters stand")
    bottleneck: int = hyper(16, low=1, help="width between the two maps")
    activation: str = hyper("gelu", choices=("gelu", "relu", "silu"), help="what bends it")
    start: str = hyper(
        "zero", choices=("zero", "linear"), later=True, help="how U and the biases start"
    )

    @property
    def starts_at_backbone(self) -> bool:  # type: ignore[override]
        """Where U and its bias are zero."""
        return self.start == "zero"

    def sites(self, targeted: Sequence[Site], body: Sequence[Site]) -> Sequence[Site]:
        """The maps, or norms, behind which adapters stand."""
        if self.variant == "houlsby":
            return [site for site in body if site.target in ("attention_output", "output")]
        blocks = {_parent(site) for site in body if site.target == "output"}
        norms = [site for site in body if site.is_norm and _parent(site) in blocks]
        if not norms:
            raise UserError(
                f"method '{self.name}': variant pfeiffer stands at the layer norm behind a "
                "feed-forward block, and this backbone has none there; variant houlsby needs none"
            )
        return norms

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """D is Kaiming-uniform; U and the biases are zero, so that step 0 is the backbone.

        Or all of them are uniform in ±1/√fan_in.
        """
        width, size = site.outputs, self.bottleneck
        down = kaiming_uniform(size, width, generator=generator)
        if self.start == "zero":
            return {
                "down": down, "up": zeros(width, size), "inner": zeros(size), "bias": zeros(width)
            }  # fmt: skip
        up = kaiming_uniform(width, size, generator=generator)
        inner = kaiming_uniform(size, 1, generator=generator)[:, 0] / math.sqrt(width)
        bias = kaiming_uniform(width, 1, generator=generator)[:, 0] / math.sqrt(size)
        return {"down": down, "up": up, "inner": inner, "bias": bias}

    def update(self, p: Parameters) -> Update:
        """Left U (S, H, R), right D (S, R, H), c and b, bent in between."""
        return Update(
            left=p["up"],
            core=None,
            right=p["down"],
            scale=1.0,
            inner=p["inner"],
            activation=self.activation,
            bias=p["bias"],
            adds="output" if self.variant == "houlsby" else "input",
        )

    def num_parameters(self, site: Site) -> int:
        """2 r h + r + h."""
        return (2 * site.outputs + 1) * self.bottleneck + site.outputs


def _parent(site: Site) -> str:
    return site.name.rpartition(".")[0]
