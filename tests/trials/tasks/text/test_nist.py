"""NIST by hand, against the E2E scorer, and against nltk where each text has one reference."""

import math

import pytest

from trials.tasks.text.nist import nist, nist_by_text


def test_against_the_scorers(oracle, texts) -> None:
    said, gold = texts
    assert nist(said, gold) == pytest.approx(oracle["nist"]["many"])
    assert nist(said, [some[:1] for some in gold]) == pytest.approx(oracle["nist"]["one"])


def test_two_words_by_hand() -> None:
    """Each word tells log2(2/1) = 1 bit, 2 of 2 hit; the bigram tells log2(1/1) = 0."""
    assert nist(["a b"], [["a b"]]) == pytest.approx(1.0)


def test_a_common_word_tells_less() -> None:
    """`a` is 2 of 4 words, 1 bit; `b` and `c` are 1 of 4, 2 bits; each follows `a` once, 1 bit."""
    gold = [["a b"], ["a c"]]
    assert nist(["a b", "a c"], gold) == pytest.approx((1 + 2 + 1 + 2) / 4 + (1 + 1) / 2)
    assert nist(["a a", "a a"], gold) == pytest.approx((1 + 1) / 4)  # a second `a` is no hit
    assert nist_by_text(["a b", "x y"], gold) == pytest.approx([3 / 2 + 1, 0])


def test_two_thirds_of_the_length_cost_half() -> None:
    assert nist(["a b"], [["a b c"]]) == pytest.approx(math.log2(3) / 2)


def test_references_of_unequal_number_by_hand() -> None:
    """Six words of references; mean lengths (3 + 1) / 2 and 2 make 4 words expected, 4 said."""
    gold = [["a b c", "a"], ["d e"]]
    info = {"a": math.log2(6 / 2), "d": math.log2(6)}
    assert nist(["a x", "d y"], gold) == pytest.approx((info["a"] + info["d"]) / 4)


def test_a_word_is_hit_as_often_as_in_the_reference_that_has_most() -> None:
    gold = [["a a x", "a b"]]
    bits = 2 * math.log2(5 / 3)
    of_bigrams = math.log2(3 / 1)  # `a a` after three times `a`
    shortness = math.exp(-math.log(2) / math.log(1.5) ** 2 * math.log(2 / 2.5) ** 2)
    assert nist(["a a"], gold) == pytest.approx((bits / 2 + of_bigrams) * shortness)


def test_case_is_ignored_unless_it_is_asked_for() -> None:
    assert nist(["A B"], [["a b"]]) == nist(["a b"], [["a b"]])
    assert nist(["A B"], [["a b"]], lowercase=False) == 0.0


def test_longer_than_the_references_costs_precision_alone() -> None:
    assert nist(["a b x y"], [["a b"]]) == pytest.approx(2 / 4)
