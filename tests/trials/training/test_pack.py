"""Packing is an optimisation: it may not change a number. What it is measured by is plain torch."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import DATA, golden, member_of, small_backbone, train
from torch import Tensor, nn
from torch.nn import functional

from trials.backbones import Backbone
from trials.families import Head
from trials.spec import Dropout, Optimizer, Schedule
from trials.tasks.base import Encoded
from trials.training.data import collate
from trials.training.member import Member
from trials.training.pack import Pack

DROPOUT = Dropout(backbone=0.1, adapter=0.1)
LONG = Encoded([ids * 2 for ids in DATA.input_ids], None, DATA.labels, DATA.ids, DATA.num_truncated)
ENDS = [(0, len(ids) - 1) if i % 3 else (2, 2) for i, ids in enumerate(DATA.input_ids)]
PLACES = Encoded(DATA.input_ids, None, ENDS, DATA.ids, 0)
FAR = Encoded([ids * 2 for ids in DATA.input_ids], None, ENDS, DATA.ids, 0)


def mixed(backbone: Backbone) -> list[Member]:
    """Five methods with ranks, rates, seeds, batch sizes, sites and lengths of their own."""
    common = {"dropout": DROPOUT, "steps": 30, "schedule": Schedule(warmup=0.1)}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("lora", {"given": {"rank": 3}, "seed": 1, "learning_rate": 1e-2}),
        ("mtlora", {"given": {"rank": 5, "structure": "ctcm"}, "batch_size": 3, "data": LONG}),
        ("tlora", {"given": {"rank": 6}, "seed": 2, "optimizer": Optimizer(weight_decay=0.1)}),
        ("lora_mini", {"given": {"rank": 2, "a": 7, "b": 6}, "accumulate": 2, "clip": 0.1}),
        ("triadaptlora", {"given": {"rank": 4, "interval": 5}, "seed": 5,
                          "targets": ("query", "output"), "label_smoothing": 0.1}),
    ]  # fmt: skip
    return [member_of(backbone, method, **{**common, **more}) for method, more in cases]


def reading_tokens(backbone: Backbone) -> list[Member]:
    """Three trials whose heads give a start and an end for each token."""
    targets = ("query", "value")
    cases: list[dict[str, Any]] = [
        {"given": {"rank": 3}, "seed": 1, "dropout": DROPOUT},
        {"given": {"rank": 5}, "batch_size": 3, "data": FAR, "label_smoothing": 0.1},
        {"given": {"rank": 2}, "seed": 2, "accumulate": 2},
    ]
    common = {"asked": Head(2, "tokens"), "data": PLACES, "steps": 30, "targets": targets}
    return [member_of(backbone, "lora", **{**common, **more}) for more in cases]


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def test_a_mixed_pack_of_five_equals_five_trials_alone() -> None:
    backbone = small_backbone()
    packed, alone = mixed(backbone), mixed(backbone)
    of_pack = train(backbone, packed, 30)
    of_each = [train(backbone, [member], 30)[0] for member in alone]
    for together, apart, one, other in zip(of_pack, of_each, packed, alone, strict=True):
        assert max(abs(x - y) for x, y in zip(together, apart, strict=True)) < 1e-12
        assert gap(one.parameters.values, other.parameters.values) < 1e-11, one.spec.method
    assert packed[4].curves()["total_rank"] == alone[4].curves()["total_rank"] > 4
    assert abs(of_pack[0][-1] - of_pack[1][-1]) > 1e-3, "all members are alike: proves nothing"


def test_the_order_of_members_changes_no_bit() -> None:
    backbone = small_backbone(torch.float32)
    forward, backward = mixed(backbone)[:3], mixed(backbone)[:3]
    train(backbone, forward, 8)
    train(backbone, backward[::-1], 8)
    for one, other in zip(forward, backward, strict=True):
        assert torch.equal(one.parameters.values, other.parameters.values)


def test_a_member_that_diverges_leaves_the_others_bit_equal() -> None:
    backbone = small_backbone(torch.float32)
    healthy, poisoned = mixed(backbone)[:3], mixed(backbone)[:3]
    train(backbone, healthy, 3)
    train(backbone, poisoned, 3)
    poisoned[1].parameters.values[0] = math.nan
    train(backbone, healthy, 3)
    train(backbone, poisoned, 3)
    assert poisoned[1].diverged == "loss nan at step 4 of 30"
    assert poisoned[1].step == 3
    for k in (0, 2):
        assert poisoned[k].diverged is None
        assert torch.equal(healthy[k].parameters.values, poisoned[k].parameters.values)


def test_accumulated_microbatches_equal_one_batch() -> None:
    backbone = small_backbone()
    cut = member_of(backbone, batch_size=5, accumulate=2)
    whole = member_of(backbone, batch_size=10)
    losses = train(backbone, [cut], 6), train(backbone, [whole], 6)
    assert losses[0][0] == pytest.approx(losses[1][0], abs=1e-12)
    assert gap(cut.parameters.values, whole.parameters.values) < 1e-12


def test_outputs_come_in_the_order_of_the_split_whatever_the_padding() -> None:
    backbone = small_backbone()
    member = member_of(backbone)
    train(backbone, [member], 4)
    with Pack(backbone) as pack:
        together = pack.outputs(member, DATA)
        for row in (0, 7, 23):
            one = Encoded([DATA.input_ids[row]], None, [0], ["x"], 0)
            torch.testing.assert_close(pack.outputs(member, one)[0], together[row])
    assert together.shape == (24, 3)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_a_head_that_reads_every_token_is_packed_as_alone(family: str) -> None:
    backbone = small_backbone(family=family)
    packed, alone = reading_tokens(backbone), reading_tokens(backbone)
    of_pack = train(backbone, packed, 8)
    of_each = [train(backbone, [member], 8)[0] for member in alone]
    for together, apart, one, other in zip(of_pack, of_each, packed, alone, strict=True):
        assert max(abs(x - y) for x, y in zip(together, apart, strict=True)) < 1e-11
        assert gap(one.parameters.values, other.parameters.values) < 1e-10
        assert together[-1] != pytest.approx(together[0], abs=1e-3), "nothing was learned"
    with Pack(backbone) as pack:
        made = pack.all_outputs(packed, PLACES)
        for member, outputs in zip(alone, made, strict=True):
            assert outputs.shape == (len(PLACES.tokens), 2)
            assert gap(outputs, pack.outputs(member, PLACES)) < 1e-10
    assert gap(made[0], made[1]) > 1e-3, "members are alike: proves nothing"


def test_outputs_of_tokens_lie_as_the_tokens_of_the_split() -> None:
    backbone = small_backbone()
    (member, *_) = reading_tokens(backbone)
    with Pack(backbone) as pack:
        together = pack.outputs(member, PLACES)
        for row in (0, 7, 23):
            one = Encoded([PLACES.input_ids[row]], None, [(0, 0)], ["x"], 0)
            part = slice(*PLACES.starts[row : row + 2])
            torch.testing.assert_close(pack.outputs(member, one), together[part])


class PlainLoRA(nn.Module):
    """A linear map with a trained update, as anyone would write it."""

    def __init__(self, base: nn.Linear, a: Tensor, b: Tensor, scale: float) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        self.a, self.b = nn.Parameter(a.clone()), nn.Parameter(b.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scale * functional.linear(functional.linear(x, self.a), self.b)


def plain_model(backbone: Backbone, member: Member) -> tuple[Any, dict[str, PlainLoRA]]:
    """A copy of the backbone that starts where the member does."""
    model = copy.deepcopy(backbone.model)
    adapted = {}
    for group in member.parameters.groups:
        for k, site in enumerate(group.sites):
            parent, _, name = site.name.rpartition(".")
            a, b = group.tensors["a"][k].detach(), group.tensors["b"][k].detach()
            wrapped = PlainLoRA(model.get_submodule(site.name), a, b, 16.0 / a.shape[0])
            setattr(model.get_submodule(parent), name, wrapped)
            adapted[site.name] = wrapped
    for part, tensor in member.parameters.head["classifier"].items():
        getattr(model.classifier, part).data.copy_(tensor.detach())
    model.classifier.requires_grad_(True)
    return model, adapted


def test_it_equals_a_plain_lora_trained_with_torchs_own_adamw() -> None:
    """The oracle is not the engine: its modules, loss, clipping and optimiser are torch's."""
    backbone = small_backbone()
    member = member_of(
        backbone, given={"rank": 4}, steps=20, batch_size=5, clip=0.3, seed=8,
        optimizer=Optimizer(weight_decay=0.1), schedule=Schedule(warmup=3),
    )  # fmt: skip
    model, adapted = plain_model(backbone, member)
    bias = model.classifier.bias
    matrices = [p for p in model.parameters() if p.requires_grad and p is not bias]
    optimiser = torch.optim.AdamW(
        [{"params": matrices}, {"params": [bias], "weight_decay": 0.0}], lr=1.0, weight_decay=0.1
    )
    losses = []
    for step in range(20):
        share = step / 3 if step < 3 else 1 - (step - 3) / 17
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * share
        member.step = step
        batch = collate(DATA, member.rows()[0], 0)
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        loss = functional.cross_entropy(logits, batch.labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*matrices, bias], 0.3)
        optimiser.step()
        losses.append(float(loss.detach()))
    member.step = 0
    assert train(backbone, [member], 20)[0] == pytest.approx(losses, abs=1e-10)
    for group in member.parameters.groups:
        for k, site in enumerate(group.sites):
            assert gap(group.tensors["a"][k].detach(), adapted[site.name].a.detach()) < 1e-9
            assert gap(group.tensors["b"][k].detach(), adapted[site.name].b.detach()) < 1e-9
    for part, tensor in member.parameters.head["classifier"].items():
        assert gap(tensor.detach(), getattr(model.classifier, part).detach()) < 1e-9


GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


@pytest.mark.parametrize("method", GOLDEN)
def test_trained_numbers_are_those_of_this_version(method: str) -> None:
    """Whoever changes them on purpose raises `trials.spec.NUMERICS` and makes them anew."""
    assert golden(method) == pytest.approx(GOLDEN[method], abs=1e-10)
