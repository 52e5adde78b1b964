"""Where a trial starts that has a source: from the adapter of another trial, on another task."""

from pathlib import Path

import torch
from torch import Tensor

from trials.errors import UserError
from trials.spec import TrialSpec
from trials.training import checkpoint
from trials.training.member import Member


def start_from(member: Member, path: Path) -> None:
    """Put another trial's adapter, masks and ranks included, in place of starting values.

    The head keeps the start that the recipe says (`head_start`): labels differ between tasks.

    Args:
        member: a trial that has not trained yet.
        path: the file that the source left behind.

    Raises:
        UserError: it is not there, is of another trial, or does not fit.
    """
    source = str(member.spec.source)[:12]
    found = checkpoint.read(path)
    if found is None:
        raise UserError(
            f"trial {source}, which it starts from, has no adapter in {path.parent}: it was not "
            "kept when that trial ended; in a new store the study trains it again"
        )
    tensors, numbers = found
    if TrialSpec.from_json(numbers["spec"]).id != member.spec.source:
        raise UserError(f"{path} is not the adapter of trial {source}, which it starts from")
    wanted = _wanted(member)
    problems = list(_problems(member, wanted, tensors, numbers["sites"]))
    if problems:
        raise UserError(*(f"trial {source}, which it starts from, {text}" for text in problems))
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(tensors[name])
    member.forget_births()


def _wanted(member: Member) -> dict[str, Tensor]:
    """What it takes over: all that the method owns, and the head where the recipe says so."""
    owned = {**member.parameters.trained, **member.parameters.frozen}
    with_head = member.recipe.head_start == "source"
    return {k: v for k, v in owned.items() if with_head or not k.startswith("head.")}


def _problems(
    member: Member, wanted: dict[str, Tensor], tensors: dict[str, Tensor], sites: list[str]
) -> list[str]:
    if sites != [site.name for site in member.sites]:
        return ["adapts other modules"]
    found = []
    for name, tensor in wanted.items():
        if name not in tensors:
            found.append(f"has no {name}")
        elif tensors[name].shape != tensor.shape:
            there, here = tuple(tensors[name].shape), tuple(tensor.shape)
            found.append(f"has {name} of shape {there}, where this one has {here}")
    return found
