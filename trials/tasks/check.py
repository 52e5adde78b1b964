"""What a folder holds, as `ablate check FOLDER` tells it: counts, balance, duplicates, lengths."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, median

from trials.errors import UserError
from trials.spec import Splits
from trials.tasks.base import Rows, Task
from trials.tasks.folder import load_folder


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """One split.

    Attributes:
        split: its name.
        num_rows: its rows.
        labels: label name -> rows (classification), or `lowest`, `mean`, `highest` of the labels
            (regression); empty where the labels are not public.
        num_repeated: rows whose texts stand in an earlier row of the split.
        words: fewest, median and most words of a row, all texts together.
    """

    split: str
    num_rows: int
    labels: Mapping[str, float]
    num_repeated: int
    words: tuple[int, float, int]


@dataclass(frozen=True, kw_only=True)
class FolderReport:
    """A task's folder.

    Attributes:
        name: the task's.
        digest: of its definition and rows.
        splits: what each split holds.
        shared: (split, other split) -> rows of the other whose texts stand in the first.
        held_out: rows of the part held out of train; 0 where train cannot be divided.
        resolved: which data choose and which show by default.
    """

    name: str
    digest: str
    splits: tuple[SplitReport, ...]
    shared: Mapping[tuple[str, str], int]
    held_out: int
    resolved: Splits

    def lines(self) -> tuple[str, ...]:
        """The report as people read it."""
        head = f"task {self.name}, digest {self.digest[:12]}"
        chosen = f"by default {self.resolved.search} chooses and {self.resolved.report} shows"
        held = f"a part held out of train would have {self.held_out or 'no'} rows"
        leaks = (
            f"warning: {number} rows of {later} also stand in {earlier}"
            for (earlier, later), number in self.shared.items()
            if number
        )
        return (head, *map(_line, self.splits), chosen, held, *leaks)


def check_folder(folder: Path, *, shown: str | None = None) -> FolderReport:
    """Check a folder and tell what it holds.

    Args:
        folder: holds `task.yaml` and the rows.
        shown: how messages name it; its path when None.

    Raises:
        UserError: every mistake of the folder.
    """
    return describe(load_folder(folder, shown=shown))


def describe(task: Task) -> FolderReport:
    """Tell what a task holds."""
    texts = {split: list(zip(*task.splits[split].texts, strict=True)) for split in task.available}
    shared = {}
    for first, second in combinations(task.available, 2):
        known = set(texts[first])
        shared[first, second] = sum(text in known for text in texts[second])
    return FolderReport(
        name=task.name,
        digest=task.digest,
        splits=tuple(_describe_split(task, split) for split in task.available),
        shared=shared,
        held_out=_count_held_out(task),
        resolved=task.resolve_splits(),
    )


def _count_held_out(task: Task) -> int:
    try:
        return len(task.rows("held_out", Splits(search="held_out")))
    except UserError:
        return 0


def _describe_split(task: Task, split: str) -> SplitReport:
    rows = task.splits[split]
    texts = list(zip(*rows.texts, strict=True))
    words = [sum(len(text.split()) for text in row) for row in texts]
    return SplitReport(
        split=split,
        num_rows=len(rows),
        labels=_describe_labels(task, rows),
        num_repeated=len(texts) - len(set(texts)),
        words=(min(words), median(words), max(words)),
    )


def _describe_labels(task: Task, rows: Rows) -> dict[str, float]:
    if not rows.labelled:
        return {}
    if task.definition.kind == "regression":
        low, high = min(rows.labels), max(rows.labels)
        return {"lowest": low, "mean": fmean(rows.labels), "highest": high}
    counts = Counter(rows.labels)
    return {name: counts[i] for i, name in enumerate(task.definition.labels)}


def _line(report: SplitReport) -> str:
    labels = ", ".join(f"{name} {value:.6g}" for name, value in report.labels.items())
    low, middle, high = report.words
    return (
        f"{report.split}: {report.num_rows} rows; {labels or 'no public labels'}; "
        f"{report.num_repeated} repeated; {low} to {high} words, {middle:g} in the median"
    )
