"""What a trial gave for each example: kept beside its adapter, and shared by parts of one split."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trials.tasks.base import Encoded, Task


def write_predictions(path: Path, task: Task, said: Any, data: Encoded) -> None:
    """Per-example predictions as compressed JSON lines, as the task's kind has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for row in task.records(said, data):
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    temporary.replace(path)


def of_portion(said: Any, ids: Sequence[str], portion: Sequence[str]) -> Any:
    """What was said of some examples of a split, in their order.

    Args:
        said: of the whole split, a list or an array by example.
        ids: names of its examples.
        portion: names of those that are asked for.
    """
    places = {name: place for place, name in enumerate(ids)}
    wanted = [places[name] for name in portion]
    return [said[place] for place in wanted] if isinstance(said, list) else said[wanted]
