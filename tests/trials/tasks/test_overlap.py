"""What two parts of a task's data share is counted."""

from dataclasses import replace

from trials.spec import Splits
from trials.tasks.base import Definition, Rows, Task
from trials.tasks.overlap import Overlap, overlaps, used_parts

PAIRS = Definition(
    name="pairs",
    kind="classification",
    text=("a", "b"),
    label="label",
    labels=("no", "yes"),
    metrics=("accuracy",),
    primary="accuracy",
    group=(("a", "b"), "topic"),
)


def rows(*found: tuple[str, str, str | None]) -> Rows:
    first, second, topic = (tuple(column) for column in zip(*found, strict=True))
    ids = tuple(str(i) for i in range(len(found)))
    return Rows(ids, (first, second), (0,) * len(found), (first, second, topic))


TRAIN = rows(("p", "q", None), ("r", "s", "t1"), ("u", "v", "t2"))
TEST = rows(
    ("p", "q", None),  # the same row
    ("q", "x", None),  # a text in the other column
    ("y", "z", "t2"),  # the topic alone
    ("y", "w", "p"),  # a topic that is a text there: another set of columns
    ("k", "l", None),  # None links nothing
)
WHOLE = Task(PAIRS, {"train": TRAIN, "validation": TEST, "test": rows(("k", "l", None))})
OPEN = Splits(search="validation", report="test")


def test_equal_and_related_rows_of_the_later_part_are_counted() -> None:
    first, *_ = overlaps(WHOLE, OPEN, ("train", "validation", "test"))
    assert first == Overlap(first="train", second="validation", num_rows=5, equal=1, related=3)
    assert str(first) == (
        "of 5 rows of validation 1 also stand in train and 3 share a group's value with train"
    )


def test_every_two_parts_are_compared_in_order() -> None:
    found = overlaps(WHOLE, OPEN, ("train", "validation", "test"))
    assert [(o.first, o.second, o.equal) for o in found] == [
        ("train", "validation", 1),
        ("train", "test", 0),
        ("validation", "test", 1),
    ]


def test_a_task_without_groups_has_no_related_rows() -> None:
    plain = [Rows(r.ids, r.texts, r.labels) for r in (TRAIN, TEST)]
    task = Task(replace(PAIRS, group=()), dict(zip(("train", "validation"), plain, strict=True)))
    (found,) = overlaps(task, OPEN, ("train", "validation"))
    assert (found.equal, found.related) == (1, None)


def test_what_is_held_out_shares_nothing_with_the_rest_of_train() -> None:
    texts = tuple(f"p {i // 3}" for i in range(60))
    train = Rows(
        tuple(map(str, range(60))), (texts, texts), (0, 1) * 30, (texts, texts, (None,) * 60)
    )
    task = Task(PAIRS, {"train": train, "validation": TEST})
    splits = Splits(search="held_out", report="validation")
    assert used_parts(task, splits) == ("train", "held_out", "validation")
    first, *_ = overlaps(task, splits, used_parts(task, splits))
    assert (first.second, first.equal, first.related) == ("held_out", 0, 0)
    assert first.num_rows > 0


def test_one_row_in_a_hundred_is_much() -> None:
    def shared(equal: int, related: int | None) -> bool:
        return Overlap(first="a", second="b", num_rows=1000, equal=equal, related=related).large

    assert [shared(10, None), shared(9, None), shared(0, 10), shared(0, 0)] == [
        True,
        False,
        True,
        False,
    ]
    assert not shared(0, None)
