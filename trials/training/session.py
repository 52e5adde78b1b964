"""Prompts read once, then one token after another: keys and values are kept of what was read.

Shapes: N rows, S tokens of the longest prompt, t tokens so far, V words.
"""

from typing import Any

import torch
from torch import Tensor

from trials.backbones import Backbone
from trials.training.passes import words_of


class Session:
    """Rows that a language model reads and goes on with, each by itself.

    Prompts may be padded on either side: what counts are the live tokens, in their order.
    """

    def __init__(self, backbone: Backbone, input_ids: Tensor, attention_mask: Tensor) -> None:
        """Nothing is read yet.

        Args:
            backbone: a language model, with whatever hooks it has.
            input_ids, attention_mask: (N, S); every row has a live token.
        """
        self._model: Any = backbone.model
        self._start_id = backbone.start_id
        self._ids, self._mask = input_ids, attention_mask
        self._next = attention_mask.sum(1)
        self._read: Tensor | None = None
        self._cache: Any = None

    def start(self) -> Tensor:
        """Read the prompts; logits (N, V) of the first token of each text."""
        if self._start_id is not None:
            encoder = self._model.encoder(input_ids=self._ids, attention_mask=self._mask)
            self._read = encoder.last_hidden_state
            return self.go_on(torch.full_like(self._ids[:, 0], self._start_id))
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        states = self._run(self._ids, positions)
        places = torch.arange(1, self._ids.shape[1] + 1, device=self._ids.device)
        last = (places * self._mask).amax(1) - 1
        return self._words(states[torch.arange(len(last), device=last.device), last])

    def go_on(self, tokens: Tensor) -> Tensor:
        """Read one more token (N,) of each row; logits (N, V) of the next."""
        if self._start_id is not None:
            made = self._model.decoder(
                input_ids=tokens[:, None],
                encoder_hidden_states=self._read,
                encoder_attention_mask=self._mask,
                past_key_values=self._cache,
                use_cache=True,
            )
            self._cache = made.past_key_values
            return self._words(made.last_hidden_state[:, -1])
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], 1)
        positions, self._next = self._next[:, None], self._next + 1
        return self._words(self._run(tokens[:, None], positions)[:, -1])

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone, in this order; a row may be there several times."""
        self._mask, self._next = self._mask[rows], self._next[rows]
        if self._read is not None:
            self._read = self._read[rows]
        self._cache.reorder_cache(rows)

    def _run(self, ids: Tensor, positions: Tensor) -> Tensor:
        made = self._model.base_model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = made.past_key_values
        states: Tensor = made.last_hidden_state
        return states

    def _words(self, states: Tensor) -> Tensor:
        logits = words_of(self._model, states)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))
