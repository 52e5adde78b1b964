"""A backbone's tokenizer without its weights, to see what a model would see of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import backbones
from trials.reading import from_folder, from_hub, tokenizer_of


@dataclass(frozen=True)
class Reading:
    """How a backbone reads texts.

    Attributes:
        backbone: as it was asked for.
        tokenizer: a fast tokenizer of `transformers`.
        context: tokens that the backbone has positions for.
        start_id: the token that its decoder begins with; None where it has none of its own.
    """

    backbone: str
    tokenizer: Any
    context: int
    start_id: int | None = None


def reading(reference: str, roots: Sequence[Path] = (), base: Path | None = None) -> Reading:
    """Load the tokenizer and the configuration of a backbone.

    Args:
        reference: folder, name under a root, `tiny`, or hub id.
        roots: folders that hold backbones by name.
        base: what a relative folder is relative to.

    Raises:
        UserError: it cannot be found, or its family is not known.
    """
    config = backbones.configuration(reference, roots, base)
    folder = backbones.find(reference, roots, base)
    if folder is None:
        tokenizer = tokenizer_of(from_hub, reference)
    else:
        tokenizer = tokenizer_of(from_folder, folder)
    longest = min(backbones.longest(config), int(tokenizer.model_max_length))
    start_id = None
    if config.is_encoder_decoder:
        said = getattr(config, "decoder_start_token_id", None)
        start_id = int(said if said is not None else tokenizer.pad_token_id or 0)
    return Reading(reference, tokenizer, longest, start_id)
