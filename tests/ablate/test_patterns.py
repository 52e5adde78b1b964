import pytest

from ablate.patterns import matches, plain, words

VALUES = {"method": "lora", "rank": 8, "freeze": ["a_aux", "b_aux"], "grown": True, "cap": None}


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        ({}, True),
        ({"method": "lora"}, True),
        ({"method": ["mtlora", "lora"]}, True),
        ({"method": ["mtlora"]}, False),
        ({"rank": 8, "method": "lora"}, True),
        ({"rank": 8, "method": "mtlora"}, False),
        ({"rank": 8.0}, True),
        ({"rank": True}, False),
        ({"grown": 1}, False),
        ({"grown": True}, True),
        ({"cap": None}, True),
        ({"structure": None}, False),
        ({"freeze": ["b_aux", "a_aux"]}, True),
        ({"freeze": ["a_aux"]}, False),
        ({"freeze": "a_aux"}, False),
        ({"freeze": [["a_aux"], ["a_aux", "b_aux"]]}, True),
        ({"freeze": ("a_aux", "b_aux")}, True),
        ({"rank": {"each": [8]}}, False),
    ],
)
def test_a_pattern_matches_equal_values_or_one_of_a_list(
    pattern: dict[str, object], holds: bool
) -> None:
    assert matches(pattern, VALUES) is holds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8, "8"),
        (1e-4, "0.0001"),
        (True, "true"),
        (None, "null"),
        ("shim", "shim"),
        ("two words", '"two words"'),
        ("", '""'),
        ([], "none"),
        (["a", "b"], "a+b"),
        ({"modules": ["x"]}, '{"modules":["x"]}'),
    ],
)
def test_values_as_words_of_an_id(value: object, text: str) -> None:
    assert words(value) == text


def test_tuples_become_lists() -> None:
    assert plain({"a": (1, ("b",))}) == {"a": [1, ["b"]]}
