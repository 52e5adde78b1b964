"""Rows from the hub: one commit, columns and labels by our names, and what is said without it.

The hub is not asked: data sets of `datasets` lie on the disk, and its loading function reads them.
"""

import urllib.error
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trials.errors import UserError
from trials.tasks import hub
from trials.tasks.definition import Definition, Hub
from trials.tasks.folder import load_folder

WriteFolder = Callable[..., Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEATHER = Definition(
    name="weather",
    kind="classification",
    text=("premise", "hypothesis"),
    label="label",
    labels=("no", "yes"),
    metrics=("accuracy", "f1"),
    primary="accuracy",
    hub=Hub(
        path="me/weather",
        config="wet",
        revision=COMMIT,
        splits=(("train", "train"), ("validation", "dev")),
        columns=(("premise", "sentence1"), ("hypothesis", "sentence2"), ("label", "gold")),
    ),
)
Asked = list[tuple[Any, ...]]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A data set on the disk in the hub's place; notes what was asked for."""
    import datasets

    features = datasets.Features(
        {
            "sentence1": datasets.Value("string"),
            "sentence2": datasets.Value("string"),
            "gold": datasets.ClassLabel(names=["yes", "no"]),  # not in our order
            "idx": datasets.Value("int32"),
        }
    )
    for split, number in (("train", 40), ("dev", 6)):
        columns = {
            "sentence1": [f"It is day {i // 2}." for i in range(number)],
            "sentence2": [f"It rains {i}." for i in range(number)],
            "gold": [1 - i % 2 for i in range(number)],
            "idx": list(range(number)),
        }
        found = datasets.Dataset.from_dict(columns, features=features)
        found.save_to_disk(str(tmp_path / "hub" / split))
    noted: Asked = []

    def load_dataset(path: str, config: str | None, *, split: str, revision: str | None) -> Any:
        noted.append((path, config, split, revision))
        if not (tmp_path / "hub" / split).is_dir():
            raise ValueError(f"Unknown split {split!r}.\nAnd more.")
        return datasets.load_from_disk(str(tmp_path / "hub" / split))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return noted


def test_columns_and_labels_have_our_names_and_the_commit_is_the_one_asked_for(
    asked: Asked, write_folder: WriteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="trials.tasks.hub"):
        task = hub.read(WEATHER, "instead")
    assert task.digest == load_folder(write_folder()).digest
    assert asked == [("me/weather", "wet", split, COMMIT) for split in ("train", "dev")]
    assert task.origin == f"me/weather, configuration wet, at {COMMIT}"
    assert task.origin in caplog.text


def test_a_branch_is_turned_into_its_commit_before_anything_is_read(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    class Info:
        sha = COMMIT

    questions: list[tuple[str, str | None]] = []

    def dataset_info(self: Any, path: str, *, revision: str | None) -> Info:
        questions.append((path, revision))
        return Info()

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(hub, "_is_offline", lambda: False)
    monkeypatch.setattr(hub, "_require_reachable", lambda definition, instead: None)
    for revision in ("main", None):
        assert WEATHER.hub is not None
        place = replace(WEATHER, hub=replace(WEATHER.hub, revision=revision))
        assert str(hub.read(place, "instead").origin).endswith(f"at {COMMIT}")
    assert questions == [("me/weather", "main"), ("me/weather", None)]
    assert {commit for *_, commit in asked} == {COMMIT}


def test_label_names_that_are_not_ours_leave_the_ids(asked: Asked) -> None:
    task = hub.read(replace(WEATHER, labels=("dry", "wet")), "instead")
    assert task.splits["train"].labels[:3] == (1, 0, 1)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"columns": (("premise", "sentence_1"),)},
            "task 'weather': hub.columns.premise: me/weather has no column 'sentence_1'"
            "; did you mean 'sentence1'?",
        ),
        ({"columns": (("label", "gold"),)}, "me/weather/wet[train]:1: no column 'premise'"),
        (
            {"splits": (("train", "train"), ("validation", "test"))},
            "task 'weather': the hub's me/weather cannot be read (Unknown split 'test'.); instead",
        ),
    ],
)
def test_what_the_hub_does_not_have_is_said(changed: dict[str, Any], problem: str) -> None:
    assert WEATHER.hub is not None
    with pytest.raises(UserError) as caught:
        hub.read(replace(WEATHER, hub=replace(WEATHER.hub, **changed)), "instead")
    assert str(caught.value).startswith(problem)


def test_a_folder_without_rows_reads_those_of_the_hub_and_with_rows_its_own(
    asked: Asked, write_folder: WriteFolder
) -> None:
    own = load_folder(write_folder(DEFINITION))
    assert own.origin is None
    assert asked == []
    bare = load_folder(write_folder(DEFINITION, None, None, name="bare"))
    assert bare.digest == own.digest
    assert bare.origin == f"me/weather, configuration wet, at {COMMIT}"


def test_a_hub_out_of_reach_names_the_files_that_would_do(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def urlopen(request: Any, timeout: float) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(UserError) as caught:
        load_folder(write_folder(DEFINITION, None, None), shown="./weather")
    assert str(caught.value) == (
        "task 'weather': its rows are not on this machine and https://huggingface.co cannot be "
        "reached (no route); put its rows into ./weather/train.jsonl[.gz] and validation.jsonl"
        "[.gz] with the columns premise, hypothesis, label, or set HF_HUB_OFFLINE=1 to read what "
        "the hub's client has in its cache"
    )


def test_offline_without_the_data_set_in_the_cache_is_the_users_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real client, which has no such data set."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"the hub's me/weather cannot be read \(.+\); instead$"):
        hub.read(WEATHER, "instead")


DEFINITION = f"""\
task: weather
kind: classification
text: [premise, hypothesis]
label: label
labels: [no, yes]
metrics: [accuracy, f1]
primary: accuracy
hub:
  id: me/weather
  config: wet
  revision: {COMMIT}
  columns: {{premise: sentence1, hypothesis: sentence2, label: gold}}
  splits: {{train: train, validation: dev}}
"""
