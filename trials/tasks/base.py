"""A task at work: its rows, which of them choose and which show, how it encodes and scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trials.errors import Problem, UserError, nearest
from trials.families import Head
from trials.spec import Splits
from trials.tasks import metrics
from trials.tasks.definition import Benchmark, Definition, Hub, Span, benchmark
from trials.tasks.holdout import group_rows, hold_out, hold_out_size, quantile_bins
from trials.tasks.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Benchmark", "Definition", "Encoded", "Hub", "Rows", "Span", "Task", "benchmark"]

ENCODED_AT_ONCE = 8192


@dataclass(frozen=True)
class Encoded:
    """Examples as token ids, cut but not padded.

    Attributes:
        input_ids: one list of token ids an example.
        token_type_ids: which text each token belongs to; None where the tokenizer gives none.
        labels: as in `Rows`, or the places of tokens; empty where they are not public.
        ids: name of each example.
        num_truncated: examples that lost tokens.
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]] | None
    labels: list[Any]
    ids: list[str]
    num_truncated: int

    def __len__(self) -> int:
        return len(self.input_ids)

    def example_of(self, index: int) -> int:
        """The example that a row of tokens is of."""
        return index

    @property
    def gold(self) -> Sequence[Any]:
        """What each example's prediction is scored against."""
        return self.labels

    @cached_property
    def tokens(self) -> NDArray[Any]:
        """All token ids, one example after another."""
        return _joined(self.input_ids)

    @cached_property
    def types(self) -> NDArray[Any] | None:
        """All token types, laid out as `tokens`."""
        return None if self.token_type_ids is None else _joined(self.token_type_ids)

    @cached_property
    def starts(self) -> NDArray[Any]:
        """(examples + 1,) where each example begins in `tokens`; the last entry is the end."""
        import numpy as np

        return np.cumsum([0, *map(len, self.input_ids)])


def _joined(lists: Sequence[Sequence[int]]) -> NDArray[Any]:
    import numpy as np

    return np.fromiter((i for part in lists for i in part), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Task:
    """A definition with its rows.

    Attributes:
        definition: what is fixed.
        splits: `train`, `validation` and, if there are any, `test` and those shown beside.
        origin: which data set of the hub they came from, with its commit; None for files.
    """

    definition: Definition
    splits: Mapping[str, Rows]
    origin: str | None = None

    @property
    def name(self) -> str:
        """As studies name it."""
        return self.definition.name

    @property
    def available(self) -> tuple[str, ...]:
        """The splits that there are."""
        return tuple(split for split in self.definition.splits if split in self.splits)

    @property
    def num_examples(self) -> Mapping[str, int]:
        """Rows of each split that there is."""
        return {split: len(self.splits[split]) for split in self.available}

    @property
    def head(self) -> Head:
        """What it asks of a trial's head."""
        return self.definition.head

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that can change a trial's numbers, however it is stored."""
        sha = hashlib.sha256()
        encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
        sha.update(encode(self.definition.identity).encode())
        for split in self.available:
            rows = self.splits[split]
            labels = rows.labels if rows.labelled else (None,) * len(rows)
            sha.update(f"\n{split} {len(rows)}\n".encode())
            for values in zip(*rows.texts, *rows.groups, labels, strict=True):
                sha.update(encode(values).encode() + b"\n")
        return sha.hexdigest()

    def resolve_splits(self, split: str | Mapping[str, str] = "auto") -> Splits:
        """Decide which data choose and which show.

        Args:
            split: `auto`: a test split with public labels shows and validation chooses; without
                one validation shows and a part held out of train chooses. Or `search` and
                `report` by name.

        Raises:
            UserError: a key or name that does not exist, or a split without public labels.
        """
        if isinstance(split, Mapping):
            return self._named_splits(split)
        if split != "auto":
            message = f"must be auto, or search and report by name, but got {split!r}"
            raise UserError(Problem(message, key="split"))
        if "test" in self.splits and self.splits["test"].labelled:
            return Splits(search="validation", report="test")
        return Splits(search="held_out", report="validation")

    def rows(self, part: str, splits: Splits) -> Rows:
        """The rows of a part of the data.

        Args:
            part: `train` (less the held-out part where the search reads it), `held_out`,
                `validation` or `test`.
            splits: which data choose and which show.

        Raises:
            UserError: the task has no such part, or its train split cannot be divided.
            ValueError: the held-out part is asked for though it is a part of train.
        """
        if part == "held_out" and splits.search != "held_out":
            raise ValueError(f"nothing is held out of train when search is {splits.search}")
        if part == "held_out":
            return self._divided[1]
        if part not in self.splits:
            raise UserError(
                f"task '{self.name}' has no {part} split{nearest(part, self.available)}"
            )
        if part == "train" and splits.search == "held_out":
            return self._divided[0]
        return self.splits[part]

    def shown(self, splits: Splits) -> tuple[str, ...]:
        """The parts whose scores a confirming trial shows: the reported one, those beside it."""
        beside = (split for split in self.definition.beside if split in self.splits)
        return tuple(dict.fromkeys((splits.report, *beside)))

    def linked(self, rows: Rows) -> list[list[tuple[Any, ...]]]:
        """The group columns of some rows, in sets that share their values."""
        columns = iter(rows.groups)
        return [[next(columns) for _ in names] for names in self.definition.links]

    def encode(self, tokenizer: Any, rows: Rows, max_length: int) -> Encoded:
        """Turn texts into token ids; two texts as a pair, the longer one cut first.

        Args:
            tokenizer: a fast tokenizer of `transformers`.
            rows: the examples.
            max_length: tokens an example is cut to.

        Raises:
            UserError: an example gives no token, as an empty text does where a tokenizer adds
                none of its own.
        """
        input_ids: list[list[int]] = []
        types: list[list[int]] = []
        num_truncated = 0
        for start in range(0, len(rows), ENCODED_AT_ONCE):
            texts = (list(column[start : start + ENCODED_AT_ONCE]) for column in rows.texts)
            batch = tokenizer(
                *texts, truncation=True, max_length=max_length, return_attention_mask=False
            )
            input_ids += batch["input_ids"]
            types += batch.get("token_type_ids", [])
            num_truncated += sum(bool(encoding.overflowing) for encoding in batch.encodings)
        silent = [rows.ids[i] for i, ids in enumerate(input_ids) if not ids]
        if silent:
            raise UserError(
                f"task '{self.name}': {len(silent)} rows give no token, the first {silent[0]}; "
                "leave rows with empty texts out"
            )
        labels: list[Any] = list(rows.labels)
        return Encoded(input_ids, types or None, labels, list(rows.ids), num_truncated)

    def read(self, outputs: NDArray[Any], data: Encoded) -> Any:
        """What the head says of each example, as `scores` and the like take it.

        Args:
            outputs: as the head gave them for a split.
            data: the split.
        """
        return outputs

    def decide(self, said: Any, chosen: Any, gold: Sequence[Any]) -> Any:
        """Settle what the examples of the split that chooses have to settle.

        Args:
            said: of any split, from `read`.
            chosen: of the split that chooses, from `read`.
            gold: of that split.
        """
        return said

    def records(self, said: Any, data: Encoded) -> Iterator[dict[str, Any]]:
        """What is kept of each example: id, label, prediction, and what the head gave.

        Args:
            said: from `decide`.
            data: the split.
        """
        rows = zip(
            data.ids, self.names(data.gold), self.predictions(said), said.tolist(), strict=True
        )
        for example, label, prediction, outputs in rows:
            yield {"id": example, "label": label, "prediction": prediction, "outputs": outputs}

    def predictions(self, outputs: Any) -> list[str] | list[float]:
        """What outputs say: a label's name, or a number, for each example.

        Args:
            outputs: (examples, outputs of the head).
        """
        regression = self.definition.kind == "regression"
        return self.names(outputs[:, 0] if regression else outputs.argmax(axis=1))

    def names(self, labels: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """Labels as people read them: names, or numbers.

        Args:
            labels: (examples,) as in `Rows`.
        """
        if self.definition.kind == "regression":
            return [float(value) for value in labels]
        return [self.definition.labels[int(i)] for i in labels]

    def target(self, data: Encoded, index: int, tokenizer: Any) -> str | float:
        """What the head is trained to say of one row of tokens, as people read it.

        Args:
            data: encoded rows with labels.
            index: of the row of tokens.
            tokenizer: what they were encoded with.
        """
        said: str | float = self.names([data.labels[index]])[0]
        return said

    def scores(self, outputs: Any, labels: Sequence[Any]) -> dict[str, float]:
        """Every metric of the task, in its own unit.

        Args:
            outputs: (examples, outputs of the head).
            labels: (examples,) as in `Rows`.

        Returns:
            Metric -> value; NaN where it is undefined or an output is not finite.

        Raises:
            ValueError: no examples, or shapes that do not fit.
        """
        import numpy as np

        if not len(labels) or outputs.shape != (len(labels), self.head.outputs):
            raise ValueError(f"{outputs.shape=} does not fit {len(labels)} labels")
        if not np.isfinite(outputs).all():
            return dict.fromkeys(self.definition.metrics, float("nan"))
        if self.definition.kind == "regression":
            said = np.asarray(outputs[:, 0], dtype=np.float64)
        else:
            said = outputs.argmax(axis=1)
        truth = np.asarray(labels, dtype=said.dtype)
        return {name: metrics.find(name).function(said, truth) for name in self.definition.metrics}

    @staticmethod
    def grid_step(metric: str, num_examples: int) -> float | None:
        """The smallest difference that a metric can show; None where there is no grid."""
        return metrics.grid_step(metric, num_examples)

    @cached_property
    def _divided(self) -> tuple[Rows, Rows]:
        """Train less the held-out part, and that part."""
        train = self.splits["train"]
        links = self.linked(train)
        if not set(self.definition.format.group) & set(self.definition.text):
            links.append([tuple(zip(*train.texts, strict=True))])  # duplicates stay together
        groups = group_rows(links, len(train))
        out = hold_out(groups, self.strata(train), size=hold_out_size(len(train)), key=self.digest)
        if not out:
            raise UserError(
                f"task '{self.name}': nothing can be held out of train, for its "
                f"{len(train)} rows form {len(set(groups))} group(s); name another search split"
            )
        held = set(out)
        return train.take([i for i in range(len(train)) if i not in held]), train.take(out)

    def strata(self, rows: Rows) -> list[int]:
        """For each row the stratum of which a hold-out takes its share."""
        if self.definition.kind == "regression":
            return quantile_bins(rows.labels)
        return [int(label) for label in rows.labels]

    def _named_splits(self, split: Mapping[str, str]) -> Splits:
        public = [s for s in self.available if s != "train" and self.splits[s].labelled]
        options = {"search": ["held_out", *public], "report": public}
        problems = [
            Problem(f"no such key{nearest(key, options)}", key=f"split.{key}")
            for key in split
            if key not in options
        ]
        for key, names in options.items():
            if key not in split:
                problems.append(Problem("is missing", key=f"split.{key}"))
            elif split[key] not in names:
                message = f"task '{self.name}' has no split '{split[key]}' with public labels"
                hint = f"; expected one of {', '.join(names)}"
                problems.append(Problem(message + hint, key=f"split.{key}"))
        if problems:
            raise UserError(*problems)
        return Splits(search=split["search"], report=split["report"])
