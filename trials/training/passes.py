"""How a backbone is called: from tokens to its states, and to what its head gives.

A text is read once, so nothing is kept of its keys and values for tokens to come.

Shapes: B examples, L tokens, T tokens of a decoder, H width, O outputs, V words.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from trials.backbones import Backbone


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

    An encoder-decoder's are its decoder's, (B, T, H). Where it is not said what the decoder reads,
    that is the encoder's tokens shifted by one, so both have one length.

    Args:
        model: the model, with whatever hooks it has.
        inputs: as for `logits_of`, and `decoder_ids`, (B, T), where words are learned.
    """
    if model.config.is_encoder_decoder:
        return _of_decoder(model, inputs)
    body = model.base_model
    made: Tensor = body(**inputs, **_uncached(body)).last_hidden_state
    return made


def _of_decoder(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    decoder_ids = inputs.get("decoder_ids")
    asked = model._shift_right(ids) if decoder_ids is None else decoder_ids
    body = model.base_model
    read = body.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    states = {"encoder_hidden_states": read, "encoder_attention_mask": mask}
    made = body.decoder(input_ids=asked, use_cache=False, **states)
    found: Tensor = made.last_hidden_state
    return found


def words_of(model: Any, states: Tensor) -> Tensor:
    """What a language model's head makes of states (..., H): logits (..., V)."""
    if getattr(model.config, "scale_decoder_outputs", False):
        states = states * model.model_dim**-0.5
    made: Tensor = model.get_output_embeddings()(states)
    return made


def run_through(backbone: Backbone, inputs: Mapping[str, Tensor]) -> None:
    """One pass for the sake of what hooks see on its way."""
    (states_of if backbone.writes else logits_of)(backbone.model, inputs)


def _uncached(model: Any) -> dict[str, Any]:
    return {"use_cache": False} if _caches(type(model).forward) else {}


@functools.cache
def _caches(forward: Callable[..., Any]) -> bool:
    return "use_cache" in inspect.signature(forward).parameters


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
