import pytest

from trials.errors import UserError
from trials.targets import CANONICAL_TARGETS, PRESETS, canonical_targets


def test_names_enter_a_spec_in_canonical_order() -> None:
    assert canonical_targets(["value", "query"]) == ("query", "value")


def test_qualified_names_come_after_plain_ones() -> None:
    made = canonical_targets(["cross.query", "decoder.output", "key", "encoder.query"])
    assert made == ("key", "encoder.query", "decoder.output", "cross.query")


def test_presets_hold_canonical_names_in_canonical_order() -> None:
    for name, targets in PRESETS.items():
        assert canonical_targets(name) == targets == canonical_targets(list(targets))
        assert set(targets) <= set(CANONICAL_TARGETS)


def test_expressions_are_sorted() -> None:
    value = {"modules": ["layer.*query", "dense"]}
    assert canonical_targets(value) == {"modules": ["dense", "layer.*query"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["qeury"], "[0]: no target called 'qeury'; did you mean 'query'?"),
        (["query", "query"], "[1]: 'query' is named twice"),
        (["decoder.query", "query"], "[0]: 'decoder.query' is part of 'query'"),
        (["cross.output"], "[0]: no target called 'cross.output'; did you mean "
            "'cross.attention_output'?"),
        (["w"], "[0]: no target called 'w'; expected one of attention_output, gate, intermediate, "
            "key, output, query, value"),
        ([["query"]], "[0]: no target called ['query']; did you mean 'query'?"),
        ([], "names no target"),
        ("mtlroa", "no preset of targets called 'mtlroa'; did you mean 'mtlora'?"),
        (3, "must be a list of names, a preset or {modules: [regular expressions]}, but got 3"),
        ({"modules": []}, "modules: must be a list of regular expressions"),
        ({"modules": ["("]}, "modules[0]: '(' is not a regular expression: "
            "missing ), unterminated subpattern at position 0"),
        ({"modules": [3]}, "modules[0]: must be a regular expression, but got 3"),
        ({"modules": ["a", "a"]}, "modules[1]: 'a' is named twice"),
        ({"modules": ["a"], "moduels": 1}, "moduels: unknown key; did you mean 'modules'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(value: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        canonical_targets(value)
    assert str(error.value) == message


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(UserError) as error:
        canonical_targets(["kye", "query", "query", "vlaue"])
    assert len(error.value.problems) == 3
