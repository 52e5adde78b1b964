"""AdamW over one flat vector, whose elements may be born late.

torch's own optimisers keep one step count for a whole tensor. A method that grows needs a count
and a learning-rate schedule for each birth, so the elements carry a cohort: 0 is not alive yet,
1 was there from the start, later ones were born at a step. Without growth everything is cohort 1
and the arithmetic is that of `torch.optim.AdamW` (a test compares them).

Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2.
"""

from collections.abc import Callable
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

    def update(self) -> None:
        """One step; the gradient is read and left as it is."""
        beta1, beta2 = self.settings.betas
        self.step += 1
        self.mean.lerp_(self.gradient, 1 - beta1)
        self.square.mul_(beta2).addcmul_(self.gradient, self.gradient, value=1 - beta2)
        if self.cohorts is None:
            rate, first, second = self._coefficients(1)
            denominator = (self.square.sqrt() / second**0.5).add_(self.settings.eps)
            if self.decays is not None:
                self.values.mul_(1 - self.decays * (rate * self.settings.weight_decay))
            self.values.addcdiv_(self.mean, denominator, value=-rate / first)
            return
        table = self.values.new_tensor([self._coefficients(c) for c in range(len(self.births))])
        rates, firsts, seconds = table[self.cohorts].unbind(1)
        denominator = (self.square.sqrt() / seconds.sqrt()).add_(self.settings.eps)
        if self.decays is not None:
            self.values.mul_(1 - self.decays * rates * self.settings.weight_decay)
        self.values.sub_(rates / firsts * self.mean / denominator)

    def _coefficients(self, cohort: int) -> tuple[float, float, float]:
        """Learning rate and both bias corrections of a cohort."""
        if cohort == 0:
            return 0.0, 1.0, 1.0
        beta1, beta2 = self.settings.betas
        age = self.step - self.births[cohort]
        rate = self.learning_rate * self.rate(age - 1, self.births[cohort])
        return rate, 1 - beta1**age, 1 - beta2**age

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
