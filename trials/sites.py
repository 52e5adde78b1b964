"""What of a backbone a trial adapts: its targets, or what its method chooses; and the head."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trials.backbones import Family
from trials.errors import UserError, nearest
from trials.methods.base import Method, Site

if TYPE_CHECKING:
    from torch import nn


def adapted(
    model: nn.Module, family: Family, method: Method, targets: Sequence[str] | Mapping[str, Any]
) -> list[Site]:
    """Where a trial's method stands, in the order of the model's modules.

    Args:
        model: the backbone, with or without weights.
        family: how its parts are named.
        method: the trial's method.
        targets: as for `sites`.

    Raises:
        UserError: a target matches no module, or the method finds nothing to stand at.
    """
    return list(method.sites(sites(model, family, targets), body(model, family)))


def body(model: nn.Module, family: Family) -> list[Site]:
    """Every linear map and layer norm but the head's, in the order of the model's modules."""
    from torch import nn

    patterns = _patterns(family, tuple(family.targets))
    found = []
    for path, module in model.named_modules():
        if path in family.head:
            continue
        if isinstance(module, nn.Linear):
            target = next((name for name, p in patterns.items() if p.search(path)), "")
            found.append(_site(path, target, module))
        elif isinstance(module, nn.LayerNorm):
            width = module.normalized_shape[-1]
            bias = module.bias is not None
            found.append(Site(path, "", width, width, is_norm=True, has_bias=bias))
    return found


def sites(
    model: nn.Module, family: Family, targets: Sequence[str] | Mapping[str, Any]
) -> list[Site]:
    """The linear maps that targets name, in the order of the model's modules.

    Args:
        model: the backbone, with or without weights.
        family: how its parts are named.
        targets: canonical names, or `{"modules": [regular expressions]}` that must match a whole
            module path.

    Raises:
        UserError: a target matches no module; all such targets are named.
    """
    from torch import nn

    patterns = _patterns(family, targets)
    found: dict[str, list[Site]] = {name: [] for name in patterns}
    ordered = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.Linear) or path in family.head:
            continue
        for name, pattern in patterns.items():
            if pattern.search(path):
                site = _site(path, name, module)
                found[name].append(site)
                ordered.append(site)
                break
    missing = [name for name, of_name in found.items() if not of_name]
    if missing:
        known = ", ".join(family.targets)
        raise UserError(
            *(f"target '{name}' matches no module of this backbone; it has {known}"
              for name in missing)
        )  # fmt: skip
    return ordered


def has_targets(
    family: Family, weights: Collection[str], targets: Sequence[str] | Mapping[str, Any]
) -> bool:
    """Whether the names of a checkpoint's weights show that every target is there.

    Modules given by pattern are never taken as shown: a name does not say what kind a module is.
    """
    if isinstance(targets, Mapping) or any(name not in family.targets for name in targets):
        return False
    patterns = [re.compile(family.targets[name] + r"\.weight$") for name in targets]
    return all(any(pattern.search(name) for name in weights) for pattern in patterns)


def _site(path: str, target: str, module: nn.Linear) -> Site:
    has_bias = module.bias is not None
    return Site(path, target, module.out_features, module.in_features, has_bias=has_bias)


def _patterns(
    family: Family, targets: Sequence[str] | Mapping[str, Any]
) -> dict[str, re.Pattern[str]]:
    if isinstance(targets, Mapping):
        return {text: re.compile(rf"^(?:{text})$") for text in targets["modules"]}
    problems = [
        f"target '{name}' matches no module of this backbone{nearest(name, family.targets)}"
        for name in targets
        if name not in family.targets
    ]
    if problems:
        raise UserError(*problems)
    return {name: re.compile(family.targets[name] + "$") for name in targets}


def head_sites(
    model: nn.Module, family: Family, num_outputs: int | None = None
) -> list[tuple[Site, bool]]:
    """The head's linear maps, each with whether it has a bias.

    Args:
        model: the backbone, with or without weights.
        family: how its parts are named.
        num_outputs: what the last map gives; None for what the model's own gives.
    """
    from torch import nn

    maps = []
    for path in family.head:
        module = model.get_submodule(path)
        assert isinstance(module, nn.Linear)
        outputs = module.out_features
        if path == family.head[-1] and num_outputs is not None:
            outputs = num_outputs
        site = Site(path, "head", outputs, module.in_features)
        maps.append((site, module.bias is not None))
    return maps
