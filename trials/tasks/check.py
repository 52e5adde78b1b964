"""What a task's data hold, as `ablate check FOLDER` tells it.

Counts, balance, duplicates within and across splits, related rows, lengths in a backbone's tokens,
and some rows as the model sees them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from trials.errors import UserError
from trials.spec import Splits
from trials.tasks.base import Rows, Task
from trials.tasks.overlap import Overlap, overlaps
from trials.tasks.seen import Example, TokenReport, count_tokens, count_written, examples
from trials.tasks.span import SpanTask
from trials.tasks.text.squad import normalise

MUCH_UNKNOWN = 0.05
"""Share of a split's tokens from which a tokenizer that does not know them is a warning."""


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """One split.

    Attributes:
        split: its name.
        num_rows: its rows.
        labels: label name -> rows (classification); `lowest`, `mean`, `highest` of the labels
            (regression); `answered` and `unanswered` rows (span); `references` and the `fewest`
            and `most` of a row (text to text); empty where they are not public.
        absent: labels that no row has.
        num_repeated: rows whose texts stand in an earlier row of the split.
        num_contradicted: of those, rows whose label is another than in the first such row.
        num_empty: rows of which a text is empty or blank, be it a reference.
        num_bare: rows of which an answer is nothing but articles and punctuation, which scoring
            leaves out.
        words: fewest, median and most words of a row, all texts together.
        tokens: None without a tokenizer.
    """

    split: str
    num_rows: int
    labels: Mapping[str, float]
    absent: tuple[str, ...]
    num_repeated: int
    num_contradicted: int
    num_empty: int
    num_bare: int
    words: tuple[int, float, int]
    tokens: TokenReport | None


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """A task's data.

    Attributes:
        name: the task's.
        digest: of its definition and rows.
        origin: which data set of the hub they came from; None for files.
        splits: what each split holds.
        overlaps: what each two of them share.
        held_out: rows of the part held out of train; 0 where train cannot be divided.
        resolved: which data choose and which show by default.
        backbone: whose tokens were counted; None without a tokenizer.
        max_length: tokens that rows are cut to.
        examples: some rows of train.
    """

    name: str
    digest: str
    origin: str | None
    splits: tuple[SplitReport, ...]
    overlaps: tuple[Overlap, ...]
    held_out: int
    resolved: Splits
    backbone: str | None
    max_length: int | None
    examples: tuple[Example, ...]

    def lines(self) -> Iterator[str]:
        """The report as people read it."""
        yield f"task {self.name}, digest {self.digest[:12]}"
        if self.origin is not None:
            yield f"from {self.origin}"
        for split in self.splits:
            yield _line(split)
        yield f"by default {self.resolved.search} chooses and {self.resolved.report} shows"
        yield f"a part held out of train would have {self.held_out or 'no'} rows"
        if self.backbone is not None:
            yield f"tokens of {self.backbone}, cut to {self.max_length}:"
            yield from (_token_line(s.split, s.tokens) for s in self.splits if s.tokens)
        yield from (f"warning: {text}" for text in self.warnings())
        if self.examples:
            yield "as the model sees them:"
        for example in self.examples:
            label = "" if example.label is None else f", label {example.label}"
            yield f"  {example.id}{label}: {example.seen}"

    def warnings(self) -> Iterator[str]:
        """What a reader should know before training on the data."""
        for split in self.splits:
            yield from _warnings(split, self.max_length)
        for overlap in self.overlaps:
            if overlap.equal or overlap.related:
                yield str(overlap)


def describe(
    task: Task,
    tokenizer: Any = None,
    *,
    backbone: str | None = None,
    max_length: int = 128,
    start_id: int | None = None,
) -> TaskReport:
    """Tell what a task's data hold.

    Args:
        task: the task.
        tokenizer: a fast tokenizer of `transformers`; None to count words alone.
        backbone: whose tokenizer it is.
        max_length: tokens that rows are cut to.
        start_id: the token that the backbone's decoder begins with; None where it has none.
    """
    shown = () if tokenizer is None else examples(task, tokenizer, max_length, start_id)
    return TaskReport(
        name=task.name,
        digest=task.digest,
        origin=task.origin,
        splits=tuple(
            _describe_split(task, s, tokenizer, max_length, start_id) for s in task.available
        ),
        overlaps=overlaps(task, Splits(search="validation"), task.available),
        held_out=_count_held_out(task),
        resolved=task.resolve_splits(),
        backbone=None if tokenizer is None else backbone,
        max_length=None if tokenizer is None else max_length,
        examples=tuple(shown),
    )


def _count_held_out(task: Task) -> int:
    try:
        return len(task.rows("held_out", Splits(search="held_out")))
    except UserError:
        return 0


def _describe_split(
    task: Task, split: str, tokenizer: Any, max_length: int, start_id: int | None
) -> SplitReport:
    rows = task.splits[split]
    texts = list(zip(*rows.texts, strict=True))
    words = [sum(len(text.split()) for text in row) for row in texts]
    first: dict[tuple[str, ...], int] = {}
    again = [(row, first.setdefault(text, row)) for row, text in enumerate(texts)]
    repeated = [(row, other) for row, other in again if row != other]
    writes = task.head.reads == "words"
    compared = repeated if rows.labelled and not writes else []  # Texts may differ and be right.
    other_label = [rows.labels[a] != rows.labels[b] for a, b in compared]
    written = rows.labels if writes and rows.labelled else ((),) * len(rows)
    beside = zip(texts, written, strict=True)
    labels = _describe_labels(task, rows)
    return SplitReport(
        split=split,
        num_rows=len(rows),
        labels=labels,
        absent=tuple(n for n in task.definition.labels if labels and not labels[n]),
        num_repeated=len(repeated),
        num_contradicted=sum(other_label),
        num_empty=sum(any(not text.strip() for text in (*row, *more)) for row, more in beside),
        words=(min(words), median(words), max(words)),
        num_bare=sum(not normalise(text) for gold in _answers(task, rows) for text in gold),
        tokens=None if tokenizer is None else _tokens(task, rows, tokenizer, max_length, start_id),
    )


def _tokens(
    task: Task, rows: Rows, tokenizer: Any, max_length: int, start_id: int | None
) -> TokenReport:
    if task.head.reads == "words":
        return count_written(task, rows, tokenizer, max_length, start_id)
    found = count_tokens(rows, tokenizer, max_length)
    if not isinstance(task, SpanTask):
        return found
    data = task.encode(tokenizer, rows, max_length)
    reach = task.reach(data) if rows.labelled else None
    return replace(found, num_cut=data.num_truncated, num_windows=len(data), reach=reach)


def _answers(task: Task, rows: Rows) -> list[list[str]]:
    """The texts of each row's gold answers; empty for tasks of another kind."""
    return task.names(rows.labels) if isinstance(task, SpanTask) else []


def _describe_labels(task: Task, rows: Rows) -> dict[str, float]:
    if not rows.labelled:
        return {}
    labels: Any = rows.labels
    if task.head.reads == "words":
        sizes = list(map(len, labels))
        return {"references": sum(sizes), "fewest": min(sizes), "most": max(sizes)}
    if task.definition.kind == "regression":
        return {"lowest": min(labels), "mean": fmean(labels), "highest": max(labels)}
    if task.definition.kind == "span":
        answered = sum(map(bool, labels))
        return {"answered": answered, "unanswered": len(labels) - answered}
    counts = Counter(labels)
    return {name: counts[i] for i, name in enumerate(task.definition.labels)}


def _line(report: SplitReport) -> str:
    labels = ", ".join(f"{name} {value:.6g}" for name, value in report.labels.items())
    low, middle, high = report.words
    return (
        f"{report.split}: {report.num_rows} rows; {labels or 'no public labels'}; "
        f"{report.num_repeated} repeated; {low} to {high} words, {middle:g} in the median"
    )


def _token_line(split: str, tokens: TokenReport) -> str:
    low, middle, high = tokens.lengths
    unknown = "" if tokens.unknown is None else f"; {100 * tokens.unknown:.1f} % unknown"
    found = f"  {split}: {low} to {high}, {middle:g} in the median; {tokens.num_cut} cut{unknown}"
    if tokens.num_windows is not None:
        found += f"; {tokens.num_windows} windows"
    if tokens.reach is not None:
        found += f"; exact match can reach {tokens.reach:.3f}"
    return found


def _warnings(report: SplitReport, max_length: int | None) -> Iterator[str]:
    split, tokens = report.split, report.tokens
    if report.absent:
        yield f"no row of {split} has the label {', '.join(report.absent)}"
    if report.num_contradicted:
        yield f"{report.num_contradicted} rows of {split} repeat an earlier row with another label"
    if report.num_empty:
        yield f"{report.num_empty} rows of {split} have an empty text"
    if report.num_bare:
        yield f"{report.num_bare} answers of {split} are articles and punctuation, and not scored"
    if tokens is not None and tokens.num_nothing:
        yield f"{tokens.num_nothing} rows of {split} give no token, so no trial can read them"
    if tokens is not None and tokens.num_lost:
        yield (
            f"{tokens.num_lost} completions of {split} lose what is beyond {max_length} tokens, "
            "so their end is never learned"
        )
    if tokens is not None and tokens.num_cut:
        share = f"{100 * tokens.num_cut / report.num_rows:.1f} %"
        loss = f"lose what is beyond {max_length} tokens"
        if tokens.num_windows is not None:
            loss = f"have a cut question, or an answer that no window of {max_length} tokens holds"
        yield f"{tokens.num_cut} rows of {split} ({share}) {loss}"
    unknown = 0.0 if tokens is None else tokens.unknown or 0.0
    if unknown >= MUCH_UNKNOWN:
        yield f"the tokenizer does not know {100 * unknown:.1f} % of the tokens of {split}"
