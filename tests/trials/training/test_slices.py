"""Slices of one fused map: sites of their own, joined, or the map as a whole, side by side."""

from typing import Any

import pytest
import torch
from cases import DATA, member_of, small_backbone, train
from torch.nn import functional

from trials.errors import UserError
from trials.methods.base import Update
from trials.methods.lora import LoRA
from trials.spec import Dropout
from trials.training import export
from trials.training.data import collate
from trials.training.member import Member
from trials.training.pack import Pack

PATH = "transformer.h.0.attn.c_attn"
QKV = ("query", "key", "value")
DROPOUT = Dropout(backbone=0.1, adapter=0.2, attention=0.1)
MEMBERS: dict[str, tuple[str, dict[str, Any]]] = {
    "slices": ("lora", {"given": {"rank": 3}, "targets": ("query", "value"), "seed": 1}),
    "joined": ("mtlora", {"given": {"rank": 2}, "targets": QKV, "batch_size": 3}),
    "with a gap": ("mtlora", {"given": {"rank": 4}, "targets": ("query", "value"), "seed": 4}),
    "whole": ("lora", {"given": {"rank": 5}, "targets": {"modules": [r".*\.attn\.c_attn"]}}),
    "dropped after": ("tlora", {"given": {"rank": 3}, "targets": ("key",), "seed": 5}),
    "dense": ("increlora", {"given": {"rank": 2, "interval": 2}, "targets": QKV, "seed": 6}),
    "biases": ("bitfit", {"given": {"biases": "query_and_intermediate"}, "seed": 7}),
}


def members(backbone: Any) -> dict[str, Member]:
    common = {"dropout": DROPOUT, "steps": 12}
    return {
        name: member_of(backbone, method, **{**common, **more})
        for name, (method, more) in MEMBERS.items()
    }


def test_every_form_of_a_fused_map_trains_in_one_pack_as_alone() -> None:
    backbone = small_backbone(family="gpt2")
    packed, alone = members(backbone), members(backbone)
    train(backbone, list(packed.values()), 12)
    for name, one in alone.items():
        train(backbone, [one], 12)
        gap = (one.parameters.values - packed[name].parameters.values).abs().max()
        assert float(gap) <= 1e-11, name


@pytest.mark.parametrize("name", [n for n in MEMBERS if n != "biases"])
def test_what_is_added_lies_in_the_rows_of_its_slices(name: str) -> None:
    """The map's own output, caught on its way, against the merged weight's."""
    backbone = small_backbone(family="gpt2")
    member = members(backbone)[name]
    train(backbone, [member], 4)
    caught = []
    with Pack(backbone) as pack:
        handle = backbone.model.get_submodule(PATH).register_forward_hook(
            lambda _, args, output: caught.append((args[0], output))
        )
        pack.outputs(member, DATA)
        handle.remove()
    merged = export.merge(member, backbone).get_submodule(PATH)
    moved = set()
    for x, output in caught:
        torch.testing.assert_close(output, merged(x), rtol=1e-12, atol=1e-12)
        change = (output - backbone.model.get_submodule(PATH)(x)).abs().amax((0, 1))
        moved |= {part for part, of_part in zip(QKV, change.chunk(3), strict=True) if of_part.any()}
    targets = MEMBERS[name][1]["targets"]
    assert moved == set(targets if isinstance(targets, tuple) else QKV)


def test_the_dense_gradient_of_a_slice_is_that_of_its_rows() -> None:
    """Against autograd on the merged weight itself."""
    backbone = small_backbone(family="gpt2")
    more = {"given": {"rank": 2, "orthogonality": 0.0}, "targets": ("query", "value")}
    member = member_of(backbone, "increlora", **more)
    rows = member.rows()[0]
    model = export.merge(member, backbone)
    weight = model.get_submodule(PATH).weight.requires_grad_()
    batch = collate(DATA, rows, 0)
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    functional.cross_entropy(logits, batch.labels).backward()
    with Pack(backbone) as pack:
        pack._accumulate([member], [rows], [len(rows)], 0)
    noted = {path: gradient for path, gradient in member.dense.items() if path.startswith(PATH)}
    assert set(noted) == {f"{PATH}.query", f"{PATH}.value"}
    for name, columns in (("query", slice(0, 32)), ("value", slice(64, 96))):
        expected = weight.grad[:, columns].T
        assert float(expected.abs().max()) > 1e-6
        torch.testing.assert_close(noted[f"{PATH}.{name}"], expected, rtol=1e-9, atol=1e-13)


def test_slices_have_no_input_of_their_own_to_add_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def to_input(self: LoRA, p: Any) -> Update:
        return Update(p["b"], None, p["a"], 1.0, adds="input")

    backbone = small_backbone(family="gpt2")
    monkeypatch.setattr(LoRA, "update", to_input)
    member = member_of(backbone, targets=("query",))
    with pytest.raises(UserError, match=f"{PATH}.query: slices of a map have no input"):
        train(backbone, [member], 1)
