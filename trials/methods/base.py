"""What every method says of itself: its update of a site, and how it starts.

A method changes an adapted linear map `y = W x` to `y = W x + scale · left · core · right · x`.
It is written once, as those factors; training, packing, merging, counting and export follow.
Bottleneck adapters and trained biases are the exceptions: they bend what lies between the factors
or add a vector, are not linear maps of `x`, and so neither merge nor export.

Shapes: S sites of equal shape, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Site:
    """One adapted linear map of the backbone.

    Attributes:
        name: module path within the backbone, the same on every machine.
        target: canonical name, such as `query`.
        outputs: rows of the weight as `y = W x` has them.
        inputs: columns of the weight.
        slices: projections that share the map (GPT-2's fused qkv has 3); 1 for a plain one.
    """

    name: str
    target: str
    outputs: int
    inputs: int
    slices: int = 1


@dataclass(frozen=True)
class Update:
    """The change of sites of equal shape: `scale · left · core · right`.

    Attributes:
        left: (S, O, R).
        core: (S, R, R), or None for the identity.
        right: (S, R, I).
        scale: a number, or a tensor that broadcasts over (S, 1, 1).
        inner: (S, R) added to `right · x`, or None.
        activation: what bends `right · x + inner`, by the name of a function of
            `torch.nn.functional` that keeps 0 at 0; None leaves it linear.
        bias: (S, O) added to the map's output, or None.
    """

    left: Tensor
    core: Tensor | None
    right: Tensor
    scale: float | Tensor
    inner: Tensor | None = None
    activation: str | None = None
    bias: Tensor | None = None

    def delta(self) -> Tensor:
        """The dense change of the weights, (S, O, I)."""
        left, right = self.folded()
        return left @ right

    def folded(self) -> tuple[Tensor, Tensor]:
        """The same change as two factors, (S, O, R) and (S, R, I), with scale and core within.

        Scale and core go into the factor with fewer elements, which costs least.
        """
        left, right = self.left, self.right
        if left.shape[-2] <= right.shape[-1]:
            left = left if self.core is None else left @ self.core
            return left * self.scale, right
        right = right if self.core is None else self.core @ right
        return left, right * self.scale


@dataclass(frozen=True, kw_only=True)
class Method:
    """Base of every method; a subclass is a frozen dataclass of hyperparameters.

    A subclass gives `init` and `update`; everything else has a default.

    Class attributes:
        source: the paper, as `Authors Year, arXiv:number`.
        starts_at_backbone: False where the definition changes the network before training.
        reads: what `right` multiplies: the map's `input`, or its `output` (bottleneck adapters).
    """

    name: ClassVar[str]
    source: ClassVar[str] = ""
    starts_at_backbone: ClassVar[bool] = True
    reads: ClassVar[Literal["input", "output"]] = "input"

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """Say what is wrong with a combination of hyperparameters, or None.

        Each value alone has been checked before.
        """
        return None

    def init(self, site: Site, generator: Generator) -> dict[str, Tensor]:
        """Starting values of one site, on the CPU.

        Draw in a fixed order, the right factor first: methods whose first draws have equal
        shapes then start from equal values at the same seed, which pairs them.

        Args:
            site: the map to adapt.
            generator: this site's own stream; the only source of randomness.

        Returns:
            name -> tensor without the site axis. The engine stacks sites of equal shape.
        """
        raise NotImplementedError(f"method '{self.name}' has no init")

    def update(self, p: Parameters) -> Update:
        """The factors from the parameters of S sites; only `@`, `.mT` and broadcasting."""
        raise NotImplementedError(f"method '{self.name}' has no update")

    def frozen(self) -> frozenset[str]:
        """Names of parameters that keep their starting values."""
        return frozenset()

    def buffers(self) -> frozenset[str]:
        """Names of tensors that are state of the method, never trained and never counted."""
        return frozenset()

    def output_dropout(self) -> float:
        """Probability of dropping elements of the update's output while training."""
        return 0.0

    def alive(self, p: Parameters) -> Mapping[str, Tensor] | None:
        """Which elements exist now, by name, as booleans of the parameters' shapes.

        None (the default) says all do. An element that comes alive starts its own learning-rate
        schedule and its own count of optimiser steps.
        """
        return None

    def penalty(self, p: Parameters) -> Tensor | None:
        """A term per site, (S,), whose mean over all sites is added to the loss; None for none."""
        return None

    def after_step(self, groups: Sequence[Parameters], step: int, num_steps: int) -> None:
        """Change buffers in place after optimiser step `step` (1-based) of `num_steps`.

        Args:
            groups: parameters of all sites, one entry for each shape.
            step: optimiser steps done.
            num_steps: optimiser steps in all.
        """

    def curves(self, groups: Sequence[Parameters]) -> Mapping[str, float]:
        """Figures worth a curve, such as the total rank; reported at each evaluation."""
        return {}

    def num_parameters(self, site: Site) -> int | None:
        """Trained numbers at a site by the method's own formula; None to count what `init` makes.

        For a method that grows: at the end of an even growth to its budget.
        """
        return None
