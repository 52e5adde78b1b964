"""Files of JSON lines, plain or gzipped, and the gathering of their mistakes."""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trials.errors import Problem, UserError

SPLITS = ("train", "validation", "test")
NEEDED = ("train", "validation")
SHOWN = 20


@dataclass
class Mistakes:
    """Gathers problems; keeps the first ones and counts the rest."""

    problems: list[Problem] = field(default_factory=list)
    num_more: int = 0

    def add(self, problem: Problem) -> None:
        """Note one more problem."""
        if len(self.problems) < SHOWN:
            self.problems.append(problem)
        else:
            self.num_more += 1

    def raise_any(self) -> None:
        """Raise all problems as one error.

        Raises:
            UserError: there are problems.
        """
        if self.num_more:
            raise UserError(*self.problems, f"and {self.num_more} more")
        if self.problems:
            raise UserError(*self.problems)


def find_split(folder: Path, split: str, shown: str, mistakes: Mistakes) -> Path | None:
    """The file of a split, plain or gzipped; None where there is none.

    Args:
        folder: holds `<split>.jsonl` or `<split>.jsonl.gz`.
        split: name of the split; only those of `NEEDED` must be there.
        shown: how messages name the folder.
        mistakes: takes a missing file, or two files for one split.
    """
    names = [f"{split}.jsonl", f"{split}.jsonl.gz"]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) == 2:
        mistakes.add(Problem(f"holds both {names[0]} and {names[1]}; keep one", file=shown))
    if not found and split in NEEDED:
        mistakes.add(Problem(f"holds neither {names[0]} nor {names[1]}", file=shown))
    return found[0] if found else None


def parse_lines(
    path: Path, shown: str, mistakes: Mistakes
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Read the objects of a file of JSON lines; blank lines are passed over.

    Args:
        path: `.jsonl`, or `.jsonl.gz` of the same text.
        shown: how messages name the file.
        mistakes: takes every line that is no object, and a file that cannot be read.

    Yields:
        (line counted from 1, object) pairs.
    """
    number = 0
    try:
        if (wrong := _not_lines(path)) is not None:
            mistakes.add(Problem(wrong, file=shown))
            return
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 (named in the handler below)
                row, wrong = _parse_line(line)
                if wrong is not None:
                    mistakes.add(Problem(wrong, file=shown, line=number))
                if row is not None:
                    yield number, row
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        line_number = number + 1 if number else None
        mistakes.add(Problem(f"cannot be read: {reason}", file=shown, line=line_number))


def _not_lines(path: Path) -> str | None:
    """What a file is that cannot be read line by line, by its first bytes; None for lines."""
    with path.open("rb") as file:
        start = file.read(64)
    if path.suffix != ".gz" and start[:2] == b"\x1f\x8b":
        return f"is gzipped; call it {path.name}.gz"
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "is UTF-16 text; save it as UTF-8"
    if start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":
        return "is one JSON list; write one object a line"
    return None


def _parse_line(line: bytes) -> tuple[Mapping[str, Any] | None, str | None]:
    try:
        text = line.removeprefix(codecs.BOM_UTF8).decode().strip()
    except UnicodeDecodeError:
        return None, "is not UTF-8 text"
    if not text:
        return None, None
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        return None, f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError):
        return None, "not JSON that can be read: a number or a nesting without end"
    if not isinstance(row, dict):
        return None, f"a row must be an object, but got {brief(row)}"
    return row, None


def brief(value: Any) -> str:
    """A JSON value as messages show it, cut to 40 characters."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."
