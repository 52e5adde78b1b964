"""METEOR 1.5 by words and stems (Denkowski and Lavie 2014, https://aclanthology.org/W14-3348).

Words of prediction and reference are aligned one to one where their Snowball stems are equal: as
many as can be, in the fewest chunks (runs of matches adjacent in both texts), with the least
crossing. With w the weight of a match, 1 for equal words and 0.6 for equal stems alone, P = Σw /
words predicted, R = Σw / words of the reference and m matches:

    F = P R / (α P + (1 − α) R),   score = F (1 − γ (chunks / m)^β)

with the parameters tuned for English. METEOR's synonyms and paraphrases are left out, as are its
list of function words (δ = 1/2, all words weigh the same): both are data, which need Java or
WordNet. So a score is lower than that of the full METEOR; the two must not be compared.
METEOR's own program may miss the fewest chunks of long texts, which the search here finds.
Tokens: `words.words`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, NamedTuple

from trials.errors import UserError, nearest
from trials.tasks.text.needs import needs
from trials.tasks.text.pairs import References, Texts, pair
from trials.tasks.text.words import words

ALPHA, BETA, GAMMA = 0.85, 0.2, 0.6
WEIGHT_OF_STEM = 0.6
BEAM = 40
"""Partial alignments that are followed at once, as in METEOR."""


@dataclass(frozen=True)
class Statistics:
    """What a score is made of; sums over texts make the corpus' score.

    Attributes:
        predicted, expected: words of the prediction, of the reference.
        exact, stems: matches of equal words, of equal stems alone.
        chunks: runs of matches adjacent in both; none where one run is all of both texts.
    """

    predicted: int = 0
    expected: int = 0
    exact: int = 0
    stems: int = 0
    chunks: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.predicted + other.predicted,
            self.expected + other.expected,
            self.exact + other.exact,
            self.stems + other.stems,
            self.chunks + other.chunks,
        )

    @property
    def score(self) -> float:
        """In [0, 1], higher is better; 0 without a match."""
        matches = self.exact + self.stems
        if not matches:
            return 0.0
        weight = self.exact + WEIGHT_OF_STEM * self.stems
        precision, recall = weight / self.predicted, weight / self.expected
        f = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
        return f * (1 - GAMMA * math.pow(self.chunks / matches, BETA))


def meteor(predictions: Texts, references: References, *, language: str = "english") -> float:
    """METEOR of the corpus, in [0, 1], higher is better.

    Args:
        predictions: (texts,).
        references: (texts, any number), of which each text is held against the best, the
            first of equals.
        language: whose stemmer of Snowball to use; the parameters stay those for English.

    Raises:
        UserError: the library of stemmers is not installed.
    """
    total = sum(_statistics(predictions, references, language), Statistics())
    return total.score


def meteor_by_text(
    predictions: Texts, references: References, *, language: str = "english"
) -> list[float]:
    """As `meteor`, of each text."""
    return [text.score for text in _statistics(predictions, references, language)]


def _statistics(predictions: Texts, references: References, language: str) -> list[Statistics]:
    """Of each text with the reference that scores best, the first of equals."""
    stem = _stemmer(language)
    found: list[Statistics] = []
    for said, texts in pair(predictions, references):
        each = [compare(words(said), words(text), stem) for text in texts]
        found.append(max(each, key=lambda statistics: statistics.score))
    return found


def _stemmer(language: str) -> Callable[[str], str]:
    library = needs("snowballstemmer", metric="METEOR")
    if language not in library.algorithms():
        options = library.algorithms()
        raise UserError(f"there is no stemmer for '{language}'{nearest(language, options)}")
    stem: Callable[[str], str] = library.stemmer(language).stemWord
    return stem


def compare(
    said: Sequence[str], reference: Sequence[str], stem: Callable[[str], str]
) -> Statistics:
    """Align two texts and count.

    Args:
        said, reference: their words.
        stem: a word's stem.
    """
    matches, chunks = _align([stem(word) for word in said], [stem(word) for word in reference])
    exact = sum(said[i] == reference[j] for i, j in matches)
    whole = chunks == 1 and len(matches) == len(said) == len(reference)
    return Statistics(
        predicted=len(said),
        expected=len(reference),
        exact=exact,
        stems=len(matches) - exact,
        chunks=0 if whole else chunks,
    )


def _align(said: Sequence[str], reference: Sequence[str]) -> tuple[list[tuple[int, int]], int]:
    """As many matches of equal stems as can be, in the fewest chunks, with the least crossing.

    Returns:
        (place in `said`, place in `reference`) of each match, and the number of chunks.
    """
    counts = Counter(said) & Counter(reference)
    masks = {root: sum(1 << j for j, r in enumerate(reference) if r == root) for root in counts}
    left = Counter(word for word in said if word in counts)
    paths = [_Path()]
    for i, word in enumerate(said):
        if word not in counts:
            paths = [path.leave() for path in paths]
            continue
        left[word] -= 1
        better: dict[tuple[int, int], _Path] = {}
        for path in paths:
            missing = counts[word] - (path.used & masks[word]).bit_count()
            steps = list(path.match(i, masks[word])) if missing else []
            if missing <= left[word]:
                steps.append(path.leave())
            for step in steps:
                state = (step.used, step.last)
                if state not in better or step < better[state]:
                    better[state] = step
        paths = nsmallest(BEAM, better.values())
    matches: list[tuple[int, int]] = []
    chain = paths[0].chain
    while chain is not None:
        chain, *match = chain
        matches.append((match[0], match[1]))
    return matches, paths[0].chunks


class _Path(NamedTuple):
    """An alignment of the first words of a prediction; the lesser one is the better one.

    Attributes:
        chunks: runs of matches adjacent in both.
        distance: sum of the differences of places.
        used: the places of the reference that are taken, as bits.
        last: the place that the last word of the prediction has; -2 where it has none.
        chain: the matches, each as (those before, place predicted, place in the reference).
    """

    chunks: int = 0
    distance: int = 0
    used: int = 0
    last: int = -2
    chain: Any = None

    def leave(self) -> _Path:
        """Go on without a match of the next word."""
        return _Path(self.chunks, self.distance, self.used, -2, self.chain)

    def match(self, i: int, places: int) -> Iterator[_Path]:
        """The ways to match word i with one of some places that is free."""
        free = places & ~self.used
        while free:
            bit = free & -free
            free ^= bit
            j = bit.bit_length() - 1
            yield _Path(
                self.chunks + (self.last + 1 != j),
                self.distance + abs(i - j),
                self.used | bit,
                j,
                (self.chain, i, j),
            )
