"""Texts that the members of a pack write to the same prompts, all of them in each pass.

Greedily, by drawing, or by beams (`beams.py`). A draw is a function of a trial's seed, the
example and the place in its text, so company and batches change no text.

Shapes: K members, B examples of a batch, R = K · B rows, member by member, N rows that are left.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trials.backbones import Backbone
from trials.streams import generator
from trials.tasks.base import Encoded
from trials.tasks.generation import Generation
from trials.training.beams import search
from trials.training.data import EVALUATION_BATCH, collate, evaluation_rows, placed
from trials.training.endings import Endings, left_over, without_repeats
from trials.training.session import Session


def write(
    backbone: Backbone,
    seeds: Sequence[int],
    data: Encoded,
    how: Generation,
    *,
    padded_left: bool = True,
) -> list[list[str]]:
    """The texts of each member, in the order of the split.

    Args:
        backbone: a language model whose hooks know the pass's members.
        seeds: of the K members.
        data: the prompts.
        how: how texts are written.
        padded_left: on which side prompts of a batch are padded; either gives the same texts.
    """
    texts = [[""] * len(data) for _ in seeds]
    device = next(backbone.model.parameters()).device
    endings = Endings(backbone, how.stop)
    for rows in evaluation_rows(data, max(1, EVALUATION_BATCH // how.beams)):
        batch = collate(data, rows, int(backbone.tokenizer.pad_token_id or 0))
        ids, mask = batch.input_ids, batch.attention_mask
        if padded_left:
            ids, mask = left(ids, mask)
        session = Session(
            backbone,
            placed(ids, device).repeat(len(seeds), 1),
            placed(mask, device).repeat(len(seeds), 1),
        )
        if how.beams > 1:
            made = search(session, how, endings, len(seeds))
        else:
            draws = _draws(seeds, [data.ids[row] for row in rows], how) if how.sample else None
            made = _one_by_one(session, how, endings, len(seeds), draws)
        for place, tokens in enumerate(made):
            member, row = divmod(place, len(rows))
            texts[member][rows[row]] = endings.text(tokens)
    return texts


def left(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (B, S) that are padded on the right, padded on the left."""
    places = torch.arange(ids.shape[1]) - (ids.shape[1] - mask.sum(1))[:, None]
    moved = places.remainder(ids.shape[1])
    return ids.gather(1, moved), mask.gather(1, moved)


def _draws(seeds: Sequence[int], names: Sequence[str], how: Generation) -> Tensor:
    """Numbers in [0, 1), (R, max_new_tokens): one for each token of each text."""
    made = [
        torch.rand(
            how.max_new_tokens, generator=generator(seed, "sampling", name), dtype=torch.float64
        )
        for seed in seeds
        for name in names
    ]
    return torch.stack(made)


def _one_by_one(
    session: Session, how: Generation, endings: Endings, num_members: int, draws: Tensor | None
) -> list[list[int]]:
    """Tokens of each of R rows, with what ended it, each token chosen by itself."""
    logits = session.start()
    size = len(logits)
    written: list[list[int]] = [[] for _ in range(size)]
    rows = torch.arange(size, device=logits.device)
    tokens = rows.new_empty(size, 0)
    ended = torch.zeros_like(rows, dtype=torch.bool)
    lengths = torch.full_like(rows, how.max_new_tokens)
    draws = None if draws is None else placed(draws, logits.device)
    for step in range(how.max_new_tokens):
        logits = without_repeats(logits, tokens, how.no_repeat_ngram)
        token = logits.argmax(1) if draws is None else _drawn(logits, draws[rows, step], how)
        tokens = torch.cat([tokens, token[:, None]], 1)
        lengths = torch.where(endings(tokens) & ~ended, step, lengths)
        ended = lengths <= step
        if step + 1 == how.max_new_tokens or bool(ended.all()):
            break
        kept = left_over(ended, num_members)
        if kept is not None:
            _note(written, rows, tokens, lengths)
            rows, tokens, lengths = rows[kept], tokens[kept], lengths[kept]
            ended, token = ended[kept], token[kept]
            session.keep(kept)
        logits = session.go_on(token)
    _note(written, rows, tokens, lengths)
    return written


def _note(written: list[list[int]], rows: Tensor, tokens: Tensor, lengths: Tensor) -> None:
    """Put down what rows have come to so far."""
    found = zip(rows.tolist(), tokens.tolist(), lengths.tolist(), strict=True)
    for row, of_row, length in found:
        written[row] = of_row[: length + 1]


def _drawn(logits: Tensor, uniform: Tensor, how: Generation) -> Tensor:
    """One token (N,) of each row, drawn by a number in [0, 1) from the likeliest ones."""
    ordered, words = (logits / how.temperature).sort(dim=1, descending=True, stable=True)
    probabilities = ordered.double().softmax(1)
    before = probabilities.cumsum(1) - probabilities
    kept = before < how.top_p
    kept[:, how.top_k or kept.shape[1] :] = False
    kept[:, 0] = True
    total = (probabilities * kept).cumsum(1)
    place = (total <= uniform[:, None] * total[:, -1:]).sum(1)
    place = torch.minimum(place, kept.sum(1) - 1)
    return words.gather(1, place[:, None])[:, 0]
