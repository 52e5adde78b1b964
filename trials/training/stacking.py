"""What the members of a pack add to each map of the backbone, stacked over the members.

Members whose updates have one form (what they read, how they bend it) are multiplied together;
ranks are padded with zeros to the largest, and a member that leaves a map alone has zeros there.
Right factors that a member's sites share are a form of their own, so that they stay one.

Shapes: K members, S sites of equal shape, O outputs, I inputs, R rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trials.methods.base import Site, Update
from trials.training.member import Member

_WIDTH = 16
"""Ranks are padded to a multiple of this, alone as in a pack: products then add up their terms in
one order whatever the company, and matrix units ask for it."""

Form = tuple[str, str | None, str, bool]
"""What an update reads, the activation between its factors, to what it is added, and whether its
sites share the right factor."""


@dataclass(frozen=True)
class Part:
    """The updates of one form at one site.

    Attributes:
        reads: `input` or `output` of the map.
        activation: name of a function of `torch.nn.functional`; None for a linear update.
        adds: to what it is added: `input` or `output` of the map.
        shared: whether the sites share the right factor.
        present: K booleans: which members have an update of this form here.
        left: (K, O, R).
        right: (K, R, I).
        inner: (K, 1, R), or None.
    """

    reads: str
    activation: str | None
    adds: str
    shared: bool
    present: tuple[bool, ...]
    left: Tensor
    right: Tensor
    inner: Tensor | None


@dataclass(frozen=True)
class SiteUpdate:
    """All that the members add at one site.

    Attributes:
        site: the map, or slices of it, where it is added.
        parts: one for each form.
        biases: `input` or `output` -> (K, 1, O) added there; empty where there is none.
    """

    site: Site
    parts: tuple[Part, ...]
    biases: Mapping[str, Tensor]

    @property
    def width(self) -> int:
        """Outputs of one slice of the site."""
        return self.site.outputs // self.site.slices

    @property
    def changes_input(self) -> bool:
        """Whether anything is added to the map's input."""
        return "input" in self.biases or any(part.adds == "input" for part in self.parts)


@dataclass(frozen=True)
class _Own:
    """One member's update of sites of equal shape."""

    member: int
    sites: tuple[Site, ...]
    update: Update
    form: Form


class Stacker:
    """Stacks updates; remembers how each member's sites lie among those of the pack."""

    def __init__(self) -> None:
        self._places: dict[tuple[tuple[str, ...], tuple[str, ...]], Tensor] = {}

    def updates(self, members: Sequence[Member], dtype: torch.dtype) -> dict[str, list[SiteUpdate]]:
        """Module path -> what the members add there, one entry for each site of the module.

        Args:
            members: K members.
            dtype: of the products; factors are cast once here.
        """
        shapes: dict[tuple[int, int, int], list[_Own]] = {}
        for k, member in enumerate(members):
            for group, update in zip(member.parameters.groups, member.updates(), strict=True):
                site = group.sites[0]
                form = (member.method.reads, update.activation, update.adds, update.shares_right)
                own = _Own(k, group.sites, update, form)
                shapes.setdefault(site.shape, []).append(own)
        made: dict[str, list[SiteUpdate]] = {}
        for owns in shapes.values():
            for of_site in self._of_shape(owns, len(members), dtype):
                made.setdefault(of_site.site.path, []).append(of_site)
        for of_module in made.values():
            of_module.sort(key=lambda update: -update.site.outputs)  # A whole map before slices.
        return made

    def _of_shape(self, owns: list[_Own], size: int, dtype: torch.dtype) -> list[SiteUpdate]:
        sites = {site.name: site for own in owns for site in own.sites}
        names = tuple(sites)
        parts: list[list[Part]] = [[] for _ in names]
        # Of rank 0 are those that only have a bias.
        factored = [own for own in owns if own.update.left.shape[-1]]
        for form in dict.fromkeys(own.form for own in factored):
            of_form = [own for own in factored if own.form == form]
            made = self._of_form(of_form, names, size, dtype)
            for at_site, part in zip(parts, made, strict=True):
                if any(part.present):
                    at_site.append(part)
        biases: list[dict[str, Tensor]] = [{} for _ in names]
        for adds in ("input", "output"):
            here = {site.name for own in owns if own.update.adds == adds for site in own.sites}
            placed = {
                own.member: self._place(own, own.update.bias, names)
                for own in owns
                if own.update.bias is not None and own.update.adds == adds
            }
            if placed:
                stacked = _stack(placed, size).to(dtype)[:, :, None].unbind(1)
                for name, of_site, bias in zip(names, biases, stacked, strict=True):
                    if name in here:
                        of_site[adds] = bias
        return [
            SiteUpdate(sites[name], tuple(at_site), of_site)
            for name, at_site, of_site in zip(names, parts, biases, strict=True)
        ]

    def _of_form(
        self, owns: list[_Own], names: tuple[str, ...], size: int, dtype: torch.dtype
    ) -> list[Part]:
        """One part for each site."""
        lefts, rights, inners = {}, {}, {}
        reads, activation, adds, shared = owns[0].form
        widest = max(own.update.left.shape[-1] for own in owns)
        width = -(-widest // _WIDTH) * _WIDTH
        for own in owns:
            left, right = own.update.folded()
            missing = width - left.shape[-1]
            lefts[own.member] = self._place(own, functional.pad(left, (0, missing)), names)
            # Where a member has no update its left factor is zero.
            right = functional.pad(right[:1] if shared else right, (0, 0, 0, missing))
            rights[own.member] = right if shared else self._place(own, right, names)
            if own.update.inner is not None:
                inner = functional.pad(own.update.inner, (0, missing))
                inners[own.member] = self._place(own, inner, names)
        of_site = {name: [False] * size for name in names}
        for own in owns:
            for site in own.sites:
                of_site[site.name][own.member] = True
        inner_of = _stack(inners, size).to(dtype)[:, :, None].unbind(1) if inners else None
        stacked = zip(
            names,
            _stack(lefts, size).to(dtype).unbind(1),
            _stack(rights, size).to(dtype).expand(-1, len(names), -1, -1).unbind(1),
            strict=True,
        )
        return [
            Part(
                reads,
                activation,
                adds,
                shared,
                tuple(of_site[name]),
                left,
                right,
                None if inner_of is None else inner_of[index],
            )
            for index, (name, left, right) in enumerate(stacked)
        ]

    def _place(self, own: _Own, tensor: Tensor, names: tuple[str, ...]) -> Tensor:
        """A member's (S, ...) among all sites of the pack; zeros where it has none."""
        mine = tuple(site.name for site in own.sites)
        if mine == names:
            return tensor
        if (mine, names) not in self._places:
            places = [names.index(name) for name in mine]
            self._places[mine, names] = torch.tensor(places, device=tensor.device)
        empty = tensor.new_zeros(len(names), *tensor.shape[1:])
        return empty.index_copy(0, self._places[mine, names], tensor)


def stack_heads(
    members: Sequence[Member], dtype: torch.dtype
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Map of the head -> weight (K, O, I) and bias (K, 1, O) or None; O is the largest."""
    heads = [member.parameters.head for member in members]
    stacked: dict[str, tuple[Tensor, Tensor | None]] = {}
    for name, parts in heads[0].items():
        outputs = max(head[name]["weight"].shape[0] for head in heads)
        weights, biases = [], []
        for head in heads:
            missing = outputs - head[name]["weight"].shape[0]
            weights.append(functional.pad(head[name]["weight"], (0, 0, 0, missing)))
            if "bias" in parts:
                biases.append(functional.pad(head[name]["bias"], (0, missing)))
        bias = torch.stack(biases)[:, None].to(dtype) if biases else None
        stacked[name] = (torch.stack(weights).to(dtype), bias)
    return stacked


def _stack(parts: dict[int, Tensor], size: int) -> Tensor:
    """(K, ...) from those members that have one; zeros for the others."""
    if len(parts) == 1 == size:
        return parts[0][None]
    empty = torch.zeros_like(next(iter(parts.values())))
    return torch.stack([parts.get(k, empty) for k in range(size)])
