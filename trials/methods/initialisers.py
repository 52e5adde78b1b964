"""Starting values. Each takes the stream to draw from; none touches a global generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor


def zeros(*shape: int) -> Tensor:
    """A tensor of zeros."""
    import torch

    return torch.zeros(shape)


def ones(*shape: int) -> Tensor:
    """A tensor of ones."""
    import torch

    return torch.ones(shape)


def eye(size: int) -> Tensor:
    """The identity matrix."""
    import torch

    return torch.eye(size)


def normal(*shape: int, std: float, generator: Generator) -> Tensor:
    """Gaussian values with mean 0."""
    import torch

    return torch.randn(shape, generator=generator) * std


def kaiming_uniform(*shape: int, a: float = math.sqrt(5), generator: Generator) -> Tensor:
    """Uniform in ±sqrt(6 / ((1 + a²) · fan_in)), fan_in the last axis (He et al. 2015).

    The default a = sqrt(5) gives ±1/sqrt(fan_in), what linear layers and LoRA use.
    """
    import torch

    bound = math.sqrt(6.0 / ((1.0 + a * a) * shape[-1]))
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
