"""What an encoder-decoder's head reads, against the library's own pass."""

from typing import Any

import pytest
import torch
import transformers
from cases import DATA, small_backbone
from torch import Tensor

from trials.small import END
from trials.training.data import collate
from trials.training.passes import last_end, logits_of, states_of

ROWS = [0, 1, 2, 3]


def inputs_of(ids: list[list[int]]) -> dict[str, Tensor]:
    longest = max(map(len, ids))
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    live = [[int(i < max(1, len(row))) for i in range(longest)] for row in ids]
    return {"input_ids": padded, "attention_mask": torch.tensor(live)}


@torch.no_grad()
def ours(model: Any, ids: list[list[int]]) -> Tensor:
    return logits_of(model, inputs_of(ids))


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2", "t5"])
def test_it_is_the_librarys_own_pass(family: str) -> None:
    model = small_backbone(family=family).model
    batch = collate(DATA, ROWS, 0)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.no_grad():
        expected = model(**inputs).logits
        assert torch.equal(logits_of(model, inputs), expected)
    assert float(expected.std()) > 1e-3, "nothing to compare"


@pytest.mark.parametrize(
    ("family", "body"),
    [("bert", "bert"), ("deberta-v2", "deberta"), ("gpt2", "transformer"), ("llama", "transformer"),
     ("roberta", "roberta"), ("t5", "")],
)  # fmt: skip
def test_states_are_those_that_the_library_answers_from(family: str, body: str) -> None:
    model = small_backbone(family=family, num_labels=2).model
    answering: Any = transformers.AutoModelForQuestionAnswering.from_config(model.config)
    answering.to(torch.float64).eval()
    whole = answering.get_submodule(body) if body else answering
    whole.load_state_dict(model.base_model.state_dict(), strict=False)
    batch = collate(DATA, ROWS, 0)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.no_grad():
        expected = answering(**inputs, use_cache=False) if family == "t5" else answering(**inputs)
        starts, ends = answering.qa_outputs(states_of(model, inputs)).unbind(-1)
    torch.testing.assert_close(starts, expected.start_logits)
    torch.testing.assert_close(ends, expected.end_logits)
    assert float(starts.std()) > 1e-3, "nothing to compare"


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_padding_changes_nothing(family: str) -> None:
    model = small_backbone(family=family).model
    ids = [DATA.input_ids[row] for row in ROWS]
    alone = torch.cat([ours(model, [row]) for row in ids])
    assert float((ours(model, ids) - alone).abs().max()) < 1e-12


def test_rows_need_not_have_equally_many_ends() -> None:
    """A single text ends once, a pair twice; the library takes them apart only."""
    model = small_backbone(family="t5").model
    single, pair, filling = [5, 6, 7, END], [5, 6, END, 7, 8, 9, END], []
    made = ours(model, [single, pair, filling])
    with torch.no_grad():
        for index, row in enumerate((single, pair)):
            expected = model(**inputs_of([row])).logits
            assert float((made[index] - expected[0]).abs().max()) < 1e-12
    assert bool(made.isfinite().all())
    together = inputs_of([single, pair])
    with pytest.raises(ValueError, match="same number of <eos> tokens"):
        model(**together)


@pytest.mark.parametrize(
    ("row", "live", "place"),
    [
        ([5, 6, END, 0, 0], 3, 2),
        ([5, END, 6, END, 0], 4, 3),
        ([END, 0, 0, 0, 0], 1, 0),
        ([5, 6, 7, 0, 0], 3, 2),  # None: what is last alive.
        ([5, END, 7, 0, 0], 3, 1),
        ([0, 0, 0, 0, 0], 1, 0),
    ],
)
def test_the_last_end_is_found(row: list[int], live: int, place: int) -> None:
    mask = torch.tensor([[int(i < live) for i in range(len(row))]])
    assert last_end(torch.tensor([row]), mask, END).tolist() == [place]
