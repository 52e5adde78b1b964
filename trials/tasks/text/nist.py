"""NIST: n-grams weighed by how much they tell (Doddington 2002, https://dl.acm.org/doi/10.5555/1289189.1289273).

info(w1 … wn) = log2(count of w1 … wn−1 / count of w1 … wn) over all references. The score is

    Σ over n = 1 to 5 of  Σ info of the n-grams hit / n-grams predicted, times
    exp(−β log²(min(words predicted / mean words of a reference, 1)))

with β such that the last factor is 1/2 at two thirds of the length. An n-gram is hit as often as it
stands in the prediction, at most as often as in the reference that has most of it.
Tokens: those of `mteval-v13a.pl` by sacrebleu, lower-cased as that script does by default.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import reduce

from trials.tasks.text.needs import needs
from trials.tasks.text.ngrams import Gram, ngrams
from trials.tasks.text.pairs import Pairs, References, Texts, pair

MOST = 5
BETA = math.log(2) / math.log(1.5) ** 2

Counts = list[Counter[Gram]]
"""Counts of n-grams for n = 0 to 5."""


def nist(predictions: Texts, references: References, *, lowercase: bool = True) -> float:
    """NIST of the corpus, from 0 without a fixed upper end, higher is better.

    Args:
        predictions: (texts,).
        references: (texts, any number); a mean length is over those that a text has.
        lowercase: whether case is ignored.

    Source: `mteval-v13a.pl`; for unequal numbers of references as in
    https://github.com/tuetschek/e2e-metrics, `metrics/pymteval.py`.
    """
    counted = _count(pair(predictions, references), lowercase)
    return _score(counted, _info(counted))


def nist_by_text(
    predictions: Texts, references: References, *, lowercase: bool = True
) -> list[float]:
    """As `nist`, of each text; what an n-gram tells is counted over all references."""
    counted = _count(pair(predictions, references), lowercase)
    info = _info(counted)
    return [_score([text], info) for text in counted]


def _count(pairs: Pairs, lowercase: bool) -> list[tuple[Counts, list[Counts]]]:
    tokenize = needs("sacrebleu.tokenizers.tokenizer_13a", metric="NIST").Tokenizer13a()

    def count(text: str) -> Counts:
        tokens = tokenize(text.lower() if lowercase else text).split()
        return [ngrams(tokens, n) for n in range(MOST + 1)]

    return [(count(said), [count(text) for text in texts]) for said, texts in pairs]


def _info(counted: list[tuple[Counts, list[Counts]]]) -> dict[Gram, float]:
    """What each n-gram of the references tells, in bits."""
    total: Counter[Gram] = Counter()
    for _, references in counted:
        for order in (order for reference in references for order in reference):
            total.update(order)
    return {gram: math.log2(total[gram[:-1]] / number) for gram, number in total.items() if gram}


def _score(counted: list[tuple[Counts, list[Counts]]], info: dict[Gram, float]) -> float:
    told, predicted = [0.0] * MOST, [0] * MOST
    words_said, words_expected = 0, 0.0
    for said, references in counted:
        words_said += said[1].total()
        words_expected += sum(r[1].total() for r in references) / len(references)
        for n in range(1, MOST + 1):
            most = reduce(Counter.__or__, (reference[n] for reference in references))
            hits = said[n] & most
            told[n - 1] += sum(info[gram] * number for gram, number in hits.items())
            predicted[n - 1] += said[n].total()
    if not words_said or not words_expected:
        return 0.0
    precision = sum(bits / number for bits, number in zip(told, predicted, strict=True) if number)
    shortness = min(words_said / words_expected, 1.0)
    return precision * math.exp(-BETA * math.log(shortness) ** 2)
