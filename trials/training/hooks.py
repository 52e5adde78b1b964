"""How updates, heads and dropout reach a backbone that stays as it is: by forward hooks.

Shapes: K members, B examples of a member (padded), L tokens (padded), I inputs, O outputs, R rank.
Activations have the members one after another on the batch axis: (K · B, L, I). Within the layers
of most families they carry no padding: (K, N, I) with N tokens of a member.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trials.backbones import Backbone
from trials.errors import UserError
from trials.sites import map_shape, norm_width
from trials.streams import generator
from trials.training.attention import unpads
from trials.training.disentangled import Positions, norms_of_positions
from trials.training.dropouts import kinds_of
from trials.training.layout import Layout
from trials.training.member import Member
from trials.training.stacking import Part, SiteUpdate

_CROSS = "EncDecAttention"
_OF_ENCODER = re.compile(rf"{_CROSS}\.[kv]\b")
"""Maps of a decoder that read what the encoder made."""


@dataclass
class Forward:
    """What one pass through the backbone needs to know.

    Attributes:
        members: K members.
        shapes: each member's own batch and length, before padding.
        updates: module path -> what the members add there, at each site of it.
        head: head map -> weight (K, O, I) and bias (K, 1, O) or None.
        microbatch: index within the step.
        training: whether anything is dropped.
        decoder_shapes: each member's own batch and length in a decoder that reads what an encoder
            made; empty where there is none, or where it has the encoder's length.
        states: (K · B, L, I) what stands for the embeddings' output where the layers that follow
            them are left out; None where nothing is.
        layout: how tokens lie within the layers; None where those are padded as well.
        calls: how often each dropout has been reached in this pass.
    """

    members: Sequence[Member]
    shapes: Sequence[tuple[int, int]]
    updates: dict[str, list[SiteUpdate]]
    head: dict[str, tuple[Tensor, Tensor | None]]
    microbatch: int = 0
    training: bool = False
    decoder_shapes: Sequence[tuple[int, int]] = ()
    states: Tensor | None = None
    layout: Layout | None = None
    calls: Counter[str] = field(default_factory=Counter)

    def note_dense(self, site: str, part: Part, source: Tensor, made: Tensor) -> None:
        """Tell members that read it the loss's gradient by their dense change, when it is known.

        Args:
            site: its name.
            part: what was added there.
            source: (K, B · L, I) what the factors multiplied.
            made: (K, B · L, O) the site's output with what was added.
        """
        reading = [
            (k, member)
            for k, member in enumerate(self.members)
            if part.present[k] and member.method.reads_dense_gradient
        ]
        if not reading or not made.requires_grad:
            return
        read = source.detach()

        def note(gradient_KNO: Tensor) -> None:
            for k, member in reading:
                member.note_dense(site, gradient_KNO[k].mT @ read[k].to(gradient_KNO.dtype))

        made.register_hook(note)

    def by_member(self, x: Tensor) -> Tensor:
        """(K · B, [L,] F) or (K, N, F) as (K, tokens, F)."""
        return x.reshape(len(self.members), -1, x.shape[-1])

    def through_head(self, path: str, x: Tensor) -> Tensor:
        """What each member's own map of the head makes of its part of (K · B, [L,] F)."""
        weight, bias = self.head[path]
        own = self.by_member(x) @ weight.mT
        own = own if bias is None else own + bias
        return own.view(*x.shape[:-1], own.shape[-1])

    def mask(
        self,
        x: Tensor,
        place: str,
        probabilities: Sequence[float],
        own: Sequence[tuple[int, ...]] | None = None,
    ) -> Tensor | None:
        """What `x` is multiplied with to drop elements, or None when nothing is dropped.

        Each member's part is drawn from its own stream at its own unpadded shape.

        Args:
            x: (K · B, ...).
            place: name of the dropout.
            probabilities: one for each member.
            own: each member's own shape; None where `x` is (K · B, [L,] F) or (K, N, F).
        """
        if not self.training or not any(probabilities):
            return None
        self.calls[place] += 1
        if own is None:
            own = self._own_shapes(x, place)
        if len(self.members) == 1 and own[0] == x.shape:
            return self._drawn(x, place, 0, probabilities[0], own[0]).to(x.dtype)
        parts = x.new_ones(len(self.members), -(-x.shape[0] // len(self.members)), *x.shape[1:])
        for k, (p, shape) in enumerate(zip(probabilities, own, strict=True)):
            if p:
                drawn = self._drawn(x, place, k, p, shape)
                parts[k][tuple(slice(size) for size in shape)].copy_(drawn)
        return parts.view(x.shape)

    def _own_shapes(self, x: Tensor, place: str) -> list[tuple[int, ...]]:
        """The part of activations that is each member's, without what fills them up."""
        layout = self.layout
        if layout is not None and x.dim() == 3 and x.shape[:2] == layout.joined:
            return [(1, size, x.shape[-1]) for size in layout.sizes]
        return [(*shape[: x.dim() - 1], x.shape[-1]) for shape in self._shapes_at(place)]

    def _drawn(
        self, x: Tensor, place: str, k: int, probability: float, shape: tuple[int, ...]
    ) -> Tensor:
        """One member's mask, at its own shape."""
        member = self.members[k]
        where = (place, self.calls[place], member.step, self.microbatch)
        return drawn_mask(shape, probability, member.spec.seed_on_the_way, where, x.device)

    def _shapes_at(self, place: str) -> Sequence[tuple[int, int]]:
        """Each member's own batch and length at a place of the backbone."""
        reads_encoder = _OF_ENCODER.search(place) is not None
        if not self.decoder_shapes or not place.startswith("decoder.") or reads_encoder:
            return self.shapes
        return self.decoder_shapes

    @property
    def drops_attention(self) -> bool:
        """Whether attention probabilities of any member are dropped."""
        return self.training and any(m.recipe.dropout.attention for m in self.members)

    def attention_mask(self, x: Tensor, path: str) -> Tensor | None:
        """`mask` of the probabilities (K · B, N, L, L) of the attention at a path.

        A decoder that asks an encoder has (K · B, N, T, L), with its own length first.
        """
        asking = self._shapes_at(path)
        asked = self.shapes if path.endswith(_CROSS) else asking
        own = [
            (batch, x.shape[1], length, other[1])
            for (batch, length), other in zip(asking, asked, strict=True)
        ]
        rates = [m.recipe.dropout.attention for m in self.members]
        return self.mask(x, f"{path}.attention", rates, own)


def drawn_mask(
    shape: Sequence[int],
    probability: float,
    seed: int,
    where: tuple[str | int, ...],
    device: torch.device,
) -> Tensor:
    """A dropout mask with values 0 and 1/(1-p), from 16 random bits an element.

    The probability is rounded to a multiple of 2⁻¹⁶.
    """
    size = math.prod(shape)
    stream = generator(seed, "dropout", *where, device=device)
    bits = torch.empty(-(-size // 4), dtype=torch.int64, device=device)
    bits.random_(-(2**63), None, generator=stream)
    dropped = round(probability * 2**16)
    keep = bits.view(torch.int16)[:size].view(*shape) >= dropped - 2**15
    return keep * (2**16 / (2**16 - dropped))


def only(present: Sequence[bool], rates: Sequence[float]) -> list[float]:
    """Each member's rate where it is present, else 0."""
    return [rate if here else 0.0 for here, rate in zip(present, rates, strict=True)]


class Hooks:
    """The hooks on one backbone; without a current pass they change nothing."""

    def __init__(self, backbone: Backbone) -> None:
        model: nn.Module = backbone.model
        head, own = backbone.family.head, backbone.dropouts
        self.current: Forward | None = None
        self._handles: list[Any] = []
        self._positions = Positions(model, self._num_members)
        self._tables = norms_of_positions(model)
        of_kind = {"probabilities": self._probabilities, "positions": self._distances}
        kinds = kinds_of(model)
        for path, module in model.named_modules():
            if path in head:
                self._add(module, self._head, path)
            elif path in own:
                self._add(module, partial(self._own_dropout, own[path]), path)
            elif map_shape(module) is not None or norm_width(module) is not None:
                self._add(module, partial(self._site, module), path)
            elif isinstance(module, nn.Dropout) and kinds.get(path) != "off":
                self._add(module, of_kind.get(kinds.get(path, ""), self._dropout), path)
        if backbone.family.embeddings:
            # Last, for GPT-2's are a dropout: where states are known nothing is dropped before.
            path = f"{model.base_model_prefix}.{backbone.family.embeddings}"
            self._add(model.get_submodule(path), self._embeddings, path)
        if unpads(backbone):
            path = f"{model.base_model_prefix}.{backbone.family.layers[0]}"
            layers = list(model.get_submodule(path).children())
            for layer in layers:
                self._handles.append(layer.register_forward_pre_hook(self._join, with_kwargs=True))
            self._handles.append(layers[-1].register_forward_hook(self._part))

    def _add(self, module: nn.Module, hook: Any, path: str) -> None:
        self._handles.append(
            module.register_forward_hook(
                lambda _, args, output: hook(path, args[0] if args else None, output)
            )
        )

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()
        self._positions.remove()

    def _num_members(self) -> int | None:
        return None if self.current is None else len(self.current.members)

    def _site(self, module: nn.Module, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        forward = self.current
        updates = [] if forward is None else forward.updates.get(path, [])
        if forward is None or not updates:
            return None
        if path in self._tables:
            bias = updates[0].biases.get("output")
            return None if bias is None else output + bias.to(output.dtype)
        slices: list[Tensor] = []
        for update in updates:
            if update.site.outputs == output.shape[-1]:
                output = self._of_map(module, forward, update, x, output)
            else:
                slices = slices or list(output.split(update.width, -1))
                self._of_slices(forward, update, x, slices)
        return torch.cat(slices, -1) if slices else output

    def _of_map(
        self, module: nn.Module, forward: Forward, update: SiteUpdate, x: Tensor, output: Tensor
    ) -> Tensor:
        """A map's output with all that is added at the whole of it."""
        if update.changes_input:
            made = self._added("input", forward, update, x, output, x)
            output = module.forward(made.view(x.shape))
        return self._added("output", forward, update, x, output, output).view(output.shape)

    def _of_slices(
        self, forward: Forward, update: SiteUpdate, x: Tensor, slices: list[Tensor]
    ) -> None:
        """Replace those slices of a map's output, (K · B, L, o), that something is added to."""
        if update.changes_input:
            raise UserError(f"{update.site.name}: slices of a map have no input of their own")
        places = [rows.start // update.width for rows in update.site.rows]
        output = torch.cat([slices[place] for place in places], -1)
        made = self._added("output", forward, update, x, output, output).view(output.shape)
        for place, part in zip(places, made.split(update.width, -1), strict=True):
            slices[place] = part

    def _added(
        self,
        adds: str,
        forward: Forward,
        update: SiteUpdate,
        x: Tensor,
        output: Tensor,
        to: Tensor,
    ) -> Tensor:
        """`to` by member, (K, B · L, O), with all that is added to it: `input` or `output`."""
        made = forward.by_member(to)
        for part in update.parts:
            if part.adds == adds:
                made = self._add_part(forward, update.site.name, part, x, output, made)
        bias = update.biases.get(adds)
        return made if bias is None else made + bias.to(made.dtype)

    def _add_part(
        self, forward: Forward, site: str, part: Part, x: Tensor, output: Tensor, made: Tensor
    ) -> Tensor:
        """`made` (K, B · L, O) plus what the members with an update of this form add."""
        source = x if part.reads == "input" else output
        place = site if part.activation is None else f"{site}.{part.reads}.{part.activation}"
        place = f"{place}.shared" if part.shared else place
        own_in = own_out = None
        if self._positions.active:
            own_in = [(1, *source.shape[1:])] * len(forward.members)
            own_out = [(1, *output.shape[1:])] * len(forward.members)
        rates = [m.recipe.dropout.adapter for m in forward.members]
        mask = forward.mask(source, f"{place}.in", only(part.present, rates), own_in)
        source_KNI = forward.by_member(source if mask is None else source * mask)
        inner_KNR = source_KNI @ part.right.mT
        if part.inner is not None:
            inner_KNR = inner_KNR + part.inner
        if part.activation is not None:
            inner_KNR = getattr(functional, part.activation)(inner_KNR)
        rates = [m.method.output_dropout() for m in forward.members]
        mask = forward.mask(output, f"{place}.out", only(part.present, rates), own_out)
        if mask is None:
            made = torch.baddbmm(made, inner_KNR.to(made.dtype), part.left.mT.to(made.dtype))
        else:
            made = made + inner_KNR @ part.left.mT * forward.by_member(mask)
        forward.note_dense(site, part, source_KNI, made)
        return made

    def _head(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        if self.current is None or path not in self.current.head:
            return None  # Words are the backbone's own.
        return self.current.through_head(path, x)

    def _embeddings(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        return None if self.current is None else self.current.states

    def _join(
        self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Takes the padding out of what a layer reads."""
        layout = None if self.current is None else self.current.layout
        if layout is None:
            return None
        x, *others = args
        if x.shape[:2] == layout.padded:
            x = layout.join(x)
        if "position_embeddings" in named:
            rotations = (r.expand(layout.padded[0], -1, -1) for r in named["position_embeddings"])
            named = {**named, "position_embeddings": tuple(map(layout.join, rotations))}
        return (x, *others), named

    def _part(self, _: nn.Module, __: Any, output: Any) -> Any:
        """Puts padding into what the last layer makes: heads look for places in it."""
        layout = None if self.current is None else self.current.layout
        if layout is None:
            return None
        if isinstance(output, tuple):
            return (layout.part(output[0]), *output[1:])
        return layout.part(output)

    def _dropout(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        if self.current is None:
            return None
        rates = [m.recipe.dropout.backbone for m in self.current.members]
        mask = self.current.mask(x, path, rates)
        return None if mask is None else x * mask

    def _own_dropout(self, rate: float, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        """Dropout that a trial's method put into its own copy of the backbone."""
        if self.current is None:
            return None
        members = self.current.members
        own = [(1, *x.shape[1:])] * len(members) if self._positions.active else None
        mask = self.current.mask(x, path, [rate] * len(members), own)
        return None if mask is None else x * mask

    def _probabilities(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        """Dropout of attention probabilities, (K · B, N, L, L), where it is a module."""
        if self.current is None:
            return None
        mask = self.current.attention_mask(x, path.rpartition(".")[0])
        return None if mask is None else x * mask

    def _distances(self, path: str, x: Tensor, output: Tensor) -> Tensor | None:
        """Dropout of the embeddings of distances, (P, H): each member's own make (K, P, H).

        They are (K, P, H) already where members have a bias of their own on the norm before it.
        """
        if self.current is None:
            return None
        members = self.current.members
        rates = [m.recipe.dropout.backbone for m in members]
        copies = x.expand(len(members), *x.shape[-2:])
        mask = self.current.mask(copies, path, rates, [(1, *x.shape[-2:])] * len(members))
        return None if mask is None else copies * mask
