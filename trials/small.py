"""Small backbones with random weights, one for each family, and examples for them.

They stand for real ones wherever a method is held to its contract: nothing is downloaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trials.backbones import model_class
from trials.families import Reads
from trials.tasks.base import Encoded

NUM_LABELS = 3
END = 1
"""The token that ends a text where a family looks for one."""

_PARTICULAR: Mapping[str, Mapping[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "gpt2": {"n_inner": 48, "bos_token_id": END, "eos_token_id": END},
    "t5": {
        "d_kv": 8,
        "d_ff": 48,
        "num_decoder_layers": 2,
        "eos_token_id": END,
        "decoder_start_token_id": 0,
    },
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
    },
}
"""What a family's small model needs besides its sizes; DeBERTa's is version 3's."""


class Padding:
    """The part of a tokenizer that training needs."""

    pad_token_id = 0
    padding_side = "right"

    def save_pretrained(self, folder: Path) -> None:
        """Nothing to save."""


def model_of(family: str, reads: Reads = "text", **particular: Any) -> Any:
    """A small model of a family, with random weights that do not depend on what ran before.

    Args:
        family: its name in `FAMILIES`.
        reads: what its head does.
        particular: fields of its configuration, in place of the usual ones.
    """
    import transformers

    width = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes = {**width, "intermediate_size": 48, "vocab_size": 60, "max_position_embeddings": 40}
    fields = {**sizes, "num_labels": NUM_LABELS, "pad_token_id": 0, **_PARTICULAR.get(family, {})}
    config = transformers.AutoConfig.for_model(family, **{**fields, **particular})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260101)
        model = model_class(config, reads).from_config(config)
    return model.eval().requires_grad_(False)


def examples(num_rows: int = 24) -> Encoded:
    """Random token ids of different lengths, with an end of text at the last place."""
    stream = torch.Generator().manual_seed(7)
    lengths = torch.randint(5, 13, (num_rows,), generator=stream).tolist()
    ids = [torch.randint(3, 60, (length,), generator=stream).tolist() for length in lengths]
    ids = [[*row[:-1], END] for row in ids]
    labels = torch.randint(0, NUM_LABELS, (num_rows,), generator=stream).tolist()
    return Encoded(ids, None, labels, [f"train-{i}" for i in range(num_rows)], 0)
