"""How many numbers a method trains on a backbone, from the backbone's configuration alone."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import backbones, sites
from trials.catalogue import lookup
from trials.families import Family, Head, Reads
from trials.methods.base import Method, Site
from trials.streams import generator
from trials.training.own import adapt

BINARY = Head(2)


def count(
    reference: str,
    method: str,
    hyperparameters: Mapping[str, Any],
    targets: Sequence[str] | Mapping[str, Any],
    *,
    head: Head = BINARY,
    roots: Sequence[Path] = (),
    base: Path | None = None,
) -> tuple[int, int]:
    """Trained numbers of the method and of the head.

    Args:
        reference: the backbone.
        method: registered name.
        hyperparameters: every field of the method.
        targets: what is adapted.
        head: what the task asks of the head.
        roots, base: where backbones are looked up.

    Raises:
        UserError: the backbone cannot be found, or a target matches no module.
    """
    frozen_targets = tuple(targets) if not isinstance(targets, Mapping) else None
    modules = tuple(targets["modules"]) if isinstance(targets, Mapping) else None
    parts = _parts(reference, frozen_targets, modules, head, tuple(roots), base)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in hyperparameters.items()}
    built = lookup("method", method)(**values)
    if not built.packs:
        return _of_copy(built, reference, parts, head.reads, tuple(roots), base), parts.head
    of_shape: dict[tuple[int, int, int], list[Site]] = {}
    for site in sites.chosen(built, parts.targeted, parts.body):
        of_shape.setdefault(site.shape, []).append(site)
    return sum(_of_site(built, alike[0]) * len(alike) for alike in of_shape.values()), parts.head


@dataclass(frozen=True)
class _Parts:
    """What is counted of a backbone.

    Attributes:
        targeted: the maps that the targets name.
        body: all that a method may choose from.
        head: numbers of the head.
        family: how the model's parts are named.
    """

    targeted: tuple[Site, ...]
    body: tuple[Site, ...]
    head: int
    family: Family


@functools.lru_cache(maxsize=64)
def _parts(
    reference: str,
    targets: tuple[str, ...] | None,
    modules: tuple[str, ...] | None,
    head: Head,
    roots: tuple[Path, ...],
    base: Path | None,
) -> _Parts:
    config = backbones.configuration(reference, roots, base)
    family = backbones.family_of(config).with_head(head.reads)
    model = backbones.skeleton(config, reads=head.reads)
    chosen = targets if targets is not None else {"modules": list(modules or ())}
    numbers = sum(
        site.outputs * site.inputs + (site.outputs if bias else 0)
        for site, bias in sites.head_sites(model, family, head)
    )
    targeted = sites.sites(model, family, chosen)
    return _Parts(tuple(targeted), tuple(sites.body(model, family)), numbers, family)


def _of_copy(
    method: Method,
    reference: str,
    parts: _Parts,
    reads: Reads,
    roots: tuple[Path, ...],
    base: Path | None,
) -> int:
    """What a method trains that changes a model of its own."""
    config = backbones.configuration(reference, roots, base)
    model = backbones.skeleton(config, reads=reads).requires_grad_(False)
    found = adapt(model, parts.family, method, parts.targeted, 0)
    return sum(parameter.numel() for parameter in found.values())


def _of_site(method: Method, site: Site) -> int:
    by_formula = method.num_parameters(site)
    if by_formula is not None:
        return by_formula
    untrained = method.frozen() | method.buffers()
    made = method.init(site, generator(0, "initialisation", site.name))
    return sum(tensor.numel() for name, tensor in made.items() if name not in untrained)
