"""Which linear maps of a backbone are adapted, by names that are the same in every family."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trials.errors import Problem, UserError, nearest

CANONICAL_TARGETS = (
    "query",
    "key",
    "value",
    "attention_output",
    "intermediate",
    "gate",
    "output",
)
"""`output` is the second map of the feed-forward block, never `attention_output`."""

_OF_ATTENTION = CANONICAL_TARGETS[:4]
QUALIFIED_TARGETS = (
    *(f"{stack}.{name}" for stack in ("encoder", "decoder") for name in CANONICAL_TARGETS),
    *(f"cross.{name}" for name in _OF_ATTENTION),
)
"""Of an encoder-decoder: `decoder.query` is of the decoder's attention to itself, `cross.query`
of its attention to the encoder, and plain `query` is both and the encoder's too."""

_NAMES = (*CANONICAL_TARGETS, *QUALIFIED_TARGETS)
_SIX = ("query", "key", "value", "attention_output", "intermediate", "output")
PRESETS: Mapping[str, tuple[str, ...]] = {
    "lora": ("query", "value"),
    "tlora": ("query", "value"),
    "lora_mini": ("query", "key", "value"),
    "lora_mini_dense": ("attention_output", "intermediate", "output"),
    "mtlora": ("query", "value", "intermediate", "output"),
    "mtlora_deberta": _SIX,
    "mtlora_gpt2": ("query", "key", "value", "intermediate"),
    "mtlora_llama": CANONICAL_TARGETS,
    "adalora": _SIX,
    "increlora": _SIX,
    "triadaptlora": _SIX,
}
"""What the methods' authors adapted; where that depends on the family, `mtlora` is RoBERTa's.

LoRA's is the same on RoBERTa and GPT-2, AdaLoRA's and IncreLoRA's are DeBERTa's. LoRA-Mini's paper
is silent; its prototype has two: the notebook's, and every map called `dense` (the pooler aside).
"""


def canonical_targets(value: Any) -> tuple[str, ...] | dict[str, list[str]]:
    """Targets as they enter a spec.

    Args:
        value: canonical or qualified names, the name of a preset, or
            `{"modules": [regular expressions]}`.

    Returns:
        Names in canonical order, or `{"modules": [...]}` sorted: order has no meaning, so that
        equal choices give equal trials.

    Raises:
        UserError: unknown names, duplicates and invalid expressions, all at once; the keys of its
            problems are relative to `value`.
    """
    if isinstance(value, str):
        if value not in PRESETS:
            raise UserError(f"no preset of targets called '{value}'{nearest(value, PRESETS)}")
        return PRESETS[value]
    if isinstance(value, Mapping):
        return {"modules": _expressions(value)}
    if not isinstance(value, Sequence):
        raise UserError(
            "must be a list of names, a preset or {modules: [regular expressions]}, "
            f"but got {value!r}"
        )
    return _names(value)


def _names(value: Sequence[Any]) -> tuple[str, ...]:
    if not value:
        raise UserError("names no target")
    problems = []
    for index, name in enumerate(value):
        if name not in _NAMES:
            hint = nearest(name, _NAMES) or nearest(name, CANONICAL_TARGETS)
            message = f"no target called {name!r}{hint}"
            problems.append(Problem(message, key=f"[{index}]"))
        elif name in value[:index]:
            problems.append(Problem(f"{name!r} is named twice", key=f"[{index}]"))
        elif name in QUALIFIED_TARGETS and name.partition(".")[2] in value:
            whole = name.partition(".")[2]
            problems.append(Problem(f"{name!r} is part of {whole!r}", key=f"[{index}]"))
    if problems:
        raise UserError(*problems)
    return tuple(name for name in _NAMES if name in value)


def _expressions(value: Mapping[str, Any]) -> list[str]:
    problems = [
        Problem(f"unknown key{nearest(key, ['modules'])}", key=str(key))
        for key in value
        if key != "modules"
    ]
    texts = value.get("modules")
    if not isinstance(texts, list | tuple) or not texts:
        problems.append(Problem("must be a list of regular expressions", key="modules"))
        raise UserError(*problems)
    for index, text in enumerate(texts):
        wrong = _wrong_expression(text)
        if wrong is None and text in texts[:index]:
            wrong = f"{text!r} is named twice"
        if wrong is not None:
            problems.append(Problem(wrong, key=f"modules[{index}]"))
    if problems:
        raise UserError(*problems)
    return sorted(texts)


def _wrong_expression(text: Any) -> str | None:
    if not isinstance(text, str) or not text:
        return f"must be a regular expression, but got {text!r}"
    try:
        re.compile(text)
    except re.error as error:
        return f"{text!r} is not a regular expression: {error}"
    return None
