"""Models and tokenizers, from a folder or the hub: no remote code, and what is missing by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from trials.errors import UserError

_SENTENCEPIECE = ("spm.model", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model")
"""Vocabularies, DeBERTa's first, that become a tokenizer by a library of their own."""
_NEEDS_SENTENCEPIECE = (
    'needs the library sentencepiece: pip install "ablate-peft[sentencepiece]"; '
    "a folder with tokenizer.json needs none"
)


_REFUSALS = (ImportError, OSError, ValueError, UnpicklingError)
"""How libraries say that something is not there, or not as it should be; the last of a `.bin` file
that holds more than tensors."""


def require_tokenizer(folder: Path) -> None:
    """See before anything is loaded that a folder's tokenizer can be.

    Raises:
        UserError: it needs a library that is not installed.
    """
    if (folder / "tokenizer.json").is_file() or find_spec("sentencepiece") is not None:
        return
    for name in _SENTENCEPIECE:
        if (folder / name).is_file():
            raise UserError(f"backbone {folder}: {name} {_NEEDS_SENTENCEPIECE}")


def tokenizer_of(read: Callable[..., Any], place: Any) -> Any:
    """A tokenizer.

    Args:
        read: `from_folder` or `from_hub`.
        place: the folder, or the id.

    Raises:
        UserError: it cannot be read, or needs a library that is not installed.
    """
    import transformers

    try:
        return read(transformers.AutoTokenizer, place)
    except UserError as error:
        wanted = any(name in str(error.__cause__) for name in ("sentencepiece", "tiktoken"))
        if wanted and find_spec("sentencepiece") is None:
            raise UserError(f"backbone {place}: its tokenizer {_NEEDS_SENTENCEPIECE}") from error
        raise


def from_folder(loader: Any, folder: Path, **options: Any) -> Any:
    """Let a class of transformers read a folder.

    Raises:
        UserError: it cannot.
    """
    try:
        return loader.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except _REFUSALS as error:
        raise UserError(f"backbone {folder}: {_first_line(error)}") from error


def from_hub(loader: Any, reference: str, **options: Any) -> Any:
    """Let a class of transformers read from the hub, or from what it has kept of it.

    Args:
        loader: such as `AutoConfig`.
        reference: an id with or without `@revision`.
        options: more for the class.

    Raises:
        UserError: the hub does not give it; a folder that would do instead is described.
    """
    name, _, revision = reference.partition("@")
    with _said_by_hub(reference):
        return loader.from_pretrained(
            name, revision=revision or "main", trust_remote_code=False, **options
        )


def commit_of(reference: str) -> str:
    """The commit of the hub that an id, with or without `@revision`, stands for now.

    Raises:
        UserError: the hub does not know it.
    """
    from transformers.utils import cached_file

    name, _, revision = reference.partition("@")
    with _said_by_hub(reference):
        path = Path(str(cached_file(name, "config.json", revision=revision or "main")))
        if not re.fullmatch(r"[0-9a-f]{40}", path.parent.name):
            raise OSError(f"{path} is in no snapshot of a commit")
        return path.parent.name


@contextmanager
def _said_by_hub(reference: str) -> Iterator[None]:
    try:
        yield
    except _REFUSALS as error:
        raise UserError(
            f"backbone '{reference}' is neither a folder nor a name under a models root, and the "
            f"hub did not give it ({_first_line(error)}); a folder with config.json, "
            "model.safetensors and tokenizer.json would do instead: --models ROOT reads ROOT/NAME"
        ) from error


def _first_line(error: Exception) -> str:
    if isinstance(error, UnpicklingError):
        return "its .bin file holds more than tensors, or is damaged; save it as model.safetensors"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


class quiet:  # noqa: N801 - reads as a verb where it is used
    """Keep transformers from announcing that the head is new: it is meant to be."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.level = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging

        logging.set_verbosity(self.level)
