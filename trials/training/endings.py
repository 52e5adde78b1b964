"""Where a text that is being written ends, and which tokens it may not go on with."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trials.backbones import Backbone


class Endings:
    """Tells which rows have just ended: by a token that ends texts, or by a text that does.

    Shapes: N rows, t tokens so far, the last one new.

    Attributes:
        most: candidates of each text that are looked at beside one that goes on.
    """

    def __init__(self, backbone: Backbone, stop: Sequence[str]) -> None:
        """Look up which tokens end a text.

        Args:
            backbone: a language model.
            stop: texts that end one.
        """
        self._tokenizer, self._stop = backbone.tokenizer, tuple(stop)
        self._end_ids = backbone.end_ids
        num_words = int(backbone.model.get_output_embeddings().weight.shape[0])
        self._closing = _closing(self._tokenizer, self._stop, num_words)
        self.most = len(self._end_ids) + len(self._stop)

    def __call__(self, tokens: Tensor) -> Tensor:
        """(N,) booleans of rows (N, t)."""
        last = tokens[:, -1]
        ended = torch.isin(last, last.new_tensor(self._end_ids))
        if not self._stop:
            return ended
        for row in (self._closing.to(last.device)[last] & ~ended).nonzero()[:, 0].tolist():
            text = self.text(tokens[row].tolist())
            ended[row] = any(stop in text for stop in self._stop)
        return ended

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens stand for, without one that ends a text."""
        ended = bool(tokens) and tokens[-1] in self._end_ids
        return _decoded(self._tokenizer, tokens[:-1] if ended else tokens)


@functools.lru_cache(maxsize=8)
def _closing(tokenizer: Any, stop: tuple[str, ...], num_words: int) -> Tensor:
    """(V,) booleans: tokens that may complete one of some texts."""
    signs = {text[-1] for text in stop} | {"\ufffd"}  # Half a character may be the last.
    found = [bool(stop and signs & set(_decoded(tokenizer, [token]))) for token in range(num_words)]
    return torch.tensor(found, dtype=torch.bool)


def _decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    text = tokenizer.decode(
        list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return str(text)


def left_over(ended: Tensor, num_members: int) -> Tensor | None:
    """Places of equally many rows of each member, with all that go on; None while most do.

    Args:
        ended: (R,) booleans of rows, member by member.
        num_members: how many they are.
    """
    by_member = ended.view(num_members, -1)
    most = int((~by_member).sum(1).max())
    if 2 * most > by_member.shape[1]:
        return None
    order = by_member.to(torch.int8).argsort(dim=1, stable=True)[:, :most]
    starts = torch.arange(num_members, device=ended.device) * by_member.shape[1]
    return (order + starts[:, None]).flatten()


def without_repeats(logits: Tensor, tokens: Tensor, size: int) -> Tensor:
    """Logits such that no run of so many tokens is written a second time.

    Args:
        logits: (N, V).
        tokens: (N, t) what has been written.
        size: of the runs; 0 for no such rule.

    Returns:
        (N, V) with negative infinity for every token that would repeat one.
    """
    if not size or tokens.shape[1] < size:
        return logits
    runs = tokens.unfold(1, size, 1)
    begun = tokens[:, tokens.shape[1] - size + 1 :]
    repeated = (runs[:, :, :-1] == begun[:, None]).all(-1)
    banned = torch.zeros_like(logits).scatter_add_(1, runs[:, :, -1], repeated.to(logits.dtype))
    return logits.masked_fill(banned > 0, -torch.inf)
