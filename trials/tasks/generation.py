"""Text to text: how a row becomes a prompt and its completions, and how one is written.

A prompt and a completion are templates over columns, `{name}`, or the turns of a conversation,
which the tokenizer's own template puts together. A column of the completion may hold a list of
texts: each is a reference, and each is trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal

LossOn = Literal["completion", "all"]
LOSS_ON: tuple[LossOn, ...] = ("completion", "all")


class Unfit(ValueError):
    """A row that a template cannot be filled from.

    Attributes:
        column: the column at fault.
        hidden: whether the column is missing or null, as where references are not public.
    """

    def __init__(self, column: str, message: str, *, hidden: bool = False) -> None:
        super().__init__(message)
        self.column, self.hidden = column, hidden


@dataclass(frozen=True, kw_only=True)
class Template:
    """How rows become prompts and references.

    Attributes:
        prompt: text with columns in braces; empty where `messages` is given.
        completion: likewise; what the model is to write.
        messages: column of a conversation, a list of `{role, content}` that ends with the
            assistant's turn, which is the completion; None for the two templates.
        loss_on: what is learned: the `completion` alone, or `all` tokens.
        merge: whether rows with equal prompts are one example with several references where they
            are scored.
    """

    prompt: str = ""
    completion: str = ""
    messages: str | None = None
    loss_on: LossOn = "completion"
    merge: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that rows must have."""
        if self.messages is not None:
            return (self.messages,)
        return tuple(dict.fromkeys((*fields_of(self.prompt), *fields_of(self.completion))))

    def source(self, row: Mapping[str, Any]) -> str:
        """The prompt of a row; of a conversation, its turns before the last as JSON.

        Raises:
            Unfit: a column is missing or does not hold what it must.
        """
        if self.messages is not None:
            return json.dumps(_turns(row, self.messages)[:-1], ensure_ascii=False)
        return self.prompt.format_map({name: _plain(row, name) for name in fields_of(self.prompt)})

    def references(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """What a model may write for a row, at least one text.

        Raises:
            Unfit: as for `source`.
        """
        if self.messages is not None:
            return (_turns(row, self.messages)[-1]["content"],)
        names = fields_of(self.completion)
        lists = [name for name in names if isinstance(row.get(name), list)]
        if not lists:
            return (self.completion.format_map({name: _plain(row, name) for name in names}),)
        if len(lists) > 1:
            raise Unfit(lists[1], f"holds a list, as '{lists[0]}' does; one column may")
        several = row[lists[0]]
        if not several or not all(isinstance(text, str) for text in several):
            raise Unfit(lists[0], "must be a text or a list of at least one text")
        others = {name: _plain(row, name) for name in names if name != lists[0]}
        return tuple(self.completion.format_map({**others, lists[0]: text}) for text in several)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How a completion is written, and what of it is the answer.

    Attributes:
        max_new_tokens: at most so many tokens.
        beams: hypotheses that are followed at once; 1 for none but the likeliest next token.
        length_penalty: a hypothesis scores its log probability over its length to this power.
        no_repeat_ngram: no run of so many tokens is written twice; 0 for no such rule. Those of
            the prompt do not count, which data to text is bound to repeat.
        sample: whether tokens are drawn, from a stream of the trial's seed and the example.
        temperature: logits are divided by it before a draw.
        top_k: draws are from so many of the likeliest tokens; 0 for all.
        top_p: draws are from the fewest likeliest tokens with so much probability together.
        stop: texts at which a completion ends; they are no part of it.
        extract: a regular expression that finds the answer within a completion, and within a
            reference (see `trials.tasks.text.answers.extract`); None for all of it.
    """

    max_new_tokens: int = 128
    beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    extract: str | None = None

    def until_stop(self, text: str) -> str:
        """A completion up to the first of the texts that end it, without blanks at its ends."""
        places = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return text[: min(places)].strip() if places else text.strip()


def fields_of(template: str) -> tuple[str, ...]:
    """The columns that a template names, in order.

    Raises:
        ValueError: a brace stands alone, or holds more than a column's name.
    """
    found: dict[str, None] = {}
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError("a brace stands alone; write {{ or }} for a brace of the text") from None
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name or form or conversion or any(sign in name for sign in ".[]"):
            raise ValueError(
                f"'{{{name}}}' must be a column's name in braces; write {{{{ for a brace"
            )
        found[name] = None
    return tuple(found)


def _plain(row: Mapping[str, Any], column: str) -> str:
    """A column's value as it stands in a text."""
    value = row.get(column)
    if value is None:
        what = "is null" if column in row else "is missing"
        raise Unfit(column, what, hidden=True)
    if isinstance(value, str):
        return _whole(column, value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise Unfit(column, f"must be a text or a number, but got {type(value).__name__}")


def _whole(column: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unfit(column, "holds half of a surrogate pair, which is no text") from None
    return text


def _turns(row: Mapping[str, Any], column: str) -> Sequence[Mapping[str, str]]:
    """The turns of a conversation, the assistant's last."""
    turns = row.get(column)
    if turns is None:
        raise Unfit(column, "is null" if column in row else "is missing", hidden=True)
    if not isinstance(turns, list) or len(turns) < 2:
        raise Unfit(column, "must be a list of at least two turns, {role, content} each")
    for place, turn in enumerate(turns):
        texts = [turn.get(key) for key in ("role", "content")] if isinstance(turn, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise Unfit(column, f"turn {place + 1} must hold a role and a content, both text")
        _whole(column, "".join(texts))  # type: ignore[arg-type]
    if turns[-1]["role"] != "assistant":
        raise Unfit(column, f"must end with the assistant's turn, not the {turns[-1]['role']}'s")
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]
