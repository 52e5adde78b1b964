"""Rules of the house that no linter has."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 400
SOURCES = sorted(
    path
    for folder in ("ablate", "trials", "search_spaces")
    for path in (ROOT / folder).rglob("*.py")
) + [ROOT / "ablate_peft.py"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_source_file_opens_with_its_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_source_file_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name)
def test_nothing_is_left_to_do(path: Path) -> None:
    """In comments; a string may speak of it, as this test does."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    left = [t.string for t in tokens if t.type == tokenize.COMMENT and _marks(t.string)]
    assert not left


def _marks(comment: str) -> bool:
    return any(mark in comment for mark in ("TODO", "FIXME", "XXX"))


def test_the_folder_of_studies_holds_nothing_else() -> None:
    kinds = {path.suffix for path in (ROOT / "search_spaces").iterdir() if path.is_file()}
    assert kinds == {".py", ".yaml"}
