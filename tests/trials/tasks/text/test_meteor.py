"""METEOR by hand, against its own program, and its alignment against all that there are."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trials.errors import UserError
from trials.tasks.text.meteor import Statistics, compare, meteor, meteor_by_text

WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


def plain(word: str) -> str:
    return word


def test_against_its_own_program(oracle, texts) -> None:
    assert meteor_by_text(*texts) == pytest.approx(oracle["meteor"]["texts"])
    assert meteor(*texts) == pytest.approx(oracle["meteor"]["corpus"])


def test_a_stem_counts_for_less_than_a_word() -> None:
    """P = R = (1 + 0.6) / 2, in one chunk of two matches, which is all of both."""
    assert meteor(["big cats"], [["big cat"]]) == pytest.approx(0.8)


def test_half_of_a_text_by_hand() -> None:
    """P = 1, R = 1/2, F = 1/2 / (0.85 + 0.15 / 2), one chunk of two matches."""
    expected = 0.5 / (0.85 + 0.15 * 0.5) * (1 - 0.6 * (1 / 2) ** 0.2)
    assert meteor(["a b"], [["a b c d"]]) == pytest.approx(expected)


def test_order_by_hand() -> None:
    """All words, in two chunks of four matches."""
    assert meteor(["c d a b"], [["a b c d"]]) == pytest.approx(1 - 0.6 * (2 / 4) ** 0.2)


def test_a_corpus_is_scored_on_sums() -> None:
    """The perfect text adds no chunk; P = 5/6, R = 5/6, one chunk of five matches."""
    said, gold = ["a b c", "d e x"], [["a b c"], ["d e y"]]
    assert meteor(said, gold) == pytest.approx(5 / 6 * (1 - 0.6 * (1 / 5) ** 0.2))


def test_the_best_reference_counts() -> None:
    assert meteor(["a b"], [["x", "a b", "a"]]) == 1.0


def test_of_references_that_score_the_same_the_first_counts() -> None:
    """As in METEOR's own program; it matters to the corpus, for their lengths differ."""
    said, gold = ["a b", "x"], ["a b c", "y"]
    short, long = [[gold[0]], [gold[1], "u v w"]], [[gold[0]], ["u v w", gold[1]]]
    assert meteor(said, short) == meteor(said, [[text] for text in gold])
    assert meteor(said, long) < meteor(said, short)


def test_stems_of_other_languages() -> None:
    assert meteor(["die Häuser"], [["die Haus"]], language="german") == pytest.approx(0.8)
    with pytest.raises(UserError, match="no stemmer for 'germn'; did you mean 'german'"):
        meteor(["a"], [["a"]], language="germn")


@settings(deadline=None)
@given(WORDS, WORDS)
def test_the_alignment_has_most_matches_in_fewest_chunks(said: list[str], gold: list[str]) -> None:
    best = min(_all(said, gold))
    found = compare(said, gold, plain)
    whole = -best[0] == len(said) == len(gold) and best[1] == 1
    assert (-found.exact, found.chunks) == (best[0], 0 if whole else best[1])
    assert found.stems == 0


def _all(said: list[str], gold: list[str]) -> set[tuple[int, int]]:
    """(−matches, chunks) of every alignment of words with places, -9 for none."""
    found = set()
    for places in permutations([*range(len(gold)), *[-9] * len(said)], len(said)):
        if all(j == -9 or said[i] == gold[j] for i, j in enumerate(places)):
            matched = sum(j != -9 for j in places)
            begun = zip((-9, *places), places, strict=False)
            found.add((-matched, sum(j not in (-9, before + 1) for before, j in begun)))
    return found


def test_without_a_match_there_is_nothing() -> None:
    assert Statistics().score == 0.0
    assert meteor_by_text(["a", ""], [["b"], ["c"]]) == [0.0, 0.0]
