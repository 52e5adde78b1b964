"""How a backbone is called: from tokens to what its head gives, or to the last hidden states.

A text is read once, so nothing is kept of its keys and values for tokens to come.

Shapes: B examples, L tokens, H width, O outputs.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def logits_of(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Outputs (B, O) of a sequence classification model.

    Args:
        model: the model, with whatever hooks it has.
        inputs: `input_ids` and `attention_mask`, (B, L), and `token_type_ids` where there are any.
    """
    if model.config.is_encoder_decoder:
        return _of_encoder_decoder(model, inputs)
    made: Tensor = model(**inputs, **_uncached(model)).logits
    return made


def states_of(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """The last hidden state of every token, (B, L, H).

    An encoder-decoder's are its decoder's, which sees the encoder's tokens shifted by one, so both
    have one length.

    Args:
        model, inputs: as for `logits_of`.
    """
    body = model.base_model
    more: dict[str, Any] = _uncached(body)
    if model.config.is_encoder_decoder:
        more["decoder_input_ids"] = model._shift_right(inputs["input_ids"])
    made: Tensor = body(**inputs, **more).last_hidden_state
    return made


def _uncached(model: Any) -> dict[str, Any]:
    caches = "use_cache" in inspect.signature(model.forward).parameters
    return {"use_cache": False} if caches else {}


def _of_encoder_decoder(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the head makes of the decoder's state at the end of the text.

    The model's own pass asks for equally many ends in every row, which rows of different tasks,
    and those that only fill a batch, have not.
    """
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    states = states_of(model, inputs)
    rows = torch.arange(len(states), device=states.device)
    ends = last_end(**inputs, end_id=int(model.config.eos_token_id))
    made: Tensor = model.classification_head(states[rows, ends])
    return made


def last_end(input_ids: Tensor, attention_mask: Tensor, end_id: int) -> Tensor:
    """Place of the last end of text in each row, (B,); of the last live token where there is none.

    Args:
        input_ids, attention_mask: (B, L).
        end_id: the token that ends a text.
    """
    live = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device) * attention_mask
    ends = (live * input_ids.eq(end_id)).amax(1)
    return torch.where(ends > 0, ends, live.amax(1)) - 1
