import itertools
import re
from typing import Any

import numpy as np
import pytest
import torch
from dense import SITES, WIDE, adapter_count, assert_close, deltas, of_site, shaken, started, stuck

from trials.catalogue import complete
from trials.errors import UserError
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
    assert not stuck(method, steps=2)


SUBSETS = [c for size in range(1, 5) for c in itertools.combinations(MATRICES, size)]


@pytest.mark.parametrize("freeze", FREEZES, ids="+".join)
def test_what_starts_at_zero_is_refused_exactly_where_nothing_would_train(
    freeze: tuple[str, ...],
) -> None:
    for zero in SUBSETS:
        method = LoRAMini(rank=3, a=5, b=4, freeze=freeze, zero=zero)
        trained = set(MATRICES) - set(freeze)
        wrong = LoRAMini.invalid({"initial": "safe", "freeze": freeze, "zero": zero})
        if wrong is None:
            assert not stuck(method), zero
            assert not np.any(deltas(method, started(method)))
        else:
            assert "never train" in wrong
            assert stuck(method) == trained, zero


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"zero": ["a_train", "b_train"]},
            "zero names a_train and b_train: the update would",
        ),
        ({"zero": ["a_aux"]}, "zero names a_aux, which is frozen: the update would stay zero"),
        ({"zero": []}, "zero must name a trained matrix"),
        ({"zero": ["b_train"], "initial": "paper"}, "zero belongs to initial safe"),
        ({"zero": ["b_tain"]}, "holds 'b_tain'; did you mean 'b_train'?"),
    ],
)
def test_a_refusal_says_why(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        complete("lora_mini", given)


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
