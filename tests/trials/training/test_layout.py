"""Tokens side by side and padded are the same tokens, and a pass over either is the same pass."""

from typing import Any

import pytest
import torch
from cases import DATA, member_of, small_backbone
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trials.families import FAMILIES
from trials.spec import Dropout
from trials.tasks.base import Encoded
from trials.training.attention import unpads
from trials.training.data import collate
from trials.training.layout import Layout
from trials.training.pack import Pack

CPU = torch.device("cpu")
UNPADDED = ("bert", "roberta", "llama", "gpt2")
LENGTHS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3)


def padded_tokens(lengths: list[list[int]], layout: Layout) -> tuple[Tensor, Tensor]:
    """Random values (K · B, L, 3), and where they are of a token."""
    size, longest = layout.padded
    live = torch.zeros(size, longest, dtype=torch.bool)
    rows = size // len(lengths)
    for k, own in enumerate(lengths):
        for b, length in enumerate(own):
            live[k * rows + b, :length] = True
    values = torch.randn(size, longest, 3, dtype=torch.float64, generator=torch.Generator())
    return values, live


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS)
def test_members_tokens_follow_one_another_and_come_back(lengths: list[list[int]]) -> None:
    layout = Layout.of(lengths, CPU)
    values, live = padded_tokens(lengths, layout)
    joined = layout.join(values)
    assert joined.shape[:2] == layout.joined == (len(lengths), max(map(sum, lengths)))
    rows = len(values) // len(lengths)
    for k, own in enumerate(lengths):
        here = slice(k * rows, (k + 1) * rows)
        assert torch.equal(joined[k, : sum(own)], values[here][live[here]])
    assert torch.equal(layout.part(joined)[live], values[live])


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS)
def test_gradients_reach_every_token_and_nothing_else(lengths: list[list[int]]) -> None:
    """What stands where no token is has weight zero, whatever is made of it."""
    layout = Layout.of(lengths, CPU)
    values, live = padded_tokens(lengths, layout)
    values.requires_grad_(True)
    weights = torch.randn_like(values) * live[:, :, None]
    joined = layout.join(values)
    joined.retain_grad()
    (layout.part(joined) * weights).sum().backward()
    assert torch.equal(values.grad, weights)
    for k, own in enumerate(lengths):
        assert joined.grad is not None
        assert (joined.grad[k, sum(own) :] == 0).all()


def test_equal_lengths_are_a_view() -> None:
    layout = Layout.of([[4, 4], [4, 4]], CPU)
    x = torch.randn(4, 4, 3)
    assert layout.join(x).data_ptr() == layout.part(layout.join(x)).data_ptr() == x.data_ptr()


def test_a_members_nan_stays_its_own() -> None:
    layout = Layout.of([[2], [5]], CPU)
    x = torch.zeros(2, 5, 1)
    x[1] = torch.nan
    assert not layout.join(x)[0].isnan().any()
    assert not layout.part(layout.join(x))[0].isnan().any()


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("family", UNPADDED)
def test_a_pass_equals_the_librarys_over_padded_rows(family: str, implementation: str) -> None:
    """Llama's eager attention has its softmax in float32 whatever the model's dtype."""
    exact = implementation == "sdpa"
    backbone = small_backbone(torch.float64 if exact else torch.float32, family)
    backbone.model.set_attn_implementation(implementation)
    member = member_of(backbone)
    rows = [0, 5, 9, 2]
    batch = collate(DATA, rows, 0)
    assert len(set(batch.lengths)) > 1
    with Pack(backbone) as pack:
        pack.step([member])
        made = pack.outputs(member, DATA)[rows]
        for group in member.parameters.groups:
            for name in group.tensors:
                group.tensors[name].data.zero_()
        plain = pack.outputs(member, DATA)[rows]
    for path in backbone.family.head:
        for part, tensor in member.parameters.head[path].items():
            setattr(backbone.model.get_submodule(path), part, nn.Parameter(tensor.detach().clone()))
    with torch.no_grad():
        expected = backbone.model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask
        ).logits
    assert float((plain - expected).abs().max()) < (1e-12 if exact else 1e-5)
    assert float((made - expected).abs().max()) > 1e-4, "the update changes nothing: proves little"


@pytest.mark.parametrize("family", UNPADDED)
def test_maps_of_the_layers_see_no_padding(family: str) -> None:
    backbone = small_backbone(family=family)
    assert unpads(backbone)
    members = [member_of(backbone, seed=s, batch_size=b) for s, b in ((1, 3), (2, 4))]
    wanted = [sum(collate(DATA, m.rows()[0], 0).lengths) for m in members]
    seen: list[tuple[int, ...]] = []

    def note(module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
        seen.append(tuple(given[0].shape[:2]))

    layer = backbone.model.base_model.get_submodule(f"{backbone.family.layers[0]}.1")
    maps = [m for m in layer.modules() if isinstance(m, nn.Linear) or "Conv1D" in str(type(m))]
    handles = [one.register_forward_hook(note) for one in maps]
    with Pack(backbone) as pack:
        pack.step(members)
    for handle in handles:
        handle.remove()
    assert len(seen) == len(maps) > 3
    assert set(seen) == {(2, max(wanted))}


def test_families_whose_attention_sees_distances_are_padded() -> None:
    padded = {name for name in FAMILIES if not unpads(small_backbone(family=name))}
    assert padded == {"deberta-v2", "t5"}


def test_a_text_without_tokens_has_one_of_padding() -> None:
    data = Encoded([[], [5, 6, 7]], None, [0, 1], ["a", "b"], 0)
    assert collate(data, [0, 1], 0).lengths == (1, 3)
    backbone = small_backbone(torch.float32)
    member = member_of(backbone, data=data, batch_size=2, dropout=Dropout(backbone=0.1))
    with Pack(backbone) as pack:
        pack.step([member])
        assert pack.outputs(member, data).isfinite().all()
