"""What each dropout of a backbone acts on, and proof that every one is within reach.

A trial's dropout is drawn from its own stream by hooks on the backbone's dropout modules, and by
the attention function. A dropout that a family calls as a function is neither: nothing would be
dropped there, and nobody would know. So a backbone runs once on two tokens as if it trained, and
whatever drops then by itself is counted.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trials.backbones import Backbone
from trials.errors import UserError
from trials.training import disentangled
from trials.training.attention import Attention
from trials.training.passes import run_through

Kind = Literal["probabilities", "positions", "off"]


def kinds_of(model: nn.Module) -> dict[str, Kind]:
    """What each dropout acts on that is not one of hidden states (K · B, [L,] H), by its path.

    `probabilities` are (K · B, N, L, L); `positions` are a table of embeddings, (P, H). GPT-2's of
    probabilities is `off`: the attention function drops them. So is that of T5's head where the
    configuration has it at 0, as every published checkpoint does: what it reads has come through
    the decoder's last dropout.
    """
    found: dict[str, Kind] = dict(disentangled.dropouts(model))
    config: Any = getattr(model, "config", None)
    kind = getattr(config, "model_type", None)
    if kind == "gpt2":
        names = (path for path, _ in model.named_modules() if path.endswith(".attn_dropout"))
        found |= dict.fromkeys(names, "off")
    if kind == "t5" and not config.classifier_dropout:
        found["classification_head.dropout"] = "off"
    return found


def refuse_out_of_reach(backbone: Backbone) -> None:
    """Make sure that a trial's own masks can stand wherever the backbone drops hidden states.

    Raises:
        UserError: some dropout is called as a function.
    """
    if backbone not in _counted:
        _counted[backbone] = _num_direct(backbone)
    if _counted[backbone]:
        raise UserError(
            f"dropout: backbone '{backbone.name}' of type '{backbone.model.config.model_type}' "
            f"drops in {_counted[backbone]} places that are no modules, where no mask of a "
            "trial's own can stand; dropout.backbone and dropout.attention must be 0"
        )


_counted: "weakref.WeakKeyDictionary[Backbone, int]" = weakref.WeakKeyDictionary()


@torch.no_grad()
def _num_direct(backbone: Backbone) -> int:
    """How often a pass in training calls dropout that belongs to no module."""
    model = backbone.model
    ids = torch.zeros((1, 2), dtype=torch.long, device=next(model.parameters()).device)
    calls = _Calls()
    with _training(model), Attention(backbone).during(_nothing), calls:
        run_through(backbone, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    return calls.number


def _nothing(probabilities: Tensor, path: str) -> None:
    return None


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """All but its dropout modules as they are in training, and its hooks out of the way."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    try:
        yield
    finally:
        model.eval()


class _Calls(TorchFunctionMode):
    """Counts dropouts that would drop something, and lets none of them.

    Attributes:
        number: how many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if function is nn.functional.dropout:
            values = dict(zip(("input", "p", "training"), args, strict=False)) | given
            if values.get("training", True) and values.get("p", 0.5):
                self.number += 1
            return values["input"]
        return function(*args, **given)
