"""The committed tasks are those that the script writes."""

import gzip
import json
from pathlib import Path

import pytest
import yaml

from trials.tiny import FOLDER
from trials.tiny.make_tasks import DRAWS, SPLITS, Row, build_task, compress

TASKS = tuple(DRAWS)


def committed(task: str) -> dict[str, list[Row]]:
    paths = {split: FOLDER / "tasks" / task / f"{split}.jsonl.gz" for split in SPLITS}
    return {
        split: [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        for split, path in paths.items()
    }


@pytest.mark.parametrize("task", TASKS)
def test_regenerating_a_task_gives_the_committed_rows(task: str) -> None:
    rows = build_task(task)
    assert rows == committed(task)
    # The compressed bytes may differ between versions of zlib; their time stamp may not.
    assert compress(rows["test"]) == compress(rows["test"])
    assert compress(rows["test"])[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize("task", TASKS)
def test_no_text_stands_in_two_rows(task: str) -> None:
    columns = DRAWS[task][0]
    texts = [row[column] for rows in committed(task).values() for row in rows for column in columns]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("task", TASKS)
def test_splits_have_their_size_balanced_labels_and_short_texts(task: str) -> None:
    columns = DRAWS[task][0]
    for split, rows in committed(task).items():
        assert len(rows) == SPLITS[split]
        assert 0.43 < sum(int(row["label"]) for row in rows) / len(rows) < 0.57
        for row in rows:
            text = " ".join(str(row[column]) for column in columns)
            tokens = text.replace(".", " .").replace(",", " ,").split()
            assert len(tokens) + 1 + len(columns) <= (24 if len(columns) == 1 else 40)


@pytest.mark.parametrize("task", TASKS)
def test_a_description_names_the_columns_of_the_rows(task: str) -> None:
    path: Path = FOLDER / "tasks" / task / "task.yaml"
    description = yaml.safe_load(path.read_text())
    assert description["task"] == task
    row = committed(task)["validation"][0]
    assert {*description["text"], description["label"], "idx"} == set(row)
    assert description["primary"] in description["metrics"]
