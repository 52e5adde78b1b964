"""Text to text at work: prompts as tokens with room for what follows, texts read off and scored.

A prompt and its completion become tokens each by itself, so that a model that is trained reads the
very tokens that it is later asked with. What is too long loses the start of its prompt (what an
encoder reads, its end); a completion is cut only where it does not fit beside a prompt of one
token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trials.errors import UserError
from trials.tasks import metrics
from trials.tasks.base import ENCODED_AT_ONCE, Encoded, Outputs, Task
from trials.tasks.generation import Generation, Template
from trials.tasks.rows import Rows
from trials.tasks.text.answers import extract

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ids = list[int]


@dataclass(frozen=True, eq=False)
class TextTask(Task):
    """A task whose outputs are texts; its labels are lists of references."""

    @cached_property
    def template(self) -> Template:
        """How rows become prompts and references."""
        return self.definition.template or Template()

    @cached_property
    def generation(self) -> Generation:
        """How completions are written."""
        return self.definition.generation or Generation()

    def encode(
        self,
        tokenizer: Any,
        rows: Rows,
        max_length: int,
        *,
        learned: bool = False,
        context: int | None = None,
        start_id: int | None = None,
    ) -> Encoded:
        """Turn prompts into token ids; those that are learned go on with a reference each.

        Args and errors are those of `Task.encode`. An example with several references is learned
        once with each. Where they are scored, `max_length` and the context less
        `max_new_tokens` limit the prompt.
        """
        speller = Speller(tokenizer, self.template, start_id)
        if learned:
            return self._learned(speller, rows, max_length)
        if self.template.merge:
            rows = merged(rows)
        room = max_length
        if context is not None and start_id is None:
            room = min(room, context - self.generation.max_new_tokens)
        if room < 1:
            raise UserError(
                f"task '{self.name}': generation.max_new_tokens of "
                f"{self.generation.max_new_tokens} leaves no room for a prompt in the backbone's "
                f"context of {context} tokens"
            )
        whole = speller.prompts(rows.texts[0])
        self._require_tokens(rows.ids, whole)
        cut = [speller.cut_prompt(ids, room) for ids in whole]
        return Encoded(
            cut,
            None,
            list(rows.labels),
            list(rows.ids),
            _num_shorter(cut, whole),
            start_id=start_id,
            generation=self.generation,
        )

    def _learned(self, speller: Speller, rows: Rows, max_length: int) -> Encoded:
        pairs = [(row, text) for row, texts in enumerate(rows.labels) for text in texts]
        sources = speller.prompts(rows.texts[0])
        self._require_tokens(rows.ids, sources)
        whole = speller.completions([(rows.texts[0][row], text) for row, text in pairs])
        prompts = [sources[row] for row, _ in pairs]
        made = [speller.fit(*parts, max_length) for parts in zip(prompts, whole, strict=True)]
        inputs, targets, lost, cut = (list(part) for part in zip(*made, strict=True))
        return Encoded(
            inputs,
            None,
            [text for _, text in pairs],
            [rows.ids[row] for row, _ in pairs],
            sum(lost),
            targets=targets,
            start_id=speller.start_id,
            num_cut=sum(cut),
        )

    def _require_tokens(self, names: Sequence[str], prompts: Sequence[Ids]) -> None:
        silent = [name for name, ids in zip(names, prompts, strict=True) if not ids]
        if silent:
            raise UserError(
                f"task '{self.name}': the prompts of {len(silent)} rows give no token, the first "
                f"{silent[0]}; a model needs one to begin from"
            )

    def predictions(self, outputs: Outputs) -> list[str]:
        """The answer within each text: up to what ends it, and what the pattern finds in it."""
        texts = [self.generation.until_stop(text) for text in outputs]
        pattern = self.generation.extract
        return texts if pattern is None else extract(texts, pattern)

    def names(self, labels: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """The answers within references; all of a reference in which the pattern finds none."""
        stripped = [[text.strip() for text in texts] for texts in labels]
        pattern = self.generation.extract
        if pattern is None:
            return stripped
        return [
            [found or text for found, text in zip(extract(texts, pattern), texts, strict=True)]
            for texts in stripped
        ]

    def scores(self, outputs: Outputs, labels: Sequence[Any]) -> dict[str, float]:
        """Every metric of the task, in its own unit.

        Args:
            outputs: (examples,) texts as they were written.
            labels: (examples,) their references.

        Raises:
            ValueError: no examples, or numbers that do not fit.
        """
        said, truth = self.predictions(outputs), self.names(labels)
        return {n: self._metric(n).function(said, truth) for n in self.definition.metrics}

    def signatures(self, outputs: Outputs, labels: Sequence[Any]) -> dict[str, str]:
        """Metric -> how a library made its score, of those that say so."""
        said, truth = self.predictions(outputs), self.names(labels)
        found = ((name, self._metric(name).signature) for name in self.definition.metrics)
        return {name: sign(said, truth) for name, sign in found if sign is not None}

    def _metric(self, name: str) -> metrics.Metric:
        return metrics.find(name, self.definition.kind)

    def records(self, said: Outputs, data: Encoded) -> Iterator[dict[str, Any]]:
        """What is kept of each example: id, references, text, and its own primary score."""
        texts, truth = self.predictions(said), self.names(data.gold)
        by_text = self._metric(self.definition.primary).by_text
        scores = [None] * len(texts) if by_text is None else by_text(texts, truth)
        for name, label, text, score in zip(data.ids, truth, texts, scores, strict=True):
            finite = score if score is not None and math.isfinite(score) else None
            yield {"id": name, "label": label, "prediction": text, "score": finite}

    def strata(self, rows: Rows) -> list[int]:
        """One for all: texts have no label to be balanced by."""
        return [0] * len(rows)


@dataclass(frozen=True)
class Speller:
    """Texts as a backbone's tokens.

    Attributes:
        tokenizer: a fast tokenizer of `transformers`.
        template: how rows become texts.
        start_id: the token that the backbone's decoder begins with; None where it has none.
    """

    tokenizer: Any
    template: Template
    start_id: int | None

    def prompts(self, sources: Sequence[str]) -> list[Ids]:
        """Tokens of prompts, whole, with what the tokenizer puts before a text."""
        if self.template.messages is not None:
            return self._ids([self._chat(json.loads(s), to_come=True) for s in sources])
        made = self._ids(sources, special=True)
        if self.start_id is None:  # A text that is gone on with has not ended yet.
            ends = {self._end} - {None}
            made = [ids[:-1] if ids and ids[-1] in ends else ids for ids in made]
        return made

    def completions(self, pairs: Sequence[tuple[str, str]]) -> list[Ids]:
        """Tokens of completions, whole, up to the end of the text, which is learned too.

        Args:
            pairs: (prompt as in `Rows`, reference).
        """
        if self.template.messages is None:
            texts = [reference for _, reference in pairs]
        else:
            texts = [self._turn(source, reference) for source, reference in pairs]
        return [self._ended(ids) for ids in self._ids(texts)]

    def cut_prompt(self, ids: Ids, room: int) -> Ids:
        """A prompt within its room; what begins or ends every text is kept."""
        if len(ids) <= room:
            return ids
        if self.start_id is not None:
            return [*ids[: room - 1], ids[-1]] if ids[-1] == self._end else ids[:room]
        begins = room > 1 and ids[0] == getattr(self.tokenizer, "bos_token_id", None)
        return [ids[0], *ids[1 - room :]] if begins else ids[-room:]

    def fit(self, prompt: Ids, completion: Ids, limit: int) -> tuple[Ids, Ids, bool, bool]:
        """What is read, what is learned of it, whether anything was lost, and of the completion.

        Args:
            prompt, completion: whole.
            limit: tokens of both together, or of each where a decoder writes.
        """
        if self.start_id is not None:
            if self.template.loss_on == "all":
                raise UserError("loss_on: all needs a backbone that reads and writes one text")
            read, learned = self.cut_prompt(prompt, limit), completion[:limit]
        else:
            learned = completion[: max(1, limit - 1)]
            prompt_left = self.cut_prompt(prompt, max(1, limit - len(learned)))
            read = prompt_left + learned
            if self.template.loss_on == "all":
                learned = read[1:]
        whole = prompt if self.start_id is not None else prompt + completion
        is_cut = len(completion) > (limit if self.start_id is not None else max(1, limit - 1))
        return read, learned, is_cut or len(read) < len(whole), is_cut

    @property
    def _end(self) -> int | None:
        found: int | None = getattr(self.tokenizer, "eos_token_id", None)
        return found

    def _ended(self, ids: Ids) -> Ids:
        if self._end is None:
            return ids
        if self.template.messages is not None and self._end in ids:
            return ids[: ids.index(self._end) + 1]  # Templates go on with a line's end.
        return [*ids, self._end]

    def _ids(self, texts: Sequence[str], *, special: bool = False) -> list[Ids]:
        found: list[Ids] = []
        for start in range(0, len(texts), ENCODED_AT_ONCE):
            found += self.tokenizer(
                list(texts[start : start + ENCODED_AT_ONCE]),
                add_special_tokens=special,
                return_attention_mask=False,
                verbose=False,
            )["input_ids"]
        return found

    def _chat(self, turns: Sequence[dict[str, str]], *, to_come: bool) -> str:
        if not getattr(self.tokenizer, "chat_template", None):
            raise UserError(
                "messages: the backbone's tokenizer has no template for conversations; write "
                "prompt and completion, or name a backbone that was trained on conversations"
            )
        return str(
            self.tokenizer.apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=to_come
            )
        )

    def _turn(self, source: str, reference: str) -> str:
        """What a template makes of the assistant's last turn, its end included."""
        turns = json.loads(source)
        before = self._chat(turns, to_come=True)
        whole = self._chat([*turns, {"role": "assistant", "content": reference}], to_come=False)
        if not whole.startswith(before):
            raise UserError(
                "messages: the tokenizer's template changes earlier turns when the assistant's "
                "follows, so what is to be learned cannot be told; write prompt and completion"
            )
        return whole.removeprefix(before)


def merged(rows: Rows) -> Rows:
    """One row for each prompt, with the references of all rows that have it."""
    places: dict[str, list[int]] = {}
    for row, prompt in enumerate(rows.texts[0]):
        places.setdefault(prompt, []).append(row)
    one = rows.take([same[0] for same in places.values()])
    if not rows.labelled:
        return one
    references: list[Sequence[str]] = [texts for texts in rows.labels]
    labels = tuple(tuple(t for row in same for t in references[row]) for same in places.values())
    return Rows(one.ids, one.texts, labels, one.groups)


def _num_shorter(cut: Sequence[Ids], whole: Sequence[Ids]) -> int:
    return sum(len(a) < len(b) for a, b in zip(cut, whole, strict=True))
