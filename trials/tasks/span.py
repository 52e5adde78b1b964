"""Answers that stand in a text: the best span over the windows of each question, or no answer.

Of every window the head says how well each token begins and ends the answer. The answer is the
span of tokens with the largest sum of both, over all windows, of at most `max_answer` tokens; the
search is exact. "No answer" has the sum at the place that says so, the least over the windows,
and is said where it is above the answer's by more than a threshold. Scores follow the official
scripts: that of v2.0 where a question may have no answer, else that of v1.1.

Source: Devlin et al. 2019, arXiv:1810.04805, sections 4.2 and 4.3.

Shapes: N tokens of all windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from trials.tasks import metrics
from trials.tasks.base import Rows, Span, Task
from trials.tasks.gold import Answers
from trials.tasks.text.squad import Version, best_threshold, exact_by_question, f1_by_question
from trials.tasks.windows import OUTSIDE, Windows, perfect, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Found:
    """The best answer to each question.

    Attributes:
        texts: (questions,) the answers; `""` where a text has no token.
        starts: (questions,) the character that each starts at.
        answer: (questions,) its score; NaN where an output was not finite.
        silence: (questions,) the score of "no answer".
        threshold: by how much that must be above the answer's to be said; None for never.
    """

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    answer: Numbers
    silence: Numbers
    threshold: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether every output was."""
        import numpy as np

        return not bool(np.isnan(self.answer).any())

    @property
    def lead(self) -> Numbers:
        """(questions,) how far "no answer" is above the answer."""
        return self.silence - self.answer

    @property
    def said(self) -> list[str]:
        """(questions,) what is answered; `""` for no answer."""
        if self.threshold is None:
            return list(self.texts)
        silent = self.lead > self.threshold
        return ["" if none else text for none, text in zip(silent, self.texts, strict=True)]


class SpanTask(Task):
    """A task whose answers stand in a text."""

    @property
    def span(self) -> Span:
        """How answers are looked for."""
        return self.definition.span or Span()

    @property
    def version(self) -> Version:
        """Which of SQuAD's official scripts scores it."""
        return "1.1" if self.span.no_answer is None else "2.0"

    def encode(self, tokenizer: Any, rows: Rows, max_length: int, **unused: Any) -> Windows:
        """Turn questions and texts into windows.

        Args:
            tokenizer: a fast tokenizer of `transformers`.
            rows: the examples.
            max_length: tokens of a window.
            unused: what matters to texts that are written.

        Raises:
            UserError: the windows have no room for text.
        """
        return windows(tokenizer, rows, max_length, self.span.stride)

    def read(self, outputs: Numbers, data: Any) -> Found:
        """The best answer to each question.

        Args:
            outputs: (N, 2) how well each token begins and ends the answer.
            data: the windows.
        """
        return best_spans(outputs, data, self.span.max_answer)

    def decide(self, said: Found, chosen: Found, gold: Sequence[Answers]) -> Found:
        """Set the threshold: as the task says, or the best for the split that chooses."""
        threshold = self.span.no_answer
        if threshold == "search":
            threshold = self._best_threshold(chosen, gold)
        return replace(said, threshold=threshold)

    def scores(self, outputs: Found, labels: Sequence[Answers]) -> dict[str, float]:
        """Every metric of the task.

        Args:
            outputs: from `decide`.
            labels: gold answers of each question.

        Raises:
            ValueError: no questions, or unequal numbers.
        """
        if not len(labels) or len(outputs.texts) != len(labels):
            raise ValueError(f"{len(outputs.texts)} answers do not fit {len(labels)} questions")
        if not outputs.is_finite:
            return dict.fromkeys(self.definition.metrics, float("nan"))
        known = metrics.of_answers(self.version)
        said, gold = outputs.said, self.names(labels)
        found = {name: known.get(name) or metrics.find(name) for name in self.definition.metrics}
        return {name: metric.function(said, gold) for name, metric in found.items()}

    def records(self, said: Found, data: Any) -> Iterator[dict[str, Any]]:
        """What is kept of each question.

        Its id, gold answers, the prediction (`""` for no answer), exact match and F1, the scores of
        the best answer and of "no answer", and the character that the best answer starts at.
        """
        import numpy as np

        labels, texts = self.names(data.gold), said.said
        exact = exact_by_question(texts, labels, version=self.version)
        f1 = f1_by_question(texts, labels, version=self.version)
        outputs = np.stack([said.answer, said.silence], axis=1).tolist()
        for index, label in enumerate(labels):
            yield {
                "id": data.ids[index],
                "label": label,
                "prediction": texts[index],
                "scores": {"exact_match": exact[index], "f1": f1[index]},
                "outputs": [x if np.isfinite(x) else None for x in outputs[index]],
                "start": said.starts[index],
            }

    def predictions(self, outputs: Found) -> list[str]:
        """What is answered to each question; `""` for no answer.

        Args:
            outputs: from `decide`.
        """
        return outputs.said

    def names(self, labels: Sequence[Any] | Numbers) -> list[Any]:
        """The texts of gold answers, each once, for each question."""
        return [list(dict.fromkeys(text for _, text in answers)) for answers in labels]

    def target(self, data: Any, index: int, tokenizer: Any) -> str:
        """The answer that a window points at, as its tokens say it."""
        first, last = data.labels[index]
        if first == data.silent[index]:
            return "no answer"
        return str(tokenizer.decode(data.input_ids[index][first : last + 1]))

    def reach(self, data: Windows) -> float:
        """Exact match of a head that points at every label: what no training can pass.

        It stays below 1 where answers are cut, are longer than `max_answer` tokens, or do not end
        where tokens do.
        """
        import numpy as np

        found = self.read(perfect(data), data)
        found = replace(found, threshold=None if self.span.no_answer is None else 0.0)
        said = exact_by_question(found.said, self.names(data.gold), version=self.version)
        return float(np.mean(said))

    def _best_threshold(self, chosen: Found, gold: Sequence[Answers]) -> float:
        """The threshold with the best primary metric, of F1 where that is of another kind.

        Infinitely low where nothing beats answering no question at all.
        """
        import numpy as np

        by_question = exact_by_question if "exact" in self.definition.primary else f1_by_question
        scores = by_question(chosen.texts, self.names(gold), version=self.version)
        answerable = [bool(answers) for answers in gold]
        silent = [not text for text in chosen.texts]
        best = best_threshold(scores, chosen.lead.tolist(), answerable, silent)
        share = 1 - np.mean(answerable)
        return float(best.threshold) if best.value > share else -np.inf

    def strata(self, rows: Rows) -> list[int]:
        """Whether each question has an answer."""
        return [int(bool(answers)) for answers in rows.labels]


def best_spans(outputs: Numbers, data: Windows, max_answer: int) -> Found:
    """The best span of each example, over all of its windows; of equals the first.

    Args:
        outputs: (N, 2) how well each token begins and ends the answer.
        data: the windows.
        max_answer: tokens of the longest span.
    """
    import numpy as np

    outputs = np.asarray(outputs, dtype=np.float64)
    window = np.repeat(np.arange(len(data)), np.diff(data.starts))
    is_text = data.characters[:, 0] != OUTSIDE
    begins, ends = (np.where(is_text, outputs[:, i], -np.inf) for i in (0, 1))
    best, last = ends.copy(), np.arange(len(ends))
    for more in range(1, min(max_answer, len(ends))):
        better = (ends[more:] > best[:-more]) & (window[more:] == window[:-more])
        best[:-more][better] = ends[more:][better]
        last[:-more][better] = np.flatnonzero(better) + more
    total = begins + best
    bounds = [*data.starts[data.first_windows].tolist(), len(total)]
    picked = [low + int(total[low:high].argmax()) for low, high in pairwise(bounds)]
    silent = outputs[data.starts[:-1] + data.silent].sum(axis=1)
    silence = np.minimum.reduceat(silent, data.first_windows)
    places = [(data.characters[i, 0], data.characters[last[i], 1]) for i in picked]
    are_there = [bool(is_text[i]) for i in picked]
    answer = total[picked]
    if not np.isfinite(outputs).all():
        answer = np.full_like(answer, np.nan)
    return Found(
        texts=tuple(
            text[begin:end] if there else ""
            for text, (begin, end), there in zip(data.texts, places, are_there, strict=True)
        ),
        starts=tuple(int(begin) if there else OUTSIDE
                     for (begin, _), there in zip(places, are_there, strict=True)),
        answer=answer,
        silence=silence,
    )  # fmt: skip
