"""A pack: 1 to K members that share each forward and backward pass of one frozen backbone.

Packing is an optimisation and changes no number beyond rounding: parameters, optimiser, clipping,
schedule, order and random streams are each member's own, and every loss is taken from the
member's own part of the output.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from trials.backbones import Backbone
from trials.tasks.base import Encoded
from trials.training.data import Batch, collate, evaluation_rows
from trials.training.hooks import Forward, Hooks
from trials.training.member import Member


class Pack:
    """Members over one backbone. Use as a context manager, or call `close`."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.device = next(backbone.model.parameters()).device
        self.pad_id = int(backbone.tokenizer.pad_token_id or 0)
        self.hooks = Hooks(backbone.model, backbone.family.head)

    def __enter__(self) -> "Pack":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the backbone as it was."""
        self.hooks.remove()

    def step(self, members: Sequence[Member]) -> None:
        """One optimiser step of every member."""
        rows = [member.rows() for member in members]
        losses = [0.0] * len(members)
        for member in members:
            member.parameters.gradient.zero_()
        for microbatch in range(max(len(r) for r in rows)):
            active = [k for k, r in enumerate(rows) if microbatch < len(r)]
            parts = self._accumulate(
                [members[k] for k in active],
                [rows[k][microbatch] for k in active],
                [sum(len(part) for part in rows[k]) for k in active],
                microbatch,
            )
            for k, part in zip(active, parts, strict=True):
                losses[k] += part
        for member, loss in zip(members, losses, strict=True):
            member.finish_step(loss)

    def _accumulate(
        self,
        members: Sequence[Member],
        rows: Sequence[Sequence[int]],
        totals: Sequence[int],
        microbatch: int,
    ) -> list[float]:
        """Add one microbatch's gradients; returns each member's share of its step's loss."""
        batches = [collate(m.train, r, self.pad_id) for m, r in zip(members, rows, strict=True)]
        outputs = self._forward(self._prepare(members, microbatch, training=True), batches)
        shares = []
        for member, output, batch, total in zip(members, outputs, batches, totals, strict=True):
            share = member.losses(output, batch.labels.to(self.device)).sum() / total
            penalty = member.penalty() if microbatch == 0 else None
            shares.append(share if penalty is None else share + penalty)
        torch.stack(shares).sum().backward()
        return [float(share.detach()) for share in shares]

    @torch.no_grad()
    def outputs(self, member: Member, data: Encoded) -> Tensor:
        """The model's outputs on a split, (examples, outputs) in the split's order, on the CPU."""
        forward = self._prepare([member], 0, training=False)
        made: list[Tensor] = []
        order: list[int] = []
        for rows in evaluation_rows(data):
            batch = collate(data, rows, self.pad_id)
            made.append(self._forward(forward, [batch])[0].float().cpu())
            order.extend(rows)
        stacked = torch.cat(made)
        return torch.empty_like(stacked).index_copy_(0, torch.tensor(order), stacked)

    def _prepare(self, members: Sequence[Member], microbatch: int, *, training: bool) -> Forward:
        return Forward(
            members, (), _stack_factors(members), _stack_heads(members), microbatch, training
        )

    def _forward(self, forward: Forward, batches: Sequence[Batch]) -> list[Tensor]:
        forward.shapes = [(b.input_ids.shape[0], b.input_ids.shape[1]) for b in batches]
        self.hooks.current = forward
        try:
            with self._autocast(forward.members):
                inputs = {k: v.to(self.device) for k, v in self._join(batches).items()}
                logits = self.backbone.model(**inputs).logits
        finally:
            self.hooks.current = None
        by_member = logits.view(len(batches), -1, logits.shape[-1])
        return [by_member[k, : shape[0]] for k, shape in enumerate(forward.shapes)]

    def _join(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Members one after another, padded to the largest batch and length."""
        rows = max(b.input_ids.shape[0] for b in batches)
        length = max(b.input_ids.shape[1] for b in batches)

        def padded(tensor: Tensor, value: int) -> Tensor:
            missing = (0, length - tensor.shape[1], 0, rows - tensor.shape[0])
            return functional.pad(tensor, missing, value=value)

        inputs = {
            "input_ids": torch.cat([padded(b.input_ids, self.pad_id) for b in batches]),
            "attention_mask": torch.cat([padded(b.attention_mask, 0) for b in batches]),
        }
        # A row without a live token would give NaN in some attention implementations.
        inputs["attention_mask"][:, 0] = 1
        types = [b.token_type_ids for b in batches]
        present = [padded(t, 0) for t in types if t is not None]
        return inputs | ({"token_type_ids": torch.cat(present)} if present else {})

    def _autocast(self, members: Sequence[Member]) -> AbstractContextManager[object]:
        if members[0].recipe.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


def _stack_factors(members: Sequence[Member]) -> dict[str, tuple[Tensor, Tensor]]:
    """Site -> left (K, O, R) and right (K, R, I), ranks padded with zeros to the largest."""
    made = [member.factors() for member in members]
    if len(members) == 1:
        return {
            site.name: (left[None], right[None])
            for group, (lefts, rights) in zip(members[0].parameters.groups, made[0], strict=True)
            for site, left, right in zip(group.sites, lefts, rights, strict=True)
        }
    of_site: dict[str, dict[int, tuple[Tensor, Tensor]]] = {}
    for k, member in enumerate(members):
        for group, (lefts, rights) in zip(member.parameters.groups, made[k], strict=True):
            for site, left, right in zip(group.sites, lefts, rights, strict=True):
                of_site.setdefault(site.name, {})[k] = (left, right)
    return {name: _pad_ranks(parts, len(members)) for name, parts in of_site.items()}


def _pad_ranks(parts: dict[int, tuple[Tensor, Tensor]], num_members: int) -> tuple[Tensor, Tensor]:
    """Stack over members; one without this site gets zeros."""
    rank = max(left.shape[1] for left, _ in parts.values())
    left, right = next(iter(parts.values()))
    no_left, no_right = left.new_zeros(left.shape[0], rank), right.new_zeros(rank, right.shape[1])
    lefts, rights = [no_left] * num_members, [no_right] * num_members
    for k, (left, right) in parts.items():
        lefts[k] = functional.pad(left, (0, rank - left.shape[1]))
        rights[k] = functional.pad(right, (0, 0, 0, rank - right.shape[0]))
    return torch.stack(lefts), torch.stack(rights)


def _stack_heads(members: Sequence[Member]) -> dict[str, tuple[Tensor, Tensor | None]]:
    heads = [member.parameters.head for member in members]
    stacked: dict[str, tuple[Tensor, Tensor | None]] = {}
    for name, parts in heads[0].items():
        weight = torch.stack([head[name]["weight"] for head in heads])
        has_bias = "bias" in parts
        bias = torch.stack([head[name]["bias"] for head in heads])[:, None] if has_bias else None
        stacked[name] = (weight, bias)
    return stacked
