"""A backbone's tokenizer without its weights, to see what a model would see of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import backbones
from trials.errors import UserError


@dataclass(frozen=True)
class Reading:
    """How a backbone reads texts.

    Attributes:
        backbone: as it was asked for.
        tokenizer: a fast tokenizer of `transformers`.
        context: tokens that the backbone has positions for.
    """

    backbone: str
    tokenizer: Any
    context: int


def reading(reference: str, roots: Sequence[Path] = (), base: Path | None = None) -> Reading:
    """Load the tokenizer and the configuration of a backbone.

    Args:
        reference: folder, name under a root, `tiny`, or hub id.
        roots: folders that hold backbones by name.
        base: what a relative folder is relative to.

    Raises:
        UserError: it cannot be found, or its family is not known.
    """
    import transformers

    config = backbones.configuration(reference, roots, base)
    folder = backbones.find(reference, roots, base)
    name, _, revision = reference.partition("@")
    given = {} if folder is not None else {"revision": revision or "main"}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder or name, **given)
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"backbone '{reference}': its tokenizer cannot be read ({reason})"
        ) from None
    longest = min(backbones.longest(config), int(tokenizer.model_max_length))
    return Reading(reference, tokenizer, longest)
