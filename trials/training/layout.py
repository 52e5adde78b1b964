"""Where the tokens of examples lie: padded to the longest for attention, side by side elsewhere.

Every map but attention treats each token alone, so between attentions a pass carries no padding:
a member's examples follow one another on one axis, and only the members are filled up to the one
with the most tokens. A trial pays for its own tokens, whatever it shares a pass with.

Shapes: K members, B examples of a member (filled up), L tokens (padded), N tokens of the member
with the most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trials.training.data import placed


@dataclass(frozen=True)
class _Move:
    """Rows of one arrangement, in the order of the other.

    Attributes:
        index: row of the first for each of the second; any where there is no token.
        back: the reverse.
        blank: rows of the first that hold no token, as a column; None where all do.
    """

    index: Tensor
    back: Tensor
    blank: Tensor | None


@dataclass(frozen=True)
class Layout:
    """Two arrangements of the same tokens: (K · B, L, ...) padded and (K, N, ...) side by side.

    Attributes:
        sizes: tokens of each member.
        padded: (K · B, L).
    """

    sizes: tuple[int, ...]
    padded: tuple[int, int]
    _joins: _Move | None
    _parts: _Move | None

    @classmethod
    def of(cls, lengths: Sequence[Sequence[int]], device: torch.device) -> "Layout":
        """From the tokens of each example of each member; every example has one at least."""
        num_members, num_rows = len(lengths), max(map(len, lengths))
        filled = np.zeros((num_members, num_rows), dtype=np.int64)
        for row, own in zip(filled, lengths, strict=True):
            row[: len(own)] = own
        longest = int(filled.max())
        sizes, padded = filled.sum(1), (num_members * num_rows, longest)
        counts = tuple(sizes.tolist())
        if (filled == longest).all():
            return cls(counts, padded, None, None)
        live = (np.arange(longest) < filled[:, :, None]).reshape(num_members, -1)
        real = np.arange(sizes.max()) < sizes[:, None]
        # What stands where no token is comes from the member itself: not even its NaN is another's.
        parting = (np.cumsum(live, 1) - 1) * live + np.arange(num_members)[:, None] * real.shape[1]
        joining = np.repeat(np.arange(num_members)[:, None] * live.shape[1], real.shape[1], 1)
        joining[real] = np.flatnonzero(live)

        def on_device(array: Any) -> Tensor:
            return placed(torch.from_numpy(array.reshape(-1)), device)

        join, part = on_device(joining), on_device(parting)
        fillers = None if real.all() else on_device(~real)[:, None]
        return cls(
            counts, padded, _Move(join, part, on_device(~live)[:, None]), _Move(part, join, fillers)
        )

    @property
    def joined(self) -> tuple[int, int]:
        """(K, N)."""
        return len(self.sizes), max(self.sizes)

    def join(self, x: Tensor) -> Tensor:
        """(K · B, L, ...) -> (K, N, ...)."""
        return _moved(x, self._joins, self.joined)

    def part(self, x: Tensor) -> Tensor:
        """(K, N, ...) -> (K · B, L, ...); what stands in place of padding has no meaning."""
        return _moved(x, self._parts, self.padded)


def _moved(x: Tensor, move: _Move | None, shape: tuple[int, int]) -> Tensor:
    if move is None:
        return x.reshape(*shape, *x.shape[2:])
    made: Tensor = _Moved.apply(x.reshape(-1, *x.shape[2:]), move)  # type: ignore[no-untyped-call]
    return made.view(*shape, *x.shape[2:])


class _Moved(torch.autograd.Function):
    """Both directions are reads, so that the gradient needs no scattered sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, move: _Move) -> Tensor:
        ctx.move = move
        return x.index_select(0, move.index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        move: _Move = ctx.move
        made = gradients[0].index_select(0, move.back)
        if move.blank is None:
            return made, None
        return made.masked_fill_(move.blank.view(-1, *(1,) * (made.dim() - 1)), 0), None
