import itertools

import numpy as np
import pytest
import torch
from dense import SITES, WIDE, adapter_count, assert_close, deltas, of_site, shaken, started

from trials.methods.base import Site
from trials.methods.lora_mini import MATRICES, LoRAMini

QKV = ("query", "key", "value")
FREEZES = [c for size in range(4) for c in itertools.combinations(MATRICES, size)]


@pytest.mark.parametrize("sites", [SITES, WIDE])
def test_the_change_is_the_product_of_four_matrices(sites: tuple) -> None:
    method = LoRAMini(rank=3, a=5, b=4, alpha=7.0)
    p = shaken(method, started(method, sites))
    for site, made in enumerate(deltas(method, p)):
        v = of_site(p, site)
        product = np.einsum("oa,ar,rb,bi->oi", *(v[name] for name in MATRICES))
        assert_close(made, 7.0 / 3 * product)


def test_there_are_fifteen_proper_subsets() -> None:
    assert len(FREEZES) == 15


@pytest.mark.parametrize("freeze", FREEZES, ids="+".join)
def test_a_safe_start_is_the_backbone_and_every_trained_factor_moves(
    freeze: tuple[str, ...],
) -> None:
    method = LoRAMini(rank=3, a=5, b=4, freeze=freeze)
    p = started(method)
    assert not np.any(deltas(method, p))
    assert sum(not value.any() for value in p.values()) == 1
    trained = set(MATRICES) - method.frozen()
    leaves = {k: v.clone().requires_grad_(k in trained) for k, v in p.items()}
    optimiser = torch.optim.SGD([leaves[k] for k in trained], lr=0.1)
    target = torch.randn(2, 10, 7, generator=torch.Generator().manual_seed(3)).double()
    for _ in range(2):
        optimiser.zero_grad()
        (method.update(leaves).delta() - target).square().sum().backward()
        optimiser.step()
    for name in trained:
        moved = (leaves[name].detach() - p[name]).flatten(1).norm(dim=1)
        assert (moved > 1e-6).all(), f"{name} has not moved"


@pytest.mark.parametrize(("rank", "deviation"), [(8, 0.0078), (16, 0.0038), (32, 0.0019)])
def test_the_papers_start_moves_the_network_as_much_as_was_measured(
    rank: int, deviation: float
) -> None:
    method = LoRAMini(rank=rank, initial="paper")
    p = started(method, tuple(Site(f"q{i}", "query", 768, 768) for i in range(6)))
    assert not method.starts_at_backbone
    made = [float(delta.std()) for delta in deltas(method, p)]
    assert np.mean(made) == pytest.approx(deviation, rel=0.05)


def test_modes_and_combinations_start_from_the_same_draws() -> None:
    paper, safe = started(LoRAMini(initial="paper")), started(LoRAMini(initial="safe"))
    other = started(LoRAMini(freeze=("a_train",)))
    for name in ("a_aux", "b_train", "b_aux"):
        assert torch.equal(paper[name], safe[name])
    assert torch.equal(paper["a_train"], other["a_train"])


@pytest.mark.parametrize(
    ("rank", "width", "number"),
    [(8, 32, 18_432), (16, 32, 36_864), (32, 32, 73_728), (8, 64, 36_864), (16, 64, 73_728)],
)
def test_counts_are_rank_times_both_widths(rank: int, width: int, number: int) -> None:
    made = adapter_count("bert-base-uncased", "lora_mini", QKV, rank=rank, a=width, b=width)
    assert made == number


@pytest.mark.parametrize("freeze", FREEZES, ids="+".join)
def test_the_formula_counts_what_is_not_frozen(freeze: tuple[str, ...]) -> None:
    method = LoRAMini(rank=3, a=5, b=4, freeze=freeze)
    made = sum(v[0].numel() for k, v in started(method).items() if k not in freeze)
    assert method.num_parameters(SITES[0]) == made
