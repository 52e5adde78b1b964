"""Questions with the texts that answer them, as windows: overlapping pieces of what is too long.

Each window holds the whole question and a piece of the text. A question keeps at most half of the
room; what is beyond is cut. Windows share `stride` tokens, at most half of what a window holds of
the text, so an answer no longer than that stands whole in one of them.

Shapes: W windows, N tokens of all windows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from trials.errors import UserError
from trials.tasks.base import ENCODED_AT_ONCE, Encoded, Rows
from trials.tasks.gold import Answers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

OUTSIDE = -1


@dataclass(frozen=True, kw_only=True)
class Windows(Encoded):
    """Examples as windows, those of one example one after another.

    `labels` holds, for each window, the places of the first and last token of an answer that
    stands whole in it, else twice the place that says no answer. `ids` names the examples.

    Attributes:
        example: (W,) the example of each window.
        silent: (W,) the place that says no answer: the token that stands for the whole window
            where the backbone has one, else its end of text, else its first token.
        characters: (N, 2) where each token begins and ends in the example's text; `OUTSIDE` where
            it is no part of it.
        texts: what answers each example.
        answers: gold answers of each example; empty where they are not public.
    """

    example: Integers
    silent: Integers
    characters: Integers
    texts: tuple[str, ...]
    answers: tuple[Answers, ...]

    @property
    def gold(self) -> Sequence[Answers]:
        """What each example's prediction is scored against."""
        return self.answers

    def example_of(self, index: int) -> int:
        """The example that a window is of."""
        return int(self.example[index])

    @cached_property
    def first_windows(self) -> Integers:
        """(examples,) the first window of each example."""
        import numpy as np

        return np.searchsorted(self.example, np.arange(len(self.texts)))


def windows(tokenizer: Any, rows: Rows, limit: int, stride: int | None) -> Windows:
    """Turn questions and texts into windows.

    Args:
        tokenizer: a fast tokenizer of `transformers`.
        rows: questions and texts, with answers where they are public.
        limit: most tokens of a window.
        stride: tokens that windows share; a third of the limit when None.

    Raises:
        UserError: the limit leaves no room, or an example gives no token.
    """
    room = limit - int(tokenizer.num_special_tokens_to_add(pair=True))
    if room < 2:
        raise UserError(f"max_length: windows of {limit} tokens have no room for text")
    questions, sizes = _fitting(tokenizer, rows.texts[0], room // 2)
    shared = limit // 3 if stride is None else stride
    pieces: dict[int, list[Any]] = {}
    groups: dict[int, list[int]] = defaultdict(list)
    for row, size in enumerate(sizes):
        groups[min(shared, (room - size) // 2)].append(row)
    for overlap, members in groups.items():
        for start in range(0, len(members), ENCODED_AT_ONCE):
            some = members[start : start + ENCODED_AT_ONCE]
            pieces |= _pieces(tokenizer, questions, rows.texts[1], some, limit, overlap)
    return _gathered(tokenizer, rows, questions, [pieces[row] for row in range(len(rows))])


def _fitting(tokenizer: Any, questions: Sequence[str], most: int) -> tuple[list[str], list[int]]:
    """Questions cut to so many tokens, and how many each has."""
    fitting, sizes = [], []
    for start in range(0, len(questions), ENCODED_AT_ONCE):
        texts = list(questions[start : start + ENCODED_AT_ONCE])
        made = tokenizer(
            texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        for text, offsets in zip(texts, made["offset_mapping"], strict=True):
            is_long = len(offsets) > most
            fitting.append(text[: offsets[most - 1][1]] if is_long else text)
            sizes.append(min(len(offsets), most))
    return fitting, sizes


def _pieces(
    tokenizer: Any,
    questions: Sequence[str],
    texts: Sequence[str],
    some: Sequence[int],
    limit: int,
    overlap: int,
) -> dict[int, list[Any]]:
    """Row -> its windows, as the tokenizer's library has them."""
    made = tokenizer(
        [questions[row] for row in some],
        [texts[row] for row in some],
        truncation="only_second",
        max_length=limit,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    found: dict[int, list[Any]] = {row: [] for row in some}
    for index, encoding in zip(made["overflow_to_sample_mapping"], made.encodings, strict=True):
        found[some[index]].append(encoding)
    return found


def _gathered(
    tokenizer: Any, rows: Rows, questions: Sequence[str], pieces: Sequence[Sequence[Any]]
) -> Windows:
    """All windows of all rows, with the places of their answers."""
    import numpy as np

    ids: list[list[int]] = []
    types: list[list[int]] = []
    labels: list[tuple[int, int]] = []
    example: list[int] = []
    silent: list[int] = []
    characters: list[Integers] = []
    num_cut = 0
    for row, of_row in enumerate(pieces):
        own = [_characters(encoding, rows.texts[1][row]) for encoding in of_row]
        places = [_silent(tokenizer, e.ids, c) for e, c in zip(of_row, own, strict=True)]
        answers: Any = rows.labels[row] if rows.labelled else ()
        whole = [_first_whole(own, answers, index) for index in range(len(own))]
        is_lost = bool(answers) and not any(whole)
        num_cut += is_lost or questions[row] != rows.texts[0][row]
        labels += [place or (none, none) for place, none in zip(whole, places, strict=True)]
        ids += [encoding.ids for encoding in of_row]
        types += [encoding.type_ids for encoding in of_row]
        example += [row] * len(of_row)
        silent += places
        characters += own
    if not all(ids):
        raise UserError("a question and its text give no token; leave such rows out")
    return Windows(
        input_ids=ids,
        token_type_ids=types if "token_type_ids" in tokenizer.model_input_names else None,
        labels=labels,
        ids=list(rows.ids),
        num_truncated=num_cut,
        example=np.array(example, dtype=np.int64),
        silent=np.array(silent, dtype=np.int64),
        characters=np.concatenate(characters),
        texts=rows.texts[1],
        answers=rows.labels,
    )


def _characters(encoding: Any, text: str) -> Integers:
    """(tokens, 2) where each token begins and ends in the text, blanks at its ends left out."""
    import numpy as np

    is_text = np.array([number == 1 for number in encoding.sequence_ids], dtype=bool)
    found = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    after, before = _trims(text)
    begin, end = after[np.where(is_text, found[:, 0], 0)], before[np.where(is_text, found[:, 1], 0)]
    kept = is_text & (begin < end)  # A token may be a blank alone.
    return np.where(kept[:, None], np.stack([begin, end], 1), OUTSIDE)


@lru_cache(maxsize=4)  # The rows of one text stand one after another.
def _trims(text: str) -> tuple[Integers, Integers]:
    """For each place in a text the next one that is no blank, and the end of the last one."""
    import numpy as np

    places = np.arange(len(text) + 1)
    is_blank = np.array([*map(str.isspace, text), False], dtype=bool)
    after = np.minimum.accumulate(np.where(is_blank, len(text), places)[::-1])[::-1]
    ends = np.concatenate([[0], np.where(is_blank[:-1], 0, places[1:])])
    return after, np.maximum.accumulate(ends)


def _silent(tokenizer: Any, ids: Sequence[int], characters: Integers) -> int:
    """The place of a window that says no answer; no token of the text, so that none is lost."""
    whole = tokenizer.cls_token_id
    if whole is not None and whole in ids:
        return ids.index(whole)
    return len(ids) - 1 if len(ids) and characters[-1, 0] == OUTSIDE else 0


def _first_whole(own: Sequence[Integers], answers: Answers, index: int) -> tuple[int, int] | None:
    """First and last token of the first answer that stands whole in a window; None for none.

    Args:
        own: characters of each window of the example.
        answers: gold answers.
        index: of the window.
    """
    import numpy as np

    for start, text in answers:
        begin, end = start, start + len(text)
        touched = [(c[:, 0] < end) & (c[:, 1] > begin) for c in own]
        tokens = np.concatenate([c[t] for c, t in zip(own, touched, strict=True)])
        here = own[index][touched[index]]
        if len(here) and here[0, 0] == tokens[:, 0].min() and here[-1, 1] == tokens[:, 1].max():
            places = np.flatnonzero(touched[index])
            return int(places[0]), int(places[-1])
    return None


def perfect(data: Windows) -> NDArray[np.float64]:
    """Outputs (N, 2) of a head that points at every label and nowhere else."""
    import numpy as np

    made = np.zeros((len(data.tokens), 2))
    places = data.starts[:-1, None] + np.array(data.labels, dtype=np.int64).reshape(-1, 2)
    made[places[:, 0], 0] = 1.0
    made[places[:, 1], 1] = 1.0
    return made
