"""On the embedded backbone, read back by the libraries that others would use."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from cases import DATA as EXAMPLES
from cases import RECIPE, member_of, small_backbone, spec_of, tiny_backbone, train
from peft import PeftModel
from torch import Tensor

from trials.backbones import Backbone, find
from trials.errors import UserError
from trials.families import Head
from trials.tasks.base import Encoded
from trials.tasks.locate import load as load_task
from trials.training import checkpoint, export
from trials.training.data import collate
from trials.training.member import Member
from trials.training.pack import Pack

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
IDS = [[2, *range(10 + i, 16 + 2 * i), 3] for i in range(12)]
DATA = Encoded(IDS, None, [i % 2 for i in range(12)], [str(i) for i in range(12)], 0)
GIVEN: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4},
    "tlora": {"rank": 6},
    "triadaptlora": {"rank": 4, "interval": 2},
}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone(torch.float32)


@pytest.fixture(scope="module", params=GIVEN)
def trained(request: pytest.FixtureRequest, backbone: Backbone) -> tuple[Member, Tensor]:
    """A member and its outputs."""
    member = member_of(backbone, request.param, data=DATA, given=GIVEN[request.param])
    train(backbone, [member], 8)
    with Pack(backbone) as pack:
        return member, pack.outputs(member, DATA)


@torch.no_grad()
def outputs_of(model: Any) -> Tensor:
    batch = collate(DATA, range(len(DATA)), 0)
    made: Tensor = model.eval()(input_ids=batch.input_ids, attention_mask=batch.attention_mask)[0]
    return made


def plain_model() -> Any:
    folder = find("tiny")
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)


def assert_close(made: Tensor, expected: Tensor) -> None:
    assert float(expected.std()) > 0.05, "nothing to compare"
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


def test_peft_reads_the_adapter(
    trained: tuple[Member, Tensor], backbone: Backbone, tmp_path: Path
) -> None:
    member, expected = trained
    folder = export.to_peft(member, backbone, "some/backbone", tmp_path / "adapter")
    model = PeftModel.from_pretrained(plain_model(), str(folder))
    assert_close(outputs_of(model), expected)
    assert model.peft_config["default"].base_model_name_or_path == "some/backbone"


def test_transformers_reads_the_merged_folder(
    trained: tuple[Member, Tensor], backbone: Backbone, tmp_path: Path
) -> None:
    member, expected = trained
    before = {k: v.clone() for k, v in backbone.model.state_dict().items()}
    folder = export.to_merged(member, backbone, load_task("tiny_acceptability"), tmp_path / "m")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert_close(outputs_of(model), expected)
    assert model.config.id2label == {0: "unacceptable", 1: "acceptable"}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sentence = "That lad will dash."
    assert tokenizer(sentence).input_ids == backbone.tokenizer(sentence).input_ids
    assert all(torch.equal(before[k], v) for k, v in backbone.model.state_dict().items())


def test_a_trials_folder_gives_its_member_back(
    trained: tuple[Member, Tensor], backbone: Backbone, tmp_path: Path
) -> None:
    member, expected = trained
    tensors = {**member.parameters.trained, **member.parameters.frozen}
    checkpoint.write(tmp_path / "adapter.safetensors", tensors, {})
    again = export.load_member(tmp_path, member.spec, backbone, "adapter.safetensors")
    with Pack(backbone) as pack:
        assert torch.equal(pack.outputs(again, DATA), expected)


def test_factors_hold_scale_and_core(trained: tuple[Member, Tensor]) -> None:
    member, _ = trained
    factors = export.map_factors(member)
    assert set(factors) == {site.name for site in member.sites}
    for group in member.parameters.groups:
        with torch.no_grad():
            deltas = member.method.update(group.tensors).delta()
        for site, delta in zip(group.sites, deltas, strict=True):
            left, right = factors[site.name]
            torch.testing.assert_close(left @ right, delta)


FUSED = {"targets": ("query", "key", "value", "intermediate"), "given": {"rank": 3}}


def test_a_fused_map_exports_as_one_lora_of_the_ranks_of_its_slices() -> None:
    """MTLoRA's whole T and three LoRAs of its slices take equal room."""
    backbone = small_backbone(family="gpt2")
    path = "transformer.h.0.attn.c_attn"
    for method in ("mtlora", "lora"):
        member = member_of(backbone, method, **FUSED)
        train(backbone, [member], 4)
        left, right = export.map_factors(member)[path]
        assert (left.shape, right.shape) == ((96, 9), (9, 32))
        with torch.no_grad():
            deltas = [
                (site, delta)
                for group in member.parameters.groups
                for site, delta in zip(
                    group.sites, member.method.update(group.tensors).delta(), strict=True
                )
                if site.path == path
            ]
        expected = torch.zeros(96, 32, dtype=left.dtype)
        for site, delta in deltas:
            for rows, part in zip(site.rows, delta.chunk(site.slices), strict=True):
                expected[rows] = part
        assert float(expected.abs().min()) > 0
        torch.testing.assert_close(left @ right, expected)
        merged = export.merge(member, backbone).get_submodule(path).weight
        before = backbone.model.get_submodule(path).weight
        torch.testing.assert_close(merged - before, expected.T)


def test_rows_of_slices_that_are_not_adapted_stay_as_they_are(tmp_path: Path) -> None:
    """loralib's [query, -, value]."""
    backbone = small_backbone(family="gpt2")
    member = member_of(backbone, "mtlora", given={"rank": 3}, targets=("query", "value"))
    train(backbone, [member], 4)
    left, _ = export.map_factors(member)["transformer.h.0.attn.c_attn"]
    assert left.shape == (96, 6)
    assert not left[32:64].any()
    assert left[:32].any()
    assert left[64:].any()
    folder = export.to_peft(member, backbone, "some/backbone", tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["fan_in_fan_out"] is True
    assert (config["r"], config["lora_alpha"]) == (6, 6)


def test_an_adapter_that_was_not_kept_is_the_users_mistake(
    backbone: Backbone, tmp_path: Path
) -> None:
    spec = spec_of()
    assert spec.recipe == RECIPE
    with pytest.raises(UserError, match=f"trial {spec.id[:12]}: no adapter in"):
        export.load_member(tmp_path, spec, backbone, "adapter.safetensors")


BODIES = {"bert": "bert", "deberta-v2": "deberta", "gpt2": "transformer", "llama": "transformer",
          "t5": ""}  # fmt: skip


def answering(backbone: Backbone) -> Any:
    """The library's model for answers over a backbone's body, its head at random."""
    model: Any = transformers.AutoModelForQuestionAnswering.from_config(backbone.model.config)
    body = model.get_submodule(BODIES[backbone.model.config.model_type])
    body.load_state_dict(backbone.model.base_model.state_dict(), strict=False)
    return model.to(torch.float64).eval()


@pytest.mark.parametrize("method", ["lora", "peft.LoraConfig"])
@pytest.mark.parametrize("family", BODIES)
@torch.no_grad()
def test_a_head_that_reads_every_token_goes_into_the_librarys_model(
    family: str, method: str, tmp_path: Path
) -> None:
    backbone = small_backbone(family=family, num_labels=2)
    places = [(0, 1)] * len(EXAMPLES)
    data = Encoded(EXAMPLES.input_ids, None, places, EXAMPLES.ids, 0)
    given = {"r": 2} if method.startswith("peft") else {"rank": 2}
    asked = Head(2, "tokens")
    more = {"given": given, "steps": 4, "targets": ("query", "key", "value")}
    member = member_of(backbone, method, data=data, asked=asked, **more)
    with torch.enable_grad():
        train(member.backbone, [member], 3)
    one = Encoded(data.input_ids[:1], None, [(0, 1)], ["x"], 0)
    with Pack(member.backbone) as pack:
        expected = pack.outputs(member, one)
    folder = export.to_peft(member, backbone, "small", tmp_path / "adapter")
    adapted = PeftModel.from_pretrained(answering(backbone), folder).get_base_model()
    for model in (export.merge(member, backbone), adapted):
        made = model.eval()(input_ids=torch.tensor(one.input_ids))
        outputs = torch.stack([made.start_logits[0], made.end_logits[0]], dim=-1)
        torch.testing.assert_close(outputs.to(expected), expected, rtol=1e-5, atol=1e-5)
    assert float(expected.std()) > 1e-3, "nothing to compare"
