"""Folders of small tasks, and the shared benchmark data where it exists."""

import gzip
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

DEFINITION = """\
task: weather
kind: classification
text: [premise, hypothesis]
label: label
labels: [no, yes]
metrics: [accuracy, f1]
primary: accuracy
"""
ROWS = [
    {"premise": f"It is day {i // 2}.", "hypothesis": f"It rains {i}.", "label": i % 2}
    for i in range(40)
]

WriteFolder = Callable[..., Path]


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Write JSON lines; an item that is text is written as it stands."""
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Write a task's folder; a split that is None is left out."""

    def write(
        definition: str | None = DEFINITION,
        train: Sequence[Any] | None = ROWS,
        validation: Sequence[Any] | None = ROWS[:6],
        test: Sequence[Any] | None = None,
        name: str = "weather",
        suffix: str = ".jsonl",
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if definition is not None:
            (folder / "task.yaml").write_text(definition)
        for split, rows in (("train", train), ("validation", validation), ("test", test)):
            if rows is not None:
                write_rows(folder / f"{split}{suffix}", rows)
        return folder

    return write


@pytest.fixture
def shared_data() -> Path:
    """The benchmark data that lies beside a checkout, or in ABLATE_SHARED."""
    beside = Path(__file__).resolve().parents[3].parent / "shared"
    data = Path(os.environ.get("ABLATE_SHARED", beside)) / "data"
    if not data.is_dir():
        pytest.skip(f"needs the shared benchmark data in {data} (or ABLATE_SHARED)")
    return data
