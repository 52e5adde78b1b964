"""What trials said of each example, read back for comparisons by example. Files only, no torch.

A trial writes one file for each split that it is scored on, beside its adapter. Trials of one task
have the same examples under the same ids, whatever their arm and seed.
"""

import gzip
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablate.stats.cells import Cell
from ablate.stats.evaluation import Said
from trials.errors import UserError, nearest
from trials.spec import predictions_file
from trials.tasks.text.squad import exact_by_question

COLUMNS = ("label", "prediction", "probability", "outputs", "score")
_BEFORE, _AFTER = predictions_file("*").split("*")


@dataclass(frozen=True)
class ByExample:
    """One number for each seed and example of a cell.

    Attributes:
        values: (seeds, examples); the index holds the seeds, the columns the examples' ids.
        missing: seeds that have a score and whose predictions are not there.
    """

    values: pd.DataFrame
    missing: tuple[int, ...]


def read(folder: Path, split: str) -> pd.DataFrame:
    """One trial's predictions on one split.

    Args:
        folder: the trial's own.
        split: such as `test`.

    Returns:
        One row an example in the order of the data, its id in the index. `label` and
        `prediction` are names, numbers of a regression, or a list of gold answers or references
        and a text; `probability` is that of the predicted label, NaN where there is none;
        `outputs` is the list of what the head gave, None for a text that was written; `score` is
        such a text's own by the primary metric, NaN where that scores no text by itself.

    Raises:
        UserError: the trial has no predictions on the split, or the file is damaged.
    """
    path = folder / predictions_file(split)
    if not path.is_file():
        known = [split for split in splits(folder) if split]
        raise UserError(f"{folder} has no predictions on '{split}'{nearest(split, known)}")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        ids = [row["id"] for row in rows]
        columns = {name: [row[name] for row in rows] for name in ("label", "prediction")}
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    outputs = [row.get("outputs") for row in rows]
    probabilities = [
        math.nan if isinstance(label, list) else _probability(said, given)
        for label, said, given in zip(*columns.values(), outputs, strict=True)
    ]
    scores = [math.nan if row.get("score") is None else float(row["score"]) for row in rows]
    found = {**columns, "probability": probabilities, "outputs": outputs, "score": scores}
    return pd.DataFrame(found, index=pd.Index(ids, name="id"), columns=list(COLUMNS))


def splits(folder: Path) -> tuple[str, ...]:
    """The splits that a trial's folder has predictions on."""
    files = sorted(path.name for path in folder.glob(predictions_file("*")))
    return tuple(name.removeprefix(_BEFORE).removesuffix(_AFTER) for name in files)


def hits(table: pd.DataFrame) -> "pd.Series[Any]":
    """1 where the prediction is the label, or equals a gold answer once normalised, else 0."""
    if len(table) and isinstance(table["label"].iloc[0], list):
        exact = exact_by_question(list(table["prediction"]), list(table["label"]))
        return pd.Series(exact, index=table.index)
    return (table["prediction"] == table["label"]).astype(float)


def scores(table: pd.DataFrame) -> "pd.Series[Any]":
    """What each text scores by itself, in the unit of the task's primary metric."""
    return table["score"].astype(float)


def errors(table: pd.DataFrame) -> "pd.Series[Any]":
    """Prediction minus label of a regression, in label units."""
    return table["prediction"].astype(float) - table["label"].astype(float)


def by_example(
    cell: Cell, trials: Path, value: Callable[[pd.DataFrame], "pd.Series[Any]"] = hits
) -> ByExample:
    """What a cell's confirmed trials came to on each example of the split that is reported.

    Args:
        cell: from `ablate.stats.cells.collect`; has seeds, trials and split.
        trials: the folder of a study's trials.
        value: what counts of an example.

    Returns:
        Values by seed and example; cells of one task align by their columns, and by their seeds.

    Raises:
        UserError: trials of the cell were scored on different examples.
    """
    found: dict[int, pd.Series[Any]] = {}
    missing = []
    for seed in cell.scores:
        folder = trials / cell.trials.get(seed, "")
        if cell.split is None or not (folder / predictions_file(cell.split)).is_file():
            missing.append(seed)
        else:
            found[seed] = value(read(folder, cell.split))
    ids = [list(series.index) for series in found.values()]
    if any(other != ids[0] for other in ids[1:]):
        raise UserError(f"the trials of {cell.label} on {cell.task} were scored on other examples")
    values = pd.DataFrame(
        np.array([series.to_numpy() for series in found.values()]) if found else None,
        index=pd.Index(list(found), name="seed", dtype="int64"),
        columns=pd.Index(ids[0] if ids else [], name="id"),
    )
    return ByExample(values, tuple(missing))


class Stored:
    """What the confirmed trials of a study said of the examples that are reported."""

    def __init__(self, trials: Path, labels: Mapping[str, Sequence[str]]) -> None:
        """Nothing is read yet.

        Args:
            trials: the folder of the study's trials.
            labels: task -> names of its labels by id; empty for a regression.
        """
        self._trials, self._labels = trials, labels

    def __call__(self, cell: Cell) -> Mapping[int, Said]:
        """The predictions of a cell by seed; those that are there and whole."""
        found = {}
        for seed, trial in cell.trials.items():
            if cell.split is not None:
                with suppress(UserError):
                    found[seed] = self._said(cell.task, read(self._trials / trial, cell.split))
        return found

    def _said(self, task: str, table: pd.DataFrame) -> Said:
        names = self._labels.get(task, ())
        if len(table) and isinstance(table["label"].iloc[0], list):
            raise UserError(f"answers to {task} are neither labels nor numbers")
        columns = [table["label"], table["prediction"]]
        if names:
            columns = [column.map({name: i for i, name in enumerate(names)}) for column in columns]
        labels, said = (column.to_numpy(dtype=np.float64) for column in columns)
        return Said(tuple(map(str, table.index)), labels, said, len(names) or None)


def _probability(said: Any, outputs: Sequence[float] | None) -> float:
    """Softmax of the largest output; NaN for a number, or where outputs were not kept."""
    if not isinstance(said, str) or not outputs:
        return math.nan
    largest = max(outputs)
    return 1 / math.fsum(math.exp(output - largest) for output in outputs)
