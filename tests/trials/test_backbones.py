import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from trials import backbones
from trials.backbones import family_of, find, folder_digest
from trials.errors import UserError
from trials.families import FAMILIES
from trials.methods.base import Site, fused
from trials.sites import body, has_targets, head_sites, sites
from trials.targets import CANONICAL_TARGETS

ENCODER = ("query", "key", "value", "attention_output", "intermediate", "output")
TINY = find("tiny")
assert TINY is not None


PARTICULAR: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2, "layer_types": ["full_attention"] * 2},
    "gpt2": {"n_inner": 48, "bos_token_id": 1, "eos_token_id": 1},
    "t5": {"num_decoder_layers": 2, "d_kv": 8, "d_ff": 48, "feed_forward_proj": "gated-gelu"},
}
"""T5 is version 1.1 here, whose feed-forward blocks have a gate."""


def skeleton_of(family: str, **particular: Any) -> Any:
    """Two layers of a family, without weights."""
    fields = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 48, "vocab_size": 60, "max_position_embeddings": 40, "pad_token_id": 0,
        **PARTICULAR.get(family, {}), **particular,
    }  # fmt: skip
    return backbones.skeleton(transformers.AutoConfig.for_model(family, **fields), 3)


def sites_of(family: str, targets: Any) -> list[Site]:
    return sites(skeleton_of(family), FAMILIES[family], targets)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_target_of_a_family_is_in_every_layer(family: str) -> None:
    for target in FAMILIES[family].targets:
        found = sites_of(family, (target,))
        plain = family == "t5" and "." not in target
        places = (3 if target in ENCODER[:4] else 2) if plain else 1
        assert len(found) == 2 * places, target
        assert [site.target for site in found] == [target] * 2 * places
        layers = [re.findall(r"\d+", site.name)[0] for site in found]
        assert sorted(layers) == ["0"] * places + ["1"] * places


@pytest.mark.parametrize("target", CANONICAL_TARGETS)
def test_a_plain_target_of_an_encoder_decoder_is_all_its_qualified_ones(target: str) -> None:
    stacks = ("encoder", "decoder", "cross") if target in ENCODER[:4] else ("encoder", "decoder")
    parts = [{s.name for s in sites_of("t5", (f"{stack}.{target}",))} for stack in stacks]
    assert set().union(*parts) == {s.name for s in sites_of("t5", (target,))}
    assert sum(map(len, parts)) == len(set().union(*parts)) == 2 * len(stacks)


def test_without_a_gate_t5s_first_map_is_the_intermediate_one() -> None:
    model = skeleton_of("t5", feed_forward_proj="relu")
    found = sites(model, FAMILIES["t5"], ("intermediate",))
    assert {s.name.rpartition(".")[2] for s in found} == {"wi"}
    assert {s.name.rpartition(".")[2] for s in sites_of("t5", ("intermediate",))} == {"wi_1"}
    with pytest.raises(UserError, match="target 'gate' matches no module of this backbone"):
        sites(model, FAMILIES["t5"], ("gate",))


def test_targets_of_a_fused_map_are_its_slices() -> None:
    found = sites_of("gpt2", ("query", "value"))[:2]
    path = "transformer.h.0.attn.c_attn"
    assert [(s.name, s.path, s.shape, s.offsets) for s in found] == [
        (f"{path}.query", path, (32, 32, 1), (0,)),
        (f"{path}.value", path, (32, 32, 1), (64,)),
    ]
    assert all(site.has_bias for site in found)
    assert sites_of("gpt2", ("value", "key", "query")) == sites_of("gpt2", ENCODER[:3])
    whole = sites_of("gpt2", {"modules": [r".*c_attn"]})
    assert [(s.name, s.shape, s.offsets) for s in whole][:1] == [(path, (96, 32, 1), (0,))]


def test_slices_of_one_map_join_and_others_do_not() -> None:
    found = fused(sites_of("gpt2", ("query", "value", "intermediate")))
    assert [(s.target, s.shape, s.offsets, s.rows) for s in found[:2]] == [
        ("query+value", (64, 32, 2), (0, 64), (slice(0, 32), slice(64, 96))),
        ("intermediate", (48, 32, 1), (0,), (slice(0, 48),)),
    ]
    assert found[0].name == "transformer.h.0.attn.c_attn.query+value"
    assert len({site.name for site in found}) == len(found) == 4
    plain = sites_of("bert", ENCODER)
    assert fused(plain) == plain


@pytest.mark.parametrize(
    ("family", "target", "path"),
    [
        ("bert", "query", "bert.encoder.layer.0.attention.self.query"),
        ("bert", "attention_output", "bert.encoder.layer.0.attention.output.dense"),
        ("bert", "output", "bert.encoder.layer.0.output.dense"),
        ("deberta-v2", "key", "deberta.encoder.layer.0.attention.self.key_proj"),
        ("deberta-v2", "output", "deberta.encoder.layer.0.output.dense"),
        ("roberta", "intermediate", "roberta.encoder.layer.0.intermediate.dense"),
        ("llama", "gate", "model.layers.0.mlp.gate_proj"),
        ("llama", "output", "model.layers.0.mlp.down_proj"),
        ("gpt2", "attention_output", "transformer.h.0.attn.c_proj"),
        ("gpt2", "intermediate", "transformer.h.0.mlp.c_fc"),
        ("gpt2", "output", "transformer.h.0.mlp.c_proj"),
        ("t5", "encoder.query", "transformer.encoder.block.0.layer.0.SelfAttention.q"),
        ("t5", "decoder.query", "transformer.decoder.block.0.layer.0.SelfAttention.q"),
        ("t5", "cross.query", "transformer.decoder.block.0.layer.1.EncDecAttention.q"),
        ("t5", "gate", "transformer.encoder.block.0.layer.1.DenseReluDense.wi_0"),
        ("t5", "decoder.output", "transformer.decoder.block.0.layer.2.DenseReluDense.wo"),
    ],
)
def test_a_target_is_the_map_that_its_name_says(family: str, target: str, path: str) -> None:
    assert sites_of(family, (target,))[0].name == path


@pytest.mark.parametrize("family", FAMILIES)
def test_output_is_never_the_attentions_output(family: str) -> None:
    assert not [s for s in sites_of(family, ("output",)) if re.search("attn|ttention", s.name)]
    names = [s.name for s in sites_of(family, ENCODER)]
    assert len(names) == len(set(names)) == (32 if family == "t5" else 12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_body_is_every_map_and_norm_once_by_its_slices(family: str) -> None:
    model = skeleton_of(family)
    found = body(model, FAMILIES[family])
    assert len({site.name for site in found}) == len(found)
    numbers: dict[str, int] = {}
    for site in found:
        size = site.outputs * (1 if site.is_norm else site.inputs)
        numbers[site.path] = numbers.get(site.path, 0) + size
    of_model = {path: model.get_submodule(path).weight.numel() for path in numbers}
    assert numbers == of_model
    targets = {name for name in FAMILIES[family].targets if "." not in name}
    assert {site.target for site in found} >= targets


def test_shapes_are_those_of_the_weight() -> None:
    made = sites_of("llama", CANONICAL_TARGETS)
    found = {site.target: (site.outputs, site.inputs, site.slices) for site in made}
    assert found == {
        "query": (32, 32, 1), "key": (16, 32, 1), "value": (16, 32, 1),
        "attention_output": (32, 32, 1), "gate": (48, 32, 1), "intermediate": (48, 32, 1),
        "output": (32, 48, 1),
    }  # fmt: skip


def test_sites_come_in_the_order_of_the_modules_whatever_is_asked_for() -> None:
    assert sites_of("bert", ("value", "query")) == sites_of("bert", ("query", "value"))


def test_expressions_match_whole_paths_and_never_the_head() -> None:
    found = sites_of("roberta", {"modules": [r".*dense"]})
    assert len(found) == 6
    assert not [s.name for s in found if "classifier" in s.name]
    with pytest.raises(UserError, match=r"target 'query' matches no module"):
        sites_of("bert", {"modules": ["query"]})


@pytest.mark.parametrize(
    ("family", "targets", "message"),
    [
        ("bert", ("qeury",), "target 'qeury' matches no module of this backbone; did you mean "
            "'query'?"),
        ("bert", ("query", "gate"), "target 'gate' matches no module of this backbone"),
        ("bert", {"modules": ["nope"]}, "target 'nope' matches no module of this backbone; it has "
            "query, key, value, attention_output, intermediate, output"),
    ],
)  # fmt: skip
def test_a_target_that_is_not_there_names_the_nearest(
    family: str, targets: Any, message: str
) -> None:
    with pytest.raises(UserError) as error:
        sites_of(family, targets)
    assert str(error.value).startswith(message)


def test_all_targets_that_are_not_there_come_at_once() -> None:
    with pytest.raises(UserError) as error:
        sites_of("bert", ("gate", "up", "query"))
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("bert", [("classifier", 3, True)]),
        ("roberta", [("classifier.dense", 32, True), ("classifier.out_proj", 3, True)]),
        ("deberta-v2", [("pooler.dense", 32, True), ("classifier", 3, True)]),
        ("llama", [("score", 3, False)]),
        ("gpt2", [("score", 3, False)]),
        (
            "t5",
            [("classification_head.dense", 32, True), ("classification_head.out_proj", 3, True)],
        ),
    ],
)
def test_heads_are_those_of_the_family(family: str, expected: list) -> None:
    found = head_sites(skeleton_of(family), FAMILIES[family])
    assert [(site.name, site.outputs, bias) for site, bias in found] == expected
    assert all(site.inputs == 32 for site, _ in found)


def test_an_unknown_family_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="backbones of type 'bart' are not known; expected one of"):
        family_of(transformers.AutoConfig.for_model("bart"))


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"model_type": "bret"}'])
def test_a_folders_family_is_read_from_its_configuration(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json has no model_type|type 'bret' are not known"):
        backbones.family_in(tmp_path)
    assert TINY is not None
    assert backbones.family_in(TINY) is FAMILIES["bert"]


def test_the_names_of_weights_show_which_targets_are_there(tmp_path: Path) -> None:
    """As the model that is built from them has them: never one that it has not."""
    assert TINY is not None
    family, weights = FAMILIES["bert"], backbones.weights_in(TINY)
    model = backbones.load("tiny").model
    built = {n for n, _ in model.named_parameters() if not n.startswith(family.head)}
    assert {n.removeprefix("bert.") for n in built} <= {n.removeprefix("bert.") for n in weights}
    for target in family.targets:
        assert has_targets(family, weights, [target])
        lacking = [n for n in weights if not re.search(family.targets[target] + r"\.weight$", n)]
        assert not has_targets(family, lacking, [target])
    assert not has_targets(family, weights, ["query", "gate"])
    assert not has_targets(family, weights, {"modules": [".*query"]})
    assert backbones.weights_in(tmp_path) == frozenset()
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    assert backbones.weights_in(tmp_path) == frozenset()


def test_the_embedded_backbone_loads_frozen_once() -> None:
    backbone = backbones.load("tiny")
    assert backbone is backbones.load("tiny")
    assert backbone.name == "tiny"
    assert backbone.digest == backbones.resolve("tiny") == folder_digest(TINY)
    assert not backbone.model.training
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
    assert backbone.tokenizer.padding_side == "right"
    assert backbone.initializer_range == 0.05
    assert backbone.model.config.num_labels == 2


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the embedded backbone's folder."""
    return Path(shutil.copytree(TINY, tmp_path / "models" / "mine"))


def test_a_digest_is_of_names_and_bytes_and_not_of_the_place(copied: Path) -> None:
    assert folder_digest(copied) == folder_digest(TINY)
    (copied / "README.md").write_text("not read")
    assert folder_digest(copied) == folder_digest(TINY)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_digest_changes_with_a_byte(copied: Path, name: str) -> None:
    before = folder_digest(copied)
    data = bytearray((copied / name).read_bytes())
    data[-2] ^= 1
    (copied / name).write_bytes(data)
    changed = folder_digest(copied)
    assert changed != before
    (copied / name).rename(copied / f"other-{name}")
    assert folder_digest(copied) not in (before, changed)


def test_a_name_is_looked_up_under_the_roots_in_their_order(copied: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(copied, second / "mine")
    assert find("mine", (tmp_path / "none", copied.parent, second)) == copied
    assert find("mine", (second, copied.parent)) == second / "mine"
    assert find("./models/mine", base=tmp_path) == copied
    assert find("someone/mine") is None


def test_a_root_may_hold_a_backbone_called_tiny(copied: Path) -> None:
    shutil.copytree(copied, copied.parent / "tiny")
    assert find("tiny", (copied.parent,)) == copied.parent / "tiny"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        backbones.load("./models/none", base=tmp_path)
    expected = f"backbone './models/none': no config.json in {tmp_path / 'models' / 'none'}"
    assert str(error.value) == expected


def test_a_folder_without_weights_is_the_users_mistake(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(UserError, match=f"backbone {copied}: .*model.safetensors"):
        backbones.load("mine", (copied.parent,))


def words_folder(root: Path, family: str, **special: str) -> Path:
    """A small model of a family with a tokenizer of whole words."""
    words = {word: index for index, word in enumerate(["<a>", "<b>", "</s>", "good", "bad"])}
    of_family = {"gpt2": {"bos_token_id": 2}, "t5": {"d_kv": 8}}[family]
    config = transformers.AutoConfig.for_model(
        family, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, vocab_size=5,
        eos_token_id=2, **of_family,
    )  # fmt: skip
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(root)
    whole_words = Tokenizer(WordLevel(words, unk_token="<a>"))
    whole_words.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=whole_words, model_max_length=30, **special
    ).save_pretrained(root)
    return root


def test_a_decoder_without_an_id_for_padding_takes_its_end_of_text(tmp_path: Path) -> None:
    folder = words_folder(tmp_path / "gpt", "gpt2", eos_token="</s>")
    backbone = backbones.load(str(folder))
    assert backbone.tokenizer.pad_token_id == backbone.model.config.pad_token_id == 2
    assert backbone.initializer_range == 0.02
    assert backbone.max_tokens == 30


def test_a_decoder_starts_with_padding_where_nothing_else_is_said(tmp_path: Path) -> None:
    folder = words_folder(tmp_path / "t5", "t5", eos_token="</s>", pad_token="<b>")
    backbone = backbones.load(str(folder))
    assert backbone.model.config.decoder_start_token_id == backbone.model.config.pad_token_id == 1
    assert backbone.initializer_range == pytest.approx(32**-0.5)
    assert backbone.max_tokens == 30


@pytest.mark.parametrize("call", [backbones.resolve, backbones.configuration])
def test_without_a_hub_the_message_says_which_folder_would_do(call: Any) -> None:
    with pytest.raises(UserError) as error:
        call("someone/backbone-that-is-nowhere")
    message = str(error.value)
    assert message.startswith("backbone 'someone/backbone-that-is-nowhere' is neither a folder")
    assert "config.json, model.safetensors and tokenizer.json" in message
    assert "--models ROOT reads ROOT/NAME" in message


@pytest.mark.parametrize(
    ("name", "layers", "width"),
    [("roberta-base", 12, 768), ("FacebookAI/roberta-large-mnli@main", 24, 1024),
     ("bert-base-uncased", 12, 768), ("microsoft/deberta-v3-base", 12, 768),
     ("openai-community/gpt2", 12, 768), ("gpt2-medium", 24, 1024), ("t5-small", 6, 512),
     ("google-t5/t5-base", 12, 768), ("google/t5-v1_1-base", 12, 768)],
)  # fmt: skip
def test_packaged_configurations_need_no_hub(name: str, layers: int, width: int) -> None:
    config = backbones.configuration(name)
    assert (config.num_hidden_layers, config.hidden_size) == (layers, width)


def test_the_packaged_deberta_is_version_3() -> None:
    config = backbones.configuration("deberta-v3-base")
    assert config.pos_att_type == ["p2c", "c2p"]
    model = backbones.skeleton(config)
    total = sum(p.numel() for n, p in model.named_parameters() if n.startswith("deberta."))
    embedding = model.deberta.embeddings.word_embeddings.weight.numel()
    # The authors' model card: 86 million in the backbone, and 98 in the embedding.
    assert (total - embedding) / 1e6 == pytest.approx(86, abs=1)
    assert embedding / 1e6 == pytest.approx(98, abs=1)
