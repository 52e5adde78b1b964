"""LoRA-Mini: four matrices, the outer two frozen (Ahluwalia et al. 2024, arXiv:2411.15804).

Names are the paper's: the A matrices on the output side, the B matrices on the input side (the
authors' prototype swaps them).

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trials.catalogue import hyper, register
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import kaiming_uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from trials.methods.base import Parameters

MATRICES = ("a_aux", "a_train", "b_train", "b_aux")
# The order in which a trained factor is looked for that may start at zero.
_ZERO_FIRST = ("a_train", "b_train", "a_aux", "b_aux")


@register("lora_mini")
@dataclass(frozen=True, kw_only=True)
class LoRAMini(Method):
    """`ΔW = α/r · A_aux A_train B_train B_aux` with any proper subset of the four frozen.

    `initial: paper` draws all four Kaiming-uniform, which changes the network before training.
    `initial: safe` starts one trained factor at zero, so that step 0 is the backbone and every
    other trained factor receives a gradient after one update. (A frozen zero factor, or two of
    them, could never train.)
    """

    source = "Ahluwalia et al. 2024, arXiv:2411.15804"

    rank: int = hyper(8, low=1, help="inner dimension r")
    a: int = hyper(32, low=1, help="inner width on the output side")
    b: int = hyper(32, low=1, help="inner width on the input side")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / rank")
    freeze: tuple[str, ...] = hyper(
        ("a_aux", "b_aux"), subset_of=MATRICES, help="the matrices that keep their start"
    )
    initial: str = hyper("safe", choices=("safe", "paper"), help="how the four matrices start")

    @property
    def starts_at_backbone(self) -> bool:  # type: ignore[override]
        """The paper's own start does not."""
        return self.initial == "safe"

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """All four drawn in one order, whatever is frozen, so that combinations are paired."""
        shapes = {
            "b_aux": (self.b, site.inputs),
            "b_train": (self.rank, self.b),
            "a_train": (self.a, self.rank),
            "a_aux": (site.outputs, self.a),
        }
        values = {
            name: kaiming_uniform(*shape, generator=generator) for name, shape in shapes.items()
        }
        if self.initial == "safe":
            trained = next(name for name in _ZERO_FIRST if name not in self.freeze)
            values[trained].zero_()
        return values

    def update(self, p: Parameters) -> Update:
        """Left A_aux A_train (S, O, R), right B_train B_aux (S, R, I)."""
        return Update(
            left=p["a_aux"] @ p["a_train"],
            core=None,
            right=p["b_train"] @ p["b_aux"],
            scale=self.alpha / self.rank,
        )

    def frozen(self) -> frozenset[str]:
        """As the study says."""
        return frozenset(self.freeze)

    def num_parameters(self, site: Site) -> int:
        """The sizes of the matrices that are not frozen; r (a + b) for the paper's choice."""
        sizes = {
            "a_aux": site.outputs * self.a,
            "a_train": self.a * self.rank,
            "b_train": self.rank * self.b,
            "b_aux": self.b * site.inputs,
        }
        return sum(size for name, size in sizes.items() if name not in self.freeze)
