"""Against a plain model whose own biases train."""

import dataclasses
from typing import Any

import pytest
import torch
from dense import QV, adapter_count
from torch import Tensor, nn

from trials.contract import Contract, contract, examples
from trials.errors import UserError
from trials.methods.base import Site
from trials.methods.bitfit import BitFit
from trials.spec import Dropout, Schedule
from trials.training import export
from trials.training.data import collate
from trials.training.pack import Pack

BODY = (
    Site("embeddings.LayerNorm", "", 8, 8, is_norm=True, has_bias=True),
    Site("layer.0.query", "query", 8, 8, has_bias=True),
    Site("layer.0.key", "key", 8, 8),
    Site("layer.0.up", "intermediate", 12, 8, has_bias=True),
    Site("pooler.dense", "", 8, 8, has_bias=True),
)


@pytest.mark.parametrize(
    ("biases", "names"),
    [
        ("all", ["embeddings.LayerNorm", "layer.0.query", "layer.0.up", "pooler.dense"]),
        ("query_and_intermediate", ["layer.0.query", "layer.0.up"]),
    ],
)
def test_where_biases_are(biases: str, names: list[str]) -> None:
    assert [site.name for site in BitFit(biases=biases).sites(BODY[:1], BODY)] == names


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_every_bias_of_the_body_is_trained_and_none_else(family: str) -> None:
    case = contract("bitfit", family=family)
    backbone = case.backbone()
    member = case.member(backbone)
    known = {
        name.removesuffix(".bias"): tensor.numel()
        for name, tensor in backbone.model.named_parameters()
        if name.endswith("bias") and name.removesuffix(".bias") not in backbone.family.head
    }
    assert {site.name: site.outputs for site in member.sites} == known


def quiet(case: Contract) -> Any:
    """The case's recipe without chance and with a constant rate."""
    return dataclasses.replace(
        case.spec.recipe, dropout=Dropout(), schedule=Schedule(name="constant"), clip=None
    )


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_it_equals_a_plain_model_whose_biases_train(family: str) -> None:
    """The oracle is torch's own Adam on the model's own biases, five steps in float64."""
    case = contract("bitfit", family=family)
    backbone = case.backbone(torch.float64)
    member = case.member(backbone, recipe=quiet(case))
    model = export.merge(member, backbone)
    model.requires_grad_(False)
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    heads = [model.get_submodule(path).weight for path in backbone.family.head]
    trained: list[nn.Parameter] = [*biases, *heads]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(trained, lr=member.recipe.learning_rate)
    data = examples()
    with Pack(backbone) as pack:
        for _ in range(5):
            rows = [row for part in member.rows() for row in part]
            batch = collate(data, rows, 0)
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            optimiser.zero_grad()
            member.losses(logits, batch.labels).mean().backward()
            optimiser.step()
            pack.step([member])
        made = pack.outputs(member, data)
    batch = collate(data, range(len(data)), 0)
    with torch.no_grad():
        expected = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    torch.testing.assert_close(made, expected.to(made.dtype), rtol=1e-5, atol=1e-6)
    assert moved(member.parameters.groups[0].tensors["bias"]) > 1e-3


def moved(bias: Tensor) -> float:
    return float(bias.detach().abs().max())


@pytest.mark.parametrize(
    ("backbone", "number"),
    [
        # A layer has 11 · 768: 101,376 in twelve. The norm of the embeddings adds 768, BERT's
        # pretrained pooler 768, DeBERTa's norm of the embeddings of distances 768.
        ("roberta-base", 101_376 + 768),
        ("bert-base-uncased", 101_376 + 2 * 768),
        ("deberta-v3-base", 101_376 + 2 * 768),
        ("roberta-large", 24 * 11 * 1024 + 1024),
    ],
)
def test_counts(backbone: str, number: int) -> None:
    assert adapter_count(backbone, "bitfit", QV) == number


def test_the_half_of_the_biases() -> None:
    made = adapter_count("roberta-base", "bitfit", QV, biases="query_and_intermediate")
    assert made == 12 * (768 + 3072)


def test_a_backbone_without_biases_is_refused_by_name() -> None:
    case = contract("bitfit", family="llama")
    with pytest.raises(UserError, match="method 'bitfit' trains biases, and this backbone has no"):
        case.member(case.backbone())


def test_it_merges_but_is_no_lora(tmp_path: Any) -> None:
    case = contract("bitfit")
    backbone = case.backbone()
    member = case.member(backbone)
    with pytest.raises(UserError, match=r"method 'bitfit'.* LoRA of .*; export it merged"):
        export.to_peft(member, backbone, "small", tmp_path / "adapter")
    export.merge(member, backbone)
