"""ROUGE-L: the longest common subsequence of words (Lin 2004, https://aclanthology.org/W04-1013).

With L the length of that subsequence, P = L / words predicted, R = L / words of the reference and
F = (1 + β²) P R / (R + β² P).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from trials.tasks.text.pairs import References, Texts, pair
from trials.tasks.text.words import runs, words

COCO_BETA = 1.2
"""How much more recall counts than precision in the COCO scorer."""


def rouge_l(predictions: Texts, references: References) -> float:
    """Mean F of each text against the reference that suits it best, in [0, 1]; β = 1.

    Tokens: `words.runs`. On English as `rouge-score` gives it, without stems.

    Args:
        predictions: (texts,).
        references: (texts, any number).
    """
    return fmean(rouge_l_by_text(predictions, references))


def rouge_l_by_text(predictions: Texts, references: References) -> list[float]:
    """As `rouge_l`, of each text."""
    scores: list[float] = []
    for said, texts in pair(predictions, references):
        shares = [_shares(runs(said), runs(text)) for text in texts]
        scores.append(max(_f(p, r, 1.0) for p, r in shares))
    return scores


def rouge_l_coco(predictions: Texts, references: References) -> float:
    """Mean F as the COCO and E2E scorers define it, in [0, 1]; β = 1.2.

    The highest precision and the highest recall of a text may stem from two references.
    Tokens: `words.words`.

    Args:
        predictions: (texts,).
        references: (texts, any number).

    Source: https://github.com/tuetschek/e2e-metrics.
    """
    return fmean(rouge_l_coco_by_text(predictions, references))


def rouge_l_coco_by_text(predictions: Texts, references: References) -> list[float]:
    """As `rouge_l_coco`, of each text."""
    scores: list[float] = []
    for said, texts in pair(predictions, references):
        shares = [_shares(words(said), words(text)) for text in texts]
        precision, recall = max(p for p, _ in shares), max(r for _, r in shares)
        scores.append(_f(precision, recall, COCO_BETA))
    return scores


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence of two lists of words."""
    lengths = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for i, other in enumerate(second, start=1):
            longest = diagonal + 1 if word == other else max(lengths[i], lengths[i - 1])
            diagonal, lengths[i] = lengths[i], longest
    return lengths[-1]


def _shares(said: Sequence[str], reference: Sequence[str]) -> tuple[float, float]:
    """Precision and recall; 0 where either has no words."""
    if not said or not reference:
        return 0.0, 0.0
    common = common_length(said, reference)
    return common / len(said), common / len(reference)


def _f(precision: float, recall: float, beta: float) -> float:
    if not precision or not recall:
        return 0.0
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
