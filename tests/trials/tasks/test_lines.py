"""Files of JSON lines: what is found, what is read, and what is wrong with them by line."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from trials.errors import Problem, UserError
from trials.tasks.lines import SHOWN, Mistakes, brief, find_split, parse_lines


def read(path: Path) -> tuple[list[tuple[int, Any]], list[str]]:
    mistakes = Mistakes()
    return list(parse_lines(path, path.name, mistakes)), [str(p) for p in mistakes.problems]


def test_plain_and_gzipped_lines_are_the_same(tmp_path: Path) -> None:
    data = '\ufeff{"a": "é\u2028"}\r\n\n  \n{"a": 2}'.encode()
    (tmp_path / "train.jsonl").write_bytes(data)
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress(data))
    rows = [(1, {"a": "é\u2028"}), (4, {"a": 2})]
    assert read(tmp_path / "train.jsonl") == (rows, [])
    assert read(tmp_path / "train.jsonl.gz") == (rows, [])


def test_every_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    lines = [b'{"a": 1}', b'{"a": 1', b"[1]", b'{"a": "\xff"}', b"9" * 5000, b'{"a": 2}']
    (tmp_path / "f.jsonl").write_bytes(b"\n".join(lines))
    rows, problems = read(tmp_path / "f.jsonl")
    assert [number for number, _ in rows] == [1, 6]
    assert problems == [
        "f.jsonl:2: not JSON: Expecting ',' delimiter at column 8",
        "f.jsonl:3: a row must be an object, but got [1]",
        "f.jsonl:4: is not UTF-8 text",
        "f.jsonl:5: not JSON that can be read: a number or a nesting without end",
    ]


def test_a_broken_archive_is_a_mistake_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b'{"a": 1}\n')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 9)[:-12])
    assert read(tmp_path / "a.jsonl.gz")[1][0].startswith("a.jsonl.gz: cannot be read: Not a gzip")
    assert ": cannot be read: " in read(tmp_path / "b.jsonl.gz")[1][0]
    assert read(tmp_path / "c.jsonl")[1] == ["c.jsonl: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gzip.compress(b'{"a": 1}\n', mtime=0), "f.jsonl: is gzipped; call it f.jsonl.gz"),
        (b'\xef\xbb\xbf[\n {"a": 1}\n]', "f.jsonl: is one JSON list; write one object a line"),
        ('{"a": "é"}\n'.encode("utf-16"), "f.jsonl: is UTF-16 text; save it as UTF-8"),
    ],
)
def test_a_file_of_another_form_is_one_mistake(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "f.jsonl").write_bytes(data)
    assert read(tmp_path / "f.jsonl") == ([], [problem])


def test_a_split_is_one_file(tmp_path: Path) -> None:
    mistakes = Mistakes()
    assert find_split(tmp_path, "test", "data", mistakes) is None
    assert find_split(tmp_path, "train", "data", mistakes) is None
    for name in ("validation.jsonl", "validation.jsonl.gz"):
        (tmp_path / name).touch()
    find_split(tmp_path, "validation", "data", mistakes)
    assert [str(p) for p in mistakes.problems] == [
        "data: holds neither train.jsonl nor train.jsonl.gz",
        "data: holds both validation.jsonl and validation.jsonl.gz; keep one",
    ]


def test_the_first_mistakes_are_shown_and_the_rest_counted() -> None:
    mistakes = Mistakes()
    mistakes.raise_any()
    for line in range(SHOWN + 5):
        mistakes.add(Problem("wrong", file="f", line=line))
    with pytest.raises(UserError) as caught:
        mistakes.raise_any()
    assert len(caught.value.problems) == SHOWN + 1
    assert str(caught.value).endswith("f:19: wrong\nand 5 more")


def test_a_value_is_shown_in_brief() -> None:
    assert brief("x" * 99) == '"' + "x" * 36 + "..."
    assert brief(None) == "null"
