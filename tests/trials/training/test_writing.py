"""Texts of a pack's members: each its own, as alone and as the transformers library has it."""

import dataclasses
from typing import Any

import pytest
import torch
from cases import member_of, prompts_of, small_writer

from trials.backbones import Backbone
from trials.streams import generator
from trials.tasks.base import Encoded
from trials.tasks.generation import Generation
from trials.training import export
from trials.training.member import Member
from trials.training.pack import Pack
from trials.training.writing import left, write

FAMILIES = ["llama", "gpt2", "t5"]


def wild(backbone: Backbone, seed: int, method: str = "lora") -> Member:
    """A member that is far from the backbone and from its like."""
    member = member_of(backbone, method, seed=seed)
    with torch.no_grad():
        draw = torch.randn(
            member.parameters.values.shape, generator=generator(seed, "wild"), dtype=torch.float64
        )
        member.parameters.values.add_(0.3 * draw)
    return member


def texts_of(backbone: Backbone, members: list[Member], data: Encoded) -> list[list[str]]:
    with Pack(backbone) as pack:
        return pack.all_outputs(members, data)


@pytest.mark.parametrize("no_repeat", [0, 2])
@pytest.mark.parametrize("beams", [1, 4, 10])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pack_writes_what_each_member_writes_alone(
    family: str, beams: int, no_repeat: int
) -> None:
    backbone = small_writer(family)
    how = Generation(max_new_tokens=10, beams=beams, no_repeat_ngram=no_repeat, length_penalty=0.8)
    data = prompts_of(how, start_id=backbone.start_id)
    members = [wild(backbone, 1), wild(backbone, 2, "mtlora"), wild(backbone, 3, "triadaptlora")]
    together = texts_of(backbone, members, data)
    assert together == [texts_of(backbone, [member], data)[0] for member in members]
    assert len({text for texts in together for text in texts}) > len(data), "nothing to tell apart"
    runs = [text[i : i + 4] for text in together[0] for i in range(0, len(text) - 3, 2)]
    assert runs, "nothing was written"


@pytest.mark.parametrize("no_repeat", [0, 2])
@pytest.mark.parametrize("beams", [1, 4, 10])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_side_of_the_padding_changes_no_text(family: str, beams: int, no_repeat: int) -> None:
    backbone = small_writer(family)
    how = Generation(max_new_tokens=8, beams=beams, no_repeat_ngram=no_repeat)
    data = prompts_of(how, start_id=backbone.start_id)
    assert len(set(map(len, data.input_ids))) > 1
    right, on_left = (write(backbone, [0], data, how, padded_left=side) for side in (False, True))
    assert right == on_left


def library(model: Any, row: list[int], how: Generation, **more: Any) -> list[int]:
    """What `generate` writes to one prompt, without the prompt."""
    made = model.generate(
        input_ids=torch.tensor([row]),
        attention_mask=torch.ones(1, len(row), dtype=torch.long),
        max_new_tokens=how.max_new_tokens,
        num_beams=how.beams,
        do_sample=False,
        length_penalty=how.length_penalty,
        no_repeat_ngram_size=how.no_repeat_ngram,
        pad_token_id=0,
        **more,
    )[0].tolist()
    return made[1:] if model.config.is_encoder_decoder else made[len(row) :]


@pytest.mark.parametrize("penalty", [0.6, 1.0])
@pytest.mark.parametrize("beams", [1, 4, 10])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_what_the_library_writes(family: str, beams: int, penalty: float) -> None:
    """Blocked runs of tokens are compared where the library leaves the prompt out, as we do."""
    backbone = small_writer(family)
    blocked = 2 if family == "t5" else 0
    how = Generation(max_new_tokens=9, beams=beams, length_penalty=penalty, no_repeat_ngram=blocked)
    data = prompts_of(how, start_id=backbone.start_id)
    member = wild(backbone, 5)
    model = export.merge(member, backbone)
    expected = []
    for row in data.input_ids:
        tokens = library(model, row, how)
        ended = tokens.index(1) if 1 in tokens else len(tokens)
        expected.append(backbone.tokenizer.decode(tokens[:ended]))
    assert texts_of(backbone, [member], data)[0] == expected


def test_draws_are_a_trials_own_and_an_examples_own() -> None:
    backbone = small_writer()
    how = Generation(max_new_tokens=8, sample=True, temperature=1.5)
    data = prompts_of(how)
    members = [wild(backbone, 1), wild(backbone, 2), wild(backbone, 2)]
    first, second, again = texts_of(backbone, members, data)
    assert (second, first) == (again, texts_of(backbone, members[:1], data)[0])
    assert first != second
    some = Encoded(
        data.input_ids[3:], None, data.labels[3:], data.ids[3:], 0, generation=data.generation
    )
    assert texts_of(backbone, members[:1], some)[0] == first[3:]


def test_draws_follow_the_probabilities() -> None:
    """One prompt under many names: its first tokens are as frequent as they are likely."""
    backbone = small_writer()
    size = 400
    how = Generation(max_new_tokens=1, sample=True, top_k=3)
    row = prompts_of(how).input_ids[0]
    data = Encoded([row] * size, None, [("",)] * size, [str(i) for i in range(size)], 0,
                   generation=how)  # fmt: skip
    written = write(backbone, [4], data, how)[0]
    with torch.no_grad():
        logits = backbone.model(input_ids=torch.tensor([row])).logits[0, -1]
    likely = logits.softmax(0).topk(3)
    shares = likely.values / likely.values.sum()
    words = [backbone.tokenizer.decode([] if token == 1 else [token]) for token in likely.indices]
    counts = [written.count(word) for word in words]
    assert sum(counts) == size
    for count, share in zip(counts, shares.tolist(), strict=True):
        assert abs(count - size * share) < 4 * (size * share * (1 - share)) ** 0.5 + 1


@pytest.mark.parametrize(("limit", "value"), [("top_k", 1), ("top_p", 1e-9)])
def test_draws_from_one_token_are_greedy(limit: str, value: float) -> None:
    backbone = small_writer()
    greedy = Generation(max_new_tokens=6)
    drawn = dataclasses.replace(greedy, sample=True, **{limit: value})
    data = prompts_of(greedy)
    assert write(backbone, [1], data, drawn) == write(backbone, [1], data, greedy)


def test_a_text_that_stops_is_not_gone_on_with() -> None:
    backbone = small_writer()
    how = Generation(max_new_tokens=12)
    data = prompts_of(how)
    whole = write(backbone, [0], data, how)[0]
    stop = whole[0][4:6]
    short = write(backbone, [0], data, dataclasses.replace(how, stop=(stop,)))[0]
    for text, stopped in zip(whole, short, strict=True):
        place = text.find(stop)
        assert stopped == (text if place < 0 else text[: place + 2])
    assert min(map(len, short)) < 24


def test_padding_moves_from_one_side_to_the_other() -> None:
    ids = torch.tensor([[5, 6, 7], [8, 0, 0], [9, 4, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    moved, live = left(ids, mask)
    assert moved.tolist() == [[5, 6, 7], [0, 0, 8], [0, 9, 4]]
    assert live.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
