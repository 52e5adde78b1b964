"""SQuAD's exact match and F1, with and without unanswerable questions.

v1.1: Rajpurkar et al. 2016, arXiv:1606.05250. v2.0: Rajpurkar et al. 2018, arXiv:1806.03822. As the
official scripts have it (`evaluate-v1.1.py`, `evaluate-v2.0.py`, https://rajpurkar.github.io/SQuAD-explorer),
except that scores are shares in [0, 1], where the scripts print them times 100.

A text is lower-cased, loses ASCII punctuation and the articles a, an, the, and is split at blanks;
so a text in a script without blanks is one word. An empty prediction says that there is no answer.
The versions differ where nothing is left of a text: in 2.0 two such texts have F1 1, and gold
answers of which nothing is left are put aside; in 1.1 their F1 is 0.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from trials.tasks.text.answers import bag_f1, best_of
from trials.tasks.text.pairs import References, Texts, check

Version = Literal["1.1", "2.0"]

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Scores:
    """Means over some questions.

    Attributes:
        exact, f1: in [0, 1]; NaN where there are no questions.
        num_questions: how many.
    """

    exact: float
    f1: float
    num_questions: int


@dataclass(frozen=True)
class Best:
    """The best mean that a threshold on the probability of no answer gives.

    Attributes:
        value: in [0, 1].
        threshold: the highest probability at which the prediction still stands.
    """

    value: float
    threshold: float


@dataclass(frozen=True)
class Squad:
    """What the official script of v2.0 prints.

    Attributes:
        all: over all questions.
        has_answer: over those with an answer.
        no_answer: over those without.
        best_exact, best_f1: at the threshold best for each; None without probabilities.
    """

    all: Scores
    has_answer: Scores
    no_answer: Scores
    best_exact: Best | None
    best_f1: Best | None


def squad_exact(predictions: Texts, references: References, *, version: Version = "2.0") -> float:
    """Share of answers that equal a gold one once normalised, in [0, 1].

    Args:
        predictions: (questions,); `""` for no answer.
        references: (questions, gold answers); none for an unanswerable question.
        version: of the data set.

    Raises:
        ValueError: lengths differ, or a question of v1.1 has no gold answer.
    """
    return fmean(exact_by_question(predictions, references, version=version))


def squad_f1(predictions: Texts, references: References, *, version: Version = "2.0") -> float:
    """Mean F1 of words with the gold answer that suits best, in [0, 1].

    Args and errors are those of `squad_exact`.
    """
    return fmean(f1_by_question(predictions, references, version=version))


def exact_by_question(
    predictions: Texts, references: References, *, version: Version = "2.0"
) -> list[float]:
    """As `squad_exact`, of each question, 1 or 0."""

    def exact(said: str, gold: str) -> float:
        return float(normalise(said) == normalise(gold))

    return best_of(exact, predictions, _gold(predictions, references, version))


def f1_by_question(
    predictions: Texts, references: References, *, version: Version = "2.0"
) -> list[float]:
    """As `squad_f1`, of each question."""
    of_nothing = 1.0 if version == "2.0" else 0.0

    def f1(said: str, gold: str) -> float:
        return bag_f1(normalise(said).split(), normalise(gold).split(), of_nothing=of_nothing)

    return best_of(f1, predictions, _gold(predictions, references, version))


def squad(
    predictions: Texts,
    references: References,
    *,
    no_answer: Sequence[float] | None = None,
    threshold: float = 1.0,
) -> Squad:
    """All that the official script of v2.0 says.

    Args:
        predictions: (questions,); `""` for no answer.
        references: (questions, gold answers); none for an unanswerable question.
        no_answer: (questions,) probability that there is no answer, or what grows with it.
        threshold: a question with a higher one counts as answered by "no answer".

    Raises:
        ValueError: lengths differ, or a probability is NaN.
    """
    exact = exact_by_question(predictions, references)
    f1 = f1_by_question(predictions, references)
    answerable = [bool(len(gold)) for gold in references]
    best_exact = best_f1 = None
    if no_answer is not None:
        if len(no_answer) != len(exact) or any(map(math.isnan, no_answer)):
            raise ValueError(f"{len(exact)} questions need as many numbers, none of them NaN")
        silent = [not said for said in predictions]
        best_exact = best_threshold(exact, no_answer, answerable, silent)
        best_f1 = best_threshold(f1, no_answer, answerable, silent)
        exact = _refuse(exact, no_answer, answerable, threshold)
        f1 = _refuse(f1, no_answer, answerable, threshold)
    return Squad(
        all=_mean(exact, f1, [True] * len(exact)),
        has_answer=_mean(exact, f1, answerable),
        no_answer=_mean(exact, f1, [not answered for answered in answerable]),
        best_exact=best_exact,
        best_f1=best_f1,
    )


def best_threshold(
    scores: Sequence[float],
    no_answer: Sequence[float],
    answerable: Sequence[bool],
    silent: Sequence[bool],
) -> Best:
    """The threshold on "no answer" that gives the highest mean, the lowest of equals.

    From all questions refused, predictions are let in one by one, the surest first. As in the
    official script the search may stop between questions with equal numbers, in their order,
    where no threshold can; and where nothing beats refusing all, it says 0.

    Args:
        scores: (questions,) of the predictions as they are.
        no_answer: (questions,) higher where an answer is less likely.
        answerable: (questions,).
        silent: (questions,) whether the prediction is empty.
    """
    current = best = float(sum(not answered for answered in answerable))
    threshold = 0.0
    for i in sorted(range(len(scores)), key=lambda i: no_answer[i]):
        current += scores[i] if answerable[i] else float(silent[i]) - 1
        if current > best:
            best, threshold = current, no_answer[i]
    return Best(best / len(scores), threshold)


def normalise(text: str) -> str:
    """An answer in lower case, without ASCII punctuation, articles and superfluous blanks."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def _gold(predictions: Texts, references: References, version: Version) -> References:
    """The gold answers that count."""
    check(predictions, references)
    if version == "2.0":
        return [[gold for gold in golds if normalise(gold)] for golds in references]
    if not all(len(golds) for golds in references):
        raise ValueError("every question of SQuAD v1.1 has an answer, but one has none here")
    return references


def _refuse(
    scores: Sequence[float],
    no_answer: Sequence[float],
    answerable: Sequence[bool],
    threshold: float,
) -> list[float]:
    """The scores where questions above the threshold count as refused."""
    parts = zip(scores, no_answer, answerable, strict=True)
    return [float(not able) if number > threshold else score for score, number, able in parts]


def _mean(exact: Sequence[float], f1: Sequence[float], taken: Sequence[bool]) -> Scores:
    places = [i for i, take in enumerate(taken) if take]
    if not places:
        return Scores(math.nan, math.nan, 0)
    return Scores(fmean(exact[i] for i in places), fmean(f1[i] for i in places), len(places))
