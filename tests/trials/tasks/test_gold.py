"""Gold answers stand where they say, or the message says what is wrong."""

from typing import Any

import pytest

from trials.tasks.gold import read_answers

TEXT = "Zürich is in Switzerland. Bern is, too."


@pytest.mark.parametrize(
    "value",
    [
        {"text": ["Zürich", "Bern is"], "answer_start": [0, 26]},
        [{"text": "Zürich", "answer_start": 0}, {"answer_start": 26, "text": "Bern is"}],
    ],
)
def test_both_forms_are_read(value: Any) -> None:
    assert read_answers(value, TEXT, may_lack=False) == (((0, "Zürich"), (26, "Bern is")), None)


@pytest.mark.parametrize("value", [{"text": [], "answer_start": []}, []])
def test_there_may_be_no_answer_where_that_is_said(value: Any) -> None:
    assert read_answers(value, TEXT, may_lack=True) == ((), None)
    _, wrong = read_answers(value, TEXT, may_lack=False)
    assert wrong is not None
    assert "holds no answer" in wrong


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"text": ["Bern"], "answer_start": [25]}, "at character 25 of the text; it stands at 26"),
        ({"text": ["Bern"], "answer_start": [-4]}, "it stands at 26"),
        ({"text": ["bern"], "answer_start": [26]}, "it stands nowhere in it"),
        ({"text": ["Bern"], "answer_start": [900]}, "it stands at 26"),
        ({"text": ["too. And"], "answer_start": [35]}, "it stands nowhere in it"),
        ({"text": ["Bern", "Bern"], "answer_start": [26, 3]}, "at character 3"),
        ({"text": [""], "answer_start": [0]}, 'text and not empty, but got ""'),
        ({"text": [" "], "answer_start": [6]}, "text and not empty"),
        ({"text": [3], "answer_start": [0]}, "text and not empty, but got 3"),
        ({"text": ["Bern"], "answer_start": [26.0]}, "must be a whole number, but got 26.0"),
        ({"text": ["Bern"], "answer_start": [True]}, "must be a whole number"),
        ({"text": ["Bern"], "answer_start": []}, "of equal length"),
        ({"text": "Bern", "answer_start": 26}, "the lists text and answer_start"),
        ({"text": ["Bern"]}, "the lists text and answer_start"),
        ("Bern", 'but got "Bern"'),
        (["Bern"], "the lists text and answer_start"),
        (None, "but got null"),
        ([{"text": "Bern"}], "must be a whole number, but got null"),
    ],
)
def test_what_is_wrong_is_said(value: Any, message: str) -> None:
    _, wrong = read_answers(value, TEXT, may_lack=True)
    assert wrong is not None
    assert message in wrong


def test_a_text_that_is_none_is_told_elsewhere() -> None:
    assert read_answers({"text": ["a"], "answer_start": [0]}, None, may_lack=True) == ((), None)
