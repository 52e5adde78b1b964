import math
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from dense import QV, SITES, WIDE, adapter_count, assert_close, deltas, of_site, shaken, started

from trials.contract import contract
from trials.methods.base import Site
from trials.methods.vera import VeRA
from trials.streams import generator
from trials.training import checkpoint, export
from trials.training.member import Member
from trials.training.pack import Pack
from trials.training.stacking import SiteUpdate, Stacker

UNEQUAL = (Site("0.query", "query", 10, 7), Site("0.up", "intermediate", 6, 11))


@pytest.mark.parametrize("sites", [SITES, WIDE])
def test_the_change_is_lambda_b_around_b_around_lambda_d_around_a(sites: tuple) -> None:
    method = VeRA(rank=4)
    p = shaken(method, started(method, sites))
    x = np.random.default_rng(0).normal(size=sites[0].inputs)
    for site, made in enumerate(deltas(method, p)):
        v = of_site(p, site)
        expected = v["lambda_b"] * (v["b"] @ (v["lambda_d"] * (v["a"] @ x)))
        assert_close(made @ x, expected)


def test_it_starts_at_the_backbone_with_factors_kaiming_uniform_of_gain_root_two() -> None:
    p = started(VeRA(rank=64, d_initial=0.25))
    assert not p["lambda_b"].any()
    assert (p["lambda_d"] == 0.25).all()
    for name, fan_in in (("a", SITES[0].inputs), ("b", 64)):
        bound = math.sqrt(6 / fan_in)
        assert 0.95 * bound < p[name].abs().max() <= bound


def test_unequal_sites_use_the_first_columns_and_rows_of_the_largest() -> None:
    method = VeRA(rank=3)
    shared = method.shared(UNEQUAL, generator(0, "initialisation", "shared"))
    assert shared["a"].shape == (3, 11)
    assert shared["b"].shape == (10, 3)
    narrow, wide = (method.shared_at(site, shared) for site in UNEQUAL)
    assert torch.equal(narrow["a"], shared["a"][:, :7])
    assert torch.equal(narrow["b"], shared["b"])
    assert torch.equal(wide["b"], shared["b"][:6])


def test_a_seed_means_one_pair_of_factors_and_is_all_that_a_checkpoint_needs() -> None:
    case = contract("vera", rank=6)
    backbone = case.backbone()
    member, again, other = (
        case.member(backbone),
        case.member(backbone),
        case.member(backbone, seed=4),
    )
    for name in ("shared.a", "shared.b"):
        assert torch.equal(member.parameters.frozen[name], again.parameters.frozen[name])
        assert not torch.equal(member.parameters.frozen[name], other.parameters.frozen[name])
    tensors, _ = member.state()
    assert not any("shared" in name for name in tensors)


def updates(members: list[Member], dtype: torch.dtype) -> list[SiteUpdate]:
    """What they add at each site, one after another."""
    return list(chain.from_iterable(Stacker().updates(members, dtype).values()))


def test_the_factors_lie_in_memory_once_whatever_the_number_of_sites(tmp_path: Path) -> None:
    case = contract("vera", rank=6)
    backbone = case.backbone()
    member = case.member(backbone)
    kept = member.parameters.frozen
    assert set(kept) == {"shared.a", "shared.b"}
    for group in member.parameters.groups:
        for name in ("a", "b"):
            ours, common = group.tensors[name], kept[f"shared.{name}"]
            assert ours.untyped_storage().data_ptr() == common.untyped_storage().data_ptr()
    rights = [
        part.right
        for update in updates([member, case.member(backbone, seed=5)], torch.float32)
        for part in update.parts
    ]
    # Query and value have one shape, the feed-forward's first map another.
    assert len(rights) == 6
    assert len({right.untyped_storage().data_ptr() for right in rights}) == 2
    checkpoint.write(tmp_path / "adapter", {**member.parameters.trained, **kept}, {})
    found = checkpoint.read(tmp_path / "adapter")
    assert found is not None
    assert sum(name.startswith("shared.") for name in found[0]) == 2


def test_in_a_pack_with_another_method_it_keeps_its_own_right_factor() -> None:
    """A narrow LoRA is then not padded to VeRA's rank, nor VeRA's A repeated for each site."""
    case, lora = contract("vera", rank=40), contract("lora", rank=4)
    backbone = case.backbone(torch.float64)
    members = [case.member(backbone), lora.member(backbone)]
    for update in updates(members, torch.float64):
        assert [part.right.shape[-2] for part in update.parts] == [48, 16]
        assert [part.present for part in update.parts] == [(True, False), (False, True)]


def test_an_exported_adapter_has_the_factors_of_each_site() -> None:
    case = contract("vera", rank=6, d_initial=1.0)
    backbone = case.backbone(torch.float64)
    member = case.member(backbone)
    with Pack(backbone) as pack:
        for _ in range(3):
            pack.step([member])
    factors = export.map_factors(member)
    for group in member.parameters.groups:
        for index, site in enumerate(group.sites):
            left, right = factors[site.name]
            v = of_site({k: t.detach() for k, t in group.tensors.items()}, index)
            dense = v["lambda_b"][:, None] * v["b"] @ np.diag(v["lambda_d"]) @ v["a"]
            assert_close((left @ right).numpy(), dense)


@pytest.mark.parametrize(
    ("backbone", "rank", "number"),
    [("roberta-large", 256, 61_440), ("roberta-base", 1024, 43_008)],
)
def test_counts_are_outputs_and_rank(backbone: str, rank: int, number: int) -> None:
    """The first is published as 0.061M, the second (24 maps of 768 + 1,024) as 0.043M."""
    assert adapter_count(backbone, "vera", QV, rank=rank) == number
