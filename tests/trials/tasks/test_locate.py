"""Where a task's rows are looked for, in order, and what is said when they are nowhere."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trials import catalogue
from trials.errors import UserError
from trials.tasks import locate
from trials.tasks.definition import Definition, Hub, benchmark
from trials.tasks.folder import load_folder
from trials.tasks.locate import definition_of, is_folder, is_here, load

WriteFolder = Callable[..., Path]
WEATHER = Definition(
    name="weather_on_hub",
    kind="classification",
    text=("premise", "hypothesis"),
    label="label",
    labels=("no", "yes"),
    metrics=("accuracy", "f1"),
    primary="accuracy",
    hub=Hub(path="me/weather", splits=(("train", "train"), ("validation", "dev"))),
    folder="weather",
)


DEFINITION = """\
task: weather
kind: classification
text: [premise, hypothesis]
label: label
labels: [no, yes]
metrics: [accuracy, f1]
primary: accuracy
"""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    catalogue.tasks()  # What is imported later would be forgotten with the copy.
    monkeypatch.setitem(catalogue._registry, "task", dict(catalogue._registry["task"]))
    benchmark(WEATHER, module=__name__)
    locate._from_hub.cache_clear()
    yield
    locate._from_hub.cache_clear()


@pytest.mark.parametrize(
    ("value", "expected"),
    [("cola", False), ("./cola", True), (".", True), ("data/cola", True), ("tiny.v2", False)],
)
def test_a_path_is_known_by_its_look(value: str, expected: bool) -> None:
    assert is_folder(value) is expected


def test_a_folder_is_relative_to_the_study(write_folder: WriteFolder) -> None:
    folder = write_folder()
    assert load("./weather", base=folder.parent).name == "weather"
    assert load(f"{folder}/").name == "weather"
    assert load(str(folder)) is load(str(folder))


def test_a_changed_folder_is_read_again(write_folder: WriteFolder) -> None:
    folder = write_folder()
    before = load(str(folder)).digest
    path = folder / "validation.jsonl"
    path.write_text(path.read_text().replace("rains", "snows"))
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert load(str(folder)).digest != before


def test_a_folder_without_a_definition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^\./none: no folder with a task\.yaml$"):
        load("./none", base=tmp_path)


def test_an_unknown_name_has_the_nearest(write_folder: WriteFolder) -> None:
    with pytest.raises(UserError, match=r"no task called 'colla'; did you mean 'cola'\?"):
        load("colla")
    with pytest.raises(UserError, match=r"for the folder write '\./weather'"):
        load("weather", base=write_folder().parent)


@pytest.mark.usefixtures("registered")
def test_the_first_root_with_the_folder_wins(write_folder: WriteFolder, tmp_path: Path) -> None:
    root = write_folder().parent
    task = load("weather_on_hub", roots=[tmp_path / "none", root])
    assert task.definition is WEATHER
    assert task.digest == load_folder(root / "weather").digest


def test_the_package_comes_after_the_roots(write_folder: WriteFolder) -> None:
    assert load("tiny_acceptability").num_examples["train"] > 40
    root = write_folder(train=[{"sentence": "a"}], name="tiny_acceptability").parent
    with pytest.raises(UserError, match=r"tiny_acceptability/train\.jsonl:1: no column 'label'"):
        load("tiny_acceptability", roots=[root])


@pytest.mark.usefixtures("registered")
def test_the_hub_comes_last(write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    answer = load_folder(write_folder())

    def from_hub(definition: Definition, instead: str) -> Any:
        read.append((definition.name, instead))
        return answer

    monkeypatch.setattr("trials.tasks.hub.read", from_hub)
    assert load("weather_on_hub") is answer
    assert read == [
        (
            "weather_on_hub",
            "put its rows into <root>/weather/train.jsonl[.gz] and validation.jsonl[.gz] with the "
            "columns premise, hypothesis, label, and give the root with --data or ABLATE_DATA",
        )
    ]


@pytest.mark.usefixtures("registered")
def test_whether_rows_are_here_is_known_without_reading_them(
    write_folder: WriteFolder, tmp_path: Path
) -> None:
    of_hub = DEFINITION + "hub: {id: me/weather}\n"
    bare = write_folder(of_hub, None, None, name="bare")
    full = write_folder(of_hub, ["{"], None, name="weather")
    broken = write_folder("task: [\n", None, None, name="broken")
    without = write_folder(DEFINITION, None, None, name="without")
    assert not is_here(str(bare))
    assert all(is_here(str(folder)) for folder in (full, broken, without))
    assert not is_here("weather_on_hub")
    assert is_here("weather_on_hub", roots=[tmp_path])
    assert is_here("tiny_acceptability")
    assert definition_of("./bare", base=tmp_path).name == "weather"
    assert definition_of("weather_on_hub") is WEATHER
    with pytest.raises(UserError, match="no task called"):
        is_here("weathr_on_hub")


@pytest.mark.usefixtures("registered")
def test_a_task_that_is_nowhere_names_the_folder_that_would_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        catalogue.lookup("task", "weather_on_hub"), "definition", replace(WEATHER, hub=None)
    )
    with pytest.raises(UserError, match=r"in none of the data roots; put its rows into <root>/we"):
        load("weather_on_hub")
