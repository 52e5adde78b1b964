"""The learning rate as a function of the optimiser step."""

import math

from trials.spec import Schedule


def num_warmup(schedule: Schedule, num_steps: int) -> int:
    """Warm-up steps: a share of all steps when `warmup` is below 1, else that many."""
    if schedule.warmup < 1:
        return round(schedule.warmup * num_steps)
    return min(int(schedule.warmup), num_steps)


def multiplier(schedule: Schedule, step: int, num_steps: int, warmup: int) -> float:
    """What the learning rate is multiplied with.

    Args:
        schedule: its `name` is `linear`, `cosine` or `constant`.
        step: optimiser steps done before this one, from 0.
        num_steps: optimiser steps in all, at least 1.
        warmup: steps over which it rises linearly from 0, so that step 0 of a warm-up moves
            nothing, as in the Hugging Face trainer.

    Returns:
        A number in [0, 1]; after the warm-up `linear` and `cosine` fall to 0 at `num_steps`.
    """
    if step < warmup:
        return step / max(1, warmup)
    done = (step - warmup) / max(1, num_steps - warmup)
    if schedule.name == "linear":
        return max(0.0, 1.0 - done)
    if schedule.name == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return 1.0
