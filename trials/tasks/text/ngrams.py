"""Counts of n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Gram = tuple[str, ...]


def ngrams(tokens: Sequence[str], n: int) -> Counter[Gram]:
    """How often each run of n tokens stands in a text; the empty run counts once a token."""
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - max(n, 1) + 1))
