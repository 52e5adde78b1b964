"""Which examples a step sees, and how they become tensors.

The order is a function of the seed and the epoch alone, so that every method at one seed sees the
same batches, and a resumed trial needs no saved cursor.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

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
        labels: (B,) integers of classes, or float values; (B, O) places of tokens; (n,) tokens that
            are learned.
        lengths: tokens of each example; 1 of a text without any, which its padding stands for.
        places: (2, n) row and place of the state that each of those is read off; None where no
            token is learned.
        decoder_ids: (B, T) what a decoder of its own reads; None where there is none.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    labels: Tensor
    lengths: tuple[int, ...]
    places: Tensor | None = None
    decoder_ids: Tensor | None = None

    @property
    def decoder_shape(self) -> tuple[int, int] | None:
        """Examples and tokens of the decoder's own; None where there is none."""
        ids = self.decoder_ids
        return None if ids is None else (ids.shape[0], ids.shape[1])


def collate(data: Encoded, rows: Sequence[int], pad_id: int) -> Batch:
    """Stack rows of a split, padded to the longest of them."""
    chosen = np.asarray(rows)
    starts = data.starts[chosen]
    lengths = data.starts[chosen + 1] - starts
    longest = max(1, int(lengths.max()))  # A text may have no token at all.
    within = np.arange(longest) < lengths[:, None]
    places = (starts[:, None] + np.arange(longest)) * within
    types = None if data.types is None else torch.from_numpy(data.types[places] * within)
    ids = torch.from_numpy(np.where(within, data.tokens[places], pad_id))
    mask = torch.from_numpy(within.astype(np.int64))
    labels = () if data.reads_words else [data.labels[r] for r in rows]
    batch = Batch(ids, mask, types, torch.tensor(labels), tuple(np.maximum(lengths, 1).tolist()))
    return batch if data.targets is None else _learned(data, rows, batch, pad_id)


def _learned(data: Encoded, rows: Sequence[int], batch: Batch, pad_id: int) -> Batch:
    """A batch with tokens as labels: each is read off the state of the token before it."""
    assert data.targets is not None
    targets = [data.targets[row] for row in rows]
    decoder_ids, starts = None, [0] * len(rows)
    if data.start_id is None:
        starts = [
            len(data.input_ids[row]) - len(learned) - 1
            for row, learned in zip(rows, targets, strict=True)
        ]
    else:
        longest = max(map(len, targets))
        decoder_ids = torch.tensor(
            [
                [data.start_id, *learned[:-1], *[pad_id] * (longest - len(learned))]
                for learned in targets
            ]
        )
    places = [
        (row, start + step)
        for row, (start, learned) in enumerate(zip(starts, targets, strict=True))
        for step in range(len(learned))
    ]
    labels = torch.tensor([token for learned in targets for token in learned])
    return replace(batch, labels=labels, places=torch.tensor(places).T, decoder_ids=decoder_ids)


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


def evaluation_rows(data: Encoded, size: int = EVALUATION_BATCH) -> Iterator[list[int]]:
    """Rows of a split in batches of similar length, longest first."""
    ordered = sorted(range(len(data.input_ids)), key=lambda r: (-len(data.input_ids[r]), r))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
