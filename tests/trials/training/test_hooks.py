import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cases import DATA, member_of, small_backbone, train
from torch import Tensor

from trials.spec import Dropout
from trials.training.hooks import Forward, Hooks, drawn_mask
from trials.training.pack import Pack

CPU = torch.device("cpu")
WHERE = ("encoder.dropout", 1, 7, 0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.99])
def test_a_mask_drops_its_share_and_scales_the_rest(p: float) -> None:
    mask = drawn_mask((400, 500), p, 3, WHERE, CPU)
    assert float((mask == 0).float().mean()) == pytest.approx(p, abs=0.005)
    kept = mask[mask != 0]
    assert (kept == kept[0]).all()
    assert float(kept[0]) == pytest.approx(1 / (1 - p), rel=1e-2 if p == 0.99 else 1e-3)


def test_a_mask_keeps_the_mean_exactly() -> None:
    """The scale belongs to the rounded probability, so the expectation has no bias."""
    mask = drawn_mask((1,), 0.3, 0, WHERE, CPU)
    dropped = round(0.3 * 2**16) / 2**16
    while not mask.any():
        mask = drawn_mask((9,), 0.3, 0, WHERE, CPU)
    assert float(mask.max()) * (1 - dropped) == pytest.approx(1, rel=1e-6)


def test_elements_of_a_mask_are_independent() -> None:
    mask = (drawn_mask((200, 300), 0.5, 3, WHERE, CPU) == 0).double() - 0.5
    for shift in (1, 2, 3, 4, 8):
        assert abs(float((mask[:, shift:] * mask[:, :-shift]).mean())) < 0.005
        assert abs(float((mask[shift:] * mask[:-shift]).mean())) < 0.005


def test_a_mask_is_a_function_of_seed_place_call_step_and_microbatch() -> None:
    first = drawn_mask((40, 50), 0.5, 3, WHERE, CPU)
    assert torch.equal(first, drawn_mask((40, 50), 0.5, 3, WHERE, CPU))
    others = [("decoder.dropout", 1, 7, 0), ("encoder.dropout", 2, 7, 0)]
    others += [("encoder.dropout", 1, 8, 0), ("encoder.dropout", 1, 7, 1)]
    for where in others:
        assert not torch.equal(first, drawn_mask((40, 50), 0.5, 3, where, CPU)), where
    assert not torch.equal(first, drawn_mask((40, 50), 0.5, 4, WHERE, CPU))


def stand_in(seed: int, step: int = 7) -> Any:
    return SimpleNamespace(spec=SimpleNamespace(seed_on_the_way=seed), step=step)


def mask_of(shapes: list[tuple[int, int]], seeds: list[int], size: tuple[int, ...]) -> Tensor:
    forward = Forward([stand_in(s) for s in seeds], shapes, {}, {}, training=True)
    made = forward.mask(torch.zeros(size), "place", [0.5] * len(seeds))
    assert made is not None
    return made


def test_a_members_part_does_not_depend_on_padding_or_company() -> None:
    alone = mask_of([(3, 5)], [11], (3, 5, 6))
    packed = mask_of([(4, 8), (3, 5)], [22, 11], (8, 8, 6)).view(2, 4, 8, 6)
    assert torch.equal(packed[1, :3, :5], alone)
    assert (packed[1, 3:] == 1).all()
    assert (packed[1, :, 5:] == 1).all()
    assert not torch.equal(packed[0, :3, :5], alone)


def test_pooled_states_have_masks_without_a_length() -> None:
    alone = mask_of([(3, 5)], [11], (3, 6))
    packed = mask_of([(4, 8), (3, 5)], [22, 11], (8, 6)).view(2, 4, 6)
    assert torch.equal(packed[1, :3], alone)


def test_members_without_dropout_keep_everything() -> None:
    forward = Forward([stand_in(1), stand_in(2)], [(2, 3)] * 2, {}, {}, training=True)
    made = forward.mask(torch.zeros(4, 3, 5), "place", [0.0, 0.5])
    assert made is not None
    assert (made[:2] == 1).all()
    assert (made[2:] == 0).any()
    assert forward.mask(torch.zeros(4, 3, 5), "place", [0.0, 0.0]) is None
    forward.training = False
    assert forward.mask(torch.zeros(4, 3, 5), "place", [0.5, 0.5]) is None


def test_a_second_call_of_one_place_draws_anew() -> None:
    forward = Forward([stand_in(1)], [(4, 5)], {}, {}, training=True)
    first, second = (forward.mask(torch.zeros(4, 5, 9), "place", [0.5]) for _ in range(2))
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


@pytest.mark.parametrize("family", ["bert", "roberta", "llama", "deberta-v2", "gpt2", "t5"])
def test_without_a_pass_hooks_change_nothing(family: str) -> None:
    backbone = small_backbone(torch.float32, family)
    ids = torch.tensor([DATA.input_ids[0]])
    with torch.no_grad():
        before = backbone.model(ids).logits
        hooks = Hooks(backbone)
        assert any(m._forward_hooks for m in backbone.model.modules())
        assert torch.equal(backbone.model(ids).logits, before)
        hooks.remove()
    assert not any(m._forward_hooks for m in backbone.model.modules())


def test_a_pack_that_is_closed_leaves_no_hook_and_the_backbone_as_it_was() -> None:
    backbone = small_backbone()
    state = {k: v.clone() for k, v in backbone.model.state_dict().items()}
    member = member_of(backbone, dropout=Dropout(backbone=0.1, adapter=0.1))
    train(backbone, [member], 2)
    assert not any(m._forward_hooks for m in backbone.model.modules())
    assert all(torch.equal(state[k], v) for k, v in backbone.model.state_dict().items())
    assert all(p.grad is None for p in backbone.model.parameters())


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("kind", ["backbone", "adapter", "output"])
def test_dropout_acts_in_training_and_not_in_evaluation(family: str, kind: str) -> None:
    backbone = small_backbone(family=family)
    method = "tlora" if kind == "output" else "lora"
    plain = {"dropout": 0.0} if kind == "output" else {}
    rates = Dropout(**{} if kind == "output" else {kind: 0.3})
    dropping = member_of(backbone, method, dropout=rates)
    still = member_of(backbone, method, given=plain)
    with torch.no_grad():
        for m in (dropping, still):  # a B that is not zero, so that the update shows
            m.parameters.groups[0].tensors["b"].fill_(0.3)
    with Pack(backbone) as pack:
        assert torch.equal(pack.outputs(dropping, DATA), pack.outputs(still, DATA))
        pack.step([dropping])
        pack.step([still])
    assert dropping.take_train_loss() != still.take_train_loss()


def test_two_packs_on_one_backbone_do_not_meet() -> None:
    backbone = small_backbone()
    one, other = member_of(backbone), member_of(backbone, seed=9)
    alone = member_of(backbone)
    train(backbone, [alone], 3)
    with Pack(backbone) as first, Pack(backbone) as second:
        for _ in range(3):
            first.step([one])
            second.step([other])
    assert torch.equal(one.parameters.values, alone.parameters.values)
    assert dataclasses.replace(one.spec, seed=9) == other.spec
