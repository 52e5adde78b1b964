"""CIDEr-D: likeness to the consensus of the references (Vedantam et al. 2015, arXiv:1411.5726).

A text is, for n = 1 to 4, a vector of tf-idf weights of its n-grams, idf(g) = log(texts) −
log(texts with a reference that holds g, at least 1). A prediction h scores against a reference r

    10 · mean over n of  Σ_g min(h_g, r_g) r_g / (|h| |r|) · exp(−(difference in length)² / 72)

averaged over references. This is what the COCO and E2E scorers call CIDEr: counts as they are, no
stems, and lengths counted in bigrams. Tokens: `words.words`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from trials.tasks.text.ngrams import Gram, ngrams
from trials.tasks.text.pairs import References, Texts, pair
from trials.tasks.text.words import words

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0
SCALE = 10.0

Vectors = Sequence[Mapping[Gram, float]]
"""The weights of a text's n-grams, one mapping for each of `ORDERS`."""


def cider_d(predictions: Texts, references: References) -> float:
    """Mean CIDEr-D of the texts, in [0, 10], higher is better.

    Args:
        predictions: (texts,).
        references: (texts, any number).

    Returns:
        NaN for a single text, in which every n-gram has idf 0.

    Source: https://github.com/tuetschek/e2e-metrics, coco-caption's `cider_scorer.py`.
    """
    return fmean(cider_d_by_text(predictions, references))


def cider_d_by_text(predictions: Texts, references: References) -> list[float]:
    """As `cider_d`, of each text; idf is that of all references."""
    pairs = pair(predictions, references)
    if len(pairs) == 1:
        return [math.nan]
    counts = [(_counts(said), [_counts(text) for text in texts]) for said, texts in pairs]
    texts_with: Counter[Gram] = Counter()
    for _, known in counts:
        texts_with.update({gram for text in known for order in text for gram in order})
    idf = {gram: math.log(len(pairs)) - math.log(number) for gram, number in texts_with.items()}
    rare = math.log(len(pairs))

    def weigh(text: Sequence[Counter[Gram]]) -> Vectors:
        return [{g: tf * idf.get(g, rare) for g, tf in order.items()} for order in text]

    return [
        SCALE * fmean(_likeness(weigh(said), weigh(text), said, text) for text in known)
        for said, known in counts
    ]


def _counts(text: str) -> list[Counter[Gram]]:
    tokens = words(text)
    return [ngrams(tokens, n) for n in ORDERS]


def _likeness(
    said: Vectors,
    reference: Vectors,
    said_counts: Sequence[Counter[Gram]],
    reference_counts: Sequence[Counter[Gram]],
) -> float:
    """Mean over n of the clipped cosine, times the penalty of length."""
    apart = said_counts[1].total() - reference_counts[1].total()
    cosine = fmean(_cosine(h, r) for h, r in zip(said, reference, strict=True))
    return cosine * math.exp(-(apart**2) / (2 * SIGMA**2))


def _cosine(said: Mapping[Gram, float], reference: Mapping[Gram, float]) -> float:
    norms = math.hypot(*said.values()) * math.hypot(*reference.values())
    if not norms:
        return 0.0
    shared = said.keys() & reference.keys()
    return math.fsum(min(said[g], reference[g]) * reference[g] for g in shared) / norms
