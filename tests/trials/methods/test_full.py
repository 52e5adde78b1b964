"""Full fine-tuning against a plain model and torch's own optimiser."""

import dataclasses

import pytest
import torch

from trials.contract import contract, examples
from trials.spec import Dropout, Schedule
from trials.training.counting import count
from trials.training.data import collate
from trials.training.pack import Pack

BODIES = {"bert": "bert.", "roberta": "roberta.", "llama": "model."}


@pytest.mark.parametrize("family", BODIES)
def test_everything_but_the_head_is_counted(family: str) -> None:
    case = contract("full", family=family)
    backbone = case.backbone()
    member = case.member(backbone)
    body = {
        name: parameter
        for name, parameter in backbone.model.named_parameters()
        if name.startswith(BODIES[family])
    }
    adapter, _ = member.parameters.counts(member.method)
    assert adapter == sum(parameter.numel() for parameter in body.values())
    trained = {n.removeprefix("model.") for n in member.parameters.trained if n[:5] == "model"}
    assert trained == set(body)


def test_the_count_from_a_configuration_alone() -> None:
    assert count("roberta-base", "full", {}, ("query", "value")) == (124_055_040, 592_130)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_as_a_plain_loop_trains(family: str) -> None:
    case = contract("full", family=family)
    recipe = dataclasses.replace(
        case.spec.recipe, dropout=Dropout(), schedule=Schedule(name="constant")
    )
    backbone = case.backbone(torch.float64)
    member = case.member(backbone, recipe=recipe)
    model = case.backbone(torch.float64).model
    for path, parts in member.parameters.head.items():
        for part, tensor in parts.items():
            getattr(model.get_submodule(path), part).data.copy_(tensor.detach())
    model.requires_grad_(True)
    trained = list(model.parameters())
    optimiser = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=0.0)
    data = examples()
    for _ in range(4):
        rows = member.rows()
        total = sum(map(len, rows))
        optimiser.zero_grad()
        for part in rows:
            batch = collate(data, part, 0)
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            loss = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
            (loss / total).backward()
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(trained, recipe.clip)
        optimiser.step()
        with Pack(member.backbone) as pack:
            pack.step([member])
    mine = dict(member.backbone.model.named_parameters())
    heads = tuple(backbone.family.head)
    gaps = [
        float((mine[name] - parameter).detach().abs().max())
        for name, parameter in model.named_parameters()
        # Adam makes whole steps of a key bias's gradient, which is rounding.
        if not name.startswith(heads) and not name.endswith("key.bias")
    ]
    assert max(gaps) < 1e-9
    moved = dict(case.backbone(torch.float64).model.named_parameters())
    assert max(float((mine[n] - moved[n]).detach().abs().max()) for n in mine) > 1e-3


def test_two_trials_have_a_backbone_each() -> None:
    case = contract("full")
    backbone = case.backbone()
    one, other = case.member(backbone), case.member(backbone, seed=11)
    with Pack(one.backbone) as pack:
        for _ in range(3):  # The first step is at a rate of zero.
            pack.step([one])
    fresh = case.member(backbone, seed=11)
    assert torch.equal(other.parameters.values, fresh.parameters.values)
    assert not torch.equal(one.parameters.values, case.member(backbone).parameters.values)
