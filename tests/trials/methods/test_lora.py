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
)

from trials.methods.base import Site
from trials.methods.lora import LoRA


@pytest.mark.parametrize("sites", [SITES, WIDE])
def test_the_change_is_alpha_over_rank_times_b_a(sites: tuple) -> None:
    method = LoRA(rank=3, alpha=5.0)
    p = shaken(method, started(method, sites))
    for site, made in enumerate(deltas(method, p)):
        values = of_site(p, site)
        assert_close(made, 5.0 / 3 * np.einsum("or,ri->oi", values["b"], values["a"]))


def test_it_starts_at_the_backbone_with_a_in_the_authors_range() -> None:
    p = started(LoRA(rank=64))
    assert not p["b"].any()
    bound = 1 / math.sqrt(SITES[0].inputs)
    assert p["a"].abs().max() <= bound
    assert p["a"].abs().max() > 0.98 * bound
    assert abs(float(p["a"].mean())) < 0.05 * bound


def test_a_gaussian_start_is_as_wide_as_one_over_rank() -> None:
    p = started(LoRA(rank=16, start="gaussian"), (Site("q", "query", 8, 4000),))
    assert float(p["a"].std()) == pytest.approx(1 / 16, rel=0.01)
    assert float(p["a"].abs().max()) > 3 / 16
    assert not p["b"].any()


def test_sites_and_seeds_start_differently() -> None:
    p, other = started(LoRA()), started(LoRA(), seed=1)
    assert not torch.equal(p["a"][0], p["a"][1])
    assert not torch.equal(p["a"], other["a"])


@pytest.mark.parametrize(
    ("backbone", "targets", "rank", "number"),
    [
        ("roberta-base", QV, 8, 294_912),
        ("roberta-base", MTLORA_TARGETS, 8, 1_032_192),
        ("roberta-large", QV, 8, 786_432),
        ("roberta-large", QV, 32, 3_145_728),
        ("bert-base-uncased", ("query", "key", "value"), 4, 221_184),
        ("bert-base-uncased", ("query", "key", "value"), 8, 442_368),
    ],
)
def test_counts_are_the_published_ones(
    backbone: str, targets: tuple[str, ...], rank: int, number: int
) -> None:
    assert adapter_count(backbone, "lora", targets, rank=rank) == number
