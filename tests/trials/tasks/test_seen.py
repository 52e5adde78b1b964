"""Tokens are counted before rows are cut, in as many portions as it takes."""

import pytest

from trials.tasks import seen
from trials.tasks.base import Rows
from trials.tokenizer import reading

TEXTS = ("a cat", "the dog sleeps in the garden", "a", "東")
ROWS = Rows(tuple("wxyz"), (TEXTS,), ())


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_lengths_do_not_depend_on_the_portions(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = reading("tiny").tokenizer
    monkeypatch.setattr(seen, "ENCODED_AT_ONCE", at_once)
    found = seen.count_tokens(ROWS, tokenizer, max_length=4)
    lengths = [len(tokenizer(text)["input_ids"]) for text in TEXTS]
    assert found.lengths == (3, 3.5, 9)
    assert found.num_cut == sum(length > 4 for length in lengths) == 1
    assert (found.num_nothing, found.unknown) == (0, 1 / sum(lengths))


def test_a_tokenizer_without_a_word_for_the_unknown_knows_all() -> None:
    tokenizer = reading("tiny").tokenizer
    tokenizer.unk_token = None
    assert seen.count_tokens(ROWS, tokenizer, max_length=4).unknown is None
