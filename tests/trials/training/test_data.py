import pytest
import torch
from cases import DATA, RECIPE, member_of, small_backbone

from trials.spec import Recipe
from trials.tasks.base import Encoded
from trials.training import data
from trials.training.member import Member

ROWS = 25


def epoch_of(recipe: Recipe, seed: int, epoch: int) -> list[list[tuple[int, ...]]]:
    per_epoch = data.steps_per_epoch(recipe, ROWS)
    return [data.rows_of_step(recipe, seed, epoch * per_epoch + i, ROWS) for i in range(per_epoch)]


@pytest.mark.parametrize(("size", "accumulate"), [(4, 1), (4, 3), (25, 1), (40, 2), (1, 1)])
def test_an_epoch_sees_every_row_once(size: int, accumulate: int) -> None:
    recipe = Recipe(epochs=1, batch_size=size, accumulate=accumulate)
    for epoch in (0, 1):
        seen = [row for step in epoch_of(recipe, 3, epoch) for part in step for row in part]
        assert sorted(seen) == list(range(ROWS))


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = {data.epoch_order(seed, epoch, ROWS) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4
    assert data.epoch_order(0, 1, ROWS) in orders


def test_accumulation_cuts_the_same_order_into_microbatches() -> None:
    cut = epoch_of(Recipe(epochs=1, batch_size=4, accumulate=3), 3, 0)
    whole = epoch_of(Recipe(epochs=1, batch_size=12), 3, 0)
    assert [sum(step, ()) for step in cut] == [step[0] for step in whole]
    assert [[len(part) for part in step] for step in cut] == [[4, 4, 4], [4, 4, 4], [1]]
    assert [len(step[0]) for step in whole] == [12, 12, 1]


def tokens_of(member: Member, num_steps: int) -> list[list[list[int]]]:
    """Token ids of the first microbatch of each step."""
    made = []
    for member.step in range(num_steps):
        made.append(data.collate(member.train, member.rows()[0], 0).input_ids.tolist())
    return made


def test_methods_at_one_seed_see_the_same_batches() -> None:
    backbone = small_backbone()
    lora = tokens_of(member_of(backbone, "lora"), 9)
    assert tokens_of(member_of(backbone, "tlora"), 9) == lora
    assert tokens_of(member_of(backbone, "lora", seed=4), 9) != lora


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(epochs=3, batch_size=4), 21),
        (Recipe(epochs=0.5, batch_size=4), 4),
        (Recipe(epochs=0.001, batch_size=4), 1),
        (Recipe(steps=5, batch_size=4), 5),
        (Recipe(epochs=2, batch_size=4, accumulate=2), 8),
    ],
)
def test_steps_in_all(recipe: Recipe, expected: int) -> None:
    assert data.num_steps(recipe, ROWS) == expected


def test_rows_are_padded_on_the_right_to_the_longest() -> None:
    encoded = Encoded([[5, 6, 7], [8], [9, 9, 9, 9]], [[0, 0, 1], [0], [1] * 4], [1, 0, 2], [], 0)
    batch = data.collate(encoded, [1, 0], 99)
    assert batch.input_ids.tolist() == [[8, 99, 99], [5, 6, 7]]
    assert batch.attention_mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.token_type_ids is not None
    assert batch.token_type_ids.tolist() == [[0, 0, 0], [0, 0, 1]]
    assert batch.labels.tolist() == [0, 1]
    assert batch.labels.dtype == torch.long


def test_a_text_without_tokens_is_a_row_of_padding() -> None:
    encoded = Encoded([[5, 6], [], []], None, [0, 1, 1], [], 0)
    assert data.collate(encoded, [1, 0], 99).input_ids.tolist() == [[99, 99], [5, 6]]
    batch = data.collate(encoded, [2, 1], 99)
    assert batch.input_ids.tolist() == [[99], [99]]
    assert batch.attention_mask.tolist() == [[0], [0]]


def test_values_stay_numbers_and_no_types_stay_none() -> None:
    batch = data.collate(Encoded([[5], [6]], None, [0.5, 2.0], [], 0), [0, 1], 0)
    assert batch.token_type_ids is None
    assert batch.labels.dtype.is_floating_point


def test_evaluation_covers_every_row_once_longest_first() -> None:
    lengths = [(i * 37) % 11 + 1 for i in range(150)]
    encoded = Encoded([[1] * n for n in lengths], None, [0] * 150, [""] * 150, 0)
    batches = list(data.evaluation_rows(encoded))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(150))
    assert [len(b) for b in batches] == [64, 64, 22]
    assert [lengths[r] for r in rows] == sorted(lengths, reverse=True)


def test_the_cases_of_these_tests_have_rows_of_different_lengths() -> None:
    assert len({len(ids) for ids in DATA.input_ids}) > 3
    assert data.steps_per_epoch(RECIPE, len(DATA)) == 6
