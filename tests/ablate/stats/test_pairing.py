from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ablate.stats.cells import collect
from ablate.stats.pairing import align, matrix, sample


def cells(table: pd.DataFrame) -> dict[tuple[str, str], object]:
    return {(key[0], key[2]): cell for key, cell in collect(table).items()}


def test_seeds_are_paired_and_what_was_dropped_is_listed(
    table: Callable[..., pd.DataFrame],
) -> None:
    found = cells(table({"a": [0.5, None, 0.7, 0.9], "b": [0.4, 0.5, 0.6]}))
    part = align([found["cola", "a"]], [found["cola", "b"]], task="cola", with_late=True)
    assert (part.seeds, part.dropped) == ((0, 2), (1, 3))
    assert sample([part]).differences.tolist() == pytest.approx([0.1, 0.1])
    assert sample([part]).num_failed == 1


def test_lower_is_better_turns_the_sign(table: Callable[..., pd.DataFrame]) -> None:
    found = cells(table({"a": [0.5, 0.6], "b": [0.4, 0.5]}, direction="lower"))
    part = align([found["cola", "a"]], [found["cola", "b"]], task="cola", with_late=True)
    assert sample([part]).differences.tolist() == pytest.approx([-0.1, -0.1])


def test_arms_are_averaged_per_seed_and_weigh_as_often_as_named(
    table: Callable[..., pd.DataFrame],
) -> None:
    found = cells(table({"a": [0.1, 0.2], "b": [0.4, None], "c": [0.0, 0.0]}, grid_step=0.1))
    sides = [found["cola", "a"], found["cola", "a"], found["cola", "b"]]
    part = align(sides, [found["cola", "c"]], task="cola", with_late=True)
    assert part.seeds == (0,)
    assert part.treatment.scores[0] == pytest.approx(0.2)
    assert part.treatment.failed == {1}
    assert part.step == pytest.approx(0.1 / 3)


def test_late_rows_count_only_where_asked(table: Callable[..., pd.DataFrame]) -> None:
    data = table({"a": [0.1, 0.2, 0.3], "b": [0.1, 0.1, 0.1]})
    found = cells(data.assign(late=data["seed"] == 2))
    sides = ([found["cola", "a"]], [found["cola", "b"]])
    assert align(*sides, task="cola", with_late=False).seeds == (0, 1)
    assert align(*sides, task="cola", with_late=True).seeds == (0, 1, 2)
    assert sample([align(*sides, task="cola", with_late=True)]).late
    assert not sample([align(*sides, task="cola", with_late=False)]).late


def test_over_tasks_a_seed_needs_every_task(table: Callable[..., pd.DataFrame]) -> None:
    one = cells(table({"a": [0.2, 0.4], "b": [0.1, 0.1]}))
    two = cells(table({"a": [0.9, None], "b": [0.5, 0.5]}, tasks=["rte"]))
    parts = [
        align([found[task, "a"]], [found[task, "b"]], task=task, with_late=True)
        for found, task in ((one, "cola"), (two, "rte"))
    ]
    both = sample(parts)
    assert (both.seeds, both.dropped) == ((0,), (1,))
    assert both.differences.tolist() == pytest.approx([0.25])
    assert np.isnan(matrix(parts)).tolist() == [[False, False], [False, True]]


def test_an_absent_side_pairs_nothing(table: Callable[..., pd.DataFrame]) -> None:
    found = cells(table({"a": [0.2, 0.4]}))
    part = align([found["cola", "a"]], [], task="cola", with_late=True)
    assert (part.seeds, part.dropped) == ((), (0, 1))
    assert sample([part]).differences.size == 0
