"""Counts of n-grams."""

from trials.tasks.text.ngrams import ngrams


def test_counts() -> None:
    tokens = ["a", "b", "a", "b"]
    assert ngrams(tokens, 2) == {("a", "b"): 2, ("b", "a"): 1}
    assert ngrams(tokens, 0) == {(): 4}
    assert not ngrams(tokens, 5)
    assert not ngrams([], 0)
