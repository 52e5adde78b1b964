"""DeBERTa in a pack: what it is measured by is the library's own model, and the paper's formula."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from cases import DATA, member_of, small_backbone, train
from torch import Tensor, nn

from trials.backbones import Backbone
from trials.spec import Dropout
from trials.tasks.base import Encoded
from trials.training import disentangled, export
from trials.training.data import collate
from trials.training.disentangled import Positions, dropouts
from trials.training.hooks import Hooks
from trials.training.member import Member
from trials.training.pack import Pack

FAMILY = "deberta-v2"
KINDS: dict[str, dict[str, Any]] = {
    "v3": {},
    "v2-xlarge": {"conv_kernel_size": 3, "conv_act": "gelu", "attention_head_size": 8},
    "no-buckets": {"position_buckets": -1},
    "own-projections": {"share_att_key": False, "norm_rel_ebd": "none"},
    "c2p": {"pos_att_type": "c2p"},
    "p2c": {"pos_att_type": "p2c", "position_buckets": -1},
    "own-c2p": {"share_att_key": False, "pos_att_type": "c2p"},
    "own-p2c": {"share_att_key": False, "pos_att_type": "p2c"},
    "neither": {"pos_att_type": None},
    "absolute": {"relative_attention": False, "pos_att_type": None, "position_biased_input": True},
}
LONG = Encoded([ids * 2 for ids in DATA.input_ids], None, DATA.labels, DATA.ids, DATA.num_truncated)
ALL = ("query", "key", "value", "attention_output", "intermediate", "output")
DROPOUT = Dropout(backbone=0.1, adapter=0.1, attention=0.2)


def deberta(dtype: torch.dtype = torch.float64, **particular: Any) -> Backbone:
    """A small one whose positions matter as much as its contents."""
    backbone = small_backbone(dtype, FAMILY, **particular)
    with torch.no_grad():
        for name, tensor in backbone.model.named_parameters():
            if "proj.weight" in name or "rel_embeddings" in name:
                tensor.mul_(8)
    return backbone


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


@contextmanager
def positions(model: nn.Module, num_members: int | None = 1) -> Iterator[Positions]:
    """The replacement, as in a pass of so many members without updates."""
    installed = Positions(model, lambda: num_members)
    try:
        yield installed
    finally:
        installed.remove()


@torch.no_grad()
def outputs(model: Any, rows: list[list[int]], length: int = 0) -> Tensor:
    """Logits of rows, padded to the longest or to a length."""
    length = max(length, *map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    made: Tensor = model(input_ids=ids, attention_mask=(ids != 0).long()).logits
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_it_equals_the_library(kind: str, dtype: torch.dtype, limit: float) -> None:
    model = deberta(dtype, **KINDS[kind]).model
    rows = [*DATA.input_ids[:5], [7]]
    expected = outputs(model, rows)
    with positions(model):
        assert gap(outputs(model, rows), expected) <= limit
    with positions(model, 2):
        assert gap(outputs(model, rows), expected) <= limit


@pytest.mark.parametrize("length", [1, 2, 3, 12, 40])
def test_it_equals_the_library_at_every_length(length: int) -> None:
    model = deberta().model
    rows = [list(range(3, 3 + length))] * 2
    expected = outputs(model, rows)
    with positions(model):
        assert gap(outputs(model, rows), expected) <= 1e-12


def test_gradients_are_those_of_the_library() -> None:
    model = deberta().model
    ids = torch.tensor([DATA.input_ids[0]] * 2)
    made = []
    for num_members in (None, 1):
        inputs = model.get_input_embeddings()(ids).requires_grad_()
        with positions(model, num_members):
            model(inputs_embeds=inputs).logits.square().sum().backward()
        made.append(inputs.grad)
    assert made[0] is not None
    assert float(made[0].abs().max()) > 1e-3
    assert gap(made[0], made[1]) < 1e-12 * float(made[0].abs().max())


def test_both_terms_are_the_papers() -> None:
    """Equation 4 of the paper pair by pair, with δ of equation 3 (no buckets)."""
    model = deberta(position_buckets=-1, max_relative_positions=4, norm_rel_ebd="none").model
    attention = model.deberta.encoder.layer[0].attention.self
    table = model.deberta.encoder.rel_embeddings.weight
    stream = torch.Generator().manual_seed(1)
    query, key = torch.randn((2, 4, 9, 8), generator=stream, dtype=torch.float64)
    distance = torch.arange(9)[:, None] - torch.arange(9)
    with positions(model) as installed:
        made = installed.bias(attention, 1, query, key, distance[None], table, 3)
    keys, queries = attention.key_proj(table), attention.query_proj(table)
    for head in range(4):
        of_head = slice(8 * head, 8 * head + 8)
        for i in range(9):
            for j in range(9):
                place = 0 if i - j <= -4 else 7 if i - j >= 4 else i - j + 4
                expected = query[head, i] @ keys[place, of_head]
                expected = expected + key[head, j] @ queries[place, of_head]
                # The library's root has the precision of float32.
                assert float(made[head, i, j]) == pytest.approx(
                    float(expected) / math.sqrt(3 * 8), rel=1e-6
                )


def mixed(backbone: Backbone) -> list[Member]:
    """Members of different methods, ranks, sites, seeds, batch sizes, lengths and rates."""
    common: dict[str, Any] = {"dropout": DROPOUT, "steps": 30, "targets": ("query", "key")}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("lora", {"given": {"rank": 3}, "seed": 1}),
        ("mtlora", {"given": {"rank": 5}, "batch_size": 3, "data": LONG, "targets": ALL}),
        ("tlora", {"given": {"rank": 6}, "seed": 2, "batch_size": 1}),
        ("lora", {"given": {"rank": 2}, "seed": 4, "dropout": Dropout(), "targets": ("value",)}),
        ("lora", {"seed": 5, "dropout": Dropout(backbone=0.3), "accumulate": 2}),
    ]
    return [member_of(backbone, method, **{**common, **more}) for method, more in cases]


def largest_gaps(backbone: Backbone, steps: int) -> tuple[float, float]:
    """Of losses and of parameters, between trials in a pack and alone."""
    packed, alone = mixed(backbone), mixed(backbone)
    together = train(backbone, packed, steps)
    apart = [train(backbone, [member], steps)[0] for member in alone]
    losses = gap(torch.tensor(together).double(), torch.tensor(apart).double())
    pairs = zip(packed, alone, strict=True)
    return losses, max(gap(a.parameters.values, b.parameters.values) for a, b in pairs)


@pytest.mark.parametrize("kind", ["v3", "v2-xlarge"])
def test_a_pack_equals_each_trial_alone(kind: str) -> None:
    losses, values = largest_gaps(deberta(**KINDS[kind]), 30)
    assert losses < 1e-12
    assert values < 1e-11


def test_positional_projections_of_their_own_are_sites_like_others() -> None:
    backbone = deberta(share_att_key=False)
    targets = {"modules": [r".*pos_key_proj", r".*pos_query_proj"]}
    more = {"targets": targets, "dropout": DROPOUT, "batch_size": 1}
    packed, alone = ([member_of(backbone, seed=seed, **more) for seed in (1, 2)] for _ in range(2))
    train(backbone, packed, 8)
    for member, other in zip(packed, alone, strict=True):
        start = member_of(backbone, seed=other.spec.seed, **more).parameters.values
        train(backbone, [other], 8)
        assert gap(member.parameters.values, other.parameters.values) < 1e-11
        assert gap(member.parameters.values, start) > 1e-3


def test_without_it_members_would_meet_one_anothers_positions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The negative control: the library's function in a pack, as if it needed no care."""
    monkeypatch.setattr(disentangled, "_disentangled", lambda _: {})
    backbone = deberta()
    members = [member_of(backbone, seed=s, targets=("query", "key")) for s in (1, 2)]
    alone = [member_of(backbone, seed=s, targets=("query", "key")) for s in (1, 2)]
    train(backbone, members, 6)
    for member in alone:
        train(backbone, [member], 6)
    assert gap(members[0].parameters.values, alone[0].parameters.values) > 1e-4


def test_each_members_outputs_are_those_of_its_merged_model() -> None:
    """The oracle is not the engine: merged weights in the library's own model."""
    backbone = deberta()
    members = [member_of(backbone, seed=s, targets=ALL, given={"rank": s}) for s in (1, 2, 3)]
    for member in members:
        stream = torch.Generator().manual_seed(member.spec.seed)
        values = member.parameters.values
        values.copy_(torch.randn(values.shape, generator=stream, dtype=values.dtype) / 10)
    rows = [DATA.input_ids[:4], LONG.input_ids[4:7], DATA.input_ids[5:9]]
    data = [Encoded(r, None, [0] * len(r), ["x"] * len(r), 0) for r in rows]
    with Pack(backbone) as pack, torch.no_grad():
        batches = [collate(d, range(len(d.labels)), 0) for d in data]
        made = pack._forward(pack._prepare(members, 0, training=False), batches)
        merged = [export.merge(member, backbone) for member in members]
        expected = [outputs(model, r) for model, r in zip(merged, rows, strict=True)]
    for one, other in zip(made, expected, strict=True):
        assert gap(one, other) < 1e-12
    assert gap(made[0], outputs(merged[1], rows[0])) > 1e-2, "all members are alike"


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str) -> None:
    """Eager attention, and the convolution, whose input is 0 where there is no token."""
    model = deberta(**KINDS[kind]).model
    assert model.config._attn_implementation == "eager"
    alone = torch.cat([outputs(model, [row]) for row in DATA.input_ids[:6]])
    together = outputs(model, DATA.input_ids[:6], length=20)
    assert gap(alone, together) < 1e-13
    assert gap(alone[:1], alone[1:2]) > 1e-4


@pytest.mark.parametrize("kind", ["v3", "own-projections"])
def test_a_model_is_left_as_it_was(kind: str) -> None:
    model = deberta(**KINDS[kind]).model
    before = {path: set(vars(module)) for path, module in model.named_modules()}
    first, second = Positions(model, lambda: 1), Positions(model, lambda: None)
    assert any(set(vars(m)) != before[path] for path, m in model.named_modules())
    first.remove()
    first.remove()
    second.remove()
    assert {path: set(vars(module)) for path, module in model.named_modules()} == before
    assert not disentangled._SOURCES


def test_a_copy_of_a_model_in_a_pack_has_projections_of_its_own() -> None:
    model = deberta().model
    with positions(model, None):
        copied = copy.deepcopy(model)
        changed = copied.deberta.encoder.layer[0].attention.self.key_proj.weight
        changed.mul_(2)
        made = outputs(copied, DATA.input_ids[:3])
    state = copied.state_dict()
    fresh = deberta().model
    fresh.load_state_dict(state)
    assert torch.equal(made, outputs(fresh, DATA.input_ids[:3]))
    assert gap(made, outputs(model, DATA.input_ids[:3])) > 1e-4


@pytest.mark.parametrize("share", [True, False])
def test_every_dropout_has_its_kind(share: bool) -> None:
    model = deberta(conv_kernel_size=3, share_att_key=share).model
    every = {path for path, m in model.named_modules() if isinstance(m, nn.Dropout)}
    attention = "deberta.encoder.layer.{}.attention.self.{}"
    assert dropouts(model) == {
        **{attention.format(i, "dropout"): "probabilities" for i in (0, 1)},
        **{attention.format(i, "pos_dropout"): "positions" for i in (0, 1)},
        "pooler.dropout": "off",
    }
    assert every - set(dropouts(model)) == {
        "deberta.embeddings.dropout", "deberta.encoder.conv.dropout", "dropout",
        *(f"deberta.encoder.layer.{i}.{part}.dropout" for i in (0, 1)
          for part in ("attention.output", "output")),
    }  # fmt: skip


def test_a_pooler_that_drops_by_its_configuration_drops() -> None:
    assert "pooler.dropout" not in dropouts(deberta(pooler_dropout=0.1).model)
    assert dropouts(small_backbone().model) == {}


@pytest.mark.parametrize("rate", ["backbone", "adapter", "attention"])
def test_each_rate_acts_in_training_and_not_in_evaluation(rate: str) -> None:
    backbone = deberta()
    dropping = member_of(backbone, dropout=Dropout(**{rate: 0.3}), targets=("key",))
    still = member_of(backbone, targets=("key",))
    for member in (dropping, still):
        member.parameters.groups[0].tensors["b"].data.fill_(0.1)
    with Pack(backbone) as pack:
        assert torch.equal(pack.outputs(dropping, DATA), pack.outputs(still, DATA))
        pack.step([dropping])
        pack.step([still])
    assert dropping.take_train_loss() != still.take_train_loss()


def test_positions_drop_as_positions_and_not_as_tokens() -> None:
    """The masks of a projection: (B, L, H) of tokens first, then (1, P, H) of positions."""
    backbone = deberta()
    member = member_of(backbone, dropout=Dropout(adapter=0.5), targets=("key",))
    shapes = []
    with Pack(backbone) as pack:
        forward = pack._prepare([member], 0, training=True)
        draw = forward.mask

        def seen(x: Tensor, place: str, rates: Any, own: Any = None) -> Tensor | None:
            if place.endswith("0.attention.self.key_proj.in"):
                shapes.append((tuple(x.shape), own))
            return draw(x, place, rates, own)

        forward.mask = seen  # type: ignore[method-assign]
        pack._forward(forward, [collate(DATA, [0, 1], 0)])
    length = max(len(DATA.input_ids[0]), len(DATA.input_ids[1]))
    assert shapes == [((2, length, 32), None), ((1, 16, 32), [(1, 16, 32)])]


def test_other_families_have_none_of_it() -> None:
    backbone = small_backbone()
    hooks = Hooks(backbone)
    assert not disentangled._SOURCES
    hooks.remove()
