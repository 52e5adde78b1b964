"""One step of several members, on gradients that the tests make up."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from cases import member_of, small_backbone
from torch import Tensor

from trials.catalogue import lookup
from trials.training.member import Member
from trials.training.optimiser import FlatAdamW
from trials.training.pack import Pack
from trials.training.stepping import EVERY_ON_GPU, MembersFailed, Stepper

BACKBONE = small_backbone()
CPU = torch.device("cpu")
FAULTY = 5


def two(**more: Any) -> list[Member]:
    return [member_of(BACKBONE, seed=seed, **more) for seed in (1, 2)]


def reading(every: int) -> Stepper:
    stepper = Stepper(CPU)
    stepper._every = every
    return stepper


def step(
    stepper: Stepper, members: list[Member], losses: Sequence[float], size: float = 1.0
) -> None:
    """A step along a gradient that follows from the step's number; all of one norm."""
    for member in members:
        stream = torch.Generator().manual_seed(member.step)
        gradient = member.parameters.gradient
        drawn = torch.randn(gradient.shape, generator=stream, dtype=gradient.dtype)
        gradient.copy_(drawn * size / drawn.norm())
    stepper.step(members, torch.tensor(losses))


def values(member: Member) -> Tensor:
    return member.parameters.values.detach().clone()


def test_a_gpu_is_waited_for_seldom_and_a_cpu_is_not_waited_for() -> None:
    assert Stepper(torch.device("cuda", 0))._every == EVERY_ON_GPU > 1
    assert Stepper(CPU)._every == 1


def test_figures_are_read_together_every_so_many_steps() -> None:
    members, stepper = two(), reading(4)
    for number in range(3):
        step(stepper, members, [1.0 + number, 10.0])
    assert all(math.isnan(member.take_train_loss()) for member in members), "nothing is read yet"
    step(stepper, members, [4.0, 30.0])
    assert [m.take_train_loss() for m in members] == pytest.approx([2.5, 15.0])
    step(stepper, members, [7.0, 8.0])
    assert math.isnan(members[0].take_train_loss())
    stepper.settle()
    assert [m.take_train_loss() for m in members] == pytest.approx([7.0, 8.0])
    stepper.settle()
    assert math.isnan(members[0].take_train_loss()), "each figure counts once"


@pytest.mark.parametrize("every", [1, 2, 5, 99])
def test_divergence_has_the_step_at_which_it_was_whenever_it_is_read(every: int) -> None:
    members, stepper = two(), reading(every)
    healthy, alone = member_of(BACKBONE, seed=1), reading(1)
    for number in range(6):
        step(stepper, members, [1.0, math.nan if number >= 3 else 2.0])
        step(alone, [healthy], [1.0])
    stepper.settle()
    assert members[1].diverged == "loss nan at step 4 of 12"
    assert members[1].take_train_loss() == pytest.approx(2.0), "what came after is not counted"
    assert members[0].diverged is None
    assert members[0].step == 6
    assert torch.equal(values(members[0]), values(healthy))


def test_read_at_once_a_member_that_diverged_moves_no_more() -> None:
    members, stepper = two(), reading(1)
    step(stepper, members, [1.0, 1.0])
    before = values(members[1])
    for _ in range(2):
        step(stepper, members, [1.0, math.inf])
    assert members[1].diverged == "loss inf at step 2 of 12"
    assert (members[0].step, members[1].step) == (3, 1)
    assert torch.equal(values(members[1]), before)


def test_a_gradient_that_is_not_finite_is_divergence_too() -> None:
    members, stepper = two(), reading(1)
    step(stepper, members, [1.0, 1.0], size=math.inf)
    assert members[0].diverged == "gradient norm inf at step 1 of 12"
    assert all(torch.isfinite(values(member)).all() for member in members)


@pytest.mark.parametrize("size", [1e-3, 0.3, 7.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_gradient_is_clipped_to_its_own_limit_as_torch_does(
    dtype: torch.dtype, size: float
) -> None:
    backbone = small_backbone(dtype)
    limits = [0.1, 1.0, None]
    members = [member_of(backbone, clip=limit) for limit in limits]
    stream = torch.Generator().manual_seed(1)
    shape = members[0].parameters.gradient.shape
    drawn = torch.randn(shape, generator=stream, dtype=dtype)
    for member in members:
        member.parameters.gradient.copy_(drawn * size / drawn.norm())
    expected = []
    for member, limit in zip(members, limits, strict=True):
        like = torch.nn.Parameter(values(member))
        like.grad = member.parameters.gradient.clone()
        if limit is not None:
            torch.nn.utils.clip_grad_norm_([like], limit)
        expected.append(like.grad)
    Stepper(CPU).step(members, torch.ones(3))
    for member, gradient, limit in zip(members, expected, limits, strict=True):
        close = 1e-6 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(member.parameters.gradient, gradient, rtol=close, atol=0.0)
        if limit is None or size < limit:
            whole = drawn * size / drawn.norm()
            assert torch.equal(member.parameters.gradient, whole), "not even by rounding"


def break_after_step(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    lora = lookup("method", "lora")

    def broken(self: Any, *given: Any) -> None:
        if self.rank == FAULTY:
            raise error

    monkeypatch.setattr(lora, "after_step", broken)


def test_a_method_that_raises_after_a_step_holds_no_other_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ValueError("its own")
    break_after_step(monkeypatch, error)
    members = [member_of(BACKBONE, given={"rank": rank}) for rank in (FAULTY, 3, 4)]
    before = [values(member) for member in members]
    stepper = reading(1)
    with pytest.raises(MembersFailed, match="ValueError: its own") as caught:
        step(stepper, members, [1.0, 2.0, 3.0])
    assert caught.value.errors == {members[0]: error}
    assert not stepper.is_moving, "the others are whole"
    for member, was in zip(members[1:], before[1:], strict=True):
        assert member.step == 1
        assert not torch.equal(values(member), was)
    assert [m.take_train_loss() for m in members[1:]] == [2.0, 3.0]
    with pytest.raises(ValueError, match="its own"):
        step(stepper, members[:1], [1.0])


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError("full")])
def test_out_of_memory_while_parameters_move_is_nobodys_own(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    break_after_step(monkeypatch, error)
    members = [member_of(BACKBONE, given={"rank": rank}) for rank in (FAULTY, 3)]
    stepper = reading(1)
    with pytest.raises(type(error)):
        step(stepper, members, [1.0, 1.0])
    assert stepper.is_moving


@pytest.mark.parametrize("where", ["clip", "norm"])
def test_a_step_that_breaks_before_it_moves_anything_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("full")

    members, undisturbed = two(clip=0.5), two(clip=0.5)
    stepper = reading(3)
    step(stepper, members, [1.0, 1.0])
    with monkeypatch.context() as patch:
        if where == "clip":
            patch.setattr(Stepper, "_clip", staticmethod(full))
        else:
            patch.setattr(torch, "_foreach_norm", full)
        with pytest.raises(torch.OutOfMemoryError):
            step(stepper, members, [5.0, 5.0])
    assert not stepper.is_moving
    assert [member.step for member in members] == [1, 1]
    step(stepper, members, [5.0, 5.0])
    stepper.settle()
    assert [member.take_train_loss() for member in members] == [3.0, 3.0]
    plain = reading(1)
    for losses in ([1.0, 1.0], [5.0, 5.0]):
        step(plain, undisturbed, losses)
    for one, other in zip(members, undisturbed, strict=True):
        assert torch.equal(values(one), values(other))


def test_a_step_that_breaks_in_the_optimiser_is_known_as_torn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: FlatAdamW, cohort: int) -> Any:
        raise RuntimeError("in the middle")

    members, stepper = two(), reading(1)
    assert not stepper.is_moving
    with monkeypatch.context() as patch:
        patch.setattr(FlatAdamW, "_coefficients", broken)
        with pytest.raises(RuntimeError, match="in the middle"):
            step(stepper, members, [1.0, 1.0])
    assert stepper.is_moving


def test_a_later_fault_is_not_taken_for_a_torn_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to go back to a checkpoint for that one."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("in the middle")

    with Pack(BACKBONE) as pack:
        for owner, name, is_torn in ((FlatAdamW, "_coefficients", True),
                                     (Pack, "_accumulate", False)):  # fmt: skip
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, broken)
                with pytest.raises(RuntimeError, match="in the middle"):
                    pack.step(two())
            assert pack.is_torn is is_torn
