from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ablate.stats.cells import collect
from ablate.stats.comparison import Comparison
from ablate.stats.draft import Draft, draft
from ablate.stats.finding import Finding
from ablate.stats.pairing import align, sample

MEAN = Comparison("m", "cola", "backbone", ("a",), ("b",))
BASE = Finding(id="m", kind="mean", task="cola", treatment={}, control={}, n=0, level=0.95,
               family="x")  # fmt: skip
A, B = [0.5, 0.6, 0.7, 0.65, 0.58, 0.61], [0.4, 0.45, 0.62, 0.5, 0.51, 0.49]


@pytest.fixture
def make(table: Callable[..., pd.DataFrame]) -> Callable[..., Draft]:
    def build(
        a: list[float | None], b: list[float | None], shift: int = 0, **fields: object
    ) -> Draft:
        data = table({"a": a, "b": b})
        data["seed"] += shift * (data["arm"] == "a")
        found = {key[2]: cell for key, cell in collect(data).items()}
        part = align([found["a"]], [found["b"]], task="cola", with_late=True)
        asked = replace(MEAN, **fields)
        rng = np.random.default_rng(0)
        return draft(BASE, sample([part]), asked, level=0.95, margin=None, rng=rng)

    return build


def test_a_mean_carries_every_companion(make: Callable[..., Draft]) -> None:
    seen = make(A, B).finding
    assert seen.effect_size_kind == "hedges_gz"
    companions = {"p_t", "p_sign_flip", "p_wilcoxon", "hedges_gav", "cliff_delta", "wins",
                  "probability_better", "seed_correlation", "skew", "by", "sd"}  # fmt: skip
    assert companions <= set(seen.details)
    assert all(seen.details[key] is not None for key in companions)


def test_disjoint_seeds_are_compared_unpaired(make: Callable[..., Draft]) -> None:
    assert make(A, B, shift=50).finding.test == "Welch"
    assert make(A, B, shift=50, kind="variance").finding.test == "Brown-Forsythe"


def test_equivalence_keeps_both_tests(make: Callable[..., Draft]) -> None:
    made = make(A, B, kind="equivalence", margin=0.3)
    assert made.finding.test == "TOST"
    assert made.p_difference == made.finding.details["p_difference"] == make(A, B).finding.p_value
    assert made.p_beyond == made.finding.details["p_beyond_margin"]


def test_equivalence_without_a_margin_says_nothing(make: Callable[..., Draft]) -> None:
    made = make(A, B, kind="equivalence").finding
    assert (made.p_value, made.details["note"]) == (None, "no margin was declared")


def test_what_was_dropped_and_what_failed(make: Callable[..., Draft]) -> None:
    seen = make([None, *A[1:]], B[:5]).finding
    assert (seen.n, seen.n_dropped, seen.num_failed) == (4, 2, 1)
    assert seen.details["dropped_seeds"] == (0, 5)
