"""Dropout of every kind of a backbone's modules, and those that are out of reach."""

import copy
from typing import Any

import pytest
import torch
from cases import member_of, small_backbone
from torch import Tensor, nn
from torch.nn import functional

from trials.errors import UserError
from trials.spec import Dropout
from trials.training.attention import unpads
from trials.training.data import collate
from trials.training.dropouts import kinds_of, refuse_out_of_reach
from trials.training.hooks import drawn_mask
from trials.training.member import Member
from trials.training.pack import Pack
from trials.training.passes import logits_of

SMALL = ("bert", "roberta", "llama", "deberta-v2", "gpt2", "t5")
ROWS = [0, 1, 2]
RATE = 0.3


def test_heads_and_probabilities_that_are_dropped_elsewhere_are_off() -> None:
    of_gpt2 = kinds_of(small_backbone(family="gpt2").model)
    assert of_gpt2 == {f"transformer.h.{i}.attn.attn_dropout": "off" for i in (0, 1)}
    of_t5 = kinds_of(small_backbone(family="t5").model)
    assert of_t5 == {"classification_head.dropout": "off"}
    assert not kinds_of(small_backbone(family="t5", classifier_dropout=0.1).model)
    assert not kinds_of(small_backbone(family="bert").model)


class Masked:
    """A dropout module's forward, with the member's masks by path and call.

    Where tokens lie side by side, one mask is drawn for all that are live, (B, L).
    """

    def __init__(self, member: Member, path: str, live: Tensor | None) -> None:
        self.member, self.path, self.live, self.calls = member, path, live, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.live is None:
            return x * self.drawn(x.shape)
        mask = torch.ones_like(x)
        mask[self.live] = self.drawn((int(self.live.sum()), x.shape[-1])).to(x.dtype)
        return x * mask

    def drawn(self, shape: tuple[int, ...]) -> Tensor:
        where = (self.path, self.calls, self.member.step, 0)
        return drawn_mask(shape, RATE, self.member.spec.seed, where, torch.device("cpu"))


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_every_module_drops_what_its_masks_say(family: str) -> None:
    """The oracle is not the engine: a plain model whose dropout modules are told their masks."""
    backbone = small_backbone(family=family)
    member = member_of(backbone, dropout=Dropout(backbone=RATE))
    batch = collate(member.train, ROWS, 0)
    with Pack(backbone) as pack:
        made = pack._forward(pack._prepare([member], 0, training=True), [batch])[0].detach()
        plain = pack._forward(pack._prepare([member], 0, training=False), [batch])[0].detach()
    model = copy.deepcopy(backbone.model)
    for path, parts in member.parameters.head.items():
        for part, tensor in parts.items():
            getattr(model.get_submodule(path), part).data.copy_(tensor.detach())
    places = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Dropout) and kinds_of(model).get(path) != "off":
            beside = unpads(backbone) and f".{backbone.family.layers[0]}." in f".{path}"
            places[path] = Masked(member, path, batch.attention_mask.bool() if beside else None)
            module.forward = places[path]  # type: ignore[method-assign]
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.no_grad():
        expected = logits_of(model, inputs)
    assert float((made - expected).abs().max()) < 1e-12
    assert float((made - plain).abs().max()) > 1e-4
    reached = [path for path, place in places.items() if place.calls]
    assert len(reached) >= 2 * 2


@pytest.mark.parametrize("family", SMALL)
def test_nothing_of_the_known_families_is_out_of_reach(family: str) -> None:
    backbone = small_backbone(family=family)
    state = torch.random.get_rng_state()
    refuse_out_of_reach(backbone)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(module.training for module in backbone.model.modules())


@pytest.mark.parametrize("rates", [Dropout(backbone=0.1), Dropout(attention=0.1)])
def test_dropout_that_is_called_as_a_function_is_refused(
    rates: Dropout, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = small_backbone(family="gpt2")
    blocks = backbone.model.transformer.h

    def dropping(forward: Any, block: Any) -> Any:
        def call(x: Tensor) -> Tensor:
            return functional.dropout(forward(x), 0.1, block.training)

        return call

    for block in blocks:
        monkeypatch.setattr(block.mlp, "forward", dropping(block.mlp.forward, block))
    with pytest.raises(UserError) as error:
        member_of(backbone, dropout=rates)
    assert str(error.value) == (
        "dropout: backbone 'small' of type 'gpt2' drops in 2 places that are no modules, where no "
        "mask of a trial's own can stand; dropout.backbone and dropout.attention must be 0"
    )
    member_of(backbone, dropout=Dropout(adapter=0.1))
