"""Layers below the lowest adapted one: the same for every trial, so computed once per example.

Where nothing is dropped in them, their output is a function of the example alone. It is computed
over a whole split in fixed batches, kept while there is room, and read by every trial and every
epoch. Whether a trial reads it follows from its spec and data alone, never from what else runs,
so its numbers do not depend on the cache.

Shapes: N tokens of a split, H width, B examples, L tokens of the longest.
"""

import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trials.backbones import Backbone
from trials.tasks.base import Encoded
from trials.training.data import collate, evaluation_rows, placed, token_places
from trials.training.member import Member
from trials.training.passes import run_through

LARGEST = 2 * 2**30
"""Bytes; a split whose states take more is never cached."""
KEPT = 2 * LARGEST
"""Bytes of all states that are kept for one backbone; the least recently read go first."""


@dataclass(frozen=True)
class States:
    """What the layers below made of a split.

    Attributes:
        data: the split.
        values: (N, H) hidden states, one example after another.
    """

    data: Encoded
    values: Tensor

    def rows(self, rows: Sequence[int], length: int) -> Tensor:
        """(B, length, H), padded with zeros on the right."""
        starts = self.data.starts[np.asarray(rows)]
        sizes = self.data.starts[np.asarray(rows) + 1] - starts
        within = np.arange(length) < sizes[:, None]
        places = torch.from_numpy((starts[:, None] + np.arange(length)) * within)
        device = self.values.device
        live = placed(torch.from_numpy(within), device)
        return self.values[placed(places, device)] * live[:, :, None]


_kept: "weakref.WeakKeyDictionary[Backbone, dict[tuple[int, int], States]]" = (
    weakref.WeakKeyDictionary()
)


class Prefix:
    """The layers of one backbone that can be left out because their output is known."""

    def __init__(self, backbone: Backbone, pad_id: int) -> None:
        self._backbone = backbone
        self._pad_id = pad_id
        body = backbone.model.base_model
        lowest, *self._others = backbone.family.layers
        path, _, self._name = lowest.rpartition(".")
        self._owner = body.get_submodule(path)
        self._layers: nn.ModuleList = getattr(self._owner, self._name)
        base = backbone.model.base_model_prefix
        self._pattern = re.compile(rf"^{base}\.{re.escape(lowest)}\.(\d+)\.")
        config: Any = backbone.model.config
        self._width = int(config.hidden_size)

    @property
    def layers(self) -> list[nn.Module]:
        """All layers of the backbone."""
        body = self._backbone.model.base_model
        others = (body.get_submodule(path) for path in self._others)
        return [layer for stack in (self._layers, *others) for layer in stack.children()]

    def depth(self, member: Member, data: Encoded, *, training: bool) -> int:
        """How many layers a trial can leave out on a split; 0 for none.

        It is a function of the trial's spec and of the split.
        """
        recipe = member.recipe
        if not member.method.packs:
            return 0  # Its layers are its own.
        if self._others:
            return 0  # A decoder's read what all of the encoder's made.
        if not np.diff(data.starts).all():
            return 0  # An example without tokens has no state to keep.
        if getattr(self._owner, "conv", None) is not None:
            return 0  # DeBERTa v2's large ones have a convolution after the very first layer.
        if training:
            if recipe.dropout.backbone or recipe.dropout.attention:
                return 0
            if member.num_steps * recipe.batch_size * recipe.accumulate < len(data):
                return 0  # It would read less than it computes.
        size = len(data.tokens) * self._width * next(self._layers.parameters()).element_size()
        return 0 if size > LARGEST else self._lowest(member)

    def _lowest(self, member: Member) -> int:
        """Index of the lowest layer with an adapted map."""
        found = [self._pattern.match(site.name) for site in member.sites]
        return min((int(match[1]) if match else 0 for match in found), default=0)

    def states(self, data: Encoded, depth: int) -> States:
        """The output of the lowest `depth` layers on a split, computed where it is not kept."""
        kept = _kept.setdefault(self._backbone, {})
        key = (id(data), depth)
        made = kept.pop(key, None) or States(data, self._compute(data, depth))
        kept[key] = made  # Last in the order of reading.
        while sum(s.values.nbytes for s in kept.values()) > KEPT and len(kept) > 1:
            del kept[next(iter(kept))]
        return made

    @torch.no_grad()
    def _compute(self, data: Encoded, depth: int) -> Tensor:
        values = torch.empty(0)
        caught: list[Tensor] = []

        def catch(_: Any, __: Any, output: Any) -> None:
            caught.append(output[0] if isinstance(output, tuple) else output)

        handle = self._layers[depth - 1].register_forward_hook(catch)
        try:
            with self._only(slice(0, depth)):
                for rows in evaluation_rows(data):
                    batch = collate(data, rows, self._pad_id)
                    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
                    if batch.token_type_ids is not None:
                        inputs["token_type_ids"] = batch.token_type_ids
                    device = next(self._layers.parameters()).device
                    inputs = {k: v.to(device) for k, v in inputs.items()}
                    run_through(self._backbone, inputs)
                    hidden = caught.pop()
                    if not len(values):
                        values = hidden.new_empty(len(data.tokens), self._width)
                    live = batch.attention_mask.bool()
                    where = token_places(data, rows, live).to(device)
                    values[where] = hidden[live.to(device)]
        finally:
            handle.remove()
        return values

    def without(self, depth: int) -> AbstractContextManager[None]:
        """For the time of a `with`, the backbone lacks its lowest layers."""
        return self._only(slice(depth, None)) if depth else nullcontext()

    @contextmanager
    def _only(self, part: slice) -> Iterator[None]:
        setattr(self._owner, self._name, nn.ModuleList(list(self._layers)[part]))
        try:
            yield
        finally:
            setattr(self._owner, self._name, self._layers)
