"""What answers need of one trial's run, whichever way it was read. Pure.

The rows of a trial come from its tags; a score that MLflow shows another value of, because somebody
logged it later, is the one that MLflow shows. Whatever else a run has changes no answer.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ablate.tracking import records
from trials.spec import Json

SPLITS = ("held_out", "validation", "test")
"""Splits whose metrics are scores of a trial; a curve's name begins with another word."""

ROW_KEYS = f"{records.ROW}."
OTHER_KEYS = (records.KIND, records.TRIAL, records.STALE, records.REUSED)


@dataclass(frozen=True)
class Content:
    """A trial's run, reduced to what answers need.

    Attributes:
        run: its id.
        start: in unix milliseconds.
        tags, metrics: those that `is_needed` and `is_score` name.
    """

    run: str
    start: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    @cached_property
    def digest(self) -> int:
        """64 bits that change when any of this does."""
        parts = [part for item in sorted(self.tags.items()) for part in item]
        parts += map(repr, sorted(self.metrics.items()))
        text = "\0".join([str(self.start), *parts]).encode()
        found = hashlib.blake2b(text, digest_size=8).digest()
        return int.from_bytes(found, "big", signed=True)

    def rows(self) -> list[dict[str, Any]]:
        """Its rows of the table; none for a run that no table shows."""
        row, trial = records.row_of(self.tags), self.tags.get(records.TRIAL)
        if row is None or trial is None or self.tags.get(records.STALE) == "true":
            return []
        return list(records.table_rows(self._rescored(row), trial))

    def _rescored(self, row: Mapping[str, Json]) -> Mapping[str, Json]:
        """The row with the scores that MLflow shows; a failed trial still has none."""
        if row["status"] != "finished" or not self.metrics:
            return row
        scores: dict[str, dict[str, Any]] = {}
        for split, told in row["scores"].items():
            names = {records.key(f"{split}/{name}"): name for name in told}
            shown = {
                names.get(key, key.partition("/")[2]): value
                for key, value in self.metrics.items()
                if key.startswith(f"{split}/")
            }
            scores[split] = {**told, **shown}
        return {**row, "scores": scores}


def is_needed(tag: str) -> bool:
    """Whether an answer may depend on a tag."""
    return tag.startswith(ROW_KEYS) or tag in OTHER_KEYS


def is_score(metric: str) -> bool:
    """Whether a metric is a score of a split."""
    return metric.partition("/")[0] in SPLITS and "/" in metric
