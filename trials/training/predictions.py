"""What a trial gave for each example: kept beside its adapter, and shared by parts of one split."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from trials.tasks.base import Encoded, Outputs, Task


def write_predictions(path: Path, task: Task, outputs: Outputs, data: Encoded) -> None:
    """Per-example predictions as compressed JSON lines, as the task's kind has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for example, told in zip(data.ids, task.told(outputs, data.labels), strict=True):
            row = {"id": example, **told}
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    temporary.replace(path)


def of_portion(outputs: Outputs, ids: Sequence[str], portion: Sequence[str]) -> Outputs:
    """The outputs of some examples of a split, in their order.

    Args:
        outputs: of the whole split.
        ids: names of its examples.
        portion: names of those that are asked for.
    """
    places = {name: place for place, name in enumerate(ids)}
    wanted = [places[name] for name in portion]
    return [outputs[place] for place in wanted] if isinstance(outputs, list) else outputs[wanted]
