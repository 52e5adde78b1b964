"""Which examples a step sees, and how they become tensors.

The order is a function of the seed and the epoch alone, so that every method at one seed sees the
same batches, and a resumed trial needs no saved cursor.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trials.spec import Recipe
from trials.streams import generator
from trials.tasks.base import Encoded

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Batch:
    """Examples of one member, padded on the right to their longest.

    Attributes:
        input_ids, attention_mask: (B, L) integers.
        token_type_ids: (B, L) integers, or None where the tokenizer has none.
        labels: (B,) integers of classes, or float values; (B, O) places of tokens.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    labels: Tensor


def collate(data: Encoded, rows: Sequence[int], pad_id: int) -> Batch:
    """Stack rows of a split, padded to the longest of them."""
    chosen = np.asarray(rows)
    starts = data.starts[chosen]
    lengths = data.starts[chosen + 1] - starts
    longest = max(1, int(lengths.max()))  # A text may have no token at all.
    within = np.arange(longest) < lengths[:, None]
    places = (starts[:, None] + np.arange(longest)) * within
    types = None if data.types is None else torch.from_numpy(data.types[places] * within)
    return Batch(
        torch.from_numpy(np.where(within, data.tokens[places], pad_id)),
        torch.from_numpy(within.astype(np.int64)),
        types,
        torch.tensor([data.labels[r] for r in rows]),
    )


def token_places(data: Encoded, rows: Sequence[int], live: Tensor) -> Tensor:
    """Where the live tokens of some rows stand among all tokens of their split, (N,).

    Args:
        data: the split.
        rows: B of its rows.
        live: (B, L) booleans, on the CPU.
    """
    places = data.starts[np.asarray(rows)][:, None] + np.arange(live.shape[1])
    return torch.from_numpy(places)[live]


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, without waiting for it."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@functools.lru_cache(maxsize=8)
def epoch_order(seed: int, epoch: int, num_rows: int) -> tuple[int, ...]:
    """The permutation of the training split in one epoch."""
    stream = generator(seed, "order", epoch)
    return tuple(torch.randperm(num_rows, generator=stream).tolist())


def steps_per_epoch(recipe: Recipe, num_rows: int) -> int:
    """Optimiser steps in which every row is seen once; the last one may be smaller."""
    return math.ceil(num_rows / (recipe.batch_size * recipe.accumulate))


def num_steps(recipe: Recipe, num_rows: int) -> int:
    """Optimiser steps of the whole training."""
    if recipe.steps is not None:
        return recipe.steps
    assert recipe.epochs is not None
    return max(1, math.ceil(recipe.epochs * steps_per_epoch(recipe, num_rows)))


def rows_of_step(recipe: Recipe, seed: int, step: int, num_rows: int) -> list[tuple[int, ...]]:
    """The rows of optimiser step `step` (from 0), one tuple for each microbatch."""
    epoch, within = divmod(step, steps_per_epoch(recipe, num_rows))
    order = epoch_order(seed, epoch, num_rows)
    size = recipe.batch_size
    start = within * size * recipe.accumulate
    rows = order[start : start + size * recipe.accumulate]
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def evaluation_rows(data: Encoded) -> Iterator[list[int]]:
    """Rows of a split in batches of similar length, longest first."""
    ordered = sorted(range(len(data.input_ids)), key=lambda r: (-len(data.input_ids[r]), r))
    for start in range(0, len(ordered), EVALUATION_BATCH):
        yield ordered[start : start + EVALUATION_BATCH]
