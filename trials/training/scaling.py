"""The scale of a trial's loss in half precision, so that small gradients do not vanish.

Each trial of a pack has its own: a gradient that overflows costs that trial its step, and no other.

Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; the numbers are those of
`torch.amp.GradScaler`.
"""

from dataclasses import dataclass

LEAST = 2.0**-14
"""Below it, gradients that still overflow are the trial's own fault."""
_PATIENCE = 2000
"""Steps without an overflow after which the scale is doubled."""


@dataclass
class LossScale:
    """What the loss is multiplied with before the backward pass.

    Attributes:
        value: a power of two, so that dividing by it rounds nothing.
        good: steps since it last changed.
        skipped: steps that were lost to an overflow.
    """

    value: float = 2.0**16
    good: int = 0
    skipped: int = 0

    def back_off(self) -> None:
        """A gradient has overflowed; its step is not taken."""
        self.value, self.good, self.skipped = self.value / 2, 0, self.skipped + 1

    def go_on(self) -> None:
        """A step was taken."""
        self.good += 1
        if self.good == _PATIENCE:
            self.value, self.good = self.value * 2, 0
