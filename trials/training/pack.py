"""A pack: 1 to K members that share each forward and backward pass of one frozen backbone.

Packing is an optimisation and changes no number beyond rounding: parameters, optimiser, clipping,
schedule, order and random streams are each member's own, and every loss is taken from the
member's own part of the output.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trials.backbones import Backbone
from trials.families import TOKEN_HEAD
from trials.tasks.base import Encoded
from trials.training.attention import Attention
from trials.training.data import Batch, collate, evaluation_rows, placed, token_places
from trials.training.hooks import Forward, Hooks
from trials.training.layout import Layout
from trials.training.member import Member
from trials.training.passes import logits_of, states_of, words_of
from trials.training.prefix import Prefix, States
from trials.training.recompute import recomputed
from trials.training.stacking import Stacker, stack_heads
from trials.training.stepping import Stepper
from trials.training.writing import write

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Pack:
    """Members over one backbone. Use as a context manager, or call `close`."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.device = next(backbone.model.parameters()).device
        self.pad_id = int(backbone.tokenizer.pad_token_id or 0)
        self.hooks = Hooks(backbone)
        self._prefix = Prefix(backbone, self.pad_id)
        self._stacker = Stacker()
        self._stepper = Stepper(self.device)
        self.attention = Attention(backbone)

    def __enter__(self) -> "Pack":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the backbone as it was."""
        self.hooks.remove()

    def step(self, members: Sequence[Member]) -> None:
        """One optimiser step of every member.

        Members of one pack compute in one precision, their heads read the same, and all or none
        of them compute layers again in the backward pass. What came of the step may lie on the
        device until `settle`.

        Raises:
            MembersFailed: methods of some of several raised after it; the others are whole.
        """
        self._stepper.is_moving = False
        rows = [member.rows() for member in members]
        torch._foreach_zero_([member.parameters.gradient for member in members])
        losses: list[Tensor | float] = [0.0] * len(members)
        for microbatch in range(max(len(r) for r in rows)):
            active = [k for k, r in enumerate(rows) if microbatch < len(r)]
            parts = self._accumulate(
                [members[k] for k in active],
                [rows[k][microbatch] for k in active],
                [sum(map(members[k].train.num_terms, rows[k])) for k in active],
                microbatch,
            )
            for k, part in zip(active, parts.unbind(), strict=True):
                losses[k] = losses[k] + part
        self._stepper.step(list(members), torch.stack([torch.as_tensor(x) for x in losses]))

    @property
    def is_torn(self) -> bool:
        """Whether the last step broke while it moved parameters: members are no longer whole."""
        return self._stepper.is_moving

    def settle(self) -> None:
        """Wait for the device, and stop members whose losses were not finite."""
        self._stepper.settle()

    def _accumulate(
        self,
        members: Sequence[Member],
        rows: Sequence[Sequence[int]],
        totals: Sequence[int],
        microbatch: int,
    ) -> Tensor:
        """Add one microbatch's gradients; returns each member's share of its step's loss, (K,)."""
        batches = [collate(m.train, r, self.pad_id) for m, r in zip(members, rows, strict=True)]
        forward = self._prepare(members, microbatch, training=True)
        depth = min(self._prefix.depth(m, m.train, training=True) for m in members)
        known = (
            [(self._prefix.states(m.train, depth), r) for m, r in zip(members, rows, strict=True)]
            if depth
            else []
        )
        outputs = self._forward(forward, batches, depth, known)
        shares = []
        for member, output, batch, total in zip(members, outputs, batches, totals, strict=True):
            share = self._losses(member, output, batch).sum() / total
            penalty = member.penalty() if microbatch == 0 else None
            shares.append(share if penalty is None else share + penalty)
        joined = torch.stack(shares)
        scales = [1.0 if m.scale is None else m.scale.value for m in members]
        scaled = joined if set(scales) == {1.0} else joined * joined.new_tensor(scales)
        scaled.sum().backward()
        return joined.detach()

    def rehearse(self, members: Sequence[Member], batches: Sequence[Batch]) -> None:
        """A forward and backward pass that changes no member, to see what it takes."""
        outputs = self._forward(self._prepare(members, 0, training=True), batches)
        losses = [
            self._losses(member, output, batch).mean()
            for member, output, batch in zip(members, outputs, batches, strict=True)
        ]
        torch.stack(losses).sum().backward()
        for member in members:
            member.parameters.gradient.zero_()
            member.dense.clear()

    def _losses(self, member: Member, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss of each row of a batch, (B,), or of each token that is learned, (n,)."""
        reads_tokens = member.head.reads == "tokens"
        live = placed(batch.attention_mask.bool(), self.device) if reads_tokens else None
        return member.losses(outputs, placed(batch.labels, self.device), live)

    def outputs(self, member: Member, data: Encoded) -> Any:
        """The model's outputs on a split, in the split's order, on the CPU.

        They are (rows, outputs); of a head that reads every token (tokens, outputs), laid out as
        the split's `tokens`; a list of texts where words are written.
        """
        return self.all_outputs([member], data)[0]

    @torch.no_grad()
    def all_outputs(self, members: Sequence[Member], data: Encoded) -> list[Any]:
        """`outputs` of each member, read together."""
        if data.generation is not None:
            with self._reached(self._prepare(members, 0, training=False)):
                seeds = [member.spec.seed for member in members]
                return list(write(self.backbone, seeds, data, data.generation))
        forward = self._prepare(members, 0, training=False)
        depth = min(self._prefix.depth(m, data, training=False) for m in members)
        known = [self._prefix.states(data, depth)] * len(members) if depth else []
        made: list[list[Tensor]] = [[] for _ in members]
        order: list[Tensor] = []
        reads_tokens = members[0].head.reads == "tokens"
        for rows in evaluation_rows(data):
            batch = collate(data, rows, self.pad_id)
            states = [(of_split, rows) for of_split in known]
            outputs = self._forward(forward, [batch] * len(members), depth, states)
            live = batch.attention_mask.bool()
            for of_member, output in zip(made, outputs, strict=True):
                wide = torch.promote_types(output.dtype, torch.float32)
                kept = output[placed(live, self.device)] if reads_tokens else output
                of_member.append(kept.to(wide))
            order.append(token_places(data, rows, live) if reads_tokens else torch.tensor(rows))
        places = torch.cat(order)
        stacked = [torch.cat(of_member).cpu() for of_member in made]
        return [torch.empty_like(x).index_copy_(0, places, x) for x in stacked]

    def _prepare(self, members: Sequence[Member], microbatch: int, *, training: bool) -> Forward:
        dtype = _HALF.get(members[0].recipe.precision, members[0].parameters.values.dtype)
        updates = self._stacker.updates(members, dtype)
        return Forward(members, (), updates, stack_heads(members, dtype), microbatch, training)

    def _forward(
        self,
        forward: Forward,
        batches: Sequence[Batch],
        depth: int = 0,
        known: Sequence[tuple[States, Sequence[int]]] = (),
    ) -> list[Tensor]:
        """Outputs of each member; below layer `depth`, `known` has each one's states and rows."""
        forward.shapes = [(b.input_ids.shape[0], b.input_ids.shape[1]) for b in batches]
        forward.decoder_shapes = [b.decoder_shape for b in batches if b.decoder_shape is not None]
        inputs = {k: placed(v, self.device) for k, v in self._join(batches).items()}
        if depth:
            size, length = inputs["input_ids"].shape
            made = [states.rows(rows, length) for states, rows in known]
            missing = size // len(batches)
            padded = [functional.pad(x, (0, 0, 0, 0, 0, missing - len(x))) for x in made]
            forward.states = torch.cat(padded)
        if self.attention.unpads:
            forward.layout = Layout.of([batch.lengths for batch in batches], self.device)
        draw = forward.attention_mask if forward.drops_attention else None
        attending = partial(self.attention.during, draw, forward.layout)
        with (
            self._reached(forward),
            self._prefix.without(depth),
            attending(),
            self._recomputed(forward, attending),
        ):
            if self.backbone.writes:
                return self._words(inputs, batches)
            logits = self._logits(forward, inputs)
        by_member = logits.view(len(batches), -1, *logits.shape[1:])
        return [
            of_member[tuple(map(slice, shape[: logits.dim() - 1]))][..., : member.head.outputs]
            for of_member, member, shape in zip(
                by_member, forward.members, forward.shapes, strict=True
            )
        ]

    def _words(self, inputs: Mapping[str, Tensor], batches: Sequence[Batch]) -> list[Tensor]:
        """Logits (n, V) of each member's learned tokens."""
        states = states_of(self.backbone.model, inputs)
        rows = len(states) // len(batches)
        places, sizes = [], []
        for k, batch in enumerate(batches):
            assert batch.places is not None  # A text that is trained on has them.
            places.append(batch.places + torch.tensor([[k * rows], [0]]))
            sizes.append(batch.places.shape[1])
        row, place = placed(torch.cat(places, 1), self.device)
        return list(words_of(self.backbone.model, states[row, place]).split(sizes))

    @contextmanager
    def _reached(self, forward: Forward) -> Iterator[None]:
        """While it is open, whatever the backbone computes is of a pass's members."""
        self.hooks.current = forward
        try:
            with self._autocast(forward.members):
                yield
        finally:
            self.hooks.current = None

    def _logits(self, forward: Forward, inputs: dict[str, Tensor]) -> Tensor:
        """What the members' heads give, (K · B, O) or (K · B, L, O)."""
        model = self.backbone.model
        if forward.members[0].head.reads == "text":
            return logits_of(model, inputs)
        return forward.through_head(TOKEN_HEAD, states_of(model, inputs))

    def _join(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Members one after another, padded to the largest batch and length."""
        rows = max(b.input_ids.shape[0] for b in batches)
        length = max(b.input_ids.shape[1] for b in batches)

        def padded(tensor: Tensor, value: int, to: int = length) -> Tensor:
            missing = (0, to - tensor.shape[1], 0, rows - tensor.shape[0])
            return functional.pad(tensor, missing, value=value) if any(missing) else tensor

        inputs = {
            "input_ids": torch.cat([padded(b.input_ids, self.pad_id) for b in batches]),
            "attention_mask": torch.cat([padded(b.attention_mask, 0) for b in batches]),
        }
        # A row without a live token would give NaN in some attention implementations.
        inputs["attention_mask"][:, 0] = 1
        decoders = [b.decoder_ids for b in batches if b.decoder_ids is not None]
        if decoders:
            longest = max(ids.shape[1] for ids in decoders)
            made = [padded(ids, self.pad_id, longest) for ids in decoders]
            inputs["decoder_ids"] = torch.cat(made)
        types = [b.token_type_ids for b in batches]
        present = [padded(t, 0) for t in types if t is not None]
        return inputs | ({"token_type_ids": torch.cat(present)} if present else {})

    def _autocast(self, members: Sequence[Member]) -> AbstractContextManager[object]:
        half = _HALF.get(members[0].recipe.precision)
        return nullcontext() if half is None else torch.autocast(self.device.type, half)

    def _recomputed(
        self, forward: Forward, around: Callable[[], AbstractContextManager[object]]
    ) -> AbstractContextManager[object]:
        if not forward.training or not forward.members[0].recipe.gradient_checkpointing:
            return nullcontext()
        return recomputed(self._prefix.layers, self.hooks, forward, around)
