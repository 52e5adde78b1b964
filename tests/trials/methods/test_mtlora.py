import math

import numpy as np
import pytest
import torch
from dense import (
    MTLORA_TARGETS,
    QV,
    SITES,
    WIDE,
    adapter_count,
    assert_close,
    deltas,
    of_site,
    shaken,
    started,
    stuck,
)
from torch.nn.functional import conv1d

from trials.catalogue import complete, method_fields, recorded
from trials.errors import UserError
from trials.methods.base import Site, fused
from trials.methods.lora import LoRA
from trials.methods.mtlora import MTLoRA

STRUCTURES = ("shim", "icfm", "ctcm", "dtsm")
TRANSFORMATION = {
    "shim": lambda v: v["c"],
    "icfm": lambda v: np.einsum("ij,kj->ik", v["c"], v["c"]),
    "ctcm": lambda v: np.einsum("ij,jk->ik", v["c"], v["d"]),
    "dtsm": lambda v: v["c"] + v["d"],
}


@pytest.mark.parametrize("sites", [SITES, WIDE])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_change_is_alpha_over_rank_times_b_t_a(structure: str, sites: tuple) -> None:
    method = MTLoRA(structure=structure, rank=3, alpha=5.0)
    p = shaken(method, started(method, sites))
    for site, made in enumerate(deltas(method, p)):
        v = of_site(p, site)
        t = TRANSFORMATION[structure](v)
        assert_close(made, 5.0 / 3 * np.einsum("or,rs,si->oi", v["b"], t, v["a"]))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_at_t_the_identity_it_is_lora(structure: str) -> None:
    method, lora = MTLoRA(structure=structure, rank=4, initial="identity"), LoRA(rank=4)
    p = started(method)
    np.testing.assert_array_equal(method.transformation(p).numpy(), np.stack([np.eye(4)] * 2))
    p["b"] = torch.randn(p["b"].shape, generator=torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(deltas(method, p), deltas(lora, {"a": p["a"], "b": p["b"]}))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_it_starts_at_the_backbone_with_live_factors(structure: str) -> None:
    p = started(MTLoRA(structure=structure, rank=16))
    assert not p.pop("b").any()
    assert set(p) == ({"a", "c", "d"} if structure in ("ctcm", "dtsm") else {"a", "c"})
    for name in set(p) - {"a"}:
        bound = 1 / math.sqrt(16)
        assert 0.95 * bound < p[name].abs().max() <= bound


def slices(*targets: str) -> tuple[Site, ...]:
    """Of two maps that hold a query, a key and a value of 5 outputs each, joined by target."""
    places = {"query": 0, "key": 5, "value": 10}
    return tuple(
        site
        for path in ("h.0.attn", "h.1.attn")
        for site in fused(
            [Site(f"{path}.{t}", t, 5, 7, (places[t],), path, has_bias=True) for t in targets]
        )
    )


@pytest.mark.parametrize("targets", [("query", "key", "value"), ("query", "value")])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_on_slices_of_a_map_it_is_two_convolutions_one_after_another(
    structure: str, targets: tuple[str, ...]
) -> None:
    """The stepwise form: T over A's channels, then B over groups of them, one for each slice."""
    rank, num_slices = 3, len(targets)
    method = MTLoRA(structure=structure, rank=rank, alpha=5.0)
    sites = slices(*targets)
    p = shaken(method, started(method, sites))
    for index, (site, made) in enumerate(zip(sites, deltas(method, p), strict=True)):
        v = of_site(p, index)
        t = torch.from_numpy(TRANSFORMATION[structure](v))
        assert t.shape == (num_slices * rank,) * 2
        inner = conv1d(torch.from_numpy(v["a"])[None], t[:, :, None])
        whole = conv1d(inner, torch.from_numpy(v["b"])[:, :, None], groups=num_slices)
        assert_close(made, 5.0 / rank * whole[0].numpy())
        assert method.num_parameters(site) == sum(
            v[name].size for name in method.init(site, torch.Generator())
        )


def test_t_mixes_slices_and_in_blocks_it_does_not() -> None:
    """A change of the key's rows of A moves the query's outputs only where T is whole."""
    assert (MTLoRA().fuses, MTLoRA(fused="block").fuses) == (True, False)
    method = MTLoRA(rank=2)
    p = shaken(method, started(method, slices("query", "key", "value")))
    before = deltas(method, p)[0][:5]
    p["a"][:, 2:4] += 1.0  # The key's.
    assert np.abs(deltas(method, p)[0][:5] - before).max() > 1e-2
    p["c"] *= torch.block_diag(*[torch.ones(2, 2)] * 3)
    before = deltas(method, p)[0][:5]
    p["a"][:, 2:4] += 1.0
    np.testing.assert_array_equal(deltas(method, p)[0][:5], before)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_with_t_in_blocks_a_fused_site_is_its_slices_apart(structure: str) -> None:
    method = MTLoRA(structure=structure, rank=2, initial="identity")
    (whole, _) = slices("query", "key")
    p = shaken(method, started(method, (whole,)))
    block = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2))
    p |= {name: p[name] * block for name in ("c", "d") if name in p}
    for index in (0, 1):
        r, o = slice(2 * index, 2 * index + 2), slice(5 * index, 5 * index + 5)
        part = {name: p[name][:, r, r] for name in ("c", "d") if name in p}
        part |= {"a": p["a"][:, r], "b": p["b"][:, o]}
        np.testing.assert_allclose(deltas(method, part)[0], deltas(method, p)[0][o], rtol=1e-12)


def test_whether_slices_mix_came_later_and_changes_no_older_trials_id() -> None:
    known, plain = method_fields("mtlora"), complete("mtlora", {})
    assert plain["fused"] == "full"
    assert set(recorded(known, plain)) == {"structure", "rank", "alpha", "initial"}
    apart = complete("mtlora", {"fused": "block"})
    assert recorded(known, apart) == apart


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_zero_core_is_refused_where_it_would_never_train(structure: str) -> None:
    """In the authors' vision code T's factors are zero, and A and B are not."""
    method = MTLoRA(structure=structure, rank=4, initial="zero_core")
    p = started(method, tuple(Site(f"q{i}", "query", 500, 300) for i in range(2)))
    assert not np.any(deltas(method, p))
    for name in ("a", "b"):
        assert float(p[name].std()) == pytest.approx(0.02, rel=0.05)
    given = {"structure": structure, "initial": "zero_core"}
    if structure in ("shim", "dtsm"):
        assert not stuck(method)
        assert complete("mtlora", given)["initial"] == "zero_core"
        return
    assert stuck(method) == set(p)
    with pytest.raises(UserError, match=f"zero_core: {structure} would never train, for its T is"):
        complete("mtlora", given)


@pytest.mark.parametrize("structure", ["shim", "dtsm"])
def test_a_zero_core_of_slices_is_as_wide_as_they_are_together(structure: str) -> None:
    method = MTLoRA(structure=structure, rank=4, initial="zero_core")
    sites = slices("query", "key", "value")
    p = started(method, sites)
    assert not np.any(deltas(method, p))
    assert (p["a"].shape, p["b"].shape) == ((2, 12, 7), (2, 15, 4))
    assert bool(p["a"].any())
    assert bool(p["b"].any())
    for name in ("c", "d") if structure == "dtsm" else ("c",):
        assert p[name].shape == (2, 12, 12)
        assert not p[name].any()
    assert not stuck(method, sites)


def test_it_is_paired_with_lora_at_one_seed() -> None:
    ours, lora = started(MTLoRA(structure="ctcm", rank=4)), started(LoRA(rank=4))
    assert torch.equal(ours["a"], lora["a"])


@pytest.mark.parametrize(
    ("targets", "structure", "number"),
    [
        (QV, "shim", 296_448),
        (QV, "icfm", 296_448),
        (QV, "ctcm", 297_984),
        (QV, "dtsm", 297_984),
        (MTLORA_TARGETS, "shim", 1_035_264),
        (MTLORA_TARGETS, "icfm", 1_035_264),
        (MTLORA_TARGETS, "ctcm", 1_038_336),
        (MTLORA_TARGETS, "dtsm", 1_038_336),
    ],
)
def test_counts_are_those_of_the_authors_layers(
    targets: tuple[str, ...], structure: str, number: int
) -> None:
    assert adapter_count("roberta-base", "mtlora", targets, structure=structure) == number
