"""The oracle is `torch.optim.AdamW`, one of them for each birth."""

import pytest
import torch
from torch import Tensor

from trials.spec import Optimizer, Schedule
from trials.training.optimiser import FlatAdamW, update_all
from trials.training.schedule import multiplier

STEPS = 50
PEAK = 0.03
WARMUP = 4


def rate(age: int, birth: int) -> float:
    return multiplier(Schedule(), age, STEPS - birth, WARMUP)


def gradients(n: int) -> list[Tensor]:
    stream = torch.Generator().manual_seed(1)
    return [torch.randn(n, generator=stream, dtype=torch.float64) for _ in range(STEPS)]


def start(n: int) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def torchs(
    values: Tensor, grads: list[Tensor], settings: Optimizer, decays: bool, birth: int = 0
) -> Tensor:
    """Train with torch's own optimiser from step `birth` on."""
    leaf = values.clone().requires_grad_()
    optimiser = torch.optim.AdamW(
        [leaf],
        lr=PEAK,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay if decays else 0.0,
    )
    for age, gradient in enumerate(grads[birth:]):
        optimiser.param_groups[0]["lr"] = PEAK * rate(age, birth)
        leaf.grad = gradient.clone()
        optimiser.step()
    return leaf.detach()


SETTINGS = [
    Optimizer(),
    Optimizer(weight_decay=0.1),
    Optimizer(betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3),
]


def assert_equal(made: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_is_adamw(settings: Optimizer) -> None:
    values, gradient, grads = start(20), torch.zeros(20).double(), gradients(20)
    expected = torch.cat(
        [
            torchs(values[:12], [g[:12] for g in grads], settings, decays=True),
            torchs(values[12:], [g[12:] for g in grads], settings, decays=False),
        ]
    )
    decays = (torch.arange(20) < 12).double() if settings.weight_decay else None
    ours = FlatAdamW(values, gradient, decays, settings, PEAK, rate)
    before = values.clone()
    for g in grads:
        gradient.copy_(g)
        update_all([ours])
        assert torch.equal(gradient, g), "the gradient is left as it is"
    assert_equal(values, expected)
    assert (values - before).abs().max() > 0.1


@pytest.mark.parametrize("settings", SETTINGS)
def test_each_birth_is_an_adamw_of_its_own(settings: Optimizer) -> None:
    births = {0: slice(0, 6), 7: slice(6, 10), 20: slice(10, 13), 50: slice(13, 15)}
    values, gradient, grads = start(15), torch.zeros(15).double(), gradients(15)
    before = values.clone()
    alive = torch.zeros(15, dtype=torch.bool)
    alive[births[0]] = True
    decays = torch.ones(15).double() if settings.weight_decay else None
    ours = FlatAdamW(values, gradient, decays, settings, PEAK, rate)
    ours.set_alive(alive)
    for done, g in enumerate(grads):
        if done in births:
            alive[births[done]] = True
            ours.set_alive(alive.clone())
        gradient.copy_(g * alive)
        update_all([ours])
        assert torch.equal(values[~alive], before[~alive])
    for birth, part in births.items():
        expected = torchs(before[part], [g[part] for g in grads], settings, True, birth)
        assert_equal(values[part], expected)
    assert ours.births == [0, 0, 7, 20]


def test_cohorts_without_growth_change_no_number() -> None:
    made = []
    for grows in (False, True):
        values, gradient = start(8), torch.zeros(8).double()
        ours = FlatAdamW(values, gradient, None, Optimizer(), PEAK, rate)
        if grows:
            ours.set_alive(torch.ones(8, dtype=torch.bool))
        for g in gradients(8):
            gradient.copy_(g)
            update_all([ours])
        made.append(values)
    assert_equal(made[0], made[1])


def test_a_first_gradient_of_zero_counts_as_a_step() -> None:
    """Deciding an element's age by its gradient was wrong by up to 2e-2."""
    values, gradient, grads = start(4), torch.zeros(4).double(), gradients(4)
    grads[0] = torch.zeros(4).double()
    before = values.clone()
    ours = FlatAdamW(values, gradient, None, Optimizer(), PEAK, rate)
    for g in grads:
        gradient.copy_(g)
        update_all([ours])
    assert_equal(values, torchs(before, grads, Optimizer(), decays=False))
