import pytest
import torch
import transformers

from trials.spec import Schedule
from trials.training.schedule import multiplier, num_warmup

THEIRS = {
    "linear": transformers.get_linear_schedule_with_warmup,
    "cosine": transformers.get_cosine_schedule_with_warmup,
}


def theirs(name: str, warmup: int, num_steps: int) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    made = THEIRS[name](optimiser, num_warmup_steps=warmup, num_training_steps=num_steps)
    return [made.lr_lambdas[0](step) for step in range(num_steps)]


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize(("warmup", "num_steps"), [(0, 40), (6, 100), (1, 7), (40, 40), (0, 1)])
def test_it_is_that_of_transformers(name: str, warmup: int, num_steps: int) -> None:
    ours = [multiplier(Schedule(name=name), step, num_steps, warmup) for step in range(num_steps)]
    assert ours == pytest.approx(theirs(name, warmup, num_steps), abs=1e-12)


def test_constant_rises_and_stays() -> None:
    schedule = Schedule(name="constant")
    assert [multiplier(schedule, step, 6, 2) for step in range(6)] == [0.0, 0.5, 1, 1, 1, 1]


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_it_falls_to_zero_at_the_end_and_stays_there(name: str) -> None:
    for step in (40, 41, 400):
        assert multiplier(Schedule(name=name), step, 40, 4) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("warmup", "num_steps", "expected"),
    [(0.0, 100, 0), (0.06, 100, 6), (0.06, 20, 1), (0.5, 9, 4), (1, 50, 1), (500, 800, 500),
     (500, 80, 80)],
)  # fmt: skip
def test_warmup_is_a_share_below_one_and_a_number_from_there(
    warmup: float, num_steps: int, expected: int
) -> None:
    assert num_warmup(Schedule(warmup=warmup), num_steps) == expected
