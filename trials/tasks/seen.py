"""What a backbone's tokenizer makes of rows: lengths, cuts, and the rows as the model sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from trials.tasks.base import ENCODED_AT_ONCE, Rows, Task

NUM_EXAMPLES = 5
_NO_LIMIT = 2**30


@dataclass(frozen=True, kw_only=True)
class TokenReport:
    """A split in a backbone's tokens, special ones included.

    Attributes:
        lengths: fewest, median and most tokens of a row before it is cut.
        num_cut: rows longer than the limit, which lose their end; of windows those whose question
            is cut, or whose answer no window holds whole.
        num_lost: rows of which the text that is to be learned loses its end.
        num_nothing: rows that give no token at all.
        unknown: share of tokens that stand for text which the tokenizer does not know; None
            where it knows every text.
        num_windows: windows that the rows make; None where a row is read at once.
        reach: exact match of a head that points at every answer: below 1 where answers are cut,
            too long, or do not end where tokens do; None where no answer is pointed at.
    """

    lengths: tuple[int, float, int]
    num_cut: int
    num_nothing: int
    unknown: float | None
    num_lost: int = 0
    num_windows: int | None = None
    reach: float | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row, or window, as the model sees it: what its tokens stand for, special ones included.

    `label` is what the head is trained to say of it; where a text is to be written, that stands in
    double brackets after the rest, and there is no other label.
    """

    id: str
    label: str | float | None
    seen: str


def count_tokens(rows: Rows, tokenizer: Any, max_length: int) -> TokenReport:
    """Count a split's tokens, all of them whatever the limit.

    Args:
        rows: the split.
        tokenizer: a fast tokenizer of `transformers`.
        max_length: tokens that rows are cut to.
    """
    lengths: list[int] = []
    unknown, known = 0, tokenizer.unk_token_id
    for start in range(0, len(rows), ENCODED_AT_ONCE):
        texts = (list(column[start : start + ENCODED_AT_ONCE]) for column in rows.texts)
        for ids in tokenizer(*texts, return_attention_mask=False, verbose=False)["input_ids"]:
            lengths.append(len(ids))
            unknown += 0 if known is None else ids.count(known)
    return TokenReport(
        lengths=(min(lengths), median(lengths), max(lengths)),
        num_cut=sum(length > max_length for length in lengths),
        num_nothing=lengths.count(0),
        unknown=None if known is None else unknown / max(1, sum(lengths)),
    )


def count_written(
    task: Task, rows: Rows, tokenizer: Any, max_length: int, start_id: int | None
) -> TokenReport:
    """Count the tokens of prompts with what is to be written, once for each reference.

    Args:
        task: whose split it is.
        rows, tokenizer, max_length: as for `count_tokens`.
        start_id: as `Task.encode` takes it.
    """
    how: dict[str, Any] = {"learned": rows.labelled, "start_id": start_id}
    whole = task.encode(tokenizer, rows, _NO_LIMIT, **how)
    cut = task.encode(tokenizer, rows, max_length, **how)
    written = whole.targets if whole.targets is not None and start_id is not None else None
    texts = whole.input_ids + (written or [])
    sizes = list(map(len, whole.input_ids))
    if written is not None:
        sizes = [max(size, len(target)) for size, target in zip(sizes, written, strict=True)]
    known = tokenizer.unk_token_id
    unknown = 0 if known is None else sum(ids.count(known) for ids in texts)
    total = max(1, sum(map(len, texts)))
    return TokenReport(
        lengths=(min(sizes), median(sizes), max(sizes)),
        num_cut=cut.num_truncated,
        num_nothing=0,
        unknown=None if known is None else unknown / total,
        num_lost=cut.num_cut,
    )


def examples(
    task: Task, tokenizer: Any, max_length: int, start_id: int | None = None
) -> Iterator[Example]:
    """Rows of train at even distances; of several references the first."""
    rows = task.splits["train"]
    last, number = len(rows) - 1, min(NUM_EXAMPLES, len(rows))
    picked = rows.take([i * last // max(1, number - 1) for i in range(number)])
    if task.head.reads == "words":
        yield from _written(task, picked, tokenizer, max_length, start_id)
        return
    encoded = task.encode(tokenizer, picked, max_length)
    for index, ids in enumerate(encoded.input_ids):
        label = task.target(encoded, index, tokenizer) if picked.labelled else None
        name = picked.ids[encoded.example_of(index)]
        yield Example(id=name, label=label, seen=str(tokenizer.decode(ids)))


def _written(
    task: Task, picked: Rows, tokenizer: Any, max_length: int, start_id: int | None
) -> Iterator[Example]:
    made = task.encode(tokenizer, picked, max_length, learned=True, start_id=start_id)
    assert made.targets is not None  # They are learned.
    told: set[str] = set()
    for name, ids, target in zip(made.ids, made.input_ids, made.targets, strict=True):
        prompt = ids if start_id is not None else ids[: len(ids) - len(target)]
        if name not in told:
            told.add(name)
            seen = f"{tokenizer.decode(prompt)}\u27e6{tokenizer.decode(target)}\u27e7"
            yield Example(id=name, label=None, seen=seen)
