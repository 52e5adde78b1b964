"""Updates of every form share a pack: linear, bent, before a norm, biases, with dense gradients."""

from typing import Any

import pytest
import torch
from cases import member_of, small_backbone, train
from torch import Tensor

from trials.backbones import Backbone
from trials.methods.base import Site, Update
from trials.spec import Dropout, Schedule
from trials.training.member import Member
from trials.training.stacking import Stacker

EVERYWHERE = ("query", "value", "attention_output", "intermediate", "output")


def mixed(backbone: Backbone) -> list[Member]:
    """They meet at the maps of the feed-forward block, at its norm, and at the query."""
    common = {"dropout": Dropout(backbone=0.1, adapter=0.1), "steps": 12,
              "schedule": Schedule(warmup=0.1), "targets": EVERYWHERE}  # fmt: skip
    cases: list[tuple[str, dict[str, Any]]] = [
        ("adapter", {"given": {"bottleneck": 3}, "seed": 1}),
        ("adapter", {"given": {"variant": "pfeiffer", "activation": "relu"}, "seed": 2}),
        ("bitfit", {"seed": 4, "batch_size": 3}),
        ("adalora", {"given": {"rank": 2, "interval": 2}, "accumulate": 2}),
        ("increlora", {"given": {"rank": 2, "interval": 2}, "seed": 5}),
        ("tlora", {"given": {"rank": 6}, "seed": 6}),
    ]
    return [member_of(backbone, method, **{**common, **more}) for method, more in cases]


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_a_pack_of_all_forms_equals_the_trials_alone(family: str) -> None:
    backbone = small_backbone(family=family)
    packed, alone = mixed(backbone), mixed(backbone)
    of_pack = train(backbone, packed, 12)
    of_each = [train(backbone, [member], 12)[0] for member in alone]
    for together, apart, one, other in zip(of_pack, of_each, packed, alone, strict=True):
        assert max(abs(x - y) for x, y in zip(together, apart, strict=True)) < 1e-12
        assert gap(one.parameters.values, other.parameters.values) < 1e-11, one.spec.method
        assert one.curves() == other.curves()
        assert not one.dense


def test_a_site_has_only_the_parts_and_biases_that_somebody_brings() -> None:
    """A bias for the input of one norm does not send a map of equal shape through itself again."""
    backbone = small_backbone()
    members = mixed(backbone)
    updates = Stacker().updates(members, torch.float64)
    (query,) = updates["bert.encoder.layer.0.attention.self.query"]
    assert [(p.reads, p.activation, p.adds) for p in query.parts] == [("input", None, "output")]
    assert set(query.biases) == {"output"}
    (norm,) = updates["bert.encoder.layer.0.output.LayerNorm"]
    assert [(p.reads, p.activation, p.adds) for p in norm.parts] == [("output", "relu", "input")]
    assert set(norm.biases) == {"input", "output"}
    (other,) = updates["bert.encoder.layer.0.attention.output.LayerNorm"]
    assert other.parts == ()
    assert set(other.biases) == {"output"}


def test_a_bias_alone_has_factors_of_rank_0() -> None:
    update = Update.of_bias(torch.ones(2, 5))
    assert update.left.shape == (2, 5, 0)
    assert update.right.shape == (2, 0, 5)


def test_scale_and_core_stay_left_of_an_activation() -> None:
    """Between the factors they would be bent."""
    left, right, core = torch.ones(1, 6, 2), torch.ones(1, 2, 3), 3 * torch.eye(2)[None]
    folded = Update(left, core, right, 2.0, activation="relu").folded()
    assert torch.equal(folded[0], 6 * left)
    assert folded[1] is right
    assert Update(left, core, right, 2.0).folded()[0] is left


def test_a_site_says_what_it_is() -> None:
    site = Site("layer.0.query", "query", 4, 4)
    assert not site.is_norm
    assert not site.has_bias
