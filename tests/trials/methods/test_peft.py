"""Configurations of the `peft` library: as the library alone would train them, and its mistakes."""

import copy
import dataclasses
from typing import Any

import peft
import pytest
import torch

from trials import catalogue
from trials.contract import Contract, contract, examples
from trials.errors import UserError
from trials.spec import Dropout, Schedule
from trials.training import export
from trials.training.counting import count
from trials.training.data import collate
from trials.training.pack import Pack

# The library asks a model for an attribute that transformers renames.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

IA3 = {"target_modules": ["key", "value"], "feedforward_modules": []}


def quiet(case: Contract) -> Any:
    """The case's recipe without chance, at a constant rate."""
    return dataclasses.replace(
        case.spec.recipe, dropout=Dropout(), schedule=Schedule(name="constant"), clip=None
    )


def test_as_the_library_alone_would_train() -> None:
    case = contract("peft.LoraConfig", r=4, lora_alpha=8)
    backbone = case.backbone(torch.float64)
    member = case.member(backbone, recipe=quiet(case))
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["query", "value", "intermediate.dense"]
    )
    plain = case.backbone(torch.float64).model
    for path, parts in member.parameters.head.items():
        for part, tensor in parts.items():
            getattr(plain.get_submodule(path), part).data.copy_(tensor.detach())
    model: Any = peft.get_peft_model(plain, config).to(torch.float64)
    base = model.get_base_model()
    names = {n: p for n, p in base.named_parameters() if "lora_" in n}
    mine = dict(member.backbone.model.named_parameters())
    assert set(names) == {
        n.removeprefix("model.") for n in member.parameters.trained if "lora" in n
    }
    for name, parameter in names.items():
        parameter.data.copy_(mine[name].detach())
    head = list(base.get_submodule("classifier").parameters())
    for parameter in head:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW([*names.values(), *head], lr=5e-3, weight_decay=0.0)
    for _ in range(4):
        rows = member.rows()
        optimiser.zero_grad()
        for part in rows:
            batch = collate(examples(), part, 0)
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            loss = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
            (loss / sum(map(len, rows))).backward()
        optimiser.step()
        with Pack(member.backbone) as pack:
            pack.step([member])
    gap = max(float((mine[n] - p).detach().abs().max()) for n, p in names.items())
    assert gap < 1e-10
    assert float(names[next(iter(names))].detach().abs().max()) > 0


def test_its_own_dropout_is_drawn_from_the_seed() -> None:
    case = contract("peft.LoraConfig", r=4, lora_dropout=0.5)
    recipe = quiet(case)

    def trained(rate: float) -> Any:
        fields = {**case.hyperparameters, "lora_dropout": rate}
        member = case.member(case.backbone(), recipe=recipe, hyperparameters=fields)
        with Pack(member.backbone) as pack:
            for _ in range(3):
                pack.step([member])
        return member.parameters.values

    assert torch.equal(trained(0.5), trained(0.5))
    assert not torch.equal(trained(0.5), trained(0.0))


def test_another_seed_is_another_start() -> None:
    case = contract("peft.LoraConfig", r=4)
    one, other = (case.member(case.backbone(), seed=seed).parameters.values for seed in (1, 2))
    assert not torch.equal(one, other)


def test_targets_are_the_studys_unless_it_names_its_own() -> None:
    named = contract("peft.IA3Config", **IA3)
    layers = {n for n in named.member(named.backbone()).parameters.trained if "ia3" in n}
    assert layers == {
        f"model.bert.encoder.layer.{i}.attention.self.{which}.ia3_l.default"
        for i in (0, 1)
        for which in ("key", "value")
    }
    silent = contract("peft.LoraConfig", r=2)
    sites = {n.partition(".lora")[0] for n in silent.member(silent.backbone()).parameters.trained}
    assert {s.rpartition(".")[2] for s in sites if "layer" in s} == {"query", "value", "dense"}


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("peft.LoraConfig", {"r": 8}, 294_912),
        ("peft.VeraConfig", {"r": 8}, 24 * (768 + 8)),
        ("peft.IA3Config", IA3, 24 * 768),
    ],
)
def test_counts_from_a_configuration_alone(method: str, given: Any, expected: int) -> None:
    fields = catalogue.complete(method, given)
    assert count("roberta-base", method, fields, ("query", "value"))[0] == expected


@pytest.mark.parametrize(
    ("method", "given", "says"),
    [
        ("peft.LoraConfg", {}, "peft has no LoraConfg; did you mean 'LoraConfig'?"),
        ("peft.PromptTuningConfig", {}, "peft.PromptTuningConfig changes no module"),
        ("peft.AdaLoraConfig", {}, "use method adalora"),
        ("peft.LoraConfig", {"rank": 8}, "has no field 'rank'"),
        ("peft.LoraConfig", {"r": "8"}, "must be a number, but got '8'"),
        ("peft.IA3Config", {"feedforward_modules": ["output"], "target_modules": ["key"]},
         "peft.IA3Config: `feedforward_modules` should be a subset of `target_modules`"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_anything_starts(method: str, given: Any, says: str) -> None:
    with pytest.raises(UserError) as error:
        contract(method, **given)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("method", "given", "says"),
    [
        ("peft.LoraConfig", {"target_modules": ["querry"]}, "Target modules {'querry'} not found"),
        ("peft.LoraConfig", {"r": -1}, "`r` should be a positive integer"),
        ("peft.LoKrConfig", {"rank_dropout": 0.1}, "rank_dropout is of a kind"),
    ],
)
def test_what_only_the_backbone_shows(method: str, given: Any, says: str) -> None:
    case = contract(method, **given)
    with pytest.raises(UserError) as error:
        case.member(case.backbone())
    assert says in str(error.value)
    with pytest.raises(UserError):
        count("roberta-base", method, case.hyperparameters, ("query", "value"))


def test_what_the_library_cannot_merge_is_refused_by_name() -> None:
    case = contract("peft.LoraConfig", r=2)
    member = case.member(case.backbone())
    layer = next(m for m in member.backbone.model.modules() if hasattr(m, "lora_A"))

    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    layer.merge = refuse
    with pytest.raises(UserError, match=r"method 'peft\.LoraConfig': the library cannot merge it"):
        member.method.absorb(copy.copy(member.backbone.model))


def test_merging_leaves_no_trace_of_the_library(tmp_path: Any) -> None:
    case = contract("peft.LoraConfig", r=2)
    merged = export.merge(case.training.member, case.backbone())
    plain = case.backbone().model
    assert set(merged.state_dict()) == set(plain.state_dict())
    merged.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
