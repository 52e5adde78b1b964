"""Dropout on attention probabilities; what it is measured by are transformers' own functions."""

import copy
import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cases import DATA, member_of, small_backbone, train
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

from trials.backbones import Backbone
from trials.errors import UserError
from trials.families import FAMILIES
from trials.spec import Dropout
from trials.tasks.base import Encoded
from trials.training.attention import FUSED, NAME, Attention, attend
from trials.training.data import collate
from trials.training.hooks import Forward, drawn_mask
from trials.training.member import Member
from trials.training.pack import Pack

INTERFACE = ("bert", "roberta", "llama", "mistral", "qwen2", "gpt2", "t5")
PARTICULAR: dict[str, dict[str, Any]] = {
    "mistral": {"num_key_value_heads": 2, "sliding_window": 4},
    "qwen2": {"num_key_value_heads": 1, "layer_types": ["full_attention"] * 2},
}
LONG = Encoded([ids * 2 for ids in DATA.input_ids], None, DATA.labels, DATA.ids, DATA.num_truncated)
CPU = torch.device("cpu")


def backbone_of(family: str, dtype: torch.dtype = torch.float64) -> Backbone:
    return small_backbone(dtype, family, **PARTICULAR.get(family, {}))


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def nothing(probabilities: Tensor, path: str) -> None:
    return None


def run(model: Any, rows: list[int]) -> Tensor:
    batch = collate(DATA, rows, 0)
    with torch.no_grad():
        made: Tensor = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    return made


@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3]], ids=["alone", "padded"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("family", INTERFACE)
def test_where_nothing_is_dropped_it_equals_the_library(
    family: str, implementation: str, rows: list[int]
) -> None:
    exact = implementation == "sdpa"
    # Llama's eager attention has its softmax in float32 whatever the model's dtype.
    backbone = backbone_of(family, torch.float64 if exact else torch.float32)
    backbone.model.set_attn_implementation(implementation)
    expected = run(backbone.model, rows)
    with Attention(backbone).during(nothing):
        assert backbone.model.config._attn_implementation == NAME
        made = run(backbone.model, rows)
    assert gap(made, expected) < (1e-12 if exact else 1e-6)
    assert backbone.model.config._attn_implementation == implementation


def masks_by_hand(member: Member, shape: tuple[int, int]) -> Callable[..., Tensor]:
    """`functional.dropout` in order of the layers, with the member's masks."""
    layer = iter(range(99))

    def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
        place = f"bert.encoder.layer.{next(layer)}.attention.self.attention"
        batch, length = shape
        own = (batch, x.shape[1], length, length)
        where = (place, 1, member.step, 0)
        return x * drawn_mask(own, member.recipe.dropout.attention, member.spec.seed, where, CPU)

    return dropout


def test_it_drops_what_the_librarys_eager_attention_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle is not the engine: transformers' eager attention, given the masks."""
    backbone = backbone_of("bert")
    member = member_of(backbone, dropout=Dropout(attention=0.4))
    batch = collate(DATA, [0, 1, 2], 0)
    with Pack(backbone) as pack:
        made = pack._forward(pack._prepare([member], 0, training=True), [batch])[0].detach()
        plain = pack._forward(pack._prepare([member], 0, training=False), [batch])[0].detach()
    model = copy.deepcopy(backbone.model)
    model.set_attn_implementation("eager")
    for part, tensor in member.parameters.head["classifier"].items():
        getattr(model.classifier, part).copy_(tensor.detach())
    shape = tuple(batch.input_ids.shape)
    by_hand = masks_by_hand(member, (shape[0], shape[1]))
    for module in model.modules():  # what is patched is not what `nn.Dropout` calls
        if isinstance(module, torch.nn.Dropout):
            module.forward = lambda x: x  # type: ignore[method-assign]
    monkeypatch.setattr(functional, "dropout", by_hand)
    expected = run(model, [0, 1, 2])
    assert gap(made, expected) < 1e-12
    assert gap(made, plain) > 1e-4


def mixed(backbone: Backbone) -> list[Member]:
    """Members of different methods, ranks, seeds, batch sizes, lengths and rates."""
    rates = Dropout(backbone=0.1, adapter=0.1, attention=0.2)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("lora", {"given": {"rank": 3}, "seed": 1}),
        ("mtlora", {"given": {"rank": 5}, "batch_size": 3, "data": LONG}),
        ("lora", {"seed": 2, "dropout": Dropout(attention=0.5), "batch_size": 1}),
        ("tlora", {"seed": 4, "dropout": Dropout(), "accumulate": 2}),
    ]
    common = {"dropout": rates, "steps": 30, "targets": ("query", "key", "value")}
    return [member_of(backbone, method, **{**common, **more}) for method, more in cases]


@pytest.mark.parametrize("family", ["bert", "roberta", "llama", "mistral"])
def test_a_pack_equals_each_trial_alone(family: str) -> None:
    backbone = backbone_of(family)
    packed, alone = mixed(backbone), mixed(backbone)
    together = train(backbone, packed, 30)
    for losses, one, other in zip(together, packed, alone, strict=True):
        apart = train(backbone, [other], 30)[0]
        assert max(abs(x - y) for x, y in zip(losses, apart, strict=True)) < 1e-12
        assert gap(one.parameters.values, other.parameters.values) < 1e-11
    assert abs(together[0][-1] - together[1][-1]) > 1e-3, "all members are alike: proves nothing"


def test_a_mask_that_sees_its_companions_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: masks at the pack's length and not the member's."""

    def padded(forward: Forward, x: Tensor, path: str) -> Tensor | None:
        own = [(batch, *x.shape[1:]) for batch, _ in forward.shapes]
        rates = [m.recipe.dropout.attention for m in forward.members]
        return forward.mask(x, f"{path}.attention", rates, own)

    monkeypatch.setattr(Forward, "attention_mask", padded)
    backbone = backbone_of("bert")
    packed, alone = mixed(backbone)[:2], mixed(backbone)[0]
    train(backbone, packed, 4)
    train(backbone, [alone], 4)
    assert gap(packed[0].parameters.values, alone.parameters.values) > 1e-4


@pytest.mark.parametrize("family", ["bert", "llama", "deberta-v2"])
def test_only_the_seed_tells_two_trials_masks_apart(family: str) -> None:
    backbone = backbone_of(family)
    rates = {"dropout": Dropout(attention=0.3), "given": {"rank": 2}}
    same = [member_of(backbone, **rates) for _ in range(2)]
    other = member_of(backbone, seed=9, **rates)
    for member in (*same, other):
        train(backbone, [member], 2)
    assert torch.equal(same[0].parameters.values, same[1].parameters.values)
    assert gap(same[0].parameters.values, other.parameters.values) > 1e-3


def masks(rates: list[float], shapes: list[tuple[int, int]], heads: int, **size: int) -> Tensor:
    members: list[Any] = [
        SimpleNamespace(
            spec=SimpleNamespace(seed_on_the_way=seed),
            step=7,
            recipe=SimpleNamespace(dropout=Dropout(attention=rate)),
        )
        for seed, rate in enumerate(rates)
    ]
    forward = Forward(members, shapes, {}, {}, training=True)
    assert forward.drops_attention
    x = torch.zeros(len(rates) * size["batch"], heads, size["length"], size["length"])
    made = forward.attention_mask(x, "layer.0")
    assert made is not None
    return made.view(len(rates), size["batch"], *x.shape[1:])


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_mask_keeps_its_share_of_every_head_and_query(rate: float) -> None:
    made = masks([rate], [(8, 64)], 12, batch=8, length=64)[0]
    kept = made != 0
    assert float(kept.float().mean()) == pytest.approx(1 - rate, abs=0.003)
    assert float((kept.float().mean(dim=(0, 2, 3)) - (1 - rate)).abs().max()) < 0.015
    assert float((kept.float().mean(dim=(0, 1, 3)) - (1 - rate)).abs().max()) < 0.04
    assert float(made.mean()) == pytest.approx(1, abs=0.01)
    assert len(made.unique()) == 2


def test_a_members_mask_does_not_depend_on_padding_or_company() -> None:
    alone = masks([0.4], [(3, 5)], 4, batch=3, length=5)[0]
    packed = masks([0.4, 0.0, 0.2], [(3, 5), (4, 9), (2, 9)], 4, batch=4, length=9)
    assert torch.equal(packed[0, :3, :, :5, :5], alone)
    assert (packed[0, 3:] == 1).all()
    assert (packed[0, :, :, 5:] == 1).all()
    assert (packed[0, :, :, :, 5:] == 1).all()
    assert (packed[1] == 1).all()
    assert (packed[2, :2] == 0).any()


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_probabilities_are_in_memory_only_where_some_are_dropped(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else torch's fused attention runs, and where padding stays it is the backbone's own."""
    backbone = backbone_of(family, torch.float32)
    still, dropping = (member_of(backbone, dropout=Dropout(attention=p)) for p in (0.0, 0.3))
    fused = {FUSED} if family == "bert" else set()
    reached: set[str] = set()

    def spy(name: str, true: Any) -> Any:
        return lambda *given, **more: (reached.add(name), true(*given, **more))[1]

    with Pack(backbone) as pack:
        for name in (NAME, FUSED):
            mapping = AttentionInterface._global_mapping
            monkeypatch.setitem(mapping, name, spy(name, mapping[name]))
        pack.step([still])
        pack.outputs(still, DATA)
        pack.outputs(dropping, DATA)
        assert reached == fused
        pack.step([still, dropping])
        assert reached == {NAME} | fused
    assert backbone.model.config._attn_implementation == "sdpa"


def test_the_backbone_has_its_own_attention_again_even_after_an_error() -> None:
    backbone = backbone_of("llama")
    attention = Attention(backbone)
    with pytest.raises(RuntimeError, match="not today"), attention.during(nothing):
        raise RuntimeError("not today")
    assert backbone.model.config._attn_implementation == "sdpa"
    with attention.during(None):
        assert backbone.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", ["bert", "llama", "deberta-v2", "gpt2", "t5"])
def test_in_bfloat16_losses_are_near_those_of_float32(family: str) -> None:
    backbone = backbone_of(family, torch.float32)
    common = {"dropout": Dropout(backbone=0.1, adapter=0.1, attention=0.2), "targets": ("key",)}
    wide, narrow = (
        [member_of(backbone, seed=s, precision=p, **common) for s in (1, 2)]
        for p in ("fp32", "bf16")
    )
    for one, other in zip(train(backbone, wide, 3), train(backbone, narrow, 3), strict=True):
        assert other == pytest.approx(one, abs=0.02)


@pytest.mark.parametrize("found", ["flash_attention_2", "flex_attention"])
def test_an_implementation_without_a_mask_is_refused_by_name(found: str) -> None:
    backbone = backbone_of("bert")
    backbone.model.config._attn_implementation_internal = found
    with pytest.raises(UserError) as error:
        member_of(backbone, dropout=Dropout(attention=0.1))
    assert str(error.value) == (
        f"dropout.attention: backbone 'small' runs attention as '{found}', which takes no mask "
        "of a trial's own; sdpa and eager do"
    )
    member_of(backbone)


def test_a_family_of_which_nothing_is_known_is_refused_by_name() -> None:
    backbone = backbone_of("bert")
    unknown = dataclasses.replace(backbone.family, attention=None)
    backbone = dataclasses.replace(backbone, family=unknown)
    with pytest.raises(UserError) as error:
        member_of(backbone, dropout=Dropout(attention=0.1))
    assert str(error.value).startswith(
        "dropout.attention is not known to work for backbones of type 'bert' (attention "
        "implementation 'sdpa'); it does for bert, roberta, "
    )
    assert "deberta-v2" in str(error.value)
    assert str(error.value).endswith("with sdpa or eager")


def test_what_a_family_asks_of_its_attention_besides_is_refused() -> None:
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(UserError, match="does not go with the attention's softcap"):
        attend(torch.nn.Module(), x, x, x, None, softcap=30.0)


def test_every_family_says_how_its_attention_drops() -> None:
    assert {name for name, family in FAMILIES.items() if family.attention is None} == set()
    for name in INTERFACE:
        backbone = backbone_of(name)
        seen: list[str] = []

        def note(_: Tensor, path: str, seen: list[str] = seen) -> None:
            seen.append(path)

        with Attention(backbone).during(note):
            run(backbone.model, [0, 1])
        assert len(seen) == len(set(seen)) == (6 if name == "t5" else 2), name
