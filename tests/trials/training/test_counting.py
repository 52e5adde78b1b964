from pathlib import Path
from typing import Any

import pytest
from cases import small_backbone, spec_of
from transformers import BertConfig

from trials.catalogue import complete
from trials.contract import examples
from trials.errors import UserError
from trials.families import Head
from trials.methods.lora import LoRA
from trials.targets import PRESETS
from trials.training.counting import count
from trials.training.member import Member

TARGETS = ("query", "intermediate")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A configuration like that of the small backbone, without weights."""
    BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        vocab_size=60, max_position_embeddings=40,
    ).save_pretrained(tmp_path / "small")  # fmt: skip
    return tmp_path


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("lora", {"rank": 3}),
        ("mtlora", {"rank": 3, "structure": "dtsm"}),
        ("tlora", {"rank": 3}),
        ("lora_mini", {"rank": 3, "a": 4, "b": 5, "freeze": ["b_train"]}),
    ],
)
def test_it_counts_what_a_trial_would_train(root: Path, method: str, given: dict) -> None:
    spec = spec_of(method, given=given, targets=TARGETS)
    member = Member(spec, small_backbone(), examples())
    expected = member.parameters.counts(member.method)
    made = count("small", method, complete(method, given), TARGETS, head=Head(3), roots=(root,))
    assert made == expected


@pytest.mark.parametrize("outputs", [2, 5])
def test_a_head_that_reads_every_token_is_one_map(root: Path, outputs: int) -> None:
    head = Head(outputs, "tokens")
    member = Member(spec_of(targets=TARGETS), small_backbone(), examples(), head)
    made = count("small", "lora", complete("lora", {}), TARGETS, head=head, roots=(root,))
    assert made == member.parameters.counts(member.method)
    assert made[1] == outputs * 32 + outputs


def test_targets_may_be_expressions(root: Path) -> None:
    targets = {"modules": [r".*layer\.0\.attention\.self\.query"]}
    made = count("small", "lora", complete("lora", {"rank": 3}), targets, roots=(root,))
    assert made == (3 * 64, 2 * 32 + 2)


def test_without_a_formula_it_counts_what_init_makes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoRA, "num_parameters", lambda self, site: None)
    made = count("small", "lora", complete("lora", {"rank": 3}), TARGETS, roots=(root,))
    assert made[0] == 2 * 3 * (64 + 80)


SIX = PRESETS["adalora"]
GPT2_M = ("query", "key", "value", "intermediate")
PUBLISHED: list[tuple[str, str, dict[str, Any], tuple[str, ...], int]] = [
    *(("roberta-base", "mtlora", {"rank": 8, "structure": s}, PRESETS["mtlora"], n)
      for s, n in (("shim", 1_035_264), ("icfm", 1_035_264), ("ctcm", 1_038_336),
                   ("dtsm", 1_038_336))),
    ("roberta-base", "lora", {"rank": 8}, PRESETS["mtlora"], 1_032_192),
    ("roberta-base", "lora", {"rank": 8}, PRESETS["lora"], 294_912),
    ("roberta-base", "mtlora", {"rank": 8, "structure": "icfm"}, PRESETS["lora"], 296_448),
    ("roberta-base", "mtlora", {"rank": 8, "structure": "dtsm"}, PRESETS["lora"], 297_984),
    ("gpt2-medium", "lora", {"rank": 4}, GPT2_M, 1_081_344),
    *(("gpt2-medium", "mtlora", {"rank": 4, "structure": s}, PRESETS["mtlora_gpt2"], n)
      for s, n in (("shim", 1_085_184), ("icfm", 1_085_184), ("ctcm", 1_089_024),
                   ("dtsm", 1_089_024))),
    ("gpt2-medium", "mtlora", {"rank": 4, "structure": "shim", "fused": "block"}, GPT2_M,
     1_081_344 + 24 * 4 * 16),
    ("gpt2-medium", "lora", {"rank": 4}, PRESETS["lora"], 393_216),
    *(("deberta-v3-base", "mtlora", {"rank": r, "structure": s}, PRESETS["mtlora_deberta"], n)
      for r, s, n in ((8, "shim", 1_331_712), (8, "ctcm", 1_336_320), (2, "icfm", 332_064),
                      (2, "dtsm", 332_352))),
    ("deberta-v3-base", "lora", {"rank": 8}, SIX, 1_327_104),
    ("deberta-v3-base", "lora", {"rank": 2}, SIX, 331_776),
    *(("roberta-large", "tlora", {"rank": r}, PRESETS["tlora"], n)
      for r, n in ((8, 3_120), (16, 12_336), (32, 49_200))),
    ("roberta-base", "tlora", {"rank": 32}, PRESETS["tlora"], 24_600),
    ("roberta-large", "lora", {"rank": 8}, PRESETS["lora"], 786_432),
    ("deberta-v3-base", "triadaptlora", {"rank": 2}, PRESETS["triadaptlora"], 332_208),
    ("deberta-v3-base", "triadaptlora", {"rank": 8}, PRESETS["triadaptlora"], 1_332_288),
    *(("bert-base-uncased", "lora_mini", {"rank": r, "a": w, "b": w}, PRESETS["lora_mini"], n)
      for r, w, n in ((8, 32, 18_432), (16, 32, 36_864), (32, 32, 73_728), (8, 64, 36_864),
                      (16, 64, 73_728), (32, 64, 147_456))),
    *(("bert-base-uncased", "lora", {"rank": r}, PRESETS["lora_mini"], n)
      for r, n in ((8, 442_368), (16, 884_736), (32, 1_769_472))),
    *(("deberta-v3-base", "adapter", {"variant": v, "bottleneck": w}, SIX, n)
      for v, w, n in (("houlsby", 32, 1_198_848), ("houlsby", 16, 608_640),
                      ("houlsby", 8, 313_536), ("pfeiffer", 64, 1_189_632),
                      ("pfeiffer", 32, 599_424), ("pfeiffer", 16, 304_320))),
    *(("roberta-large", "adapter", {"variant": v, "bottleneck": w}, SIX, n)
      for v, w, n in (("houlsby", 64, 6_343_680), ("houlsby", 8, 835_968),
                      ("pfeiffer", 64, 3_171_840), ("pfeiffer", 16, 811_392))),
    # The layers' 101,376, and the norms' of the embeddings of tokens and of distances.
    ("deberta-v3-base", "bitfit", {}, SIX, 101_376 + 2 * 768),
    ("deberta-v3-base", "adalora", {"rank": 8}, SIX, 1_327_680),
    ("deberta-v3-base", "adalora", {"rank": 2}, SIX, 331_920),
    ("deberta-v3-base", "increlora", {"rank": 2}, SIX, 331_920),
]  # fmt: skip
"""What the papers' tables, or their formulas at their settings, say; without the head."""


@pytest.mark.parametrize(("backbone", "method", "given", "targets", "number"), PUBLISHED)
def test_counts_are_those_of_the_papers(
    backbone: str, method: str, given: dict[str, Any], targets: tuple[str, ...], number: int
) -> None:
    assert count(backbone, method, complete(method, given), targets)[0] == number


# Widths of query, key or value, of the feed-forward block, and layers of each stack.
T5 = {"t5-small": (512, 512, 2048, 6), "t5-base": (768, 768, 3072, 12)}


@pytest.mark.parametrize("backbone", T5)
@pytest.mark.parametrize(
    ("targets", "attentions", "blocks"),
    [
        (("query",), 3, 0),
        (("encoder.query",), 1, 0),
        (("decoder.query",), 1, 0),
        (("cross.query",), 1, 0),
        (("encoder.query", "decoder.query", "cross.query"), 3, 0),
        (("query", "value"), 6, 0),
        (("intermediate", "output"), 0, 4),
        (("cross.value", "decoder.output"), 1, 1),
    ],
)
def test_counts_on_an_encoder_decoder_are_those_of_its_widths(
    backbone: str, targets: tuple[str, ...], attentions: int, blocks: int
) -> None:
    width, inner, block, layers = T5[backbone]
    expected = layers * 8 * (attentions * (width + inner) + blocks * (width + block))
    made, head = count(backbone, "lora", complete("lora", {"rank": 8}), targets)
    assert made == expected
    assert head == width * width + width + 2 * width + 2
    mini = complete("lora_mini", {"rank": 8})
    made, _ = count(backbone, "lora_mini", mini, targets)
    assert made == layers * (attentions + blocks) * 8 * 64


@pytest.mark.parametrize(
    ("backbone", "head"),
    [("roberta-base", 592_130), ("bert-base-uncased", 1_538), ("FacebookAI/roberta-base", 592_130),
     ("gpt2-medium", 2_048)],
)  # fmt: skip
def test_the_head_is_counted_apart(backbone: str, head: int) -> None:
    assert count(backbone, "lora", complete("lora", {}), ("query",))[1] == head


def test_a_target_that_is_not_there_is_the_users_mistake(root: Path) -> None:
    with pytest.raises(UserError, match="target 'gate' matches no module"):
        count("small", "lora", complete("lora", {}), ("gate",), roots=(root,))
