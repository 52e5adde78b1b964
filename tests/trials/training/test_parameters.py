import pytest
import torch

from trials.catalogue import complete
from trials.methods.base import Method, Site
from trials.methods.lora import LoRA
from trials.methods.mtlora import MTLoRA
from trials.methods.tlora import TLoRA
from trials.methods.triadaptlora import TriAdaptLoRA
from trials.training.parameters import Parameters

SITES = (
    Site("0.query", "query", 5, 3), Site("0.up", "intermediate", 7, 3),
    Site("1.query", "query", 5, 3), Site("1.up", "intermediate", 7, 3),
)  # fmt: skip
HEAD = ((Site("head.dense", "head", 3, 3), True), (Site("head.out", "head", 2, 3), False))


def made(method: Method, seed: int = 0, train_head: bool = True, std: float = 0.02) -> Parameters:
    return Parameters(method, SITES, HEAD, seed=seed, train_head=train_head, head_std=std)


def test_sites_of_equal_shape_share_a_stack() -> None:
    groups = made(LoRA(rank=2)).groups
    assert [[s.name for s in g.sites] for g in groups] == [
        ["0.query", "1.query"], ["0.up", "1.up"]
    ]  # fmt: skip
    assert groups[1].tensors["b"].shape == (2, 7, 2)


def test_leaves_and_gradients_are_views_of_two_flat_vectors() -> None:
    parameters = made(LoRA(rank=2))
    for tensor in parameters.trained.values():
        assert tensor.is_leaf
        assert tensor.requires_grad
        assert tensor.untyped_storage().data_ptr() == parameters.values.untyped_storage().data_ptr()
    leaf = parameters.groups[0].tensors["a"]
    parameters.values.fill_(3.0)
    assert (leaf == 3).all()
    (leaf.sum() * 2).backward()
    assert float(parameters.gradient.sum()) == 2 * leaf.numel()


def test_every_tensor_starts_at_a_multiple_of_16() -> None:
    parameters = made(MTLoRA(rank=3, structure="ctcm"))
    begin = parameters.values.data_ptr()
    offsets = [(t.data_ptr() - begin) // 4 for t in parameters.trained.values()]
    assert offsets[0] == 0
    assert all(offset % 16 == 0 for offset in offsets)
    ends = [o + t.numel() for o, t in zip(offsets, parameters.trained.values(), strict=True)]
    assert all(end <= after for end, after in zip(ends, offsets[1:], strict=False))
    assert ends[-1] <= parameters.values.numel()


def test_the_head_is_drawn_from_the_seed_alone() -> None:
    one, other = made(LoRA(rank=2)), made(TLoRA(rank=4))
    for path, parts in one.head.items():
        assert all(torch.equal(t, other.head[path][k]) for k, t in parts.items())
    assert not one.head["head.dense"]["bias"].any()
    assert set(one.head["head.out"]) == {"weight"}
    again = made(LoRA(rank=2), seed=1)
    assert not torch.equal(one.head["head.out"]["weight"], again.head["head.out"]["weight"])
    wide = made(LoRA(rank=2), std=0.2)
    torch.testing.assert_close(
        wide.head["head.dense"]["weight"].detach(),
        one.head["head.dense"]["weight"].detach() * 10,
    )


def test_a_frozen_head_and_frozen_factors_are_not_in_the_vector() -> None:
    parameters = made(TLoRA(rank=4), train_head=False)
    assert {k.rpartition(".")[2] for k in parameters.trained} == {"b", "scale"}
    assert {"head.head.dense.weight", "sites.0.a", "sites.1.c"} <= set(parameters.frozen)
    assert not any(t.requires_grad for t in parameters.frozen.values())
    assert parameters.counts(TLoRA(rank=4)) == (4 * 17, 0)


@pytest.mark.parametrize(
    ("method", "adapter"),
    [
        (LoRA(rank=2), 2 * (2 * 8 + 2 * 10)),
        (MTLoRA(rank=2, structure="dtsm"), 2 * (2 * 8 + 2 * 10 + 2 * 8)),
        (TLoRA(rank=3), 4 * 10),
        (TriAdaptLoRA(rank=4, initial_rank=2), 2 * (2 * 8 + 6) + 2 * (2 * 10 + 6)),
    ],
)
def test_counts_leave_gaps_and_what_has_not_grown_out(method: Method, adapter: int) -> None:
    assert made(method).counts(method) == (adapter, 3 * 3 + 3 + 2 * 3)


def test_decay_spares_biases_scalars_and_gaps() -> None:
    parameters = made(TLoRA(rank=3))
    decays = parameters.decays()
    for name, tensor in parameters.trained.items():
        offset = (tensor.data_ptr() - parameters.values.data_ptr()) // 4
        part = decays[offset : offset + tensor.numel()]
        spared = name.endswith((".bias", ".scale"))
        assert (part == (0.0 if spared else 1.0)).all(), name
    assert int(decays.sum()) == 2 * 2 * 9 + 9 + 6


def test_alive_follows_the_ranks_and_is_none_without_growth() -> None:
    assert made(LoRA(rank=2)).alive(LoRA(rank=2)) is None
    method = TriAdaptLoRA(**complete("triadaptlora", {"rank": 4}))
    parameters = made(method)
    before = parameters.alive(method)
    assert before is not None
    parameters.groups[0].tensors["ranks"][1] = 3.0
    after = parameters.alive(method)
    assert after is not None
    assert bool((after | ~before).all()), "nothing dies"
    # two more rows of A (3) and columns of B (5), and L and U grow from 1 to 3 + 2 + 1 each
    assert int(after.sum()) - int(before.sum()) == 2 * 3 + 2 * 5 + 2 * 5
