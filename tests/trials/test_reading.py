"""Where models and tokenizers come from, and what of them is never run."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from trials import backbones, reading
from trials.errors import UserError
from trials.families import FAMILIES, Head
from trials.small import model_of
from trials.training.member import kept_head

TINY = backbones.find("tiny")
assert TINY is not None
NEEDS = 'needs the library sentencepiece: pip install "ablate-peft[sentencepiece]"'


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "models" / "mine"))


class Payload:
    """Unpickled, it would write a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.file}",)


def as_bin(folder: Path, extra: dict[str, Any] | None = None) -> None:
    from safetensors.torch import load_file

    weights: dict[str, Any] = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, **(extra or {})}, folder / "pytorch_model.bin")


def test_weights_in_a_bin_file_are_read_as_tensors(copied: Path) -> None:
    as_bin(copied)
    made = backbones.load(str(copied)).model.state_dict()
    known = backbones.load("tiny").model.state_dict()
    assert all(torch.equal(made[k], known[k]) for k in known if not k.startswith("classifier"))


def test_what_a_bin_file_would_run_is_never_run(copied: Path, tmp_path: Path) -> None:
    file = tmp_path / "it_ran"
    as_bin(copied, {"bert.more": Payload(file)})
    with pytest.raises(UserError, match=f"backbone {copied}: "):
        backbones.load(str(copied))
    assert not file.exists()
    pickle.loads(pickle.dumps(Payload(file)))
    assert file.exists(), "or this test proves nothing"


def test_code_that_comes_with_a_model_is_never_run(copied: Path, tmp_path: Path) -> None:
    file = tmp_path / "it_ran"
    config = json.loads((copied / "config.json").read_text())
    names = {"AutoConfig": "mine.Config", "AutoModelForSequenceClassification": "mine.Model"}
    config |= {"auto_map": names, "model_type": "of_its_own"}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "mine.py").write_text(f"open({str(file)!r}, 'w')\n")
    with pytest.raises(UserError, match="of type 'of_its_own' are not known|mine"):
        backbones.load(str(copied))
    assert not file.exists()


def test_whether_a_checkpoint_has_a_head(copied: Path) -> None:
    """It is told by the names of the weights, and when they are loaded."""
    from safetensors.torch import load_file, save_file

    family = backbones.family_in(copied)
    assert backbones.lacks_head(copied, family)
    assert not backbones.load("tiny").has_head
    weights = load_file(copied / "model.safetensors")
    width = backbones.load("tiny").model.config.hidden_size
    weights |= {"classifier.weight": torch.ones(2, width), "classifier.bias": torch.zeros(2)}
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert not backbones.lacks_head(copied, family)
    made = backbones.load(str(copied))
    assert made.has_head
    assert bool((made.model.classifier.weight == 1).all())
    as_bin(copied)
    assert not backbones.lacks_head(copied, family), "names in a bin file are not read ahead"


@pytest.mark.parametrize("has_head", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_is_told_in_every_family(family: str, has_head: bool, copied: Path) -> None:
    model = model_of(family, vocab_size=backbones.load("tiny").model.config.vocab_size)
    (model if has_head else model.base_model).save_pretrained(copied)
    assert backbones.lacks_head(copied, backbones.family_in(copied)) != has_head
    made = backbones.load(str(copied))
    assert made.has_head == has_head
    if has_head:
        for name, tensor in kept_head(made, Head(3)).items():
            assert torch.equal(tensor, model.state_dict()[name.removeprefix("head.")])
        return
    with pytest.raises(UserError, match="comes without one"):
        kept_head(made, Head(3))


@pytest.fixture
def spm(copied: Path) -> Path:
    """A folder whose tokenizer is a SentencePiece vocabulary alone, as DeBERTa's is published."""
    (copied / "tokenizer.json").unlink()
    (copied / "spm.model").write_bytes(b"a vocabulary")
    return copied


def test_a_library_that_a_tokenizer_needs_is_named_at_once(
    spm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        backbones.resolve(str(spm))
    assert str(error.value).startswith(f"backbone {spm}: spm.model {NEEDS}")
    monkeypatch.setattr(reading, "find_spec", lambda name: object())
    assert backbones.resolve(str(spm))


def test_a_library_that_a_tokenizer_of_the_hub_needs_is_named_when_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = ValueError("`tiktoken` is required to read a `tiktoken` file.")

    def read(loader: Any, place: str) -> None:
        raise UserError("its words") from said

    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"backbone some/one: its tokenizer needs the library sent"):
        reading.tokenizer_of(read, "some/one")
    monkeypatch.setattr(reading, "find_spec", lambda name: object())
    with pytest.raises(UserError, match="its words"):
        reading.tokenizer_of(read, "some/one")


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="sentencepiece is installed")
def test_without_the_library_transformers_says_what_is_translated(tmp_path: Path) -> None:
    folder = tmp_path / "deberta"
    folder.mkdir()
    here = Path(backbones.__file__).parent / "configurations" / "deberta-v3-base.json"
    shutil.copy(here, folder / "config.json")
    (folder / "spm.model").write_bytes(b"a vocabulary")
    (folder / "tokenizer_config.json").write_text('{"vocab_type": "spm"}')
    with pytest.raises(UserError, match="its tokenizer needs the library sentencepiece"):
        reading.tokenizer_of(reading.from_folder, folder)


_LOAD = """
import sys
from trials import backbones
from trials.errors import UserError
from trials.families import FAMILIES, Head
from trials.small import model_of
from trials.training.member import kept_head
commits = sys.argv[1:]
assert backbones.resolve("someone/mine") == commits[0]
assert backbones.resolve("someone/mine@v1") == commits[1]
made = backbones.load("someone/mine")
assert made.digest == commits[0], made.digest
assert made is backbones.load("someone/mine", commit=commits[0])
again = backbones.load("someone/mine", (), None, "cpu", "same", commits[1])
assert again.digest == commits[1]
weights = [float(b.model.bert.embeddings.word_embeddings.weight[5, 0]) for b in (made, again)]
assert weights[0] != weights[1]
try:
    backbones.load("someone/mine", commit="c" * 40)
except UserError as error:
    assert "--models ROOT reads ROOT/NAME" in str(error)
else:
    raise AssertionError
"""


def test_a_revision_becomes_a_commit_before_anything_is_read(tmp_path: Path) -> None:
    """`main` may move on while trials run: they go on with what they were planned for."""
    from safetensors.torch import load_file, save_file

    commits = ["a" * 40, "b" * 40]
    root = tmp_path / "hub" / "models--someone--mine"
    (root / "refs").mkdir(parents=True)
    for place, commit in enumerate(commits):
        folder = Path(shutil.copytree(TINY, root / "snapshots" / commit))
        weights = load_file(folder / "model.safetensors")
        name = next(n for n in weights if n.endswith("word_embeddings.weight"))
        weights[name] = weights[name] + place
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (root / "refs" / "main").write_text(commits[0])
    (root / "refs" / "v1").write_text(commits[1])
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", _LOAD, *commits], env=environment, check=True)
