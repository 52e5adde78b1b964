"""LoRA-Mini: four matrices, the outer two frozen (Ahluwalia et al. 2024, arXiv:2411.15804).

Names are the paper's: the A matrices on the output side, the B matrices on the input side (the
authors' prototype swaps them).

Shapes: S sites, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    other trained factor receives a gradient after one update: the first trained one of a_train,
    b_train, a_aux and b_aux, or the one that `zero` names. A frozen zero factor, or two of them
    (the authors' prototype has both inner ones), could never train and are refused.
    """

    source = "Ahluwalia et al. 2024, arXiv:2411.15804"
    equation = "ΔW = α/r · A_aux A_train B_train B_aux"

    rank: int = hyper(8, low=1, help="inner dimension r")
    a: int = hyper(32, low=1, help="inner width on the output side")
    b: int = hyper(32, low=1, help="inner width on the input side")
    alpha: float = hyper(16.0, low=0.0, help="the update is scaled by alpha / rank")
    freeze: tuple[str, ...] = hyper(
        ("a_aux", "b_aux"), subset_of=MATRICES, help="the matrices that keep their start"
    )
    initial: str = hyper("safe", choices=("safe", "paper"), help="how the four matrices start")
    zero: tuple[str, ...] | None = hyper(
        None, subset_of=MATRICES, later=True, help="what starts at zero; null: the first trained"
    )

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """What starts at zero must be able to leave it."""
        zero = hyperparameters["zero"]
        if zero is None:
            return None
        if hyperparameters["initial"] == "paper":
            return "zero belongs to initial safe: initial paper draws all four matrices"
        if not zero:
            return "zero must name a trained matrix; initial paper draws all four"
        if len(zero) > 1:
            return (
                f"zero names {' and '.join(zero)}: the update would never train, for the gradient "
                "of each of the four has a zero factor; name one"
            )
        if zero[0] in hyperparameters["freeze"]:
            return (
                f"zero names {zero[0]}, which is frozen: the update would stay zero and never "
                "train, for the gradients of all others have it as a factor"
            )
        return None

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
            first = next(name for name in _ZERO_FIRST if name not in self.freeze)
            for name in self.zero or (first,):
                values[name].zero_()
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
