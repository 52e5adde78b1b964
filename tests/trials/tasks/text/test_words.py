"""Texts as words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials.tasks.text.words import runs, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's a family-friendly pub.", "it 's a family-friendly pub"),
        ("Don't they? They CANNOT!", "do n't they they can not"),
        ("£20-25, 1,000.5 or 50%", "£ 20-25 1,000.5 or 50 %"),
        ('"Quoted" (text): well...', "quoted text well"),
        ("the pub’s and/or the U.S. one", "the pub 's and/or the u.s one"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_words_as_the_captions_scorer_has_them(text: str, expected: str) -> None:
    assert words(text) == expected.split()


def test_runs_are_letters_and_digits() -> None:
    found = " ".join(runs("Don't pay £1,000.5 for snake_case!"))
    assert found == "don t pay 1 000 5 for snake case"


@pytest.mark.parametrize("split", [runs, words])
def test_scripts_without_blanks_are_split_where_characters_are_words(split) -> None:
    assert split("東京は2020年") == ["東", "京", "は", "2020", "年"]
    assert split("हिन्दी भाषा") == ["हिन्दी", "भाषा"]  # vowel signs belong to their letters
    assert split("e\u0301te\u0301") == ["e\u0301te\u0301"]
    assert len(split("ประเทศไทย")) == 1


@given(st.text())
def test_nothing_but_blanks_and_signs_is_lost(text: str) -> None:
    """Letters and digits of a text are all in its words, in their order."""
    lowered = [c for c in text.lower() if c.isalnum()]
    for split in (runs, words):
        assert [c for word in split(text) for c in word if c.isalnum()] == lowered
        assert all(word and not word.isspace() for word in split(text))
