"""The best span of each question, against a search through all of them; thresholds and scores."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trials.tasks.base import Definition, Rows, Span
from trials.tasks.kinds import task_of as made_of
from trials.tasks.span import Found, SpanTask, best_spans
from trials.tasks.windows import OUTSIDE, perfect, windows
from trials.tokenizer import reading

TEXT = "The small dog chased two cats in the garden, and Anna bought a new coat today."
TOKENIZER = reading("tiny").tokenizer
ROWS = Rows(
    ids=("v-0", "v-1", "v-2", "v-3"),
    texts=(("Who bought it?", "What?", "Why?", "When?"), (TEXT, TEXT + TEXT, TEXT, TEXT)),
    labels=(((49, "Anna"),), ((4, "small dog"), (0, "The small dog")), (), ((21, "two cats"),)),
    groups=(("a", "a", "b", "c"),),
)
DATA = windows(TOKENIZER, ROWS, 24, None)
METRICS = ("exact_match", "f1", "has_answer_f1", "has_answer_exact_match", "no_answer_exact_match")


def task_of(no_answer: Any = 0.0, rows: Rows = ROWS, **more: Any) -> SpanTask:
    definition = Definition(
        name="spans", kind="span", text=("question", "context"), label="answers", primary="f1",
        metrics=METRICS, span=Span(no_answer=no_answer, **more), group=("title",),
    )  # fmt: skip
    made = made_of(definition, {"train": rows, "validation": rows})
    assert isinstance(made, SpanTask)
    return made


def searched(outputs: Any, example: int, max_answer: int) -> tuple[float, str]:
    """The best span by looking at every pair of tokens of every window."""
    best, text = -math.inf, ""
    for window in np.flatnonzero(DATA.example == example):
        low, high = DATA.starts[window : window + 2]
        for first, last in itertools.combinations_with_replacement(range(low, high), 2):
            inside = min(DATA.characters[first, 0], DATA.characters[last, 0]) != OUTSIDE
            score = outputs[first, 0] + outputs[last, 1]
            if inside and last - first < max_answer and score > best:
                best = score
                begin, end = DATA.characters[first, 0], DATA.characters[last, 1]
                text = DATA.texts[example][begin:end]
    return best, text


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_the_search_is_exact(seed: int, max_answer: int) -> None:
    outputs = np.random.default_rng(seed).normal(size=(len(DATA.tokens), 2))
    found = best_spans(outputs, DATA, max_answer)
    for example in range(len(ROWS)):
        score, text = searched(outputs, example, max_answer)
        assert found.answer[example] == pytest.approx(score)
        assert found.texts[example] == text
        assert DATA.texts[example].startswith(text, found.starts[example])
        own = np.flatnonzero(DATA.example == example)
        places = DATA.starts[own] + DATA.silent[own]
        assert found.silence[example] == pytest.approx(outputs[places].sum(axis=1).min())


def test_a_head_that_points_at_the_labels_is_right() -> None:
    task = task_of()
    said = task.decide(task.read(perfect(DATA), DATA), None, ())
    assert said.said == ["Anna", "small dog", "", "two cats"]
    assert task.scores(said, DATA.gold) == dict.fromkeys(METRICS, 1.0)
    assert task.reach(DATA) == 1.0
    assert task_of(max_answer=1).reach(DATA) == 0.5, "answers of two tokens are too long"


def found_of(lead: list[float], texts: tuple[str, ...] = ("Anna", "dog", "coat", "tree")) -> Found:
    answer = np.zeros(4)
    return Found(texts, (0, 1, 2, 3), answer, answer + np.array(lead))


@pytest.mark.parametrize(
    ("no_answer", "expected"),
    [
        (None, ["Anna", "dog", "coat", "tree"]),
        (0.0, ["Anna", "dog", "", ""]),
        (0.4, ["Anna", "dog", "", "tree"]),
        (-1.5, ["Anna", "", "", ""]),
        ("search", ["Anna", "dog", "", ""]),
    ],
)
def test_the_threshold_says_when_there_is_no_answer(no_answer: Any, expected: list[str]) -> None:
    task, found = task_of(no_answer), found_of([-2.0, -1.0, 0.5, 0.3])
    assert task.decide(found, found, ROWS.labels).said == expected


def test_a_searched_threshold_is_the_chosen_splits_and_the_best_there_is() -> None:
    task = task_of("search")
    chosen, other = found_of([1.0, 2.0, 4.0, 3.0]), found_of([2.5, 0.0, 9.0, 2.4])
    decided = task.decide(other, chosen, ROWS.labels)
    assert decided.threshold == 2.0, "the two that answer right stand, the others fall"
    assert decided.said == ["", "dog", "", ""]
    best = task.scores(task.decide(chosen, chosen, ROWS.labels), ROWS.labels)["f1"]
    for threshold in (-5, 1.0, 1.5, 2.5, 3.0, 9.0):
        fixed = dataclasses.replace(chosen, threshold=threshold)
        assert task.scores(fixed, ROWS.labels)["f1"] <= best


def test_where_no_answer_is_right_every_question_is_refused() -> None:
    task, wrong = task_of("search"), found_of([-9.0, -8.0, -7.0, -6.0], ("x", "y", "z", "w"))
    decided = task.decide(wrong, wrong, ROWS.labels)
    assert decided.said == [""] * 4
    assert task.scores(decided, ROWS.labels)["no_answer_exact_match"] == 1.0


def test_scores_of_parts_are_those_of_their_questions() -> None:
    task = task_of()
    scores = task.scores(task.decide(found_of([-2.0, -1.0, 0.5, 0.3]), None, ()), ROWS.labels)
    assert scores == {
        "exact_match": 0.5,
        "f1": pytest.approx((1 + 2 / 3 + 1 + 0) / 4),
        "has_answer_f1": pytest.approx((1 + 2 / 3 + 0) / 3),
        "has_answer_exact_match": pytest.approx(1 / 3),
        "no_answer_exact_match": 1.0,
    }


def test_the_versions_differ_where_nothing_is_left_of_an_answer() -> None:
    """The official script of v1.1 gives such an answer F1 0; that of v2.0 puts it aside."""
    gold, found = (((0, "The"),),) * 4, found_of([-9.0] * 4, ("the",) * 4)
    for no_answer, f1 in ((None, 0.0), (0.0, 1.0)):
        task = task_of(no_answer)
        scores = task.scores(task.decide(found, None, ()), gold)
        assert (scores["exact_match"], scores["f1"]) == (1.0, f1)


def test_parts_without_questions_have_no_score() -> None:
    task, gold = task_of(), (ROWS.labels[0],) * 4
    scores = task.scores(task.decide(found_of([-1.0] * 4), None, ()), gold)
    assert math.isnan(scores["no_answer_exact_match"])
    assert scores["has_answer_f1"] == scores["f1"]


def test_outputs_that_are_not_finite_have_no_score() -> None:
    task, outputs = task_of(), np.zeros((len(DATA.tokens), 2))
    outputs[3, 1] = np.nan
    said = task.decide(task.read(outputs, DATA), None, ())
    assert all(math.isnan(score) for score in task.scores(said, DATA.gold).values())


def test_answers_and_questions_must_fit() -> None:
    with pytest.raises(ValueError, match="4 answers do not fit 3 questions"):
        task_of().scores(found_of([0.0] * 4), ROWS.labels[:3])


def test_what_is_kept_of_a_question() -> None:
    task = task_of()
    rows = list(task.records(task.decide(found_of([-2.0, 1.0, 0.5, 0.3]), None, ()), DATA))
    assert rows[0] == {
        "id": "v-0", "label": ["Anna"], "prediction": "Anna",
        "scores": {"exact_match": 1.0, "f1": 1.0}, "outputs": [0.0, -2.0], "start": 0,
    }  # fmt: skip
    assert rows[1]["label"] == ["small dog", "The small dog"]
    assert (rows[1]["prediction"], rows[1]["scores"]["f1"]) == ("", 0.0)
    assert (rows[2]["label"], rows[2]["scores"]["f1"]) == ([], 1.0)


def test_a_hold_out_keeps_titles_together_and_kinds_of_questions_in_proportion() -> None:
    number = 1200
    rows = Rows(
        ids=tuple(f"t-{i}" for i in range(number)),
        texts=(tuple(f"q {i}" for i in range(number)), (TEXT,) * number),
        labels=tuple(((49, "Anna"),) if i % 3 else () for i in range(number)),
        groups=(tuple(str(i // 40) for i in range(number)),),
    )
    task = task_of(rows=rows)
    splits = task.resolve_splits()
    held, train = task.rows("held_out", splits), task.rows("train", splits)
    assert not set(held.groups[0]) & set(train.groups[0])
    assert len(held) >= 200
    share = sum(bool(answers) for answers in held.labels) / len(held)
    assert share == pytest.approx(2 / 3, abs=0.02)
