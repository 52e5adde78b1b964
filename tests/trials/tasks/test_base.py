"""A task at work: identity, parts, encoding and scores."""

import math
import pickle
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trials.errors import UserError
from trials.spec import Splits
from trials.tasks.base import Definition, Rows, Task

PAIRS = Definition(
    name="pairs",
    kind="classification",
    text=("a", "b"),
    label="label",
    labels=("no", "yes"),
    metrics=("accuracy", "f1"),
    primary="accuracy",
    group=("a",),
)
NUMBERS = replace(
    PAIRS, kind="regression", labels=(), metrics=("pearson", "mse"), primary="pearson", group=()
)
HELD_OUT = Splits(search="held_out", report="validation")
VALIDATION = Splits(search="validation", report="validation")


def rows(split: str, number: int, *, labels: Any = None, groups: bool = True) -> Rows:
    first = tuple(f"premise {i // 2}" for i in range(number))
    second = tuple(f"hypothesis {i}" for i in range(number))
    labels = tuple(i % 2 for i in range(number)) if labels is None else labels
    ids = tuple(f"{split}-{i}" for i in range(number))
    return Rows(ids, (first, second), labels, (first,) if groups else ())


def task(test: Rows | None = None, definition: Definition = PAIRS, number: int = 500) -> Task:
    splits = {"train": rows("train", number), "validation": rows("validation", 10)}
    return Task(definition, splits | ({"test": test} if test else {}))


def test_a_task_says_what_it_has() -> None:
    assert task().available == ("train", "validation")
    assert task(rows("test", 4)).num_examples == {"train": 500, "validation": 10, "test": 4}
    assert (task().name, task().head.outputs, task(definition=NUMBERS).head.outputs) == (
        "pairs",
        2,
        1,
    )
    assert task().grid_step("accuracy", 10) == 0.1


def test_the_digest_depends_on_every_used_value_and_on_nothing_else() -> None:
    same = Task(replace(PAIRS, name="renamed"), dict(reversed(task().splits.items())))
    assert same.digest == task().digest
    labels = (0, *task().splits["train"].labels[:-1])
    changed = [
        task(rows("test", 4)),
        task(number=499),
        Task(PAIRS, task().splits | {"train": rows("train", 500, labels=labels)}),
        Task(replace(PAIRS, labels=("x", "y")), task().splits),
        Task(PAIRS, {"train": task().splits["validation"], "validation": task().splits["train"]}),
        task(rows("test", 4, labels=())),
    ]
    assert len({task().digest, *(other.digest for other in changed)}) == 7


def test_auto_shows_a_labelled_test_split_and_else_validation() -> None:
    public, hidden = rows("test", 4), rows("test", 4, labels=())
    assert task(public).resolve_splits("auto") == Splits(search="validation", report="test")
    assert task(hidden).resolve_splits() == HELD_OUT
    assert task().resolve_splits() == HELD_OUT


def test_splits_by_name_are_taken_as_they_are() -> None:
    named = {"search": "validation", "report": "validation"}
    assert task().resolve_splits(named) == VALIDATION


@pytest.mark.parametrize(
    ("split", "problems"),
    [
        ("automatic", ["split: must be auto, or search and report by name, but got 'automatic'"]),
        (
            {"search": "test", "reports": "validation"},
            [
                "split.reports: no such key; did you mean 'report'?",
                "split.search: task 'pairs' has no split 'test' with public labels"
                "; expected one of held_out, validation",
                "split.report: is missing",
            ],
        ),
        (
            {"search": "held_out", "report": "train"},
            [
                "split.report: task 'pairs' has no split 'train' with public labels"
                "; expected one of validation"
            ],
        ),
    ],
)
def test_splits_that_cannot_be_are_all_named(
    split: str | Mapping[str, str], problems: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        task(rows("test", 4, labels=())).resolve_splits(split)
    assert [str(problem) for problem in caught.value.problems] == problems


def test_train_loses_the_held_out_part_only_where_the_search_reads_it() -> None:
    whole = task()
    train, held = whole.rows("train", HELD_OUT), whole.rows("held_out", HELD_OUT)
    assert (len(train), len(held)) == (300, 200)
    assert sorted(train.ids + held.ids) == sorted(whole.splits["train"].ids)
    assert not set(train.texts[0]) & set(held.texts[0])
    assert whole.rows("train", VALIDATION) is whole.splits["train"]
    assert whole.rows("validation", HELD_OUT) is whole.splits["validation"]
    assert task().rows("held_out", HELD_OUT) == held
    with pytest.raises(ValueError, match="nothing is held out"):
        whole.rows("held_out", VALIDATION)
    with pytest.raises(UserError, match="task 'pairs' has no test split"):
        whole.rows("test", VALIDATION)


@settings(deadline=None)  # machines may be busy
@given(num_rows=st.integers(5, 300), num_texts=st.integers(4, 60), seed=st.integers(0, 99))
def test_exact_duplicates_never_stand_on_both_sides(
    num_rows: int, num_texts: int, seed: int
) -> None:
    rng = Random(seed)
    texts = [(rng.choice("abcdefgh"), rng.randrange(num_texts)) for _ in range(num_rows)]
    first, second = tuple(a for a, _ in texts), tuple(str(b) for _, b in texts)
    labels = tuple(float(b) for _, b in texts)
    train = Rows(tuple(map(str, range(len(texts)))), (first, second), labels)
    whole = Task(NUMBERS, {"train": train, "validation": train})
    sides = [whole.rows(part, HELD_OUT) for part in ("train", "held_out")]
    pairs = [set(zip(*side.texts, strict=True)) for side in sides]
    assert not pairs[0] & pairs[1]


def test_a_train_split_of_one_group_is_refused_by_name() -> None:
    one = Rows(("0", "1"), (("x", "x"), ("y", "z")), (0, 1), (("x", "x"),))
    with pytest.raises(UserError, match=r"task 'pairs': nothing can be held out .* 2 rows form 1"):
        Task(PAIRS, {"train": one, "validation": one}).rows("train", HELD_OUT)


def test_classification_scores_and_says_names() -> None:
    outputs = np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [3.0, 1.0]], dtype=np.float32)
    assert task().predictions(outputs) == ["no", "yes", "yes", "no"]
    assert task().scores(outputs, [0, 1, 0, 0]) == {
        "accuracy": 0.75,
        "f1": pytest.approx(2 / 3),
    }


def test_regression_scores_and_says_numbers() -> None:
    outputs = np.array([[1.0], [2.0], [3.0]], dtype=np.float32)
    assert task(definition=NUMBERS).predictions(outputs) == [1.0, 2.0, 3.0]
    scores = task(definition=NUMBERS).scores(outputs, [2.0, 4.0, 6.0])
    assert scores == {"pearson": pytest.approx(1.0), "mse": pytest.approx((1 + 4 + 9) / 3)}


def test_outputs_that_are_not_finite_have_no_score() -> None:
    scores = task().scores(np.array([[np.nan, 1.0], [0.0, 1.0]]), [1, 1])
    assert all(math.isnan(score) for score in scores.values())


@pytest.mark.parametrize(("shape", "number"), [((2, 3), 2), ((2, 2), 3), ((0, 2), 0)])
def test_outputs_of_the_wrong_shape_are_a_bug(shape: tuple[int, int], number: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        task().scores(np.zeros(shape), [0] * number)


def test_a_task_crosses_process_borders() -> None:
    copy = pickle.loads(pickle.dumps(task()))
    assert copy.digest == task().digest


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Words by number, BERT's way of pairing."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c"]
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def test_pairs_are_encoded_without_padding_and_cut_from_the_longer(tokenizer: Any) -> None:
    texts = (("a b", "a a a a a"), ("c", "b"))
    encoded = task().encode(tokenizer, Rows(("x", "y"), texts, (1, 0)), max_length=7)
    assert encoded.input_ids == [[2, 4, 5, 3, 6, 3], [2, 4, 4, 4, 3, 5, 3]]
    assert encoded.token_type_ids == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1]]
    assert (encoded.labels, encoded.ids, encoded.num_truncated) == ([1, 0], ["x", "y"], 1)
    assert len(encoded) == 2


def test_a_row_that_gives_no_token_is_refused_by_name(tokenizer: Any) -> None:
    """A tokenizer without special tokens, such as GPT-2's, makes nothing of an empty text."""
    import copy

    from tokenizers import processors

    bare = copy.deepcopy(tokenizer)
    bare.backend_tokenizer.post_processor = processors.TemplateProcessing("$0")
    single = Rows(("train-0", "train-1"), (("a", ""),), (0, 1))
    with pytest.raises(UserError, match="task 'pairs': 1 rows give no token, the first train-1"):
        task().encode(bare, single, max_length=8)
    assert task().encode(tokenizer, single, max_length=8).input_ids[1] == [2, 3]


def test_labels_are_named() -> None:
    assert task().names([1, 0]) == ["yes", "no"]
    assert task(definition=NUMBERS).names([1, 0.5]) == [1.0, 0.5]


def test_what_is_shown_beside_the_reported_split_is_what_there_is() -> None:
    beside = replace(PAIRS, beside=("hard", "odd"))
    whole = Task(beside, {**task().splits, "hard": rows("hard", 6)})
    assert whole.available == ("train", "validation", "hard")
    assert whole.shown(HELD_OUT) == ("validation", "hard")
    assert whole.shown(Splits(search="held_out", report="hard")) == ("hard",)


def test_single_texts_are_encoded_in_portions(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.tasks.base.ENCODED_AT_ONCE", 2)
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids"])
    single = Rows(tuple("vwxyz"), (("a", "b", "c", "a a", ""),), ())
    encoded = task().encode(tokenizer, single, max_length=3)
    assert encoded.input_ids == [[2, 4, 3], [2, 5, 3], [2, 6, 3], [2, 4, 3], [2, 3]]
    assert (encoded.token_type_ids, encoded.labels, encoded.num_truncated) == (None, [], 1)
