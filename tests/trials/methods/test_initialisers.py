import math

import pytest
import torch

from trials.methods.initialisers import eye, kaiming_uniform, normal, ones, zeros


def stream(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(8, 768), (768, 8), (3, 5, 50)])
@pytest.mark.parametrize("a", [math.sqrt(5), 0.0])
def test_kaiming_uniform_fills_its_range(shape: tuple[int, ...], a: float) -> None:
    bound = math.sqrt(2 / (1 + a * a)) * math.sqrt(3 / shape[-1])
    made = kaiming_uniform(*shape, a=a, generator=stream())
    assert made.shape == shape
    assert 0.99 * bound < made.abs().max() <= bound
    assert float(made.std()) == pytest.approx(bound / math.sqrt(3), rel=0.06)


def test_kaiming_uniform_is_torchs_on_a_matrix() -> None:
    expected = torch.nn.init.kaiming_uniform_(
        torch.empty(16, 40), a=math.sqrt(5), generator=stream()
    )
    made = kaiming_uniform(16, 40, generator=stream())
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)


def test_normal_has_the_deviation_that_is_asked_for() -> None:
    made = normal(200, 300, std=0.02, generator=stream())
    assert float(made.std()) == pytest.approx(0.02, rel=0.02)
    assert abs(float(made.mean())) < 0.0005


def test_draws_depend_on_the_stream_alone() -> None:
    before = torch.get_rng_state()
    first = [normal(4, std=1.0, generator=stream()), kaiming_uniform(4, 4, generator=stream())]
    torch.manual_seed(99)
    again = [normal(4, std=1.0, generator=stream()), kaiming_uniform(4, 4, generator=stream())]
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    torch.set_rng_state(before)
    normal(4, std=1.0, generator=stream())
    kaiming_uniform(4, 4, generator=stream())
    assert torch.equal(torch.get_rng_state(), before)


def test_constants() -> None:
    assert torch.equal(zeros(2, 3), torch.zeros(2, 3))
    assert torch.equal(ones(2, 3), torch.ones(2, 3))
    assert torch.equal(eye(3), torch.eye(3))
