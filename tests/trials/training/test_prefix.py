"""Layers below the lowest adapted one, left out and not left out."""

import dataclasses
from typing import Any

import pytest
import torch
from cases import DATA, member_of, small_backbone, train
from torch import Tensor

from trials.spec import Dropout
from trials.tasks.base import Encoded
from trials.training import prefix
from trials.training.member import Member
from trials.training.pack import Pack

UPPER = {
    "bert": r"bert\.encoder\.layer\.1\.attention\.self\.(query|value)",
    "roberta": r"roberta\.encoder\.layer\.1\.attention\.self\.(query|value)",
    "deberta-v2": r"deberta\.encoder\.layer\.1\.attention\.self\.(query|value)_proj",
    "llama": r"model\.layers\.1\.self_attn\.(q|v)_proj",
    "gpt2": r"transformer\.h\.1\.attn\.c_attn",
}


def upper(family: str, backbone: Any, **more: Any) -> Member:
    return member_of(backbone, targets={"modules": [UPPER[family]]}, **more)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The depths at which a split was computed."""
    made: list[int] = []
    compute = prefix.Prefix._compute

    def counted(self: prefix.Prefix, data: Any, depth: int) -> Tensor:
        made.append(depth)
        return compute(self, data, depth)

    monkeypatch.setattr(prefix.Prefix, "_compute", counted)
    return made


@pytest.mark.parametrize("family", UPPER)
def test_numbers_are_those_of_the_whole_backbone(
    family: str, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    backbone = small_backbone(family=family)
    short = upper(family, backbone)
    losses = train(backbone, [short], 12)[0]
    with Pack(backbone) as pack:
        outputs = pack.outputs(short, DATA)
    assert computed == [1], "once, for training and evaluation read the same split here"
    monkeypatch.setattr(prefix, "LARGEST", 0)
    whole = upper(family, backbone)
    expected = train(backbone, [whole], 12)[0]
    with Pack(backbone) as pack:
        torch.testing.assert_close(outputs, pack.outputs(whole, DATA), atol=1e-6, rtol=0)
    assert computed == [1]
    assert losses == pytest.approx(expected, abs=1e-12)
    gap = (short.parameters.values - whole.parameters.values).abs().max()
    assert float(gap) < 1e-11


def test_layers_that_need_one_another_are_never_left_out(computed: list[int]) -> None:
    """T5's first block makes the biases of positions that all others read."""
    backbone = small_backbone(family="t5")
    member = member_of(backbone, targets={"modules": [r".*block\.1\..*\.q"]})
    train(backbone, [member], 12)
    with Pack(backbone) as pack:
        pack.outputs(member, DATA)
    assert not computed


def test_a_split_with_an_example_without_tokens_is_read_whole(computed: list[int]) -> None:
    backbone = small_backbone(family="gpt2")
    ids = [[], *DATA.input_ids[1:]]
    data = Encoded(ids, None, DATA.labels, DATA.ids, 0)
    with Pack(backbone) as pack:
        assert bool(pack.outputs(upper("gpt2", backbone), data).isfinite().all())
    assert not computed


def test_a_warm_cache_changes_no_bit() -> None:
    made = []
    backbone = small_backbone(torch.float32)
    for _ in range(2):
        member = upper("bert", backbone)
        train(backbone, [member], 8)
        made.append(member.parameters.values.clone())
    cold = small_backbone(torch.float32)
    member = upper("bert", cold)
    train(cold, [member], 8)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], member.parameters.values)


@pytest.mark.parametrize(
    "more",
    [
        {"dropout": Dropout(backbone=0.1)},
        {"steps": 5},  # 20 of 24 examples: it would read less than it computes
    ],
)
def test_training_leaves_nothing_out_where_that_is_no_gain(
    more: dict[str, Any], computed: list[int]
) -> None:
    backbone = small_backbone()
    member = upper("bert", backbone, **more)
    train(backbone, [member], 2)
    assert not computed
    with Pack(backbone) as pack:
        pack.outputs(member, DATA)
    assert computed == [1]


def test_dropout_on_the_updates_input_does_not_hinder(computed: list[int]) -> None:
    backbone = small_backbone()
    train(backbone, [upper("bert", backbone, dropout=Dropout(adapter=0.2))], 1)
    assert computed == [1]


def test_every_layer_is_needed_where_the_lowest_is_adapted(computed: list[int]) -> None:
    backbone = small_backbone()
    train(backbone, [member_of(backbone)], 1)
    train(backbone, [member_of(backbone), upper("bert", backbone)], 1)
    assert not computed


def test_a_pack_of_several_equals_each_alone() -> None:
    backbone = small_backbone()
    given = [{"seed": 3}, {"seed": 4, "batch_size": 7}, {"seed": 5, "given": {"rank": 2}}]
    packed = [upper("bert", backbone, **more) for more in given]
    train(backbone, packed, 12)
    for more, member in zip(given, packed, strict=True):
        alone = upper("bert", backbone, **more)
        train(backbone, [alone], 12)
        gap = (alone.parameters.values - member.parameters.values).abs().max()
        assert float(gap) < 1e-11


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch, computed: list[int]) -> None:
    backbone = small_backbone()
    size = len(DATA.tokens) * 32 * 8
    monkeypatch.setattr(prefix, "KEPT", 2 * size)
    other, third = (dataclasses.replace(DATA) for _ in range(2))
    cached = prefix.Prefix(backbone, 0)
    for data in (DATA, other, DATA, third, DATA, other):
        cached.states(data, 1)
    assert computed == [1, 1, 1, 1], "the second was read longest ago when the third came"


def test_the_backbone_is_whole_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = small_backbone()
    member = upper("bert", backbone)
    whole = list(backbone.model.bert.encoder.layer)
    monkeypatch.setattr(whole[1], "forward", broken)
    with Pack(backbone) as pack, pytest.raises(RuntimeError, match="broken"):
        pack.outputs(member, DATA)
    assert list(backbone.model.bert.encoder.layer) == whole


def broken(*_: Any, **__: Any) -> None:
    raise RuntimeError("broken")
