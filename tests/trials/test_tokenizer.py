"""A tokenizer comes without weights, and with the context of its backbone."""

import shutil
from pathlib import Path

import pytest

from trials import backbones
from trials.errors import UserError
from trials.tokenizer import reading


def test_it_reads_as_the_loaded_backbone_does() -> None:
    seen, loaded = reading("tiny"), backbones.load("tiny")
    text = "Two cats were chased by the dog."
    assert seen.tokenizer(text)["input_ids"] == loaded.tokenizer(text)["input_ids"]
    assert (seen.backbone, seen.context) == ("tiny", loaded.max_tokens)


def test_weights_are_not_needed(tmp_path: Path) -> None:
    folder = backbones.find("tiny")
    assert folder is not None
    shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    assert reading("bare", [tmp_path]).tokenizer("a")["input_ids"]
    assert reading("./bare", base=tmp_path).context == reading("tiny").context
    (tmp_path / "bare" / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"backbone .*bare: "):
        reading("bare", [tmp_path])


def test_a_backbone_that_is_nowhere_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="no config.json in"):
        reading("./nowhere")
