import numpy as np
import pytest
import torch
from torch import Tensor

from trials.methods.base import Method, Site, Update


def drawn(*shape: int) -> Tensor:
    stream = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=stream, dtype=torch.float64)


@pytest.mark.parametrize(("outputs", "inputs"), [(4, 9), (9, 4), (6, 6)])
@pytest.mark.parametrize("with_core", [True, False])
@pytest.mark.parametrize("scale", [2.5, torch.tensor([2.0, -3.0]).double()[:, None, None]])
def test_folded_factors_give_the_dense_change(
    outputs: int, inputs: int, with_core: bool, scale: float | Tensor
) -> None:
    left, right = drawn(2, outputs, 3), drawn(2, 3, inputs)
    core = drawn(2, 3, 3) if with_core else None
    update = Update(left, core, right, scale)
    middle = np.stack([np.eye(3)] * 2) if core is None else core.numpy()
    expected = np.einsum("sor,srq,sqi->soi", left.numpy(), middle, right.numpy())
    expected = expected * (scale.numpy() if isinstance(scale, Tensor) else scale)
    np.testing.assert_allclose(update.delta().numpy(), expected, rtol=1e-12)
    folded = update.folded()
    np.testing.assert_allclose((folded[0] @ folded[1]).numpy(), expected, rtol=1e-12)


def test_scale_and_core_go_into_the_smaller_factor() -> None:
    small, large = drawn(1, 3, 2), drawn(1, 2, 8)
    assert Update(small, drawn(1, 2, 2), large, 2.0).folded()[1] is large
    assert Update(large.mT, drawn(1, 2, 2), small.mT, 2.0).folded()[0].equal(large.mT)


@pytest.mark.parametrize(("outputs", "inputs"), [(4, 9), (9, 4)])
@pytest.mark.parametrize("with_core", [True, False])
def test_a_right_factor_that_sites_share_stays_one(
    outputs: int, inputs: int, with_core: bool
) -> None:
    """Scale and core go to the left of it, whichever factor is smaller."""
    left, right = drawn(2, outputs, 3), drawn(1, 3, inputs)
    core = drawn(2, 3, 3) if with_core else None
    update = Update(left, core, right, torch.tensor([2.0, -3.0]).double()[:, None, None])
    assert update.shares_right
    assert not Update(left, core, drawn(2, 3, inputs), 1.0).shares_right
    assert not Update(left[:1], None, right, 1.0).shares_right, "of one site it is its own"
    folded = update.folded()
    assert folded[1].shape == (2, 3, inputs)
    assert folded[1].untyped_storage().data_ptr() == right.untyped_storage().data_ptr()
    middle = np.stack([np.eye(3)] * 2) if core is None else core.numpy()
    expected = np.einsum("sor,srq,qi->soi", left.numpy(), middle, right[0].numpy())
    expected *= np.array([2.0, -3.0])[:, None, None]
    np.testing.assert_allclose(update.delta().numpy(), expected, rtol=1e-12)


def test_a_method_must_say_how_it_starts_and_updates() -> None:
    class Empty(Method):
        name = "empty"

    with pytest.raises(NotImplementedError, match="method 'empty' has no init"):
        Empty().init(Site("q", "query", 2, 2), torch.Generator())
    with pytest.raises(NotImplementedError, match="method 'empty' has no update"):
        Empty().update({})


def test_everything_else_has_a_default() -> None:
    method = Method()
    site = Site("q", "query", 2, 2)
    assert method.frozen() == method.buffers() == frozenset()
    assert method.output_dropout() == 0
    assert method.alive({}) is method.penalty({}) is method.num_parameters(site) is None
    assert method.curves([]) == {}
    assert method.invalid({}) is None
    assert method.starts_at_backbone
    method.after_step([], 1, 2)
    method.before_step([], [], 1, 2)
    assert method.counted({}) is None
    assert method.shared([site], torch.Generator()) == {}
    assert method.shared_at(site, {"a": drawn(2)}).keys() == {"a"}
    assert method.restarts()
    assert method.sites([site], []) == [site]
    assert method.merges
    assert method.exports
