"""ROUGE-L by hand and against rouge-score and the COCO scorer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials.tasks.text.rouge import (
    common_length,
    rouge_l,
    rouge_l_by_text,
    rouge_l_coco,
    rouge_l_coco_by_text,
)

WORDS = st.lists(st.sampled_from("abc"), max_size=7)


def test_against_rouge_score(oracle, texts) -> None:
    assert rouge_l_by_text(*texts) == pytest.approx(oracle["rouge"]["texts"])
    assert rouge_l(*texts) == pytest.approx(oracle["rouge"]["corpus"])


def test_against_the_captions_scorer(oracle, texts) -> None:
    assert rouge_l_coco_by_text(*texts) == pytest.approx(oracle["rouge_coco"]["texts"])
    assert rouge_l_coco(*texts) == pytest.approx(oracle["rouge_coco"]["corpus"])


def test_the_example_of_the_paper() -> None:
    """Lin 2004, section 3.1: police killed the gunman."""
    gold = [["police killed the gunman"]]
    assert rouge_l(["police kill the gunman"], gold) == pytest.approx(3 / 4)
    assert rouge_l(["the gunman kill police"], gold) == pytest.approx(2 / 4)


def test_precision_and_recall_of_two_references() -> None:
    """P = 1 by the longer one, R = 1 by the shorter one; together they are perfect for COCO."""
    said, gold = ["a b"], [["a b c d", "a"]]
    assert rouge_l(said, gold) == pytest.approx(2 / 3)
    assert rouge_l_coco(said, gold) == pytest.approx(1.0)


@given(WORDS, WORDS)
def test_the_common_length_is_that_of_the_definition(first: list[str], second: list[str]) -> None:
    def longest(a: list[str], b: list[str]) -> int:
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + longest(a[1:], b[1:])
        return max(longest(a[1:], b), longest(a, b[1:]))

    assert common_length(first, second) == common_length(second, first) == longest(first, second)
