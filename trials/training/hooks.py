"""How updates, heads and dropout reach a backbone that stays as it is: by forward hooks.

Shapes: K members, B examples of a member (padded), L tokens (padded), I inputs, O outputs, R rank.
Activations have the members one after another on the batch axis: (K · B, L, I).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trials.streams import generator
from trials.training.member import Member


@dataclass
class Forward:
    """What one pass through the backbone needs to know.

    Attributes:
        members: K members.
        shapes: each member's own batch and length, before padding.
        factors: site -> left (K, O, R) and right (K, R, I).
        head: head map -> weight (K, O, I) and bias (K, 1, O) or None.
        microbatch: index within the step.
        training: whether anything is dropped.
        calls: how often each dropout has been reached in this pass.
    """

    members: Sequence[Member]
    shapes: Sequence[tuple[int, int]]
    factors: dict[str, tuple[Tensor, Tensor]]
    head: dict[str, tuple[Tensor, Tensor | None]]
    microbatch: int = 0
    training: bool = False
    calls: Counter[str] = field(default_factory=Counter)

    def by_member(self, x: Tensor) -> Tensor:
        """(K · B, [L,] F) as (K, B · [L ·] 1, F)."""
        return x.reshape(len(self.members), -1, x.shape[-1])

    def mask(self, x: Tensor, place: str, probabilities: Sequence[float]) -> Tensor | None:
        """What `x` is multiplied with to drop elements, or None when nothing is dropped.

        Each member's part is drawn from its own stream at its own unpadded shape.

        Args:
            x: (K · B, [L,] F).
            place: name of the dropout.
            probabilities: one for each member.
        """
        if not self.training or not any(probabilities):
            return None
        self.calls[place] += 1
        parts = x.new_ones(len(self.members), -(-x.shape[0] // len(self.members)), *x.shape[1:])
        for k, (member, p) in enumerate(zip(self.members, probabilities, strict=True)):
            if p:
                batch, length = self.shapes[k]
                own = (batch, length, x.shape[-1]) if x.dim() == 3 else (batch, x.shape[-1])
                where = (place, self.calls[place], member.step, self.microbatch)
                part = drawn_mask(own, p, member.spec.seed, where, x.device)
                region = parts[k, :batch, :length] if x.dim() == 3 else parts[k, :batch]
                region.copy_(part)
        return parts.view(x.shape)


def drawn_mask(
    shape: Sequence[int],
    probability: float,
    seed: int,
    where: tuple[str | int, ...],
    device: torch.device,
) -> Tensor:
    """A dropout mask with values 0 and 1/(1-p), from 16 random bits an element.

    The probability is rounded to a multiple of 2⁻¹⁶.
    """
    size = math.prod(shape)
    stream = generator(seed, "dropout", *where, device=device)
    bits = torch.empty(-(-size // 4), dtype=torch.int64, device=device)
    bits.random_(-(2**63), None, generator=stream)
    dropped = round(probability * 2**16)
    keep = bits.view(torch.int16)[:size].view(*shape) >= dropped - 2**15
    return keep * (2**16 / (2**16 - dropped))


class Hooks:
    """The hooks on one backbone; without a current pass they change nothing."""

    def __init__(self, model: nn.Module, head: Sequence[str]) -> None:
        self.current: Forward | None = None
        self._handles: list[Any] = []
        for path, module in model.named_modules():
            if path in head:
                self._add(module, self._head, path)
            elif isinstance(module, nn.Linear):
                self._add(module, self._site, path)
            elif isinstance(module, nn.Dropout):
                self._add(module, self._dropout, path)

    def _add(self, module: nn.Module, hook: Any, path: str) -> None:
        self._handles.append(
            module.register_forward_hook(lambda _, args, output: hook(path, args[0], output))
        )

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()

    def _site(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        forward = self.current
        if forward is None or path not in forward.factors:
            return None
        left, right = forward.factors[path]
        mask = forward.mask(x, f"{path}.in", [m.recipe.dropout.adapter for m in forward.members])
        x_KNI = forward.by_member(x if mask is None else x * mask)
        inner_KNR = x_KNI @ right.mT
        mask = forward.mask(
            output, f"{path}.out", [m.method.output_dropout() for m in forward.members]
        )
        if mask is None:
            base = forward.by_member(output)
            return torch.baddbmm(base, inner_KNR.to(base.dtype), left.mT.to(base.dtype)).view(
                output.shape
            )
        return output + (inner_KNR @ left.mT).view(output.shape) * mask

    def _head(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        if self.current is None:
            return None
        weight, bias = self.current.head[path]
        own = self.current.by_member(x) @ weight.mT
        return (own if bias is None else own + bias).view(output.shape)

    def _dropout(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        if self.current is None:
            return None
        rates = [m.recipe.dropout.backbone for m in self.current.members]
        mask = self.current.mask(x, path, rates)
        return None if mask is None else x * mask
