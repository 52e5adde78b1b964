"""What of a backbone a trial adapts: its targets, or what its method chooses; and the head."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trials.errors import UserError, nearest
from trials.families import TOKEN_HEAD, Family, Head
from trials.methods.base import Method, Site, fused

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
    return chosen(method, sites(model, family, targets), body(model, family))


def chosen(method: Method, targeted: Sequence[Site], body: Sequence[Site]) -> list[Site]:
    """Of what a trial targets and of the whole body, where its method stands.

    Raises:
        UserError: the method finds nothing to stand at.
    """
    found = list(method.sites(targeted, body))
    return fused(found) if method.fuses else found


def body(model: nn.Module, family: Family) -> list[Site]:
    """Every linear map and layer norm but the head's, in the order of the model's modules.

    A fused map is there by its slices.
    """
    patterns = _patterns(family, tuple(family.targets))
    found = []
    for path, module in _modules(model, family):
        width = norm_width(module)
        if width is not None:
            bias = getattr(module, "bias", None) is not None
            found.append(Site(path, "", width, width, is_norm=True, has_bias=bias))
        else:
            names = [name for name, p in patterns.items() if p.search(path)]
            found += _of_map(path, module, names or [""], family)
    return found


def sites(
    model: nn.Module, family: Family, targets: Sequence[str] | Mapping[str, Any]
) -> list[Site]:
    """The linear maps, or slices of them, that targets name, in the order of the model's modules.

    Args:
        model: the backbone, with or without weights.
        family: how its parts are named.
        targets: canonical names, or `{"modules": [regular expressions]}` that must match a whole
            module path, and name a fused map as a whole.

    Raises:
        UserError: a target matches no module; all such targets are named.
    """
    patterns = _patterns(family, targets)
    found: set[str] = set()
    ordered = []
    for path, module in _modules(model, family):
        names = [name for name, pattern in patterns.items() if pattern.search(path)]
        if names and map_shape(module) is not None:
            of_map = _of_map(path, module, names, family)
            found |= {site.target for site in of_map}
            ordered += of_map
    missing = [name for name in patterns if name not in found]
    if missing:
        known = ", ".join(family.targets)
        raise UserError(
            *(f"target '{name}' matches no module of this backbone; it has {known}"
              for name in missing)
        )  # fmt: skip
    return ordered


def map_shape(module: nn.Module) -> tuple[int, int] | None:
    """Outputs and inputs of a linear map; None for any other module.

    GPT-2's maps are stored transposed, (inputs, outputs).
    """
    from torch import nn

    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    if not is_transposed(module):
        return None
    inputs, outputs = module.get_parameter("weight").shape
    return outputs, inputs


def is_transposed(module: nn.Module) -> bool:
    """Whether a map's weight is stored as (inputs, outputs)."""
    from transformers.pytorch_utils import Conv1D

    from trials.quantised import QuantisedLinear

    if isinstance(module, QuantisedLinear):
        return module.is_transposed
    return isinstance(module, Conv1D)


def norm_width(module: nn.Module) -> int | None:
    """Width of a layer norm; None for any other module."""
    from torch import nn

    return int(module.normalized_shape[-1]) if isinstance(module, nn.LayerNorm) else None


def _modules(model: nn.Module, family: Family) -> Iterator[tuple[str, nn.Module]]:
    """The model's linear maps and layer norms but the head's."""
    for path, module in model.named_modules():
        is_known = map_shape(module) is not None or norm_width(module) is not None
        if is_known and path not in family.head:
            yield path, module


def _of_map(path: str, module: nn.Module, names: Sequence[str], family: Family) -> list[Site]:
    """The sites of one map: its slices that the names stand for, in their order, or the map."""
    shape = map_shape(module)
    assert shape is not None
    (outputs, inputs), has_bias = shape, getattr(module, "bias", None) is not None
    if names[0] not in family.slices:
        return [Site(path, names[0], outputs, inputs, has_bias=has_bias)]
    found = []
    for name in sorted(names, key=lambda name: family.slices[name]):
        index, size = family.slices[name]
        width = outputs // size
        found.append(
            Site(f"{path}.{name}", name, width, inputs, (index * width,), path, has_bias=has_bias)
        )
    return found


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
    model: nn.Module, family: Family, head: Head | None = None
) -> list[tuple[Site, bool]]:
    """The head's linear maps, each with whether it has a bias.

    Args:
        model: the backbone, with or without weights.
        family: how its parts are named.
        head: what the task asks of it; None for the model's own.
    """
    from torch import nn

    if head is not None and head.reads == "words":
        return []  # They are the backbone's, and no trial's own.
    if head is not None and head.reads == "tokens":
        config: Any = model.config
        return [(Site(TOKEN_HEAD, "head", head.outputs, int(config.hidden_size)), True)]
    maps = []
    for path in family.head:
        module = model.get_submodule(path)
        assert isinstance(module, nn.Linear)
        outputs = module.out_features
        if path == family.head[-1] and head is not None:
            outputs = head.outputs
        site = Site(path, "head", outputs, module.in_features)
        maps.append((site, module.bias is not None))
    return maps
