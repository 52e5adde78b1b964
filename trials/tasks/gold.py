"""Gold answers: pieces of a text, each with the character that it starts at."""

from collections.abc import Mapping
from typing import Any

from trials.tasks.lines import brief

Answers = tuple[tuple[int, str], ...]
"""Start and text of each gold answer; none where the question has no answer."""

_EXPECTED = "must hold the lists text and answer_start, of equal length"


def read_answers(value: Any, context: Any, *, may_lack: bool) -> tuple[Answers, str | None]:
    """Read the gold answers of a row, as SQuAD has them.

    Args:
        value: `{"text": [...], "answer_start": [...]}`, or a list of objects with one of each.
        context: the text that they stand in; anything else is a mistake that is told elsewhere.
        may_lack: whether a question may have no answer.

    Returns:
        The answers, and what is wrong with them; None where nothing is.
    """
    pairs = _pairs(value)
    if pairs is None:
        return (), f"{_EXPECTED}, but got {brief(value)}"
    if not pairs and not may_lack:
        return (), "holds no answer; span.no_answer says when there may be none"
    if isinstance(context, str):
        wrong = (_wrong(start, text, context) for start, text in pairs)
        return tuple(pairs), next((message for message in wrong if message), None)
    return (), None


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    """Starts and texts as they stand there; None where the form is another."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            return None
        return list(zip(starts, texts, strict=True))
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return None
    return [(item.get("answer_start"), item.get("text")) for item in value]


def _wrong(start: Any, text: Any, context: str) -> str | None:
    """What is wrong with one answer; None where it stands where it says."""
    if not isinstance(text, str) or not text.strip():
        return f"an answer must be text and not empty, but got {brief(text)}"
    if isinstance(start, bool) or not isinstance(start, int):
        return f"answer_start must be a whole number, but got {brief(start)}"
    if start >= 0 and context.startswith(text, start):
        return None
    found = context.find(text)
    place = f"it stands at {found}" if found >= 0 else "it stands nowhere in it"
    return f"{brief(text)} does not stand at character {start} of the text; {place}"
