"""Words that are learned: those of completions alone, in packs, with dropout, over a prefix."""

import dataclasses
from typing import Any

import pytest
import torch
from cases import completed, member_of, small_writer, train
from torch.nn import functional

from trials.backbones import Backbone
from trials.spec import Dropout
from trials.tasks.base import Encoded
from trials.training.data import collate
from trials.training.member import Member
from trials.training.pack import Pack

FAMILIES = ["llama", "gpt2", "t5"]


def member(backbone: Backbone, seed: int = 3, method: str = "lora", **more: Any) -> Member:
    return member_of(
        backbone, method, seed=seed, data=completed(start_id=backbone.start_id), **more
    )


def by_token(backbone: Backbone, data: Encoded, row: int) -> list[float]:
    """The loss of each learned token of an example, by the library's own pass over it."""
    assert data.targets is not None
    ids, learned = data.input_ids[row], data.targets[row]
    given = {"input_ids": torch.tensor([ids])}
    if data.start_id is not None:
        given["decoder_input_ids"] = torch.tensor([[data.start_id, *learned[:-1]]])
    with torch.no_grad():
        logits = backbone.model(**given).logits[0]
    places = range(len(learned))
    if data.start_id is None:
        places = range(len(ids) - len(learned) - 1, len(ids) - 1)
    return [
        float(functional.cross_entropy(logits[place], torch.tensor(token)))
        for place, token in zip(places, learned, strict=True)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_the_completions_tokens_alone(family: str) -> None:
    """Of the first step, whose loss is the backbone's: a mean over learned tokens, each counted."""
    backbone = small_writer(family)
    alone = member(backbone)
    rows = alone.rows()[0]
    expected = [loss for row in rows for loss in by_token(backbone, alone.train, row)]
    assert len(expected) == alone.train.num_terms(rows)
    assert len(set(map(len, (alone.train.targets or [])[:3]))) > 1, "of different lengths"
    loss = train(backbone, [alone], 1)[0][0]
    assert loss == pytest.approx(sum(expected) / len(expected), abs=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_microbatches_weigh_tokens_alike(family: str) -> None:
    backbone = small_writer(family)
    once = train(backbone, [member(backbone, batch_size=8)], 2)[0]
    twice = train(backbone, [member(backbone, batch_size=4, accumulate=2)], 2)[0]
    assert once == pytest.approx(twice, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pack_learns_what_each_member_learns_alone(family: str) -> None:
    """Dropout everywhere, examples and lengths of their own."""
    backbone = small_writer(family)
    dropped = Dropout(backbone=0.2, adapter=0.2, attention=0.2)
    given = [(3, "lora", 4), (4, "mtlora", 3), (5, "triadaptlora", 2)]

    def members() -> list[Member]:
        return [member(backbone, s, m, batch_size=b, dropout=dropped) for s, m, b in given]

    together = train(backbone, members(), 3)
    alone = [train(backbone, [one], 3)[0] for one in members()]
    for packed, single in zip(together, alone, strict=True):
        assert packed == pytest.approx(single, abs=1e-9)
    without = train(backbone, [member(backbone)], 1)[0]
    assert abs(without[0] - alone[0][0]) > 1e-4, "nothing was dropped"


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_computed_again_change_nothing(family: str) -> None:
    backbone = small_writer(family)
    kept = Dropout(backbone=0.1, adapter=0.1, attention=0.1)
    plain = train(backbone, [member(backbone, dropout=kept)], 2)[0]
    again = train(backbone, [member(backbone, dropout=kept, gradient_checkpointing=True)], 2)[0]
    assert again == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_layers_below_the_adapted_ones_may_be_left_out(family: str) -> None:
    backbone = small_writer(family)
    layer = "model.layers.1.self_attn.q_proj" if family == "llama" else "transformer.h.1.mlp.c_fc"
    upper = {"targets": {"modules": [layer]}, "steps": 12}
    one = member(backbone, **upper)
    with Pack(backbone) as pack:
        assert pack._prefix.depth(one, one.train, training=True) == 1
    cached = train(backbone, [one], 2)[0]
    whole = train(backbone, [member(backbone, **upper, dropout=Dropout(backbone=1e-9))], 2)[0]
    assert cached == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_no_trials_own(family: str) -> None:
    one = member(small_writer(family))
    assert one.parameters.head == {}
    assert one.parameters.counts(one.method)[1] == 0
    assert not any("lm_head" in site.name for site in one.sites)


def test_full_fine_tuning_trains_tied_words_once() -> None:
    backbone = small_writer("gpt2")
    one = member(backbone, method="full", learning_rate=1e-2)
    first, *_, last = train(one.backbone, [one], 8)[0]
    assert last < first
    model: Any = one.backbone.model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_a_decoder_reads_what_it_has_written() -> None:
    data = completed(4, start_id=0)
    batch = collate(data, [0, 1, 2], 0)
    assert batch.decoder_ids is not None
    assert batch.places is not None
    targets = (data.targets or [])[:3]
    assert batch.decoder_ids.tolist() == [[0, *row[:-1], *[0] * (4 - len(row))] for row in targets]
    assert batch.labels.tolist() == [token for row in targets for token in row]
    assert batch.places[1].tolist() == [place for row in targets for place in range(len(row))]


def test_places_of_one_text_are_those_before_its_completion() -> None:
    data = dataclasses.replace(
        completed(1), input_ids=[[7, 8, 9, 5, 1]], targets=[[9, 5, 1]], labels=[0], ids=["a"]
    )
    batch = collate(data, [0], 0)
    assert batch.places is not None
    assert batch.places.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert batch.labels.tolist() == [9, 5, 1]
