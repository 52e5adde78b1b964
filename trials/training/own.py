"""A trial's own copy of the backbone, for a method that changes the model itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from trials.backbones import Backbone
from trials.errors import UserError
from trials.families import Family
from trials.methods.base import Method, Site
from trials.streams import generator


@dataclass(frozen=True)
class Own:
    """A copy of the backbone, changed by the trial's method.

    Attributes:
        backbone: the copy, on the backbone's device.
        trained: path -> what trains of it, the head aside.
        fixed: path -> what the method added that does not train.
    """

    backbone: Backbone
    trained: dict[str, nn.Parameter]
    fixed: dict[str, Tensor]


def own_copy(backbone: Backbone, method: Method, targeted: Sequence[Site], seed: int) -> Own:
    """Copy a backbone and let a method change it; on the CPU, so that a seed means one start.

    Raises:
        UserError: the method finds nothing to change.
    """
    model = backbone.model
    device = next(model.parameters()).device
    made = _without_hooks(copy.deepcopy(model).to("cpu"))
    before = {id(tensor) for tensor in _tensors(made).values()}
    dropouts = {path for path, m in made.named_modules() if isinstance(m, nn.Dropout)}
    trained = adapt(made, backbone.family, method, targeted, seed)
    made.to(device)
    added: dict[int, tuple[str, Tensor]] = {}
    for path, tensor in _tensors(made).items():
        if id(tensor) not in before and not tensor.requires_grad:
            added.setdefault(id(tensor), (path, tensor))
    rates = {
        path: module.p
        for path, module in made.named_modules()
        if isinstance(module, nn.Dropout) and path not in dropouts
    }
    own = replace(backbone, model=made.eval(), dropouts=rates)
    return Own(own, trained, dict(added.values()))


def adapt(
    model: nn.Module, family: Family, method: Method, targeted: Sequence[Site], seed: int
) -> dict[str, nn.Parameter]:
    """Let a method change a model in place; path -> what trains of it, the head aside.

    Raises:
        UserError: the method finds nothing to change, or wants the head for itself.
    """
    paths = set(_tensors(model))
    method.adapt(model, targeted, generator(seed, "initialisation", "model"))
    parts = tuple(f"{path}." for path in family.head)
    taken = [path for path in _tensors(model) if path.startswith(parts) and path not in paths]
    if taken:
        raise UserError(
            f"method '{method.name}' wants {taken[0].rpartition('.')[0]}, which is of the head; "
            "the head is trained or frozen by train.head"
        )
    found = {}
    for path, parameter in model.named_parameters():
        if path.startswith(parts):
            parameter.requires_grad_(False)  # The trial's own head stands in its place.
        elif parameter.requires_grad:
            found[path] = parameter
    if not found:
        raise UserError(f"method '{method.name}' leaves nothing of this backbone to train")
    return found


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _without_hooks(model: nn.Module) -> nn.Module:
    """A copy still has the hooks of a pack that trains over the original."""
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return model
