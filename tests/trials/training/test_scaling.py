"""float16: each trial's loss has a scale of its own, and an overflow costs one trial one step."""

import math
from typing import Any

import pytest
import torch
from cases import member_of, small_backbone, train
from torch import Tensor

from trials.spec import Dropout, Schedule
from trials.training.member import Member
from trials.training.pack import Pack
from trials.training.scaling import LEAST, LossScale

BACKBONE = small_backbone(torch.float32)


def half(method: str = "lora", **more: Any) -> Member:
    return member_of(BACKBONE, method, **{"precision": "fp16", **more})


def values(member: Member) -> Tensor:
    return member.parameters.values.detach().clone()


def test_a_scale_falls_at_an_overflow_and_rises_after_many_steps() -> None:
    scale = LossScale()
    scale.back_off()
    scale.back_off()
    assert (scale.value, scale.skipped) == (2.0**14, 2)
    for _ in range(1999):
        scale.go_on()
    assert scale.value == 2.0**14
    scale.back_off()
    assert scale.value == 2.0**13
    for _ in range(2000):
        scale.go_on()
    assert (scale.value, scale.good, scale.skipped) == (2.0**14, 0, 3)


@pytest.mark.parametrize("method", ["lora", "tlora", "triadaptlora", "increlora", "adapter"])
def test_half_precision_trains_to_about_the_same(method: str) -> None:
    exact, rough = (member_of(BACKBONE, method, precision=p) for p in ("fp32", "fp16"))
    start = values(exact)
    of_exact, of_rough = (train(BACKBONE, [m], 8)[0] for m in (exact, rough))
    assert rough.scale is not None
    assert rough.scale.skipped == 0
    assert of_rough == pytest.approx(of_exact, rel=2e-2)
    assert of_rough != of_exact
    moved = (values(exact) - start).norm()
    assert 0 < (values(exact) - values(rough)).norm() < 0.2 * moved


def test_gradients_too_small_for_half_precision_are_there_with_a_scale() -> None:
    """By 2⁻²⁴, the least number of float16, of which a scale of 1 sees nothing."""

    def gradient(scale: float) -> Tensor:
        member = half(clip=None)
        assert member.scale is not None
        member.scale.value = scale
        whole = member.losses
        member.losses = lambda *given: whole(*given) * 1e-6  # type: ignore[method-assign]
        with Pack(BACKBONE) as pack:
            pack.step([member])
        return member.parameters.gradient.clone()

    assert int(gradient(2.0**16).count_nonzero()) > 1.5 * int(gradient(1.0).count_nonzero())


def test_an_overflow_costs_one_trial_one_step_and_the_others_nothing() -> None:
    common: dict[str, Any] = {"dropout": Dropout(backbone=0.1, adapter=0.1)}
    unlucky, other = half(seed=1, **common), half("tlora", seed=2, **common)
    alone = half("tlora", seed=2, **common)
    assert unlucky.scale is not None
    unlucky.scale.value = 2.0**40
    before = values(unlucky)
    losses = train(BACKBONE, [unlucky, other], 1)
    assert unlucky.overflowed
    assert torch.equal(values(unlucky), before)
    assert (unlucky.step, unlucky.optimiser.step, unlucky.scale.value) == (1, 0, 2.0**39)
    assert math.isfinite(losses[0][0])
    assert unlucky.diverged is None
    train(BACKBONE, [unlucky, other], 11)
    train(BACKBONE, [alone], 12)
    assert (other.step, other.optimiser.step) == (12, 12)
    assert float((values(other) - values(alone)).abs().max()) < 2e-3 * float(values(alone).norm())
    assert unlucky.step == 12
    assert unlucky.optimiser.step == 12 - unlucky.scale.skipped > 0 or unlucky.scale.skipped == 12


def test_a_trial_goes_on_once_its_scale_fits() -> None:
    member = half()
    assert member.scale is not None
    member.scale.value = 2.0**22
    before = values(member)
    train(BACKBONE, [member], 12)
    assert 0 < member.scale.skipped < 12
    assert member.optimiser.step == 12 - member.scale.skipped
    assert not torch.equal(values(member), before)
    assert member.curves() == {
        "loss_scale": member.scale.value, "skipped_steps": float(member.scale.skipped)
    }  # fmt: skip


def test_a_method_that_grows_misses_no_round_by_an_overflow() -> None:
    """Growth happens at steps that are counted, whether they were taken or not."""
    given = {"rank": 4, "interval": 1, "initial_rank": 1, "threshold": "fixed", "top_k": 2}
    member = half("triadaptlora", given=given)
    assert member.scale is not None
    member.scale.value = 2.0**60
    before = member.curves()["total_rank"]
    train(BACKBONE, [member], 3)
    assert member.scale.skipped == 3
    assert member.curves()["total_rank"] > before


@pytest.mark.parametrize("scale", [2.0**16, 2.0**22])
def test_interrupted_and_continued_is_the_same(scale: float) -> None:
    more: dict[str, Any] = {"schedule": Schedule(warmup=0.2)}
    whole, first, second = (half(**more) for _ in range(3))
    for member in (whole, first):
        assert member.scale is not None
        member.scale.value = scale
    train(BACKBONE, [whole], 12)
    train(BACKBONE, [first], 5)
    second.restore(*first.state())
    train(BACKBONE, [second], 7)
    assert torch.equal(values(whole), values(second))
    assert whole.scale == second.scale
    assert whole.optimiser.step == second.optimiser.step


def test_what_overflows_at_the_smallest_scale_has_diverged() -> None:
    member = half()
    assert member.scale is not None
    member.scale.value = LEAST
    member.note(0, 1.0, math.inf)
    assert member.diverged == "gradient norm inf at step 1 of 12"
    lost = half()
    lost.note(0, math.nan, math.nan)
    assert lost.diverged == "loss nan at step 1 of 12"
