"""The variance stage taken apart: planted sources, gaps, repeats that agree, runs that buy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.frame import check
from ablate.stats.allocation import luck
from ablate.stats.luck import Spending, balanced, lucks, mixes

Rows = list[dict[str, Any]]


def runs(
    score: Callable[[int, int, int], float], starts: int = 6, orders: int = 7, repeats: int = 3
) -> Rows:
    return [
        {"method": "lora", "stage": "variance", "seed": i, "order_seed": j, "repeat": k,
         "score": score(i, j, k)}
        for i in range(starts) for j in range(orders) for k in range(repeats)
    ]  # fmt: skip


def one(rows: Rows, **spending: Any) -> Any:
    (found,) = lucks(check(pd.DataFrame(rows)), level=0.95, spending=Spending(**spending))
    return found


def drawn(rng: np.random.Generator, *sds: float, shape: tuple[int, int, int]) -> Any:
    a, b, c, e = sds
    i, j, k = shape
    return (
        a * rng.normal(size=(i, 1, 1)) + b * rng.normal(size=(1, j, 1))
        + c * rng.normal(size=(i, j, 1)) + e * rng.normal(size=(i, j, k))
    )  # fmt: skip


def test_the_sums_are_those_of_the_crossed_design(rng: np.random.Generator) -> None:
    scores = 70 + drawn(rng, 1.0, 0.5, 0.3, 0.2, shape=(6, 7, 3))
    found = one(runs(lambda i, j, k: scores[i, j, k]))
    assert (found.initialisations, found.orders, found.repeats, found.n) == (6, 7, 3, 126)
    assert found.sources == luck(scores, level=0.95)
    assert found.mean == pytest.approx(scores.mean())
    assert found.sd == pytest.approx(math.sqrt(sum(s.variance for s in found.sources)))
    assert (found.status, found.identical_repeats) == ("ok", False)


def test_planted_sources_come_back(rng: np.random.Generator) -> None:
    planted = (1.0, 0.5, 0.25, 0.125)
    scores = drawn(rng, *planted, shape=(60, 60, 3))
    table = check(pd.DataFrame(runs(lambda i, j, k: scores[i, j, k], 60, 60, 3)))
    (found,) = lucks(table, level=0.999)
    for source, sd in zip(found.sources, planted, strict=True):
        assert source.low <= sd**2 <= source.high, source.name


def test_repeats_that_agree_are_no_luck(rng: np.random.Generator) -> None:
    scores = drawn(rng, 1.0, 0.5, 0.3, 0.0, shape=(5, 5, 2))
    found = one(runs(lambda i, j, k: scores[i, j, k], 5, 5, 2))
    assert found.identical_repeats is True
    assert found.sources[3].variance == 0.0
    once = one(runs(lambda i, j, k: scores[i, j, k], 5, 5, 1))
    assert once.identical_repeats is None, "nothing was repeated"
    assert once.sources[2].variance is None
    assert once.sources[3].variance > 0


def test_a_mix_buys_what_it_says(rng: np.random.Generator) -> None:
    scores = drawn(rng, 1.0, 0.5, 0.3, 0.2, shape=(6, 7, 3))
    found = one(runs(lambda i, j, k: scores[i, j, k]), error=0.4)
    a, b, c, e = (source.variance for source in found.sources)
    by_fresh = {mix.fresh: mix for mix in found.mixes}
    assert by_fresh["both"].runs == math.ceil((a + b + c + e) / 0.16)
    assert by_fresh["both"].floor == 0.0
    assert by_fresh["repeat"].runs is None, "the same seeds again never get there"
    assert by_fresh["order"].floor == pytest.approx(math.sqrt(a))
    assert found.allocation.paired
    assert found.allocation.cost == by_fresh["both"].runs


def test_what_fresh_seeds_reach_is_asked_for_where_nothing_is(rng: np.random.Generator) -> None:
    scores = drawn(rng, 1.0, 0.5, 0.3, 0.2, shape=(6, 7, 3))
    found = one(runs(lambda i, j, k: scores[i, j, k]), seeds=8)
    assert found.error == pytest.approx(found.sd / math.sqrt(8))
    assert found.mixes[0].runs == 8


@pytest.mark.parametrize("error", [0.3, 0.5, 1.0])
def test_mixes_are_the_fewest(error: float) -> None:
    variances = {"initialisation": 0.09, "order": 0.04, "initialisation:order": 0.02,
                 "repeat": 0.25}  # fmt: skip
    shared = {"both": 0.0, "initialisation": 0.04, "order": 0.09, "repeat": 0.15}
    for mix in mixes(variances, error):
        rest = shared[mix.fresh]
        reached = [n for n in range(1, 2000) if rest + (0.4 - rest) / n <= error**2 + 1e-12]
        assert mix.runs == (reached[0] if reached else None), mix.fresh


def test_gaps_are_left_out_and_counted() -> None:
    rows = runs(lambda i, j, k: i + 0.1 * j + 0.01 * k * i, 6, 6, 2)
    for row in rows:
        if row["seed"] == 2 and row["order_seed"] < 4:
            row |= {"score": None, "status": "crashed", "reason": "bad luck"}
        else:
            row["status"] = "finished"
    found = one(rows)
    assert (found.initialisations, found.orders, found.repeats) == (5, 6, 2)
    assert (found.n, found.n_dropped, found.num_failed) == (60, 4, 8)
    fewer = [row for row in runs(lambda i, j, k: i, 5, 5, 3) if (row["seed"], row["order_seed"],
             row["repeat"]) != (0, 0, 2)]  # fmt: skip
    found = one(fewer)
    assert (found.repeats, found.n, found.n_dropped) == (2, 50, 24)


def test_a_design_without_gaps_is_found_whatever_is_missing(rng: np.random.Generator) -> None:
    for _ in range(30):
        rows = [row for row in runs(lambda i, j, k: i + j + k, 5, 6, 2) if rng.random() < 0.6]
        table = check(pd.DataFrame(rows))
        cube = balanced(table)
        assert np.isfinite(cube).all()
        assert cube.size <= len(rows)


def test_few_levels_nothing_varies_and_nothing_there() -> None:
    few = one(runs(lambda i, j, k: i * j + k, 3, 3, 2))
    assert (few.status, few.sd, few.allocation, few.mixes) == ("insufficient_n", None, None, ())
    assert few.sources[0].high > 0
    same = one(runs(lambda i, j, k: 1.0, 5, 5, 2))
    assert (same.status, same.sd, same.allocation) == ("degenerate_zero_variance", 0.0, None)
    alone = one(runs(lambda i, j, k: float(j), 1, 5, 2))
    assert (alone.sources, alone.status) == ((), "insufficient_n")
    plain = check(pd.DataFrame([{"method": "lora", "seed": 0, "score": 1.0}]))
    assert lucks(plain, level=0.95) == ()
    lost = [{**row, "score": None, "status": "crashed"} for row in runs(lambda i, j, k: 0.0)]
    assert (one(lost).n, one(lost).num_failed) == (0, 126)


def test_the_split_that_is_reported_counts() -> None:
    rows = runs(lambda i, j, k: i + j + 0.1 * k, 5, 5, 2)
    both = [{**row, "split": "validation", "score": 0.0} for row in rows]
    found = one([*both, *({**row, "split": "test"} for row in rows)])
    assert (found.split, found.n) == ("test", 50)
    assert found.mean == pytest.approx(4.05)
