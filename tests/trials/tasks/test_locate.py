"""Where a task's rows are looked for, in order, and what is said when they are nowhere."""

import os
import sys
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trials import catalogue
from trials.errors import UserError
from trials.tasks import locate
from trials.tasks.definition import Definition, Hub, benchmark
from trials.tasks.folder import load_folder
from trials.tasks.locate import is_folder, load

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


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    catalogue.tasks()
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
    local = load_folder(write_folder())
    asked = []

    def load_dataset(path: str, config: str | None, split: str) -> Any:
        asked.append((path, config, split))
        rows = local.splits["train" if split == "train" else "validation"]
        columns = {"premise": rows.texts[0], "hypothesis": rows.texts[1], "label": rows.labels}
        return _Found({name: list(column) for name, column in columns.items()})

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load("weather_on_hub").digest == local.digest
    assert asked == [("me/weather", None, "train"), ("me/weather", None, "dev")]


class _Found:
    """As much of `datasets.Dataset` as is used."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.column_names, self._columns = list(columns), columns

    def __getitem__(self, key: slice) -> dict[str, list[Any]]:
        return {name: column[key] for name, column in self._columns.items()}


@pytest.mark.usefixtures("registered")
def test_a_hub_out_of_reach_names_the_folder_that_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(request: Any, timeout: float) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(UserError) as caught:
        load("weather_on_hub")
    assert str(caught.value) == (
        "task 'weather_on_hub' is in none of the data roots and https://huggingface.co cannot be "
        "reached (no route); put its rows into <root>/weather/train.jsonl[.gz] and "
        "validation.jsonl[.gz] with the columns premise, hypothesis, label, and give the root "
        "with --data or ABLATE_DATA, or set HF_HUB_OFFLINE=1 to read what the hub's client has in "
        "its cache"
    )


@pytest.mark.usefixtures("registered")
def test_a_hub_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(path: str, config: str | None, split: str) -> Any:
        raise ConnectionError("offline mode\nand more")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"me/weather cannot be read \(offline mode\); put its"):
        load("weather_on_hub")
