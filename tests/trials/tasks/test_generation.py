"""Templates over columns, conversations, and what of a text is its completion."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials.tasks.generation import Generation, Template, Unfit, fields_of


def test_columns_are_named_in_braces() -> None:
    assert fields_of("Q: {q}\n{{{a}}} {q}") == ("q", "a")
    assert Template(prompt="{b} {a}", completion="{a}{c}").columns == ("b", "a", "c")
    assert Template(messages="turns").columns == ("turns",)


@pytest.mark.parametrize("template", ["{", "}", "{}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}"])
def test_braces_hold_a_name_and_nothing_else(template: str) -> None:
    with pytest.raises(ValueError, match="a brace stands alone|must be a column's name"):
        fields_of(template)


def test_a_row_becomes_a_prompt_and_references() -> None:
    template = Template(prompt="{n} {q}?{{}}", completion=" {a}.")
    row = {"n": 3, "q": "日本", "a": ["x", ""]}
    assert template.source(row) == "3 日本?{}"
    assert template.references(row) == (" x.", " .")
    assert template.references({"a": "y"}) == (" y.",)
    assert template.references({"a": True}) == (" true.",)


@given(st.text("{}ab", max_size=8))
def test_what_a_column_holds_is_never_a_template(value: str) -> None:
    assert Template(prompt="<{q}>", completion="{q}").source({"q": value}) == f"<{value}>"


@pytest.mark.parametrize(
    ("row", "column", "hidden"),
    [
        ({}, "a", True),
        ({"a": None}, "a", True),
        ({"a": []}, "a", False),
        ({"a": ["x", 3]}, "a", False),
        ({"a": {"b": 1}}, "a", False),
        ({"a": "\ud800"}, "a", False),
        ({"a": ["x"], "b": ["y"]}, "b", False),
    ],
)
def test_a_row_that_does_not_fit_says_which_column(
    row: dict[str, Any], column: str, hidden: bool
) -> None:
    template = Template(prompt="x", completion="{a}{b}" if "b" in row else "{a}")
    with pytest.raises(Unfit) as caught:
        template.references(row)
    assert (caught.value.column, caught.value.hidden) == (column, hidden)


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ("hi", "list of at least two turns"),
        ([{"role": "user", "content": "hi"}], "list of at least two turns"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant"}], "turn 2 must hold"),
        ([{"role": "user", "content": "hi"}, "ho"], "turn 2 must hold"),
        ([{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}], "must end"),
    ],
)
def test_a_conversation_ends_with_the_assistant(turns: Any, message: str) -> None:
    with pytest.raises(Unfit, match=message):
        Template(messages="turns").source({"turns": turns})


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        (" so \n more", ("\n",), "so"),
        ("a END b STOP", ("STOP", "END"), "a"),
        ("whole", ("\n",), "whole"),
        ("\nfirst", ("\n",), ""),
        ("", (), ""),
    ],
)
def test_a_completion_ends_at_the_first_stop(
    text: str, stop: tuple[str, ...], expected: str
) -> None:
    assert Generation(stop=stop).until_stop(text) == expected
