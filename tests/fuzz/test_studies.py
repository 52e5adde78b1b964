"""Studies, tasks, settings and expressions that are almost right: read, or refused in words."""

from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import FUZZED, TOKENS, edited, edits, in_time

import search_spaces
from ablate.expressions import Expression
from ablate.plan import plan
from ablate.study import Study
from trials.errors import UserError
from trials.tasks.folder import load_folder

TEMPLATES = files("ablate") / "templates"
STUDY = (TEMPLATES / "study.yaml").read_text(encoding="utf-8").replace("{name}", "mine")
STUDIES = [STUDY] + [
    path.read_text(encoding="utf-8")
    for path in sorted(Path(next(iter(search_spaces.__path__))).glob("*.yaml"))[:4]
]
TASK = (TEMPLATES / "task" / "task.yaml").read_text(encoding="utf-8").replace("{name}", "mine")
ROWS = (TEMPLATES / "task" / "train.jsonl").read_text(encoding="utf-8")
NESTED = "study: x\na: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{chr(97 + i)}: &{chr(97 + i)} [{', '.join(['*' + chr(96 + i)] * 9)}]\n" for i in range(1, 12)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task in it, where nothing else may appear."""
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "inside" / "mine").mkdir(parents=True)
    for name, text in (("task.yaml", TASK), ("train.jsonl", ROWS), ("validation.jsonl", ROWS)):
        (folder / "inside" / "mine" / name).write_text(text, encoding="utf-8")
    return folder / "inside"


def contents(folder: Path) -> set[Path]:
    return set(folder.parent.rglob("*"))


@given(text=st.sampled_from(STUDIES), changes=edits())
@example(text=NESTED, changes=[])
@example(text=STUDY + "confirm: {seeds: 4000000000}\n", changes=[])
@FUZZED
def test_a_study(place: Path, text: str, changes: list[Any]) -> None:
    file = place / "study.yaml"
    file.write_text(edited(text, changes), encoding="utf-8", errors="surrogatepass")
    before = contents(place)
    with in_time(), suppress(UserError):
        plan(Study.read(file))
    assert contents(place) == before


@given(
    key=st.lists(st.sampled_from(["train", "tune", "arms[0]", "space", "x", "[", ".", "study"])),
    value=st.one_of(st.sampled_from(TOKENS), st.text(max_size=8)),
)
@FUZZED
def test_a_setting(place: Path, key: list[str], value: str) -> None:
    file = place / "set.yaml"
    file.write_text(STUDY, encoding="utf-8")
    with in_time(), suppress(UserError):
        Study.read(file, [f"{'.'.join(key)}={value}"])


@given(definition=edits(), rows=edits(), which=st.sampled_from(["task", "rows", "both"]))
@FUZZED
def test_a_task(place: Path, definition: list[Any], rows: list[Any], which: str) -> None:
    folder = place.parent / "task"
    folder.mkdir(exist_ok=True)
    texts = {
        "task.yaml": edited(TASK, definition) if which != "rows" else TASK,
        "train.jsonl": edited(ROWS, rows) if which != "task" else ROWS,
        "validation.jsonl": ROWS,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")
    before = contents(place)
    with in_time(), suppress(UserError):
        load_folder(folder)
    assert contents(place) == before


VALUES = {"rank": 8, "method": "lora", "freeze": ["a", "b"], "grown": True, "alpha": 1.5, "n": None}
WORDS = [
    *VALUES, "absent", "a.b.c", "and", "or", "not", "in", "not in", "==", "!=", "<", "<=", ">",
    ">=", "(", ")", "[", "]", ",", "1", "-1", "1e999", "'x'", '"', "'", "true", "null", "None",
    "\\d", "lambda:", "f'{rank!r:>{alpha}}'", "__import__('os')", "rank()", ":=", "if", "else",
    "is", "*", "**", "await", "yield", "#", "\n", "\0", "\\", "0x", "1_0", "\uff52ank", "\ud800",
    "9" * 5000, "(" * 60, "not " * 60, "x." * 60, "[" * 60, "1 < " * 2000,
]  # fmt: skip


@given(words=st.lists(st.sampled_from(WORDS), max_size=12), between=st.sampled_from(["", " "]))
@example(words=["not "] * 900 + ["grown"], between="")
@example(words=["x" + ".y" * 900], between="")
@example(words=["[" * 90 + "1" + "]" * 90, "==", "rank"], between=" ")
@FUZZED
def test_an_expression(words: list[str], between: str) -> None:
    with in_time(), suppress(UserError):
        expression = Expression.parse(between.join(words))
        assert expression.names is not None
        assert expression.compared is not None
        expression.holds(VALUES)
