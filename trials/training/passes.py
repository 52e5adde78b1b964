"""How a backbone is called: from tokens to its states, and to what its head gives.

A text is read once, so nothing is kept of its keys and values for tokens to come.

Shapes: B examples, L tokens, T tokens of a decoder, H width, O outputs, V words.
"""

import inspect
from collections.abc import Mapping
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
        return _of_encoder_decoder(model, inputs["input_ids"], inputs["attention_mask"])
    caches = "use_cache" in inspect.signature(model.forward).parameters
    made: Tensor = model(**inputs, **({"use_cache": False} if caches else {})).logits
    return made


def states_of(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Last hidden states of a language model: (B, L, H), or (B, T, H) of its decoder.

    Args:
        model: the model, with whatever hooks it has.
        inputs: `input_ids` and `attention_mask`, (B, L); `decoder_ids`, (B, T), where the
            backbone has a decoder of its own.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    if not model.config.is_encoder_decoder:
        body = model.base_model
        made: Tensor = body(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return made
    read = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    decoder_ids = inputs["decoder_ids"]
    asking = {"encoder_hidden_states": read, "encoder_attention_mask": mask}
    made = model.decoder(input_ids=decoder_ids, use_cache=False, **asking)
    states: Tensor = made.last_hidden_state
    return states


def words_of(model: Any, states: Tensor) -> Tensor:
    """What a language model's head makes of states (..., H): logits (..., V)."""
    if getattr(model.config, "scale_decoder_outputs", False):
        states = states * model.model_dim**-0.5
    made: Tensor = model.get_output_embeddings()(states)
    return made


def run_through(backbone: Backbone, inputs: Mapping[str, Tensor]) -> None:
    """One pass for the sake of what hooks see on its way."""
    if not backbone.writes:
        logits_of(backbone.model, inputs)
    elif backbone.start_id is None or "decoder_ids" in inputs:
        states_of(backbone.model, inputs)
    else:
        states_of(backbone.model, {**inputs, "decoder_ids": inputs["input_ids"]})


def _of_encoder_decoder(model: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """What the head makes of the decoder's state at the end of the text.

    The decoder sees the encoder's tokens shifted by one, so both have one length. The model's own
    pass asks for equally many ends in every row, which rows of different tasks, and those that
    only fill a batch, have not.
    """
    states = model.base_model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        decoder_input_ids=model._shift_right(input_ids),
        use_cache=False,
    ).last_hidden_state
    rows = torch.arange(len(states), device=states.device)
    ends = last_end(input_ids, attention_mask, int(model.config.eos_token_id))
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
