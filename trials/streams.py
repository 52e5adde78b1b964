"""Random streams: every draw is a function of the seed and of what it is for.

A stream is named by the trial's seed, a purpose (`initialisation`, `head`, `order`, `dropout`,
`subset`) and where the draw happens (site, step, microbatch). So draws do not depend on the
method, on other trials in the same process, or on how often a trial was interrupted, and there is
no generator state to save. The same seed pairs trials: equal purposes and places draw equally.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def stream_key(seed: int, purpose: str, *place: str | int) -> int:
    """A 63-bit key of one draw."""
    text = "\x1f".join(map(str, (seed, purpose, *place)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator(
    seed: int, purpose: str, *place: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A fresh generator at the start of a stream."""
    import torch

    return torch.Generator(device).manual_seed(stream_key(seed, purpose, *place))
