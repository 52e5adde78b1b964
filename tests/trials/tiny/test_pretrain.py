"""The committed backbone, and the script that made it."""

from random import Random

import pytest
import torch
from torch import Generator
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForPreTraining

from trials.tiny import FOLDER
from trials.tiny.language import sample_sentence, spell, words
from trials.tiny.pretrain import (
    MASK,
    Batch,
    Recipe,
    build_model,
    build_tokenizer,
    losses,
    mask_batch,
    sample_pair,
    sample_single,
    token_ids,
    train,
)

BACKBONE = FOLDER / "backbone"


def fresh_batch(*, pair: bool, rate: float = 0.15) -> Batch:
    rng = Random(987_654)
    sample = sample_pair if pair else sample_single
    rows = [sample(rng, token_ids()) for _ in range(128)]
    return mask_batch(rows, rate=rate, generator=Generator().manual_seed(0))


def test_the_backbone_is_small() -> None:
    assert sum(path.stat().st_size for path in BACKBONE.iterdir()) < 3_000_000


def test_the_classifier_misses_no_weight_but_its_head() -> None:
    model, report = AutoModelForSequenceClassification.from_pretrained(
        BACKBONE, output_loading_info=True, local_files_only=True
    )
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert model.dtype == torch.float32


def test_the_tokenizer_gives_each_word_its_id() -> None:
    tokenizer = AutoTokenizer.from_pretrained(BACKBONE, local_files_only=True)
    assert len(tokenizer) == len(token_ids())
    rng, ids = Random(1), token_ids()
    a, b = words(sample_sentence(rng)), words(sample_sentence(rng))
    encoded = tokenizer(spell(a), spell(b))
    expected = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
    assert encoded["input_ids"] == [ids[word] for word in expected]
    assert encoded["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert encoded["input_ids"] == build_tokenizer()(spell(a), spell(b))["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer("quixotic")["input_ids"]


@pytest.mark.parametrize("pair", [False, True])
def test_the_backbone_predicts_masked_words_of_fresh_text(pair: bool) -> None:
    batch = fresh_batch(pair=pair)
    pretrained = BertForPreTraining.from_pretrained(BACKBONE, local_files_only=True).eval()
    with torch.no_grad():
        known = losses(pretrained, batch)["words"]
        unknown = losses(build_model(seed=1).eval(), batch)["words"]
    assert known < 0.6 * unknown


@pytest.mark.parametrize("pair", [False, True])
def test_the_pooler_knows_sound_from_unsound_text(pair: bool) -> None:
    model = BertForPreTraining.from_pretrained(BACKBONE, local_files_only=True).eval()
    with torch.no_grad():
        loss = losses(model, fresh_batch(pair=pair))["sound"]
    assert loss < 0.55


def test_masking_keeps_special_tokens_and_remembers_targets() -> None:
    rows = [sample_single(Random(5), token_ids())]
    generator = Generator().manual_seed(0)
    batch = mask_batch(rows, rate=1.0, generator=generator)
    original = torch.tensor(rows[0].ids)
    assert batch.targets.tolist() == original[1:-1].tolist()
    assert batch.ids[0, 0] == original[0]
    assert MASK in batch.ids
    assert batch.sound.tolist() == [rows[0].sound]


def test_training_is_deterministic() -> None:
    recipe = Recipe(steps=4, examples=40, batch=8)
    first, second = build_model(seed=0), build_model(seed=0)
    train(first, recipe)
    train(second, recipe)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_disturbed_sentence_says_where() -> None:
    rng, ids = Random(2), token_ids()
    rows = [sample_single(rng, ids) for _ in range(200)]
    assert all(any(row.replaced) != row.sound for row in rows)
