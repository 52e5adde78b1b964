"""Where texts end, which tokens repeat a run, and which rows are left over."""

import pytest
import torch
from cases import small_writer
from hypothesis import given
from hypothesis import strategies as st

from trials.training.endings import Endings, left_over, without_repeats


def test_a_token_or_a_text_ends_a_row() -> None:
    backbone = small_writer()
    stop = backbone.tokenizer.decode([13, 24])[1:]  # From the middle of a token to an end.
    endings = Endings(backbone, (stop,))
    rows = torch.tensor([[5, 1], [13, 24], [24, 13], [1, 24]])
    assert endings(rows).tolist() == [True, True, False, False]
    assert Endings(backbone, ())(rows).tolist() == [True, False, False, False]
    assert endings.text([13, 1]) == backbone.tokenizer.decode([13])
    assert endings.text([]) == ""


@given(st.lists(st.integers(0, 4), min_size=0, max_size=12), st.integers(1, 4))
def test_no_run_is_written_twice(tokens: list[int], size: int) -> None:
    row = torch.tensor([tokens], dtype=torch.long).view(1, -1)
    left = without_repeats(torch.zeros(1, 5), row, size)[0]
    runs = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    for word in range(5):
        begun = tokens[len(tokens) - size + 1 :] if size > 1 else []
        complete = len(begun) == size - 1 and (*begun, word) in runs
        assert bool(left[word].isinf()) is complete


def test_no_rule_leaves_logits_alone() -> None:
    logits = torch.zeros(1, 5)
    assert without_repeats(logits, torch.tensor([[1, 1, 1]]), 0) is logits


@pytest.mark.parametrize(
    ("ended", "members", "expected"),
    [
        ([0, 0, 1, 1], 1, [0, 1]),
        ([0, 1, 1, 1], 1, [0]),
        ([0, 0, 0, 1], 1, None),
        ([1, 0, 1, 1, 1, 1, 1, 0], 2, [1, 7]),
        ([1, 0, 1, 1, 1, 1, 1, 1], 2, [1, 4]),
        ([0, 0, 0, 1, 1, 1, 1, 1], 2, None),
    ],
)
def test_members_keep_equally_many_rows(
    ended: list[int], members: int, expected: list[int] | None
) -> None:
    left = left_over(torch.tensor(ended, dtype=torch.bool), members)
    assert (None if left is None else left.tolist()) == expected
