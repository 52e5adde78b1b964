"""Families of backbones: how each names its parts, and what its head is.

The head of a family is what classifies in its sequence classification model. It starts anew for
each trial and trains as a whole, whatever the checkpoint holds: BERT's pooler is pretrained and no
part of it, DeBERTa's is new and the first map of it. A decoder's head reads the last live token,
T5's the decoder's state at the end of the text. A head that reads every token is the same in all
families: one linear map of the last hidden states. A language model's is the checkpoint's own map
to words, often tied to its embeddings, and never a trial's to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from trials.targets import CANONICAL_TARGETS, QUALIFIED_TARGETS

Reads = Literal["text", "tokens", "words"]
TOKEN_HEAD = "qa_outputs"
"""Path of the map that reads every token, as transformers' models for answers in a text have it."""
WORD_HEAD = "lm_head"
"""Path of a language model's map from states to words."""


@dataclass(frozen=True)
class Head:
    """What a task asks of a trial's head.

    Attributes:
        outputs: numbers that it gives at a time; 0 where a trial has none of its own.
        reads: `text`: it gives them once a text, by the maps that its family classifies with;
            `tokens`: once a token, by one map of the last hidden states; `words`: the checkpoint's
            own language model, for texts that are written.
    """

    outputs: int
    reads: Reads = "text"


@dataclass(frozen=True)
class Family:
    """How one family of models names its parts.

    Attributes:
        targets: canonical name -> pattern that the end of a module's path must match.
        head: paths of the head's linear maps, which start anew for each trial.
        embeddings: path, within the model's body, of what makes the first hidden states.
        layers: paths, within the model's body, of its lists of layers; where there are several,
            none can be left out, and `embeddings` is empty.
        attention: how dropout reaches attention probabilities: by `interface` (an attention
            function registered with transformers) or `modules` (an `nn.Dropout` on them); None
            where that is not known, so that a trial with such dropout is refused.
        slices: canonical name -> which part of a fused map's outputs it is, and of how many of
            equal width; empty where no map is fused.
        writes: whether there are language models of it.
    """

    targets: Mapping[str, str]
    head: tuple[str, ...]
    embeddings: str
    layers: tuple[str, ...]
    attention: Literal["interface", "modules"] | None = None
    slices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    writes: bool = False

    def with_head(self, reads: Reads) -> Family:
        """The naming of its models that are loaded for a head: language models have another."""
        return replace(self, head=(WORD_HEAD,)) if reads == "words" else self

    def head_paths(self, reads: Reads) -> tuple[str, ...]:
        """Paths of the maps of a head, the last one giving its outputs."""
        return self.head if reads == "text" else (TOKEN_HEAD,)


_ENCODER = {
    "query": r"attention\.self\.query",
    "key": r"attention\.self\.key",
    "value": r"attention\.self\.value",
    "attention_output": r"attention\.output\.dense",
    "intermediate": r"layer\.\d+\.intermediate\.dense",
    "output": r"layer\.\d+\.output\.dense",
}
_DEBERTA_ENCODER = _ENCODER | {
    "query": r"attention\.self\.query_proj",
    "key": r"attention\.self\.key_proj",
    "value": r"attention\.self\.value_proj",
}
_DECODER = {
    "query": r"self_attn\.q_proj",
    "key": r"self_attn\.k_proj",
    "value": r"self_attn\.v_proj",
    "attention_output": r"self_attn\.o_proj",
    "gate": r"mlp\.gate_proj",
    "intermediate": r"mlp\.up_proj",
    "output": r"mlp\.down_proj",
}
_FUSED = ("query", "key", "value")
_GPT2_DECODER = dict.fromkeys(_FUSED, r"\.attn\.c_attn") | {
    "attention_output": r"\.attn\.c_proj",
    "intermediate": r"\.mlp\.c_fc",
    "output": r"\.mlp\.c_proj",
}
# Without a gate the first map is `wi`; with one, `wi_0` is bent and multiplies `wi_1`.
_OF_ATTENTION = {"query": "q", "key": "k", "value": "v", "attention_output": "o"}
_OF_BLOCK = {"gate": "wi_0", "intermediate": "wi(_1)?", "output": "wo"}


def _encoder_decoder() -> dict[str, str]:
    """T5's patterns: a plain name is of every stack, a qualified one of a single attention."""
    found = {name: rf"(Self|EncDec)Attention\.{map_}" for name, map_ in _OF_ATTENTION.items()}
    found |= {name: rf"DenseReluDense\.{map_}" for name, map_ in _OF_BLOCK.items()}
    for stack in ("encoder", "decoder"):
        layer = rf"{stack}\.block\.\d+\.layer\.\d+"
        for name, map_ in _OF_ATTENTION.items():
            found[f"{stack}.{name}"] = rf"{layer}\.SelfAttention\.{map_}"
        for name, map_ in _OF_BLOCK.items():
            found[f"{stack}.{name}"] = rf"{layer}\.DenseReluDense\.{map_}"
    return found | {
        f"cross.{name}": rf"EncDecAttention\.{map_}" for name, map_ in _OF_ATTENTION.items()
    }


_BERT = Family(_ENCODER, ("classifier",), "embeddings", ("encoder.layer",), "interface")
ROBERTA = Family(
    _ENCODER,
    ("classifier.dense", "classifier.out_proj"),
    "embeddings",
    ("encoder.layer",),
    "interface",
)
# Unlike BERT's, the pooler is no part of the checkpoint: it starts anew as the classifier does.
_DEBERTA = Family(
    _DEBERTA_ENCODER, ("pooler.dense", "classifier"), "embeddings", ("encoder.layer",), "modules"
)
_LLAMA = Family(_DECODER, ("score",), "embed_tokens", ("layers",), "interface", writes=True)
_GPT2 = Family(
    _GPT2_DECODER,
    ("score",),
    "drop",
    ("h",),
    "interface",
    slices={name: (index, len(_FUSED)) for index, name in enumerate(_FUSED)},
    writes=True,
)
# Its layers all read the biases of positions that the first one makes: none can be left out.
_T5 = Family(
    _encoder_decoder(),
    ("classification_head.dense", "classification_head.out_proj"),
    embeddings="",
    layers=("encoder.block", "decoder.block"),
    attention="interface",
    writes=True,
)
FAMILIES: Mapping[str, Family] = {
    "bert": _BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "deberta-v2": _DEBERTA,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "gpt2": _GPT2,
    "t5": _T5,
}

assert {name for family in FAMILIES.values() for name in family.targets} == {
    *CANONICAL_TARGETS,
    *QUALIFIED_TARGETS,
}

_WRITERS = ", ".join(name for name, family in FAMILIES.items() if family.writes)
WRITE_NOT = f"texts are written by backbones of type {_WRITERS}"
"""Said where another one is asked for a text."""
