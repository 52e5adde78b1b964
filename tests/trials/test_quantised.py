"""Weights in 8 and 4 bits: what is stored, what comes back, and trials over it."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trials import backbones, catalogue
from trials.backbones import Backbone
from trials.contract import contract, examples
from trials.families import Head
from trials.quantised import BLOCK, QuantisedLinear, densify, levels, quantise
from trials.sites import is_transposed, map_shape
from trials.training import export
from trials.training.member import Member
from trials.training.pack import Pack

KINDS = ("int8", "nf4")
FAMILIES = ("bert", "roberta", "deberta-v2", "llama", "gpt2", "t5")
PUBLISHED = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
"""arXiv:2305.14314, appendix E."""
OF_BITSANDBYTES = "e4145e0f466c45ab2b1599980ed1985c1df3433d13bad99ebabd3000c9e99df6"
"""tests/oracles/nf4.py"""


def linear(weight: Tensor, *, bias: bool = True) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias).to(weight.dtype)
    made.weight = nn.Parameter(weight)
    return made.requires_grad_(False)


def drawn(outputs: int, inputs: int, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, inputs, generator=stream, dtype=dtype) * 0.05


def small(
    kind: str | None = None, dtype: torch.dtype = torch.float64, family: str = "bert"
) -> Backbone:
    """The contract's backbone, stored as told."""
    made = contract("lora", family=family).backbone(dtype)
    if kind is not None:
        quantise(made.model, kind, made.family.head)
    return made


def member(backbone: Backbone, method: str = "lora", **changes: Any) -> Member:
    return contract(method).member(backbone, **changes)


def train(backbone: Backbone, members: list[Member], steps: int) -> None:
    with Pack(backbone) as pack:
        for _ in range(steps):
            pack.step(members)


def test_the_levels_are_those_of_the_paper() -> None:
    assert levels() == pytest.approx(PUBLISHED, abs=3e-7)


def test_nf4_stores_the_bytes_that_bitsandbytes_stores() -> None:
    places = torch.arange(96 * 160, dtype=torch.float64)
    weight = (torch.sin(places * 0.7) * torch.cos(places * 0.013)).view(96, 160).float()
    made = QuantisedLinear(linear(weight), "nf4")
    assert made.stored[:8].tolist() == [126, 255, 179, 0, 23, 239, 235, 48]
    assert float(made.scales.sum()) == pytest.approx(198.06466674804688)
    assert hashlib.sha256(made.stored.numpy().tobytes()).hexdigest() == OF_BITSANDBYTES


@settings(max_examples=40, deadline=None)
@given(
    outputs=st.integers(1, 9),
    inputs=st.integers(1, 150),
    seed=st.integers(0, 10**6),
    zero_row=st.booleans(),
)
def test_what_comes_back_is_within_half_a_step(
    outputs: int, inputs: int, seed: int, zero_row: bool
) -> None:
    weight = drawn(outputs, inputs, seed)
    if zero_row:
        weight[0] = 0
    eight = QuantisedLinear(linear(weight), "int8").dense()
    assert bool(((eight - weight).abs() <= weight.abs().amax(1, keepdim=True) / 254 + 1e-9).all())
    four = QuantisedLinear(linear(weight), "nf4").dense()
    flat = torch.nn.functional.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    largest = flat.abs().amax(1, keepdim=True).expand_as(flat).flatten()[: weight.numel()]
    widest = max(b - a for a, b in zip(levels(), levels()[1:], strict=False))
    off = (four - weight).flatten().abs()
    assert bool((off <= largest * widest / 2 + 1e-9).all())
    assert not zero_row or not eight[0].any()


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.27), ("nf4", 0.15)])
def test_it_takes_a_share_of_the_bytes(kind: str, share: float) -> None:
    weight = drawn(128, 256)
    made = QuantisedLinear(linear(weight, bias=False), kind)
    assert sum(b.nbytes for b in made.buffers()) < share * weight.nbytes
    assert not list(made.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_products_and_gradients_are_those_of_the_dense_weight(kind: str, bias: bool) -> None:
    made = QuantisedLinear(linear(drawn(12, 70, dtype=torch.float64), bias=bias), kind)
    x = drawn(5, 70, 1, torch.float64).view(1, 5, 70).requires_grad_()
    y = x.detach().clone().requires_grad_()
    ours, plain = made(x), made.plain()(y)
    (ours**2).sum().backward()
    (plain**2).sum().backward()
    assert torch.equal(ours, plain)
    assert torch.allclose(x.grad, y.grad, rtol=1e-13)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_maps_but_the_head_are_stored(family: str, kind: str) -> None:
    backbone, dense = small(kind, family=family), small(family=family)
    stored = {p: m for p, m in backbone.model.named_modules() if isinstance(m, QuantisedLinear)}
    maps = {p: m for p, m in dense.model.named_modules() if map_shape(m) is not None}
    assert set(stored) == set(maps) - set(backbone.family.head)
    for path, module in stored.items():
        assert map_shape(module) == map_shape(maps[path])
        assert is_transposed(module) == is_transposed(maps[path]) == (family == "gpt2")
    densify(backbone.model)
    for path in stored:
        module = backbone.model.get_submodule(path)
        assert type(module) is type(maps[path])
        assert module.weight.shape == maps[path].weight.shape
        assert module.weight.is_contiguous()


@pytest.mark.parametrize("kind", KINDS)
def test_a_transposed_map_is_stored_by_its_outputs(kind: str) -> None:
    """As the same map that is not transposed."""
    weight = drawn(12, 70, dtype=torch.float64)
    turned = Conv1D(12, 70).double().requires_grad_(False)
    turned.weight.copy_(weight.T)
    one, other = (QuantisedLinear(m, kind) for m in (turned, linear(weight, bias=False)))
    assert torch.equal(one.stored, other.stored)
    assert torch.equal(one.scales, other.scales)
    x = drawn(5, 70, 1, torch.float64)
    assert torch.allclose(one(x), one.plain()(x), rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("method", "family"),
    [
        *((method, "bert") for method in ("lora", "tlora", "increlora", "adapter", "bitfit")),
        *((method, "gpt2") for method in ("lora", "mtlora", "increlora", "adapter", "bitfit")),
        *((method, "t5") for method in ("lora", "vera", "adapter")),
    ],
)
def test_a_trial_is_the_one_over_the_dense_weights(kind: str, method: str, family: str) -> None:
    """Storage is all that differs: over what comes back, dense, each number is the same."""
    stored, dense = (small(kind, family=family) for _ in range(2))
    densify(dense.model)
    one, other = member(stored, method), member(dense, method)
    start = one.parameters.values.clone()
    train(stored, [one], 4)
    train(dense, [other], 4)
    assert float((one.parameters.values - other.parameters.values).abs().max()) < 1e-12
    assert not torch.equal(one.parameters.values, start)
    plain = member(small(family=family), method)
    train(plain.backbone, [plain], 4)
    assert float((one.parameters.values - plain.parameters.values).abs().max()) > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_over_few_bits_changes_no_number(kind: str) -> None:
    backbone = small(kind)
    alone, packed, company = (member(backbone, seed=s) for s in (3, 3, 8))
    train(backbone, [alone], 6)
    train(backbone, [company, packed], 6)
    assert float((alone.parameters.values - packed.parameters.values).abs().max()) < 1e-12


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_half_precision_goes_with_few_bits(family: str, precision: str) -> None:
    backbone = small("nf4", torch.float32, family)
    recipe = dataclasses.replace(
        contract("lora").spec.recipe, precision=precision, gradient_checkpointing=True
    )
    made = member(backbone, recipe=recipe)
    train(backbone, [made], 3)
    assert bool(made.parameters.gradient.isfinite().all())
    assert int(made.parameters.gradient.count_nonzero()) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_merged_it_is_a_plain_model_of_dense_weights(family: str, kind: str) -> None:
    backbone = small(kind, family=family)
    made = member(backbone)
    train(backbone, [made], 6)
    merged = export.merge(made, backbone)
    assert not any(isinstance(m, QuantisedLinear) for m in merged.modules())
    with Pack(backbone) as pack:
        adapted = pack.outputs(made, examples())
    kept = dataclasses.replace(backbone, model=merged)
    spec = dataclasses.replace(
        made.spec, method="bitfit", hyperparameters=catalogue.complete("bitfit", {})
    )
    bare = Member(spec, kept, examples())
    for path, parts in bare.parameters.head.items():
        for part, tensor in parts.items():
            tensor.data.copy_(made.parameters.head[path][part])
    with Pack(kept) as pack:
        assert float((pack.outputs(bare, examples()) - adapted).abs().max()) < 1e-6


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_an_adapter_over_few_bits_is_exported_for_the_maps_as_they_were(
    family: str, tmp_path: Path
) -> None:
    backbone = small("nf4", family=family)
    made = member(backbone)
    train(backbone, [made], 2)
    config = export.to_peft(made, backbone, "small", tmp_path) / "adapter_config.json"
    assert json.loads(config.read_text())["fan_in_fan_out"] == (family == "gpt2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_backbone_is_loaded_as_it_is_asked_for(kind: str) -> None:
    dense, stored = backbones.load("tiny"), backbones.load("tiny", base_precision=kind)
    assert stored is backbones.load("tiny", (), None, "cpu", kind)
    assert stored.digest == dense.digest
    maps = [m for m in stored.model.modules() if isinstance(m, QuantisedLinear)]
    assert maps
    assert not any(isinstance(m, QuantisedLinear) for m in dense.model.modules())
    before = dense.model.bert.encoder.layer[0].attention.self.query.weight
    after = stored.model.bert.encoder.layer[0].attention.self.query.dense()
    gap = float((before - after).norm() / before.norm())
    assert 0 < gap < (0.02 if kind == "int8" else 0.15)


@pytest.mark.slow
def test_what_it_takes_is_predicted(tmp_path: Path) -> None:
    import transformers

    from trials.training.memory import predicted

    config = transformers.BertConfig(
        num_hidden_layers=4, hidden_size=256, num_attention_heads=4, intermediate_size=1024,
        vocab_size=80, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    spec = contract("lora").spec
    once = {
        kind: predicted(
            config, dataclasses.replace(
                spec, recipe=dataclasses.replace(spec.recipe, base_precision=kind)
            ), Head(2), 16,
        ).backbone
        for kind in ("same", *KINDS)
    }  # fmt: skip
    assert once["nf4"] < once["int8"] < once["same"]
    assert once["int8"] < 0.45 * once["same"]
