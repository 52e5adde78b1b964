import numpy as np
import pytest
import torch
from dense import (
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
from trials.methods.tlora import TLoRA


@pytest.mark.parametrize("sites", [SITES, WIDE])
def test_an_input_row_is_changed_by_scale_times_x_a_b_c(sites: tuple) -> None:
    method = TLoRA(rank=4)
    p = shaken(method, started(method, sites))
    x = np.random.default_rng(0).normal(size=(5, sites[0].inputs))
    for site, made in enumerate(deltas(method, p)):
        v = of_site(p, site)
        a, b, c = v["a"].T, v["b"].T, v["c"].T  # the paper's k × r, r × r and r × d
        assert a.shape == (sites[0].inputs, 4)
        assert c.shape == (4, sites[0].outputs)
        assert_close(x @ made.T, float(v["scale"].item()) * (x @ a @ b @ c))


def test_starting_deviations_are_those_of_the_authors_code() -> None:
    p = started(TLoRA(rank=32), tuple(Site(f"q{i}", "query", 1024, 1024) for i in range(4)))
    assert float(p["a"].std()) == pytest.approx(0.1021, rel=0.01)
    assert float(p["c"].std()) == pytest.approx(0.0180, rel=0.01)
    assert not p["b"].any()
    assert torch.equal(p["scale"], torch.ones(4, 1, 1, dtype=torch.float64))


def test_deviations_of_a_map_that_is_not_square_follow_rank_and_outputs() -> None:
    p = started(TLoRA(rank=8), (Site("up", "intermediate", 3072, 768),))
    assert float(p["a"].std()) == pytest.approx((1 / 24) ** 0.5, rel=0.03)
    assert float(p["c"].std()) == pytest.approx((1 / 9216) ** 0.5, rel=0.03)


def test_only_the_middle_matrix_and_the_scale_train() -> None:
    method = TLoRA()
    assert set(started(method)) - method.frozen() == {"b", "scale"}


def test_a_scalar_that_is_not_learned_stays_at_one_and_does_not_count() -> None:
    method = TLoRA(rank=4, learn_scale=False)
    p = started(method)
    assert set(p) - method.frozen() == {"b"}
    assert (p["scale"] == 1).all()
    assert method.num_parameters(SITES[0]) == 16


def test_half_of_the_output_is_dropped_by_default() -> None:
    assert TLoRA().output_dropout() == 0.5
    assert TLoRA(dropout=0.0).output_dropout() == 0.0


@pytest.mark.parametrize(
    ("backbone", "rank", "number"),
    [
        ("roberta-base", 32, 24_600),
        ("roberta-large", 8, 3_120),
        ("roberta-large", 16, 12_336),
        ("roberta-large", 32, 49_200),
    ],
)
def test_counts_are_the_published_ones(backbone: str, rank: int, number: int) -> None:
    assert adapter_count(backbone, "tlora", QV, rank=rank) == number
