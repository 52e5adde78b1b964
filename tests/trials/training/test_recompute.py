"""Gradient checkpointing changes no number: dropout draws the same masks a second time."""

from collections import Counter
from typing import Any

import pytest
import torch
from cases import member_of, small_backbone, train
from test_memory import config, trial
from torch import Tensor

from trials.spec import Dropout
from trials.training.member import Member
from trials.training.memory import predicted
from trials.training.pack import Pack

ALL = Dropout(backbone=0.1, adapter=0.1, attention=0.1)
ROLES: dict[str, dict[str, Any]] = {
    "lora": {"given": {"rank": 3}, "seed": 1},
    "tlora": {"given": {"rank": 5}, "seed": 2, "targets": ("key", "output")},
    "increlora": {"given": {"rank": 4, "interval": 2}, "accumulate": 2},
    "adapter": {"given": {"bottleneck": 3}},
}


def pack_of(family: str, *, again: bool) -> list[Member]:
    backbone = small_backbone(family=family)
    more = {"dropout": ALL, "gradient_checkpointing": again}
    roles = {k: v for k, v in ROLES.items() if family != "llama" or k != "adapter"}
    members = [member_of(backbone, method, **more, **role) for method, role in roles.items()]
    train(backbone, members, 5)
    return members


def values(member: Member) -> Tensor:
    return member.parameters.values


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "llama"])
def test_no_number_changes_in_a_pack_with_dropout_everywhere(family: str) -> None:
    kept, again = (pack_of(family, again=flag) for flag in (False, True))
    for one, other in zip(kept, again, strict=True):
        assert torch.equal(values(one), values(other)), one.method.name
        assert int(one.parameters.gradient.count_nonzero()) > 0


@pytest.mark.parametrize("method", ["full", "peft.IA3Config"])
def test_no_number_changes_where_a_trial_has_a_copy_of_its_own(method: str) -> None:
    given = {} if method == "full" else {"target_modules": ["key", "value"],
                                         "feedforward_modules": []}  # fmt: skip
    made = []
    for again in (False, True):
        backbone = small_backbone()
        member = member_of(
            backbone, method, given=given, gradient_checkpointing=again,
            dropout=Dropout(backbone=0.1, attention=0.1),
        )  # fmt: skip
        train(member.backbone, [member], 4)
        made.append(values(member))
    assert torch.equal(*made)


@pytest.mark.parametrize(("again", "expected"), [(False, 1), (True, 2)])
def test_each_layer_is_computed_again_in_training_alone(again: bool, expected: int) -> None:
    backbone = small_backbone()
    member = member_of(backbone, gradient_checkpointing=again, dropout=ALL)
    calls = Counter[int]()
    layers = backbone.model.bert.encoder.layer
    handles = [
        layer.attention.register_forward_hook(lambda *_, place=place: calls.update([place]))
        for place, layer in enumerate(layers)
    ]
    with Pack(backbone) as pack:
        pack.step([member])
        assert calls == {0: expected, 1: expected}
        calls.clear()
        pack.outputs(member, member.train)
        assert calls[0] == calls[1] > 0
        assert sum(calls.values()) == 2 * -(-len(member.train) // 64)
    assert not any("forward" in vars(layer) for layer in layers)
    for handle in handles:
        handle.remove()


def test_a_pass_that_fails_leaves_the_backbone_as_it_was() -> None:
    backbone = small_backbone(family="llama")
    member = member_of(backbone, gradient_checkpointing=True)
    layer = backbone.model.model.layers[1]

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle of a layer")

    with Pack(backbone) as pack:
        handle = layer.mlp.register_forward_hook(fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            pack.step([member])
        handle.remove()
        assert backbone.model.config.use_cache
        assert "forward" not in vars(layer)
        assert pack.hooks.current is None
        pack.step([member])
    assert member.step == 1


def test_it_takes_less_memory() -> None:
    deep, shape = config(12), {"batch_size": 16}
    kept = predicted(deep, trial(**shape), 2, 64)
    again = predicted(deep, trial(gradient_checkpointing=True, **shape), 2, 64)
    assert again.member < 0.4 * kept.member
