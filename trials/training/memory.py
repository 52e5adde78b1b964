"""How much memory a pack takes, measured without training: by a step on tensors without content.

The backbone is there once; a member's parameters, gradient, optimiser, and what a step keeps for
its backward pass are there for each. One forward and backward pass with one member and one with
two, over fake tensors, which have shapes and no content, say how much is alive at most and which
part of it each member adds. What a device's allocator adds to that is left to `SLACK`.
"""

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from trials import backbones
from trials.backbones import Backbone
from trials.families import Head
from trials.quantised import quantise
from trials.spec import TrialSpec
from trials.tasks.base import Encoded
from trials.training.data import Batch
from trials.training.member import Member
from trials.training.pack import Pack

SLACK = 0.9
"""Share of the free memory that a pack may be predicted to take."""
COPIES = 5
"""Of the trained numbers: values, gradient, two moments, and the best values so far."""


@dataclass(frozen=True)
class Footprint:
    """Bytes that a pack takes on its device.

    Attributes:
        backbone: once: its weights, and what a step makes of them.
        member: for each member: parameters, optimiser and what a step of the longest batch keeps.
    """

    backbone: int
    member: int

    def total(self, places: int) -> int:
        """Bytes at so many members."""
        return self.backbone + places * self.member

    def places(self, memory: float) -> int:
        """Members that fit so many bytes; at least 1, which is tried whatever is predicted."""
        return max(1, int((memory * SLACK - self.backbone) / self.member))


def predicted(
    config: Any, spec: TrialSpec, head: Head, length: int, *, layers: Sequence[int] = (1, 2)
) -> Footprint:
    """A trial's footprint from the backbone's configuration alone.

    Args:
        config: of the backbone.
        spec: the trial.
        head: what the task asks of its head.
        length: tokens of the longest batch.
        layers: two depths that are tried; from them it is carried on to the backbone's own,
            where every layer is alike, and a decoder is as deep as its encoder.
    """
    depth = int(config.num_hidden_layers)
    is_even = getattr(config, "num_decoder_layers", depth) == depth
    if depth <= layers[1] or isinstance(spec.targets, Mapping) or not is_even:
        return _footprint(config, spec, head, length, depth)
    less, more = (_footprint(config, spec, head, length, n) for n in layers)
    steps = (depth - layers[0]) / (layers[1] - layers[0])
    return Footprint(
        int(less.backbone + steps * (more.backbone - less.backbone)),
        int(less.member + steps * (more.member - less.member)),
    )


def _footprint(config: Any, spec: TrialSpec, head: Head, length: int, depth: int) -> Footprint:
    from torch._subclasses.fake_tensor import FakeTensorMode

    shape = (spec.recipe.batch_size, length)
    if spec.recipe.head_start == "backbone":
        # No checkpoint is read here, and a new head is as large.
        spec = replace(spec, recipe=replace(spec.recipe, head_start="new"))
    with FakeTensorMode(allow_non_fake_inputs=True):
        backbone = backbones.weightless(config, depth, head.reads)
        if spec.recipe.base_precision != "same":
            quantise(backbone.model, spec.recipe.base_precision, backbone.family.head)
        empty = Encoded([[0]], None, [0], ["0"], 0)
        member = Member(spec, backbone, empty, head)
        with Pack(member.backbone) as pack:
            batch = _batch(shape, head, backbone)
            one, two = (
                _peak(lambda k=size: pack.rehearse([member] * k, [batch] * k))  # type: ignore[misc]
                for size in (1, 2)
            )
        own = [member.parameters.values] * COPIES + list(member.parameters.frozen.values())
        weights = sum(p.nbytes for p in backbone.model.state_dict().values())
        return Footprint(weights + 2 * one - two, two - one + sum(t.nbytes for t in own))


def _batch(shape: tuple[int, int], head: Head, backbone: Backbone) -> Batch:
    """The most that a batch of so many tokens may ask: where words are learned, all of them are."""
    ids = torch.zeros(shape, dtype=torch.long)
    lengths = (shape[1],) * shape[0]
    if head.reads != "words":
        labels = ids[:, 0] if head.reads == "text" else ids[:, :1].expand(-1, head.outputs)
        return Batch(ids, torch.ones_like(ids), None, labels.clone(), lengths)
    rows, length = shape
    places = torch.stack(
        [torch.arange(rows).repeat_interleave(length), torch.arange(length).repeat(rows)]
    )
    decoder_ids = None if backbone.start_id is None else ids.clone()
    return Batch(ids, torch.ones_like(ids), None, ids.flatten(), lengths, places, decoder_ids)


def places(pack: Pack, member: Member) -> int:
    """Trials like this one that the device of a pack holds, by its longest batch; 1 on a CPU.

    A GPU is asked, not predicted: one and two members rehearse a step, and the difference of
    their peaks is what each further one takes.
    """
    if pack.device.type != "cuda":
        return 1
    longest = max(map(len, member.train.input_ids))
    batch = _batch((member.recipe.batch_size, longest), member.head, member.backbone)
    peaks = []
    for size in (1, 2):
        torch.cuda.synchronize(pack.device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(pack.device)
        before = torch.cuda.memory_allocated(pack.device)
        try:
            pack.rehearse([member] * size, [batch] * size)
        except torch.OutOfMemoryError:
            return 1
        peaks.append(torch.cuda.max_memory_allocated(pack.device) - before)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(pack.device)
    own = sum(t.nbytes for t in [member.parameters.values] * COPIES)
    each = max(1, peaks[1] - peaks[0]) + own
    return max(1, 1 + int((free * SLACK - peaks[0]) / each))


class _Alive(TorchDispatchMode):
    """Adds up the bytes of the tensors that are alive.

    Attributes:
        peak: the most there were at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known[key] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self._now -= self._known.pop(key, 0)


def _peak(work: Callable[[], None]) -> int:
    """The most bytes that tensors made by some work take at once."""
    with _without_collection(), _Alive() as alive:
        work()
    return int(alive.peak)


@contextmanager
def _without_collection() -> Iterator[None]:
    """A collection in between would make the figure depend on what ran before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
