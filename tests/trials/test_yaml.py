"""YAML reads as people expect, and every mistake has its line."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trials import yaml
from trials.errors import UserError

STUDY = """\
# a comment
study: mine
arms:
  - {method: lora, rank: 8}
  - method: mtlora

    structure: shim
train:
  learning_rate: 1e-4
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2.5E3", -2500.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("8", 8),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("yes", "yes"),
        ("off", "off"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("'1e-4'", "1e-4"),
        ("1e-4x", "1e-4x"),
        ("v1", "v1"),
        ("!!str 5", "5"),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
    ],
)
def test_a_plain_value_is_what_json_users_expect(text: str, value: Any) -> None:
    read = yaml.parse(f"key: {text}", file="f").value["key"]
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(yaml.parse("key: .nan", file="f").value["key"])


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("study",), 2),
        (("arms",), 3),
        (("arms", 0), 4),
        (("arms", 0, "rank"), 4),
        (("arms", 1), 5),
        (("arms", 1, "structure"), 7),
        (("train", "learning_rate"), 9),
        (("train", "missing"), 8),
        (("arms", 7, "method"), 3),
        (("missing", 1), 2),
    ],
)
def test_every_key_path_has_its_line(path: tuple[Any, ...], line: int) -> None:
    assert yaml.parse(STUDY, file="f").line(path) == line


def test_a_problem_carries_file_line_and_key() -> None:
    document = yaml.parse(STUDY, file="study.yaml")
    problem = document.problem(("arms", 1, "structure"), "is wrong")
    assert str(problem) == "study.yaml:7: arms[1].structure: is wrong"


def test_all_keys_given_twice_are_named_with_both_lines() -> None:
    with pytest.raises(UserError) as caught:
        yaml.parse("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", file="f.yaml")
    assert str(caught.value).splitlines() == [
        "f.yaml:4: b.c: given twice; first on line 3",
        "f.yaml:5: a: given twice; first on line 1",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: 1\nb: [1, 2\n", "f:3: not YAML: "),
        ("a: 1\n\tb: 2\n", "f:2: not YAML: "),
        ("a: 1\n---\nb: 2\n", "f:2: not YAML: "),
        ("a: 1\nb: *missing\n", "f:2: not YAML: "),
        ("a: 1\nb: \x01\n", "f:2: not YAML: "),
        ("a: 1\nb: !!python/name:os.system x\n", "f:2: b: the tag "),
        ("a: 1\nb: !!set {x, y}\n", "f:2: b: the tag "),
        ("a: &x\n  - 1\n  - *x\n", "f:1: a[1]: an alias contains itself"),
        ("a: 1\n? [1, 2]\n: 3\n", "f:2: a key must be plain text"),
        ("a: !!int x\n", "f:1: a: 'x' is no int"),
        ("a: " + "[" * 500, "f: is nested too deeply"),
    ],
)
def test_what_is_refused_has_its_line(text: str, start: str) -> None:
    with pytest.raises(UserError) as caught:
        yaml.parse(text, file="f")
    assert str(caught.value).startswith(start)


def aliased(num_levels: int) -> str:
    levels = [f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 9)}]" for i in range(1, num_levels)]
    return "\n".join(["k0: &k0 [x]", *levels])


def test_aliases_share_a_value() -> None:
    document = yaml.parse(aliased(4), file="f")
    assert document.value["k1"] == [["x"]] * 9
    assert document.line(("k1", 3, 0)) == 1


def test_a_few_lines_cannot_stand_for_billions_of_values() -> None:
    """Whatever walks through the values would never come to an end."""
    with pytest.raises(UserError, match=r"^f:6: k5: stands for more than 100,000 values"):
        yaml.parse(aliased(30), file="f")


@pytest.mark.parametrize("character", ["\\0", "\\e", "\\x7f", "\\x9b", "\\ud800"])
def test_a_character_that_no_name_may_hold_has_its_line(character: str) -> None:
    with pytest.raises(UserError, match=r"^f:2: b: holds the character '\\"):
        yaml.parse(f'a: 1\nb: "x{character}y"\n', file="f")


def test_levels_are_counted() -> None:
    assert yaml.parse("a: " + "[" * 40 + "]" * 40, file="f")
    with pytest.raises(UserError, match="is nested too deeply"):
        yaml.parse("a: " + "[" * 60 + "]" * 60, file="f")


def test_an_empty_document_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    document = yaml.load(tmp_path / "empty.yaml")
    assert document.value is None
    assert document.line(("a",)) == 1


def test_a_file_is_named_as_the_user_wrote_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^my/study\.yaml: cannot be read: No such file"):
        yaml.load(tmp_path / "none.yaml", shown="my/study.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(UserError, match=r"latin\.yaml:2: is not UTF-8 text"):
        yaml.load(tmp_path / "latin.yaml")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcxyz", min_size=1), inner),
    max_leaves=10,
)


@settings(deadline=None)  # machines may be busy
@given(PLAIN)
@example(["0E0", "1e5", "0o7", "no", "010", "2024-01-01", "~", "1_0", 1e5, 1e-4, 10])
def test_what_is_written_reads_back(value: Any) -> None:
    assert yaml.parse(yaml.dump(value), file="f").value == value
