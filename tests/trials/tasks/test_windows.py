"""Windows lose no token, say where answers stand, and count those that they cut."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trials.errors import UserError
from trials.tasks.base import Rows
from trials.tasks.gold import Answers
from trials.tasks.windows import OUTSIDE, Windows, windows
from trials.tokenizer import reading

TEXT = "The small dog chased two cats in the garden, and Anna bought a new coat  today. " * 3
QUESTION = "What did Anna buy?"
TOKENIZER = reading("tiny").tokenizer


def rows_of(*examples: tuple[str, str, Answers]) -> Rows:
    questions, texts, answers = zip(*examples, strict=True)
    return Rows(tuple(f"x-{i}" for i in range(len(examples))), (questions, texts), answers)


def answer(text: str, *pieces: str) -> Answers:
    return tuple((text.index(piece), piece) for piece in pieces)


def labelled(data: Windows) -> list[str]:
    """What the labels of each window stand for; `""` for no answer."""
    found = []
    for window, (first, last) in enumerate(data.labels):
        begin, end = data.characters[data.starts[window] + [first, last]]
        is_silent = (first, last) == (data.silent[window],) * 2
        found.append("" if is_silent else data.texts[data.example[window]][begin[0] : end[1]])
    return found


def covered(data: Windows, example: int) -> set[int]:
    """Characters of an example's text that stand in some window."""
    places: set[int] = set()
    for window in range(len(data)):
        if data.example[window] == example:
            part = data.characters[slice(*data.starts[window : window + 2])]
            places |= {c for begin, end in part for c in range(begin, end)}
    return places


def test_a_short_text_is_one_window_with_its_answer() -> None:
    text = TEXT[:80]
    data = windows(TOKENIZER, rows_of((QUESTION, text, answer(text, "a new coat"))), 128, None)
    assert (len(data), data.num_truncated, data.ids) == (1, 0, ["x-0"])
    assert labelled(data) == ["a new coat"]
    assert data.silent.tolist() == [0]
    assert data.input_ids == TOKENIZER([QUESTION], [text])["input_ids"]
    assert data.token_type_ids == TOKENIZER([QUESTION], [text])["token_type_ids"]


@pytest.mark.parametrize(("limit", "stride"), [(24, None), (24, 6), (32, 0), (24, 500), (13, 5)])
def test_windows_cover_the_text_and_share_the_stride(limit: int, stride: int | None) -> None:
    data = windows(TOKENIZER, rows_of((QUESTION, TEXT, ()), ("a", "a cat", ())), limit, stride)
    assert data.example.tolist() == sorted(data.example.tolist())
    assert max(map(len, data.input_ids)) <= limit
    blanks = {i for i, c in enumerate(TEXT) if c.isspace()}
    assert covered(data, 0) == set(range(len(TEXT))) - blanks
    of_first = [w for w in range(len(data)) if data.example[w] == 0]
    parts = [data.characters[slice(*data.starts[w : w + 2])] for w in of_first]
    inner = [[tuple(c) for c in part.tolist() if c[0] != OUTSIDE] for part in parts]
    size = len(TOKENIZER(QUESTION, add_special_tokens=False)["input_ids"])
    room = limit - 3 - min(size, (limit - 3) // 2)
    expected = min(limit // 3 if stride is None else stride, room // 2)
    for before, after in itertools.pairwise(inner):
        assert len(set(before) & set(after)) == expected


def test_every_window_that_holds_the_answer_points_at_it() -> None:
    gold = answer(TEXT, "Anna bought")
    data = windows(TOKENIZER, rows_of((QUESTION, TEXT, gold)), 24, 8)
    found = labelled(data)
    assert set(found) == {"", "Anna bought"}
    for window, said in enumerate(found):
        part = data.characters[slice(*data.starts[window : window + 2])]
        begins = [int(c[0]) for c in part if c[0] != OUTSIDE]
        is_whole = min(begins) <= gold[0][0] and int(part[:, 1].max()) >= gold[0][0] + 11
        assert is_whole == (said != "")


def test_an_answer_that_no_window_holds_is_counted() -> None:
    long = TEXT[:70].strip()
    rows = rows_of((QUESTION, TEXT, ((0, long),)), (QUESTION, TEXT, ()), (QUESTION, TEXT, ()))
    data = windows(TOKENIZER, rows, 24, None)
    assert data.num_truncated == 1
    assert set(labelled(data)) == {""}
    assert windows(TOKENIZER, rows, 128, None).num_truncated == 0


def test_a_long_question_keeps_half_of_the_room_and_is_counted() -> None:
    rows = rows_of((QUESTION * 20, TEXT, answer(TEXT, "small dog")))
    data = windows(TOKENIZER, rows, 40, None)
    assert data.num_truncated == 1
    assert max(map(len, data.input_ids)) <= 40
    assert covered(data, 0) == {i for i, c in enumerate(TEXT) if not c.isspace()}
    assert "small dog" in labelled(data)


def test_windows_without_room_are_refused() -> None:
    with pytest.raises(UserError, match="windows of 4 tokens have no room for text"):
        windows(TOKENIZER, rows_of((QUESTION, TEXT, ())), 4, None)


def test_an_empty_text_is_a_window_without_an_answer() -> None:
    data = windows(TOKENIZER, rows_of((QUESTION, "", ()), ("", " \n", ())), 16, None)
    assert labelled(data) == ["", ""]
    assert not (data.characters != OUTSIDE).any()


def test_blanks_at_the_ends_of_an_answer_do_not_count() -> None:
    text = TEXT[:80]
    data = windows(TOKENIZER, rows_of((QUESTION, text, answer(text, " a new coat  "))), 64, None)
    assert labelled(data) == ["a new coat"]


@settings(max_examples=40, deadline=None)
@given(st.text("ab é\n東,.", max_size=60), st.integers(8, 20), st.data())
def test_any_text_and_answer(text: str, limit: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text)))
    piece = text[begin : data.draw(st.integers(begin, len(text)))]
    gold = ((begin, piece),) if piece.strip() else ()
    made = windows(TOKENIZER, rows_of(("a b", text, gold)), limit, None)
    found = {said for said in labelled(made) if said}
    assert len(found) <= 1
    assert made.num_truncated == int(bool(gold) and not found)
    for said in found:
        assert piece.strip() in said


def of_shared(name: str) -> Callable[[], Any]:
    def load() -> Any:
        beside = Path(__file__).resolve().parents[3].parent / "shared"
        folder = Path(os.environ.get("ABLATE_SHARED", beside)) / "models" / name
        if not folder.is_dir():
            pytest.skip(f"needs the shared tokenizer {folder} (or ABLATE_SHARED)")
        import transformers

        return transformers.AutoTokenizer.from_pretrained(folder)

    return load


@pytest.mark.parametrize("name", ["gpt2-tokenizer", "stories260K", "all-MiniLM-L6-v2-fp16"])
def test_tokens_of_bytes_and_of_pieces_stand_where_they_say(name: str) -> None:
    tokenizer = of_shared(name)()
    text = "Beyoncé's  album sold “10 million” copies in Zürich. " * 4
    rows = rows_of((QUESTION, text, answer(text, "10 million")), (QUESTION, text, ()))
    data = windows(tokenizer, rows, 48, None)
    assert len(data) >= 4
    assert data.num_truncated == 0
    assert {said.strip("“”") for said in labelled(data)} == {"", "10 million"}
    blanks = {i for i, c in enumerate(text) if c.isspace()}
    assert covered(data, 0) >= set(range(len(text))) - blanks
    tokens = data.starts[:-1] + data.silent
    assert (data.characters[tokens] == OUTSIDE).all(), "no token of the text is given up"
