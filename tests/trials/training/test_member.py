import math

import pytest
import torch
from cases import DATA, RECIPE, member_of, small_backbone, spec_of, train
from torch import Tensor

from trials.backbones import Backbone
from trials.spec import Optimizer, Schedule
from trials.tasks.base import Encoded
from trials.training.member import Member, build_method
from trials.training.stepping import Stepper


def finish(member: Member, loss: float) -> None:
    """The optimiser step that the gradient asks for."""
    Stepper(torch.device("cpu")).step([member], torch.tensor([loss]))


GROWING = {"rank": 4, "interval": 2, "threshold": "fixed"}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return small_backbone()


def test_hyperparameters_reach_the_method() -> None:
    given = {"rank": 5, "freeze": ["a_aux", "a_train"]}
    method = build_method(spec_of("lora_mini", given=given))
    assert vars(method)["rank"] == 5
    assert method.frozen() == {"a_aux", "a_train"}


def test_epochs_and_steps(backbone: Backbone) -> None:
    member = member_of(backbone, epochs=2, steps=None)
    assert member.num_steps == 12
    member.step = 3
    assert member.epoch == 0.5
    assert not member.done
    member.step = 12
    assert member.done


def test_losses_of_classes_are_cross_entropies_of_each_example(backbone: Backbone) -> None:
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([0, 2, 1, 1])
    log_p = outputs - outputs.exp().sum(1, keepdim=True).log()
    plain = -log_p[range(4), labels]
    torch.testing.assert_close(member_of(backbone).losses(outputs, labels), plain)
    smooth = 0.9 * plain - 0.1 * log_p.mean(1)
    made = member_of(backbone, label_smoothing=0.1).losses(outputs, labels)
    torch.testing.assert_close(made, smooth)


def test_losses_of_values_are_squared_errors(backbone: Backbone) -> None:
    made = member_of(backbone).losses(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 5.0]))
    assert made.tolist() == [1.0, 9.0]


def test_half_precision_outputs_are_scored_in_single(backbone: Backbone) -> None:
    outputs = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)
    assert member_of(backbone).losses(outputs, torch.tensor([0])).dtype == torch.float32


@pytest.mark.parametrize(("clip", "expected"), [(0.5, 0.5), (None, 3.0), (5.0, 3.0)])
def test_only_a_gradient_above_the_limit_is_clipped(
    backbone: Backbone, clip: float | None, expected: float
) -> None:
    member = member_of(backbone, clip=clip)
    gradient = member.parameters.gradient
    gradient.fill_(3.0 / math.sqrt(gradient.numel()))
    finish(member, 1.0)
    assert float(gradient.norm()) == pytest.approx(expected, rel=1e-5)


def test_elements_that_do_not_exist_yet_do_not_count_for_clipping(backbone: Backbone) -> None:
    member = member_of(backbone, "triadaptlora", given=GROWING)
    for _ in range(6):
        alive = member.parameters.alive(member.method)
        assert alive is not None
        train(backbone, [member], 1)
        assert not member.parameters.gradient[~alive].any()


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_is_not_finite_stops_a_member_and_moves_nothing(
    backbone: Backbone, broken: str
) -> None:
    member = member_of(backbone)
    train(backbone, [member], 2)
    before, _ = member.state()
    if broken == "gradient":
        member.parameters.gradient[3] = math.inf
    finish(member, math.nan if broken == "loss" else 1.0)
    what = "loss nan" if broken == "loss" else "gradient norm inf"
    assert member.diverged == f"{what} at step 3 of 12"
    assert member.done
    assert all(torch.equal(before[k], v) for k, v in member.state()[0].items())


def test_the_training_loss_is_a_mean_since_the_last_call(backbone: Backbone) -> None:
    member = member_of(backbone)
    assert math.isnan(member.take_train_loss())
    finish(member, 1.0)
    finish(member, 4.0)
    assert member.take_train_loss() == 2.5
    assert math.isnan(member.take_train_loss())


def numbers_of(member: Member) -> list[Tensor]:
    tensors, _ = member.state()
    return list(tensors.values())


@pytest.mark.parametrize("method", ["lora", "triadaptlora"])
def test_a_state_is_a_snapshot_that_several_may_continue_from(
    backbone: Backbone, method: str
) -> None:
    given = GROWING if method == "triadaptlora" else {"rank": 4}
    made = [member_of(backbone, method, given=given) for _ in range(3)]
    train(backbone, made[:1], 3)
    state = made[0].state()
    kept = {k: v.clone() for k, v in state[0].items()}
    for member in made[1:]:
        member.restore(*state)
        train(backbone, [member], 5)
    train(backbone, made[:1], 5)
    assert all(torch.equal(kept[k], v) for k, v in state[0].items())
    assert state[1]["step"] == 3
    if method == "triadaptlora":
        assert state[1]["births"] == [0, 0, 2]
        assert len(made[0].optimiser.births) > 3
    for member in made[1:]:
        assert member.step == 8
        pairs = zip(numbers_of(made[0]), numbers_of(member), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_growth_starts_a_learning_rate_of_its_own(backbone: Backbone) -> None:
    """A row born at a step has its own warm-up: its first update moves nothing."""
    member = member_of(
        backbone, "triadaptlora", given=GROWING, schedule=Schedule(warmup=2), steps=12
    )
    train(backbone, [member], 2)
    assert member.optimiser.cohorts is not None
    born = member.optimiser.cohorts == 2
    assert born.any()
    before = member.parameters.values.clone()
    train(backbone, [member], 1)
    assert torch.equal(member.parameters.values[born], before[born])
    train(backbone, [member], 1)
    assert (member.parameters.values[born] != before[born]).any()


def test_an_adapter_is_a_copy_that_can_be_put_back(backbone: Backbone) -> None:
    member = member_of(backbone, "triadaptlora", given=GROWING)
    train(backbone, [member], 2)
    values, buffers = member.adapter()
    kept = values.clone()
    ranks = member.curves()["total_rank"]
    train(backbone, [member], 4)
    assert torch.equal(values, kept)
    assert member.curves()["total_rank"] > ranks
    member.load_adapter(values, buffers)
    assert torch.equal(member.parameters.values, kept)
    assert member.curves()["total_rank"] == ranks


def test_weight_decay_leaves_biases_alone(backbone: Backbone) -> None:
    member = member_of(backbone, optimizer=Optimizer(weight_decay=0.5), learning_rate=0.1)
    before = {k: v.detach().clone() for k, v in member.parameters.trained.items()}
    member.parameters.gradient.zero_()
    finish(member, 0.0)
    for name, tensor in member.parameters.trained.items():
        factor = 1.0 if name.endswith("bias") else 1 - 0.1 * 0.5
        torch.testing.assert_close(tensor.detach(), before[name] * factor)


def test_penalties_are_a_mean_over_all_sites(backbone: Backbone) -> None:
    targets = ("query", "value", "intermediate")
    given = {"rank": 4, "orthogonality": 0.1}
    member = member_of(backbone, "triadaptlora", given=given, targets=targets)
    with torch.no_grad():
        parts = [member.method.penalty(g.tensors) for g in member.parameters.groups]
        assert [len(p) for p in parts if p is not None] == [4, 2]
        total = sum(float(p.sum()) for p in parts if p is not None)
        assert float(member.penalty()) == pytest.approx(total / 6)
    assert member_of(backbone).penalty() is None


def test_the_dtype_is_the_backbones() -> None:
    member = Member(spec_of(), small_backbone(torch.float32), Encoded([[1]], None, [0], ["0"], 0))
    assert member.parameters.values.dtype == torch.float32
    assert member.recipe == RECIPE


def test_an_order_of_its_own_changes_batches_and_no_start(backbone: Backbone) -> None:
    plain, other, luck = (
        Member(spec, backbone, DATA)
        for spec in (
            spec_of("lora"), spec_of("lora").with_seed(7, "confirm"),
            spec_of("lora").with_luck(spec_of("lora").seed, 7, 1),
        )
    )  # fmt: skip
    torch.testing.assert_close(luck.parameters.values, plain.parameters.values, rtol=0, atol=0)
    assert luck.rows() == other.rows() != plain.rows()
    assert not torch.equal(other.parameters.values, plain.parameters.values)
