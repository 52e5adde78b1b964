"""One optimiser step of several members: is it finite, clip, move.

A GPU is not waited for at each step: losses and norms stay on the device and are read together,
every `EVERY_ON_GPU` steps or when somebody asks. A member whose loss was not finite is stopped
when that is read; until then its own numbers move on, which nobody will use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trials.training.member import Member
from trials.training.optimiser import update_all

EVERY_ON_GPU = 16
_EPS = 1e-6


@dataclass(frozen=True)
class _Unread:
    """What a step left on the device.

    Attributes:
        members: K members.
        steps: (K,) optimiser steps that each had done before.
        figures: (2, K) losses and gradient norms.
    """

    members: Sequence[Member]
    steps: Sequence[int]
    figures: Tensor


class MembersFailed(Exception):
    """Methods that raised after a step which all members have taken.

    Attributes:
        errors: of each member at fault.
    """

    def __init__(self, errors: Mapping[Member, Exception]) -> None:
        first = next(iter(errors.values()))
        super().__init__(f"{type(first).__name__}: {first}")
        self.errors = errors


class Stepper:
    """Takes the optimiser steps of a pack.

    Attributes:
        is_moving: whether parameters are being changed; still True after a step that broke there.
    """

    def __init__(self, device: torch.device) -> None:
        self.is_moving = False
        self._every = 1 if device.type == "cpu" else EVERY_ON_GPU
        self._unread: list[_Unread] = []

    def step(self, members: Sequence[Member], losses: Tensor) -> None:
        """Move each member along its accumulated gradient.

        Args:
            members: K members.
            losses: (K,) the losses of the step, detached.

        Raises:
            MembersFailed: methods of some of several raised; the others are whole.
        """
        for member in members:
            member.unscale()
            member.hide_unborn()
        gradients = [member.parameters.gradient for member in members]
        norms = torch.stack(torch._foreach_norm(gradients))
        figures = torch.stack((losses.to(norms), norms))
        self._clip(members, norms)
        # From here on the step counts: one that breaks before is taken again.
        self._unread.append(_Unread(members, [m.step for m in members], figures))
        # Whether a gradient overflowed decides at once whether its step is taken.
        if members[0].scale is not None or len(self._unread) >= self._every:
            self.settle()
        live = [member for member in members if member.diverged is None]
        errors: dict[Member, Exception] = {}
        self.is_moving = True
        with torch.no_grad():
            moving = _each([m for m in live if not m.overflowed], Member.prepare, errors)
            update_all([member.optimiser for member in moving])
            _each([m for m in live if m not in errors], Member.advance, errors)
        self.is_moving = False
        if errors and len(members) == 1:
            raise errors[members[0]]
        if errors:
            raise MembersFailed(errors)

    @staticmethod
    def _clip(members: Sequence[Member], norms: Tensor) -> None:
        """Scale each member's gradient down to its own limit; without one, by exactly 1."""
        limits = [member.recipe.clip for member in members]
        if all(limit is None for limit in limits):
            return
        numbers = [float("inf") if limit is None else limit for limit in limits]
        exact = norms.double()
        limit = torch.tensor(numbers, dtype=torch.float64)
        if exact.is_cuda:
            limit = limit.pin_memory().to(exact.device, non_blocking=True)
        factors = torch.where(exact > limit, limit / (exact + _EPS), 1.0)
        for member, factor in zip(members, factors.unbind(), strict=True):
            member.parameters.gradient.mul_(factor)

    def settle(self) -> None:
        """Read what the steps since the last time came to, and stop members that diverged."""
        unread, self._unread = self._unread, []
        if not unread:
            return
        figures = torch.cat([step.figures for step in unread], dim=1).tolist()
        members = [member for step in unread for member in step.members]
        steps = [number for step in unread for number in step.steps]
        for member, number, loss, norm in zip(members, steps, *figures, strict=True):
            member.note(number, loss, norm)


def _each(
    members: Sequence[Member], do: Callable[[Member], None], errors: dict[Member, Exception]
) -> list[Member]:
    """Those whose method got through; what the others raised goes into `errors`."""
    through = []
    for member in members:
        try:
            do(member)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, it is its own
            errors[member] = error
        else:
            through.append(member)
    return through
