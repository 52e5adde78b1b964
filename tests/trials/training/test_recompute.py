"""Gradient checkpointing changes no number: dropout draws the same masks a second time."""

import re
from collections import Counter
from typing import Any

import pytest
import torch
import transformers
from cases import member_of, small_backbone, train
from test_memory import trial
from torch import Tensor

from trials.families import Head
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


def pack_of(family: str, *, again: bool, **particular: Any) -> list[Member]:
    backbone = small_backbone(family=family, **particular)
    more = {"dropout": ALL, "gradient_checkpointing": again}
    roles = {k: v for k, v in ROLES.items() if family != "llama" or k != "adapter"}
    members = [member_of(backbone, method, **more, **role) for method, role in roles.items()]
    train(backbone, members, 5)
    return members


def values(member: Member) -> Tensor:
    return member.parameters.values


FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in ("bert", "roberta", "deberta-v2", "llama", "gpt2", "t5")},
    "llama-ungrouped": ("llama", {"num_key_value_heads": 4}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_no_number_changes_in_a_pack_with_dropout_everywhere(name: str) -> None:
    family, particular = FAMILIES[name]
    kept, again = (pack_of(family, again=flag, **particular) for flag in (False, True))
    for one, other in zip(kept, again, strict=True):
        assert torch.equal(values(one), values(other)), one.method.name
        assert int(one.parameters.gradient.count_nonzero()) > 0


@pytest.mark.parametrize(
    ("method", "family"),
    [("full", "bert"), ("full", "gpt2"), ("full", "t5"), ("peft.IA3Config", "bert")],
)
def test_no_number_changes_where_a_trial_has_a_copy_of_its_own(method: str, family: str) -> None:
    given = {} if method == "full" else {"target_modules": ["key", "value"],
                                         "feedforward_modules": []}  # fmt: skip
    made = []
    for again in (False, True):
        backbone = small_backbone(family=family)
        member = member_of(
            backbone, method, given=given, gradient_checkpointing=again,
            dropout=Dropout(backbone=0.1, attention=0.1),
        )  # fmt: skip
        train(member.backbone, [member], 4)
        made.append(values(member))
    assert torch.equal(*made)


INSIDE = {
    "bert": r"encoder\.layer\.\d+\.attention",
    "gpt2": r"\.h\.\d+\.attn",
    "t5": r"(encoder|decoder)\.block\.\d+\.layer\.\d+\.(SelfAttention|EncDecAttention)",
}


@pytest.mark.parametrize(("again", "expected"), [(False, 1), (True, 2)])
@pytest.mark.parametrize(("family", "attentions"), [("bert", 2), ("gpt2", 2), ("t5", 6)])
def test_each_layer_is_computed_again_in_training_alone(
    family: str, attentions: int, again: bool, expected: int
) -> None:
    """T5's in both stacks."""
    backbone = small_backbone(family=family)
    member = member_of(backbone, gradient_checkpointing=again, dropout=ALL)
    calls = Counter[str]()
    handles = [
        module.register_forward_hook(lambda *_, path=path: calls.update([path]))
        for path, module in backbone.model.named_modules()
        if re.search(INSIDE[family] + "$", path)
    ]
    assert len(handles) == attentions
    with Pack(backbone) as pack:
        layers = pack._prefix.layers
        pack.step([member])
        assert set(calls.values()) == {expected}
        calls.clear()
        pack.outputs(member, member.train)
        assert sum(calls.values()) == attentions * -(-len(member.train) // 64)
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
        assert "forward" not in vars(layer)
        assert pack.hooks.current is None
        pack.step([member])
    assert member.step == 1


DEEP: dict[str, dict[str, Any]] = {
    "bert": {"intermediate_size": 64},
    "gpt2": {"n_inner": 64, "bos_token_id": 1, "eos_token_id": 1},
    "t5": {"d_kv": 8, "d_ff": 64, "num_decoder_layers": 12, "decoder_start_token_id": 0},
}


@pytest.mark.parametrize(
    "family", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gpt2", "t5"))]
)
def test_it_takes_less_memory(family: str) -> None:
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "vocab_size": 80, "pad_token_id": 0}
    deep = transformers.AutoConfig.for_model(family, num_hidden_layers=12, **sizes, **DEEP[family])
    shape = {"batch_size": 16}
    kept = predicted(deep, trial(**shape), Head(2), 64)
    again = predicted(deep, trial(gradient_checkpointing=True, **shape), Head(2), 64)
    assert again.member < 0.4 * kept.member
