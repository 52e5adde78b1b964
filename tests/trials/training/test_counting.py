from pathlib import Path

import pytest
from cases import small_backbone, spec_of
from transformers import BertConfig

from trials.catalogue import complete
from trials.contract import examples
from trials.errors import UserError
from trials.methods.lora import LoRA
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
    made = count("small", method, complete(method, given), TARGETS, num_labels=3, roots=(root,))
    assert made == expected


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


@pytest.mark.parametrize(
    ("backbone", "head"),
    [("roberta-base", 592_130), ("bert-base-uncased", 1_538), ("FacebookAI/roberta-base", 592_130)],
)
def test_the_head_is_counted_apart(backbone: str, head: int) -> None:
    assert count(backbone, "lora", complete("lora", {}), ("query",))[1] == head


def test_a_target_that_is_not_there_is_the_users_mistake(root: Path) -> None:
    with pytest.raises(UserError, match="target 'gate' matches no module"):
        count("small", "lora", complete("lora", {}), ("gate",), roots=(root,))
