"""Exact match, F1 of words, and the answer within a text."""

import pytest

from trials.errors import UserError
from trials.tasks.text.answers import (
    bag_f1,
    exact_match,
    exact_match_by_text,
    extract,
    token_f1,
    token_f1_by_text,
)


@pytest.mark.parametrize(
    ("said", "gold", "right"),
    [
        (" Paris ", ["Paris"], True),
        ("New  York\n", ["New York"], True),
        ("cafe\u0301", ["caf\u00e9"], True),
        ("paris", ["Paris"], False),
        ("35", ["-3.5", "3.5"], False),
        ("b", ["a", "b"], True),
        ("", [], True),
        ("x", [], False),
        ("北京", ["北京"], True),
    ],
)
def test_exact_match(said: str, gold: list[str], right: bool) -> None:
    assert exact_match_by_text([said], [gold]) == [float(right)]


def test_exact_match_is_a_share() -> None:
    assert exact_match(["a", "b", "c"], [["a"], ["x"], ["c", "y"]]) == pytest.approx(2 / 3)


def test_f1_by_hand() -> None:
    """Two of three words said and of four expected; the better reference counts."""
    said, gold = ["the red car", "x"], [["A red car drove", "no"], ["y"]]
    assert token_f1_by_text(said, gold) == pytest.approx([4 / 7, 0])
    assert token_f1(said, gold) == pytest.approx(2 / 7)


def test_a_word_said_twice_is_hit_as_often_as_it_is_expected() -> None:
    assert bag_f1(["a", "a", "a"], ["a", "b"]) == pytest.approx(2 / 5)


def test_characters_are_words_where_there_are_no_blanks() -> None:
    assert token_f1(["北京市"], [["北京"]]) == pytest.approx(4 / 5)


@pytest.mark.parametrize(("said", "score"), [("", 1.0), ("?!", 1.0), ("a", 0.0)])
def test_no_words_agree_with_no_words(said: str, score: float) -> None:
    assert token_f1([said], [[]]) == score
    assert token_f1([said], [["..."]]) == score


@pytest.mark.parametrize(
    ("pattern", "which", "answer"),
    [
        (r"\d+", "first", "12"),
        (r"\d+", "last", "7"),
        (r"\d*", "last", "7"),
        (r"#### (\d+)", "first", "7"),
        (r"(?i)so (?:it is )?(\w+)", "first", "12"),
        (r"(it|so) is (?P<answer>\d+)", "first", "12"),
        (r"answer: (\w+)|#### (\w+)", "first", "7"),
        (r"none here", "first", ""),
        (r"(x)?12", "first", ""),
    ],
)
def test_the_answer_within_a_text(pattern: str, which, answer: str) -> None:
    assert extract(["So it is 12, in all.\n#### 7 "], pattern, which=which) == [answer]


def test_each_text_has_an_answer() -> None:
    assert extract(["a1", "b", "", "c ２"], r"\d") == ["1", "", "", "２"]


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(UserError, match=r"extract: '\(' is no regular expression: missing \)"):
        extract(["a"], "(")
