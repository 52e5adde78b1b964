"""What every method says of itself: its update of a site, and how it starts.

A method changes an adapted linear map `y = W x` to `y = W x + scale · left · core · right · x`.
It is written once, as those factors; training, packing, merging, counting and export follow.
Bottleneck adapters and trained biases are the exceptions: they bend what lies between the factors
or add a vector, and say themselves whether they merge or export. A method that is no such update
at all (full fine-tuning, the `peft` library's) changes a copy of the backbone, and trains alone.

Shapes: S sites of equal shape, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Site:
    """One linear map, or layer norm, of the backbone, or slices of a map that is fused.

    Attributes:
        name: module path within the backbone, the same on every machine; of slices, their targets
            behind it.
        target: canonical name, such as `query`; of several slices `query+value`; empty where it
            has none.
        outputs: rows of the weight as `y = W x` has them; of slices, their rows together.
        inputs: columns of the weight.
        offsets: first row of each of its slices, all equally wide, within the map (GPT-2's fused
            qkv has 3); (0,) for a whole map.
        module: module path of a site of slices; None where it is the name.
        is_norm: whether it is a layer norm, as wide as its outputs and inputs.
        has_bias: whether it adds a bias of its own.
    """

    name: str
    target: str
    outputs: int
    inputs: int
    offsets: tuple[int, ...] = (0,)
    module: str | None = None
    is_norm: bool = False
    has_bias: bool = False

    @property
    def path(self) -> str:
        """Module path within the backbone."""
        return self.name if self.module is None else self.module

    @property
    def slices(self) -> int:
        """Projections that share the site; 1 for a plain one."""
        return len(self.offsets)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Outputs, inputs and slices: sites of equal shape share a stack."""
        return self.outputs, self.inputs, self.slices

    @property
    def rows(self) -> tuple[slice, ...]:
        """Where its slices lie among the outputs of a map."""
        width = self.outputs // self.slices
        return tuple(slice(offset, offset + width) for offset in self.offsets)


def fused(sites: Sequence[Site]) -> list[Site]:
    """The same sites with the slices of one map joined, in their order."""
    joined: list[Site] = []
    for site in sites:
        last = joined[-1] if joined else None
        if last is None or site.module is None or last.module != site.module:
            joined.append(site)
            continue
        target = f"{last.target}+{site.target}"
        joined[-1] = replace(
            last,
            name=f"{last.name}+{site.target}",
            target=target,
            outputs=last.outputs + site.outputs,
            offsets=last.offsets + site.offsets,
        )
    return joined


def in_blocks(left: Tensor, num_slices: int) -> Tensor:
    """The left factor of slices that share a right one: block-diagonal.

    Args:
        left: (S, n w, r), the slices' own one below the other.
        num_slices: n.

    Returns:
        (S, n w, n r): the i-th slice's rows reach the i-th r columns alone.
    """
    import torch

    if num_slices == 1:
        return left
    same = torch.eye(num_slices, dtype=left.dtype, device=left.device)
    of_slice = left.unflatten(-2, (num_slices, -1))
    blocks: Tensor = of_slice[..., None, :] * same[:, None, :, None]
    return blocks.flatten(-2).flatten(-3, -2)


@dataclass(frozen=True)
class Update:
    """The change of sites of equal shape: `scale · left · core · right`.

    Attributes:
        left: (S, O, R).
        core: (S, R, R), or None for the identity.
        right: (S, R, I); (1, R, I) where the sites share it, which then takes memory once.
        scale: a number, or a tensor that broadcasts over (S, 1, 1).
        inner: (S, R) added to `right · x`, or None.
        activation: what bends `right · x + inner`, by the name of a function of
            `torch.nn.functional` that keeps 0 at 0; None leaves it linear.
        bias: (S, O) added likewise, or None.
        adds: to what all this is added: the map's `output`, or its `input`, which then goes
            through the map again (adapters in front of a layer norm).
    """

    left: Tensor
    core: Tensor | None
    right: Tensor
    scale: float | Tensor
    inner: Tensor | None = None
    activation: str | None = None
    bias: Tensor | None = None
    adds: Literal["input", "output"] = "output"

    @classmethod
    def of_bias(cls, bias: Tensor) -> Update:
        """A bias (S, O) alone: factors of rank 0."""
        nothing = bias.new_zeros(*bias.shape, 0)
        return cls(left=nothing, core=None, right=nothing.mT, scale=1.0, bias=bias)

    def delta(self) -> Tensor:
        """The dense change of the weights, (S, O, I)."""
        left, right = self.folded()
        return left @ right

    def folded(self) -> tuple[Tensor, Tensor]:
        """The same change as two factors, (S, O, R) and (S, R, I), with scale and core within.

        Scale and core go into the factor with fewer elements, which costs least; to the left of
        an activation, or of a factor that is shared.
        """
        left, right = self.left, self.right
        if self.shares_right:
            right = right.expand(len(left), -1, -1)
        if self.shares_right or self.activation or left.shape[-2] <= right.shape[-1]:
            left = left if self.core is None else left @ self.core
            return left * self.scale, right
        right = right if self.core is None else self.core @ right
        return left, right * self.scale

    @property
    def shares_right(self) -> bool:
        """Whether several sites have one right factor between them."""
        return len(self.right) < len(self.left)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Base of every method; a subclass is a frozen dataclass of hyperparameters.

    A subclass gives `init` and `update`, or `adapt`; everything else has a default.

    Class attributes:
        source: the paper, as `Authors Year, arXiv:number`.
        equation: what it changes, in one line.
        starts_at_backbone: False where the definition changes the network before training; None
            where a library decides.
        reads: what `right` multiplies: the map's `input`, or its `output` (bottleneck adapters).
        chooses_sites: whether `sites` leaves aside what the trial targets.
        fuses: whether slices of one fused map are one site of it; else each is a site of its own.
        reads_dense_gradient: whether `before_step` needs the gradient of the dense change.
        drops_input: whether `dropout.adapter` drops what it reads; False where it multiplies
            nothing, or `packs` not, and has dropout of its own if any.
        merges: whether the update goes into the weights of a plain model.
        exports: whether it is an adapter of the `peft` library.
        packs: whether its trials share the backbone's passes with others; False where it changes
            a copy of the backbone by `adapt` and has no `init` and `update`.
    """

    name: ClassVar[str]
    source: ClassVar[str] = ""
    equation: ClassVar[str] = ""
    starts_at_backbone: ClassVar[bool | None] = True
    reads: ClassVar[Literal["input", "output"]] = "input"
    chooses_sites: ClassVar[bool] = False
    fuses: ClassVar[bool] = False
    reads_dense_gradient: ClassVar[bool] = False
    drops_input: ClassVar[bool] = True
    merges: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    packs: ClassVar[bool] = True

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """Say what is wrong with a combination of hyperparameters, or None.

        Each value alone has been checked before.
        """
        return None

    def sites(self, targeted: Sequence[Site], body: Sequence[Site]) -> Sequence[Site]:
        """Where the method stands; by default what the trial targets.

        Args:
            targeted: the linear maps that the trial's targets name.
            body: every linear map and layer norm of the backbone but its head.

        Both are, and the answer must be, in the order of the backbone's modules.

        Raises:
            UserError: the backbone has nothing for it.
        """
        return targeted

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

    def shared(self, sites: Sequence[Site], generator: Generator) -> dict[str, Tensor]:
        """Fixed values that all sites of a trial share, on the CPU; by default none.

        They are drawn anew from the trial's seed wherever it continues.

        Args:
            sites: all that the trial adapts.
            generator: a stream of its own.

        Returns:
            name -> tensor without a site axis.
        """
        return {}

    def shared_at(self, site: Site, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What sites of a shape see of the shared values; by default all. Views take no memory.

        `update` finds them among the parameters with a site axis of 1.
        """
        return dict(shared)

    def update(self, p: Parameters) -> Update:
        """The factors from the parameters of S sites; only `@`, `.mT` and broadcasting."""
        raise NotImplementedError(f"method '{self.name}' has no update")

    def adapt(self, model: nn.Module, targeted: Sequence[Site], generator: Generator) -> None:
        """Change a trial's own copy of the backbone, where it `packs` not, in place.

        What requires a gradient afterwards is what trains, beside the head.

        Args:
            model: the copy, or a model without weights, to count; nothing requires a gradient.
            targeted: the linear maps that the trial's targets name.
            generator: the only source of randomness.

        Raises:
            UserError: the model has nothing for it.
        """
        raise NotImplementedError(f"method '{self.name}' has no adapt")

    def configured(self, targeted: Sequence[Site]) -> Any:
        """Its configuration in the `peft` library, where it `exports` and `packs` not.

        Args:
            targeted: the linear maps that the trial's targets name.
        """
        raise NotImplementedError(f"method '{self.name}' has no configured")

    def absorb(self, model: nn.Module) -> None:
        """Put what `adapt` added to a model into its plain weights, in place.

        Raises:
            UserError: no weight can hold it.
        """

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

        None (the default) says all do. An element that comes alive starts its own count of
        optimiser steps and, where the method `restarts`, its own learning-rate schedule.
        """
        return None

    def restarts(self) -> bool:
        """Whether what comes alive late has a warm-up of its own, or follows the running rate."""
        return True

    def counted(self, p: Parameters) -> Mapping[str, Tensor] | None:
        """Which elements count as trained, as `alive` says it; by default those that are alive."""
        return self.alive(p)

    def penalty(self, p: Parameters) -> Tensor | None:
        """A term per site, (S,), whose mean over all sites is added to the loss; None for none."""
        return None

    def before_step(
        self,
        groups: Sequence[Parameters],
        gradients: Sequence[Parameters],
        step: int,
        num_steps: int,
    ) -> None:
        """Change buffers in place when the gradient of step `step` is known, and nothing has moved.

        Args:
            groups: parameters of all sites, one entry for each shape.
            gradients: likewise, of the trained ones, clipped; where `reads_dense_gradient`, also
                `delta` (S, O, I), the loss's gradient by the dense change, before clipping.
            step: 1-based.
            num_steps: optimiser steps in all.
        """

    def after_step(self, groups: Sequence[Parameters], step: int, num_steps: int) -> None:
        """Change buffers, or parameters, in place after an optimiser step.

        Args:
            groups: parameters of all sites, one entry for each shape; the trained ones still have
                the step's gradient, clipped, as their `grad`.
            step: optimiser steps done, this one included.
            num_steps: optimiser steps in all.
        """

    def curves(self, groups: Sequence[Parameters]) -> Mapping[str, float]:
        """Figures worth a curve, such as the total rank; reported at each evaluation."""
        return {}

    def num_parameters(self, site: Site) -> int | None:
        """Trained numbers at a site by the method's own formula; None to count what `init` makes.

        For a method that grows or prunes: where its budget is spread evenly.
        """
        return None
