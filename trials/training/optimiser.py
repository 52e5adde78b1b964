"""AdamW over flat vectors, one for each trial, whose elements may be born late.

torch's own optimisers keep one step count for a whole tensor. A method that grows needs a count
and a learning-rate schedule for each birth, so the elements carry a cohort: 0 is not alive yet,
1 was there from the start, later ones were born at a step. Without growth everything is cohort 1
and the arithmetic is that of `torch.optim.AdamW` (a test compares them).

The trials of a pack are updated together, each with its own coefficients: a few launches for all
of them on a GPU, and element for element the arithmetic of each alone.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trials.spec import Optimizer


@dataclass
class FlatAdamW:
    """The optimiser of one trial.

    Attributes:
        values, gradient: (n,) the trained numbers and their gradient.
        decays: (n,) 1 where weight decay applies, else 0; None when there is none.
        settings: betas, eps, weight decay.
        learning_rate: peak learning rate.
        rate: (steps since birth, birth step) -> multiplier of the learning rate.
        cohorts: (n,) index into `births`; None while everything was there from the start.
        births: optimiser step after which each cohort appeared; the first two are placeholders
            for `not alive` and `from the start`.
        step: optimiser steps done.
    """

    values: Tensor
    gradient: Tensor
    decays: Tensor | None
    settings: Optimizer
    learning_rate: float
    rate: Callable[[int, int], float]
    cohorts: Tensor | None = None
    births: list[int] = field(default_factory=lambda: [0, 0])
    step: int = 0

    def __post_init__(self) -> None:
        self.mean = torch.zeros_like(self.values)
        self.square = torch.zeros_like(self.values)

    def _coefficients(self, cohort: int) -> tuple[float, float, float]:
        """Learning rate and both bias corrections of a cohort."""
        if cohort == 0:
            return 0.0, 1.0, 1.0
        beta1, beta2 = self.settings.betas
        age = self.step - self.births[cohort]
        rate = self.learning_rate * self.rate(age - 1, self.births[cohort])
        return rate, 1 - beta1**age, 1 - beta2**age

    def _update_births(self) -> None:
        """One step where elements are of different ages."""
        assert self.cohorts is not None
        table = self.values.new_tensor([self._coefficients(c) for c in range(len(self.births))])
        rates, firsts, seconds = table[self.cohorts].unbind(1)
        denominator = (self.square.sqrt() / seconds.sqrt()).add_(self.settings.eps)
        if self.decays is not None:
            self.values.mul_(1 - self.decays * rates * self.settings.weight_decay)
        self.values.sub_(rates / firsts * self.mean / denominator)

    def set_alive(self, alive: Tensor) -> None:
        """Give everything that is alive for the first time a cohort of its own.

        Args:
            alive: (n,) booleans.
        """
        if self.cohorts is None:
            self.cohorts = alive.long()
            return
        born = alive & (self.cohorts == 0)
        if bool(born.any()):
            self.cohorts[born] = len(self.births)
            self.births.append(self.step)


def update_all(optimisers: Sequence[FlatAdamW]) -> None:
    """One step of several trials; gradients are read and left as they are."""
    alike: dict[tuple[tuple[float, float], float], list[FlatAdamW]] = {}
    for optimiser in optimisers:
        optimiser.step += 1
        settings = optimiser.settings
        alike.setdefault((settings.betas, settings.eps), []).append(optimiser)
    for ((beta1, beta2), eps), several in alike.items():
        means, squares = [o.mean for o in several], [o.square for o in several]
        gradients = [o.gradient for o in several]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        _move([o for o in several if o.cohorts is None], eps)
        for optimiser in several:
            if optimiser.cohorts is not None:
                optimiser._update_births()


def _move(optimisers: Sequence[FlatAdamW], eps: float) -> None:
    """Change the values of trials whose elements are all of one age."""
    if not optimisers:
        return
    coefficients = [o._coefficients(1) for o in optimisers]
    denominators = torch._foreach_sqrt([o.square for o in optimisers])
    torch._foreach_div_(denominators, [second**0.5 for _, _, second in coefficients])
    torch._foreach_add_(denominators, eps)
    for optimiser, (rate, _, _) in zip(optimisers, coefficients, strict=True):
        if optimiser.decays is not None:
            optimiser.values.mul_(1 - optimiser.decays * (rate * optimiser.settings.weight_decay))
    torch._foreach_addcdiv_(
        [o.values for o in optimisers],
        [o.mean for o in optimisers],
        denominators,
        [-rate / first for rate, first, _ in coefficients],
    )
