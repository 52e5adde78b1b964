"""Linear maps of a frozen backbone whose weights are stored in 8 or 4 bits.

Only storage is quantised: each pass makes the dense weight, multiplies in the precision of the
trial, and drops it again; so does the backward pass, which needs no gradient of a frozen weight.
So trials share passes as over a dense backbone, and a pack changes no number.

`int8`: each row by its largest magnitude (Dettmers et al. 2022, arXiv:2208.07339, section 3.1).
`nf4`: blocks of 64 numbers by their largest magnitude, each in one of 16 levels that are quantiles
of a normal distribution (Dettmers et al. 2023, arXiv:2305.14314, section 3).
Both are plain tensor arithmetic, so that one checkpoint gives the same numbers on every device.

Shapes: I inputs, O outputs, N blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

BLOCK = 64
"""Numbers of nf4 that share a scale."""


class QuantisedLinear(nn.Linear):
    """A linear map with a stored weight, which `dense` makes.

    Attributes:
        stored: (O, I) int8, or nf4's numbers, two to a byte.
        scales: (O, 1) of int8, (N,) of nf4.
        bias: (O,) or None, as it was.
        is_transposed: whether the map's own weight is (I, O), as GPT-2's are.
    """

    stored: Tensor
    scales: Tensor

    def __init__(self, linear: nn.Linear | Conv1D, base_precision: str) -> None:
        """Store the weight of a map.

        Args:
            linear: stays as it is.
            base_precision: `int8` or `nf4`.
        """
        super(nn.Linear, self).__init__()
        self.is_transposed = isinstance(linear, Conv1D)
        weight = linear.weight.detach()
        weight_OI = weight.T if self.is_transposed else weight
        self.out_features, self.in_features = weight_OI.shape
        self.register_parameter("weight", None)  # T5 looks whether there is one.
        self.bias = linear.bias
        self.base_precision = base_precision
        make = {"int8": _to_int8, "nf4": _to_nf4}[base_precision]
        stored, scales = make(weight_OI)
        self.register_buffer("stored", stored)
        self.register_buffer("scales", scales)

    def dense(self) -> Tensor:
        """The weight, (O, I)."""
        if self.base_precision == "int8":
            return self.stored.to(self.scales.dtype) * self.scales
        return _from_nf4(self.stored, self.scales, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        made: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return made

    def plain(self) -> nn.Linear | Conv1D:
        """A map with the dense weight, of the kind that it was."""
        made: nn.Linear | Conv1D
        with torch.device("meta"):
            if self.is_transposed:
                made = Conv1D(self.out_features, self.in_features)
            else:
                made = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        dense = self.dense()
        weight = dense.T.contiguous() if self.is_transposed else dense
        made.weight = nn.Parameter(weight, requires_grad=False)
        made.bias = self.bias
        return made

    def extra_repr(self) -> str:
        """Sizes, and how it is stored."""
        return f"{self.in_features}, {self.out_features}, {self.base_precision}"


class _Product(torch.autograd.Function):
    """A product with a weight that is made twice rather than kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, module: QuantisedLinear) -> Tensor:
        ctx.module, ctx.dtype = module, x.dtype
        return functional.linear(x, module.dense().to(x.dtype), module.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        dense = ctx.module.dense().to(gradient.dtype)
        return (gradient @ dense).to(ctx.dtype), None


def quantise(model: nn.Module, base_precision: str, apart: Collection[str]) -> None:
    """Store the weights of a model's linear maps in few bits, in place.

    Args:
        model: what is quantised.
        base_precision: `int8` or `nf4`.
        apart: paths of maps that stay as they are.
    """
    for path, module in list(model.named_modules()):
        if type(module) in (nn.Linear, Conv1D) and path not in apart:
            _replace(model, path, QuantisedLinear(module, base_precision))


def densify(model: nn.Module) -> None:
    """Put plain linear maps in the place of quantised ones."""
    for path, module in list(model.named_modules()):
        if isinstance(module, QuantisedLinear):
            _replace(model, path, module.plain())


def _replace(model: nn.Module, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    setattr(model.get_submodule(owner), name, module)


def _to_int8(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    scales = weight_OI.abs().amax(dim=1, keepdim=True) / 127
    scales = torch.where(scales > 0, scales, 1.0)
    return (weight_OI / scales).round().clamp(-127, 127).to(torch.int8), scales


@functools.cache
def levels() -> tuple[float, ...]:
    """The 16 levels of nf4, rising from -1 to 1: 0, seven below it and eight above.

    Quantiles of a normal distribution at evenly spaced probabilities on each side, divided by the
    largest. The outermost probability is the mean of those that 15 and 16 levels would have.
    """
    quantile = NormalDist().inv_cdf
    outermost = 1 - (1 / 30 + 1 / 32) / 2

    def side(count: int) -> list[float]:
        step = (outermost - 0.5) / count
        return [quantile(outermost - i * step) for i in range(count)]

    largest = quantile(outermost)
    below, above = [-x for x in side(7)], side(8)[::-1]
    return tuple(x / largest for x in (*below, 0.0, *above))


def _to_nf4(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    flat = weight_OI.flatten()
    blocks_NB = functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scales_N = blocks_NB.abs().amax(dim=1)
    code = torch.tensor(levels(), dtype=weight_OI.dtype, device=weight_OI.device)
    scaled = blocks_NB / torch.where(scales_N > 0, scales_N, 1.0)[:, None]
    nearest = torch.bucketize(scaled, (code[1:] + code[:-1]) / 2).to(torch.uint8)
    pairs = nearest.flatten().view(-1, 2)
    return pairs[:, 0] * 16 + pairs[:, 1], scales_N


def _from_nf4(stored: Tensor, scales_N: Tensor, outputs: int, inputs: int) -> Tensor:
    code = torch.tensor(levels(), dtype=scales_N.dtype, device=scales_N.device)
    nearest = torch.stack((stored >> 4, stored & 15), dim=1).view(-1, BLOCK)
    dense = code[nearest.int()] * scales_N[:, None]
    return dense.flatten()[: outputs * inputs].view(outputs, inputs)
