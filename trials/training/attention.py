"""Attention of members that share a pass: padding around it alone, and dropout of each trial's own.

Where tokens lie side by side, each example's are brought together for its attention and back: the
backbone then runs the attention it was loaded with. The fused attention of torch draws from the
global generator, one mask for the whole pack. So in a pass that drops something, attention goes
through a function of ours, with the probabilities in memory and a mask drawn for each member at
its own unpadded shape.
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
from trials.training.layout import Layout

NAME = "ablate"
"""How the attention function of ours is registered with transformers."""

FUSED = "ablate_sdpa"
"""How the one of torch is, with places for padding."""

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


def unpads(backbone: Backbone) -> bool:
    """Whether tokens can lie side by side in a backbone's layers.

    That takes an attention that goes through a function, and maps that see no positions: DeBERTa's
    attention and the biases of T5's are by the distance of two places.
    """
    family, found = backbone.family, backbone.model.config._attn_implementation
    return family.attention == "interface" and len(family.layers) == 1 and found in WORKING


class Attention:
    """The attention of one backbone."""

    def __init__(self, backbone: Backbone) -> None:
        self.unpads = unpads(backbone)
        self._is_fused = backbone.model.config._attn_implementation == "sdpa"
        self._paths: dict[nn.Module, str] = {}
        self._configs: list[Any] = []
        self._draw: Draw | None = None
        self._layout: Layout | None = None
        if backbone.family.attention == "interface":
            _register()
            self._paths = {module: path for path, module in backbone.model.named_modules()}
            configs = [getattr(module, "config", None) for module in self._paths]
            self._configs = list({id(c): c for c in configs if c is not None}.values())

    @contextmanager
    def during(self, draw: Draw | None = None, layout: Layout | None = None) -> Iterator[None]:
        """While it is open, attention drops what `draw` says and reads tokens as they lie.

        Nothing changes with neither, and where dropout is a module of the backbone's own.
        """
        if (draw is None and layout is None) or not self._configs:
            yield
            return
        before = [config._attn_implementation for config in self._configs]
        self._draw, self._layout = draw, layout
        token = _current.set(self)
        for config in self._configs:
            config._attn_implementation = FUSED if draw is None and self._is_fused else NAME
        try:
            yield
        finally:
            for config, implementation in zip(self._configs, before, strict=True):
                config._attn_implementation = implementation
            _current.reset(token)
            self._draw = self._layout = None

    def mask(self, module: nn.Module, probabilities: Tensor) -> Tensor | None:
        """What multiplies the probabilities of one attention, (K · B, N, L, L)."""
        return None if self._draw is None else self._draw(probabilities, self._paths[module])

    def apart(
        self, function: Any, module: nn.Module, query: Tensor, key: Tensor, value: Tensor,
        attention_mask: Tensor | None, **more: Any,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """An attention function over padded examples, whose tokens may lie side by side."""
        layout = self._layout
        if layout is not None:
            query, key, value = (
                layout.part(x.transpose(1, 2)).transpose(1, 2) for x in (query, key, value)
            )
        made, probabilities = function(module, query, key, value, attention_mask, **more)
        return (made if layout is None else layout.join(made)), probabilities


_current: ContextVar[Attention] = ContextVar("attention")


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
    """Make the functions known to transformers, each with the mask that it reads.

    A name without a mask function would get no mask at all, padding included.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import eager_mask, sdpa_mask

    def apart(function: Any) -> Any:
        return lambda *given, **more: _current.get().apart(function, *given, **more)

    AttentionInterface.register(NAME, apart(attend))
    AttentionMaskInterface.register(NAME, eager_mask)
    AttentionInterface.register(FUSED, apart(sdpa_attention_forward))
    AttentionMaskInterface.register(FUSED, sdpa_mask)
