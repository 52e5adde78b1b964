"""Dropout on attention probabilities, each trial's from its own stream.

The fused attention of torch draws from the global generator, one mask for the whole pack. So in a
pass that drops something, attention goes through a function of ours, with the probabilities in
memory and a mask drawn for each member at its own unpadded shape. In any other pass nothing is
changed: the backbone runs the attention it was loaded with.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from trials.backbones import Backbone
from trials.errors import UserError
from trials.families import FAMILIES

NAME = "ablate_dropout"
"""How the attention function is registered with transformers."""

WORKING = ("sdpa", "eager")
"""Implementations that the function equals where nothing is dropped."""

_BEYOND = ("softcap", "s_aux")
"""What some families ask of their attention besides; the function has none of it."""

Draw = Callable[[Tensor, str], Tensor | None]
"""From probabilities (K · B, N, L, L) and the attention's path to what multiplies them."""


def refuse_unsupported(backbone: Backbone) -> None:
    """Make sure that a mask of a trial's own can reach the backbone's attention.

    Raises:
        UserError: its family is not known to allow it, or its attention function has no place
            for a mask.
    """
    config = backbone.model.config
    found = config._attn_implementation
    if backbone.family.attention is None:
        known = ", ".join(name for name, family in FAMILIES.items() if family.attention)
        raise UserError(
            f"dropout.attention is not known to work for backbones of type '{config.model_type}' "
            f"(attention implementation '{found}'); it does for {known}, "
            f"with {' or '.join(WORKING)}"
        )
    if backbone.family.attention == "interface" and found not in WORKING:
        raise UserError(
            f"dropout.attention: backbone '{backbone.name}' runs attention as '{found}', which "
            f"takes no mask of a trial's own; {' and '.join(WORKING)} do"
        )


class AttentionDropout:
    """The place of a backbone's attention where dropout happens."""

    def __init__(self, backbone: Backbone) -> None:
        self._paths: dict[nn.Module, str] = {}
        self._configs: list[Any] = []
        self._draw: Draw | None = None
        if backbone.family.attention == "interface":
            _register()
            self._paths = {module: path for path, module in backbone.model.named_modules()}
            configs = [getattr(module, "config", None) for module in self._paths]
            self._configs = list({id(c): c for c in configs if c is not None}.values())

    @contextmanager
    def dropping(self, draw: Draw | None) -> Iterator[None]:
        """While it is open, attention drops what `draw` says.

        Nothing changes with None, and where dropout is a module of the backbone's own.
        """
        if draw is None or not self._configs:
            yield
            return
        before = [config._attn_implementation for config in self._configs]
        self._draw = draw
        token = _current.set(self)
        for config in self._configs:
            config._attn_implementation = NAME
        try:
            yield
        finally:
            for config, implementation in zip(self._configs, before, strict=True):
                config._attn_implementation = implementation
            _current.reset(token)
            self._draw = None

    def mask(self, module: nn.Module, probabilities: Tensor) -> Tensor | None:
        """What multiplies the probabilities of one attention, (K · B, N, L, L)."""
        assert self._draw is not None
        return self._draw(probabilities, self._paths[module])


_current: ContextVar[AttentionDropout] = ContextVar("attention_dropout")


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, Tensor]:
    """Attention with a mask on its probabilities, as transformers calls it.

    Args:
        module: the attention, whose path names the stream.
        query: (K · B, N, L, d).
        key, value: (K · B, M, L, d); M heads are shared by N / M queries each.
        attention_mask: (K · B, 1, L, L), 0 where a query may look and the least number of its
            dtype where not; None where it may look everywhere.
        scaling: of the scores; 1/sqrt(d) when None.
        position_bias: (1, N, L, L) added to the scores of every example, or None (T5's first
            block makes it, from the distance of query and key).
        more: what the function does not need.

    Returns:
        Outputs (K · B, L, N, d) and probabilities (K · B, N, L, L) as they were applied.
    """
    asked = [name for name in _BEYOND if more.get(name) is not None]
    if asked:
        raise UserError(f"dropout.attention does not go with the attention's {', '.join(asked)}")
    shared = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(shared, dim=1) if shared > 1 else x for x in (key, value))
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if position_bias is not None:
        scores = scores + position_bias
    if attention_mask is not None:
        scores = scores + attention_mask
    wide = torch.promote_types(scores.dtype, torch.float32)
    probabilities = torch.softmax(scores, dim=-1, dtype=wide)
    mask = _current.get().mask(module, probabilities)
    applied = (probabilities if mask is None else probabilities * mask).to(value.dtype)
    return (applied @ value).transpose(1, 2).contiguous(), applied


def _register() -> None:
    """Make the function known to transformers, with the additive mask of eager attention.

    A name without a mask function would get no mask at all, padding included.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)
