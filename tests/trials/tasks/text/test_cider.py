"""CIDEr-D by hand and against the COCO scorer."""

import math

import pytest

from trials.tasks.text.cider import cider_d, cider_d_by_text


def test_against_the_captions_scorer(oracle, texts) -> None:
    assert cider_d_by_text(*texts) == pytest.approx(oracle["cider"]["texts"])
    assert cider_d(*texts) == pytest.approx(oracle["cider"]["corpus"])


def test_one_word_each_has_one_of_four_orders() -> None:
    assert cider_d_by_text(["a", "b"], [["a"], ["b"]]) == pytest.approx([2.5, 2.5])


def test_clipping_by_hand() -> None:
    """`a a` against `a`: Σ min(2, 1) · 1 / (2 · 1) = 1/2 of one order, one bigram apart."""
    expected = 10 / 4 * (1 / 2) * math.exp(-1 / 72)
    assert cider_d_by_text(["a a", "b"], [["a"], ["b"]])[0] == pytest.approx(expected)


def test_words_of_every_text_count_for_nothing() -> None:
    """`the` has idf 0. Of `the a` the bigram and `a` are hit by itself alone: two full orders."""
    scores = cider_d_by_text(["the a", "the"], [["the a"], ["the b"]])
    assert scores == pytest.approx([5.0, 0.0])


def test_the_mean_of_references_by_hand() -> None:
    scores = cider_d_by_text(["a", "x"], [["a", "b"], ["y"]])
    assert scores == pytest.approx([2.5 / 2, 0.0])


def test_rarity_by_hand() -> None:
    """Of three texts, `a` stands in two and `b` and `c` in one: idf log 3/2 and log 3."""
    common, rare = math.log(3 / 2), math.log(3)
    cosine = common**2 / (common**2 + rare**2)
    scores = cider_d_by_text(["a b", "q", "q"], [["a c"], ["a b"], ["d"]])
    assert scores[0] == pytest.approx(2.5 * cosine)


def test_a_single_text_has_no_score() -> None:
    """Every idf is log 1."""
    assert math.isnan(cider_d(["a"], [["a"]]))
