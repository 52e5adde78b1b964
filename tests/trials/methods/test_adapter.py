"""Against the published equations as plain modules in a plain model."""

import copy
import math
from typing import Any

import pytest
import torch
from dense import QV, adapter_count, started
from torch import Tensor, nn
from torch.nn import functional

from trials.contract import Contract, contract, examples
from trials.errors import UserError
from trials.methods.adapter import Adapter
from trials.methods.base import Site
from trials.training import export
from trials.training.data import collate
from trials.training.member import Member
from trials.training.pack import Pack

BODY = (
    Site("layer.0.query", "query", 8, 8),
    Site("layer.0.attention.output.dense", "attention_output", 8, 8),
    Site("layer.0.attention.output.LayerNorm", "", 8, 8, is_norm=True),
    Site("layer.0.output.dense", "output", 8, 12),
    Site("layer.0.output.LayerNorm", "", 8, 8, is_norm=True),
    Site("pooler.dense", "", 8, 8),
)


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("houlsby", ["layer.0.attention.output.dense", "layer.0.output.dense"]),
        ("pfeiffer", ["layer.0.output.LayerNorm"]),
    ],
)
def test_where_they_stand(variant: str, names: list[str]) -> None:
    made = Adapter(variant=variant).sites(BODY[:1], BODY)
    assert [site.name for site in made] == names


def test_a_start_of_linear_maps_is_torchs() -> None:
    """Each of the four in ±1/√fan_in of its own map, and none of them zero."""
    method = Adapter(bottleneck=200, start="linear")
    assert not method.starts_at_backbone
    p = started(method, (Site("layer.0.output.dense", "output", 400, 12),))
    for name, fan_in in {"down": 400, "inner": 400, "up": 200, "bias": 200}.items():
        bound = fan_in**-0.5
        assert 0.93 * bound < p[name].abs().max() <= bound, name
        assert float(p[name].std()) == pytest.approx(bound / 3**0.5, rel=0.2), name
    zero = started(Adapter(bottleneck=200), (Site("layer.0.output.dense", "output", 400, 12),))
    assert torch.equal(zero["down"], p["down"])


def trained(variant: str, family: str, activation: str) -> tuple[Contract, Any, Member]:
    case = contract("adapter", variant=variant, activation=activation, bottleneck=5, family=family)
    backbone = case.backbone(torch.float64)
    member = case.member(backbone)
    with Pack(backbone) as pack:
        for _ in range(6):
            pack.step([member])
    return case, backbone, member


def bottleneck(member: Member) -> dict[str, Any]:
    """Site -> its adapter as a function."""
    activation = getattr(functional, member.method.activation)  # type: ignore[attr-defined]

    def unit(p: dict[str, Tensor]) -> Any:
        return lambda h: functional.linear(
            activation(functional.linear(h, p["down"], p["inner"])), p["up"], p["bias"]
        )

    return {
        site.name: unit({k: v[i].detach() for k, v in group.tensors.items()})
        for group in member.parameters.groups
        for i, site in enumerate(group.sites)
    }


class Behind(nn.Module):
    """A map with an adapter behind it."""

    def __init__(self, base: nn.Module, unit: Any) -> None:
        super().__init__()
        self.base, self.unit = base, unit

    def forward(self, x: Tensor) -> Tensor:
        h = self.base(x)
        return h + self.unit(h)


class Before(Behind):
    """A layer norm with an adapter that reads it and adds to what it reads itself."""

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x + self.unit(self.base(x)))


@pytest.mark.parametrize(
    ("variant", "family", "activation"),
    [
        ("houlsby", "bert", "gelu"),
        ("houlsby", "llama", "silu"),
        ("pfeiffer", "bert", "relu"),
        ("pfeiffer", "deberta-v2", "gelu"),
    ],
)
def test_outputs_are_those_of_a_plain_model_with_the_published_units(
    variant: str, family: str, activation: str
) -> None:
    _, backbone, member = trained(variant, family, activation)
    with Pack(backbone) as pack:
        made = pack.outputs(member, examples())
        other = pack.outputs(contract("adapter", family=family).member(backbone), examples())
    model = copy.deepcopy(backbone.model)
    for name, unit in bottleneck(member).items():
        parent, _, last = name.rpartition(".")
        wrapper = Behind if variant == "houlsby" else Before
        wrapped = wrapper(model.get_submodule(name), unit)
        setattr(model.get_submodule(parent), last, wrapped)
    for path, parts in member.parameters.head.items():
        for part, tensor in parts.items():
            getattr(model.get_submodule(path), part).data.copy_(tensor.detach())
    data = examples()
    batch = collate(data, range(len(data)), 0)
    with torch.no_grad():
        expected = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    torch.testing.assert_close(made, expected.to(made.dtype), rtol=1e-5, atol=1e-6)
    assert float((made - other).abs().max()) > 1e-3, "training has changed nothing"


def test_it_starts_at_the_backbone_with_a_bottleneck_that_can_train() -> None:
    made = Adapter(bottleneck=3).init(BODY[3], torch.Generator().manual_seed(0))
    assert {name: tuple(v.shape) for name, v in made.items()} == {
        "down": (3, 8), "up": (8, 3), "inner": (3,), "bias": (8,)
    }  # fmt: skip
    assert made["down"].abs().max() <= 1 / math.sqrt(8)
    assert made["down"].std() > 0.1
    assert not any(made[name].any() for name in ("up", "inner", "bias"))


@pytest.mark.parametrize(
    ("backbone", "variant", "width", "number"),
    [
        ("deberta-v3-base", "houlsby", 32, 1_198_848),
        ("deberta-v3-base", "houlsby", 16, 608_640),
        ("deberta-v3-base", "houlsby", 8, 313_536),
        ("deberta-v3-base", "pfeiffer", 64, 1_189_632),
        ("deberta-v3-base", "pfeiffer", 32, 599_424),
        ("deberta-v3-base", "pfeiffer", 16, 304_320),
        ("roberta-base", "houlsby", 8, 313_536),
        ("bert-base-uncased", "pfeiffer", 16, 304_320),
        ("roberta-large", "houlsby", 64, 6_343_680),
        ("roberta-large", "houlsby", 8, 835_968),
        ("roberta-large", "pfeiffer", 64, 3_171_840),
        ("roberta-large", "pfeiffer", 16, 811_392),
    ],
)
def test_counts_are_those_of_the_published_tables(
    backbone: str, variant: str, width: int, number: int
) -> None:
    assert adapter_count(backbone, "adapter", QV, variant=variant, bottleneck=width) == number


def test_targets_do_not_matter() -> None:
    of_all = adapter_count("roberta-base", "adapter", ("key", "output"))
    assert of_all == adapter_count("roberta-base", "adapter", QV)


def test_pfeiffers_place_is_behind_a_norm_that_llama_does_not_have() -> None:
    case = contract("adapter", variant="pfeiffer", family="llama")
    with pytest.raises(UserError, match="'adapter': variant pfeiffer stands at the layer norm"):
        case.member(case.backbone())


def test_it_neither_merges_nor_exports(tmp_path: Any) -> None:
    case = contract("adapter")
    backbone = case.backbone()
    member = case.member(backbone)
    with pytest.raises(UserError, match="method 'adapter': what it adds is bent by an activation"):
        export.merge(member, backbone)
    with pytest.raises(UserError, match="method 'adapter'.* no LoRA of the peft library$"):
        export.to_peft(member, backbone, "small", tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
