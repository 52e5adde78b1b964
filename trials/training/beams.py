"""Beam search: of each row the likeliest texts so far are followed at once.

A text of n tokens scores its log probability over n to the power of the length penalty. Of the
candidates for the next token, those that end a text are put among the best ended ones of the row,
if they are among the first; the best others go on. A row has ended when it has as many ended texts
as beams, and the likeliest one that goes on scores less as it stands than the last of them, as the
transformers library has it by default.

Shapes: R rows of all members, b beams, t tokens so far, V words.
"""

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from trials.tasks.generation import Generation
from trials.training.endings import Endings, left_over, without_repeats
from trials.training.session import Session


@dataclass
class _Beams:
    """What is followed, and the best that has ended.

    Attributes:
        rows: (R,) which row of the batch each is.
        tokens: (R, b, t) texts that go on.
        scores: (R, b) their log probabilities, in falling order; negative infinity for none.
        best: (R, b, most tokens) texts that have ended, best first.
        lengths: (R, b) of those, with what ended them.
        best_scores: (R, b); negative infinity for none.
        closed: (R,) booleans.
    """

    rows: Tensor
    tokens: Tensor
    scores: Tensor
    best: Tensor
    lengths: Tensor
    best_scores: Tensor
    closed: Tensor

    @classmethod
    def at_start(cls, num_rows: int, how: Generation, like: Tensor) -> Self:
        """One empty text for each row."""
        shape = (num_rows, how.beams)
        whole = torch.zeros(*shape, how.max_new_tokens, dtype=torch.long, device=like.device)
        none = like.new_full(shape, -torch.inf)
        scores = none.clone()
        scores[:, 0] = 0
        rows = torch.arange(num_rows, device=like.device)
        lengths = torch.zeros(shape, dtype=torch.long, device=like.device)
        return cls(rows, whole[:, :, :0], scores, whole, lengths, none, rows < 0)

    def of(self, places: Tensor) -> Self:
        """The rows at some places."""
        return type(self)(*(getattr(self, part.name)[places] for part in fields(self)))


def search(
    session: Session, how: Generation, endings: Endings, num_members: int
) -> list[list[int]]:
    """The best text of each of R rows, as tokens with what ended it.

    Args:
        session: at its start, with one row for each prompt of each member.
        how: how texts are written.
        endings: tells where one ends.
        num_members: the rows are theirs, member by member.
    """
    logits = session.start()
    beams = _Beams.at_start(len(logits), how, logits)
    found: list[list[int]] = [[] for _ in range(len(logits))]
    logits = logits.repeat_interleave(how.beams, 0)
    origins = beams.rows.repeat_interleave(how.beams)
    session.keep(origins)
    for step in range(how.max_new_tokens):
        parents = _advance(beams, logits, how, endings)
        if step + 1 == how.max_new_tokens or bool(beams.closed.all()):
            break
        places = left_over(beams.closed, num_members)
        starts = torch.arange(len(parents), device=parents.device) if places is None else places
        if places is not None:
            _note(found, beams)
            beams, parents = beams.of(places), parents[places]
        session.keep((starts[:, None] * how.beams + parents).flatten())
        logits = session.go_on(beams.tokens[:, :, -1].flatten())
    _note(found, beams)
    return found


def _advance(beams: _Beams, logits: Tensor, how: Generation, endings: Endings) -> Tensor:
    """Take every text one token further; which beam each of those that go on came from, (R, b)."""
    size, width, length = beams.tokens.shape
    logs = logits.log_softmax(-1)
    logs = without_repeats(logs, beams.tokens.flatten(0, 1), how.no_repeat_ngram)
    total = (beams.scores[:, :, None] + logs.view(size, width, -1)).flatten(1)
    num_words = logits.shape[1]
    most = min(total.shape[1], width * (1 + endings.most))
    scores, places = total.topk(most, dim=1)
    parents, words = places // num_words, places % num_words
    row = torch.arange(size, device=words.device)[:, None]
    tokens = torch.cat([beams.tokens[row, parents], words[:, :, None]], 2)
    ended = endings(tokens.flatten(0, 1)).view(size, most)
    if length + 1 == how.max_new_tokens:
        ended = torch.ones_like(ended)
    _take_ended(beams, tokens, scores, ended, how)
    on, chosen = scores.masked_fill(ended, -torch.inf).topk(width, dim=1)
    beams.tokens, beams.scores = tokens[row, chosen], on
    last = beams.best_scores[:, -1]
    beams.closed = beams.closed | (on[:, 0] / (length + 1) ** how.length_penalty < last)
    return parents[row, chosen]


def _take_ended(
    beams: _Beams, tokens: Tensor, scores: Tensor, ended: Tensor, how: Generation
) -> None:
    """Put candidates that end among the best ended texts of their rows."""
    size, width, length = tokens.shape[0], how.beams, tokens.shape[2]
    first = torch.arange(scores.shape[1], device=scores.device) < width
    counts = ended & first & ~beams.closed[:, None]
    if not bool(counts.any()):
        return
    reached = (scores / length**how.length_penalty).masked_fill(~counts, -torch.inf)
    texts = tokens.new_zeros(size, tokens.shape[1], how.max_new_tokens)
    texts[:, :, :length] = tokens
    joined = torch.cat([beams.best_scores, reached], 1)
    beams.best_scores, chosen = joined.topk(width, dim=1)
    row = torch.arange(size, device=tokens.device)[:, None]
    beams.best = torch.cat([beams.best, texts], 1)[row, chosen]
    of_texts = torch.full_like(texts[:, :, 0], length)
    beams.lengths = torch.cat([beams.lengths, of_texts], 1)[row, chosen]


def _note(found: list[list[int]], beams: _Beams) -> None:
    """Put down the best text of each row so far."""
    parts = (beams.rows, beams.best[:, 0], beams.lengths[:, 0])
    for row, tokens, length in zip(*(part.tolist() for part in parts), strict=True):
        found[row] = tokens[:length]
