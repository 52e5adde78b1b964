"""The growth schedule is checked against the formulas written out again in numpy."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from dense import SITES, WIDE, adapter_count, assert_close, deltas, of_site, shaken, started, stuck
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trials.catalogue import complete
from trials.contract import Contract, contract
from trials.errors import UserError
from trials.methods.base import Site
from trials.methods.budget import grow
from trials.methods.triadaptlora import TriAdaptLoRA
from trials.training.pack import Pack

SIX = tuple(Site(f"layer.{i}.key", "key", 5, 4) for i in range(6))
FOUR = tuple(Site(f"layer.{i}.up", "intermediate", 3, 6) for i in range(4))


def core_of(v: Mapping[str, Any], rank: int) -> Any:
    """L from its rows and U from its columns, as the authors store them."""
    core = np.zeros((rank, rank))
    for i in range(rank):
        core[i, : i + 1] += v["lower"][i, : i + 1]
        core[: i + 1, i] += v["upper"][: i + 1, i]
    return core


@pytest.mark.parametrize("sites", [SITES, WIDE])
def test_the_change_is_alpha_over_current_rank_times_b_core_a(sites: tuple) -> None:
    method = TriAdaptLoRA(rank=3, alpha=5.0)
    p = shaken(method, started(method, sites))
    p["ranks"] = torch.tensor([2.0, 5.0]).double()[: len(sites)]
    for site, made in enumerate(deltas(method, p)):
        v, r = of_site(p, site), int(p["ranks"][site])
        inner = core_of(v, r)
        product = np.einsum("or,rs,si->oi", v["b"][:, :r], inner, v["a"][:r])
        assert_close(made, 5.0 / (r + 1e-5) * product)


def test_it_starts_at_the_backbone_and_grows_from_noise() -> None:
    p = started(TriAdaptLoRA(rank=8, initial_rank=2), SIX)
    assert not p["b"][:, :, :2].any()
    for name, values in (("a", p["a"]), ("b", p["b"][:, :, 2:]), ("lower", p["lower"].tril())):
        drawn = values[values != 0]
        assert float(drawn.std()) == pytest.approx(0.02, rel=0.1), name
    assert not p["lower"].triu(1).any()
    assert not p["upper"].tril(-1).any()


@pytest.mark.parametrize("grown", [1, 2])
@pytest.mark.parametrize("start", ["single", "c0", "eye", "cb0", "abc0"])
def test_a_start_is_refused_where_it_would_never_train(start: str, grown: int) -> None:
    """Of the authors' variants, at the start and after growth."""

    class Grown(TriAdaptLoRA):
        def init(self, site: Site, generator: torch.Generator) -> dict[str, Tensor]:
            values = super().init(site, generator)
            return {**values, "ranks": torch.tensor(float(grown))}

    method = Grown(rank=2, start=start)
    if grown == 1:
        assert not np.any(deltas(method, started(method)))
    if start in ("cb0", "abc0"):
        assert stuck(method) == {"a", "b", "lower", "upper"}
        message = f"start {start} would never train: L \\+ U and B both start at zero"
        with pytest.raises(UserError, match=message):
            complete("triadaptlora", {"start": start})
    else:
        assert not stuck(method)
        assert complete("triadaptlora", {"start": start})["start"] == start


def test_starts_are_those_of_the_variants() -> None:
    same, core_zero, eye = (
        started(TriAdaptLoRA(rank=4, start=name), SIX) for name in ("single", "c0", "eye")
    )
    assert torch.equal(same["a"], core_zero["a"])
    assert torch.equal(same["a"], eye["a"])
    assert float(core_zero["b"].std()) == pytest.approx(0.02, rel=0.1)
    assert not core_zero["lower"].any()
    assert not core_zero["upper"].any()
    assert not eye["b"].any()
    core = TriAdaptLoRA(rank=4, start="eye")._core(eye)
    np.testing.assert_array_equal(core[0, :1, :1].numpy(), [[2.0]])
    assert (core[0, 1:] == 0).all()


def formula(threshold: str, remaining: int, done: float, num_sites: int, top_k: int) -> int:
    k = {
        "linear": int(remaining * done),
        "nonlinear": int(math.exp(done * math.log(remaining))),
        "fixed": top_k,
    }[threshold]
    return max(1, min(k, num_sites))


def expected_round(
    v: list[Mapping[str, Any]], ranks: list[int], before: list[float], k: int, gain: int, left: int
) -> tuple[list[int], list[float]]:
    """New ranks and norms by the definition; no two scores are equal here."""
    norms = [float(np.linalg.norm(core_of(x, r)) / r) for x, r in zip(v, ranks, strict=True)]
    scores = [now - then for now, then in zip(norms, before, strict=True)]
    threshold = sorted(scores)[-k]
    new = list(ranks)
    for site in np.argsort(scores)[::-1]:
        if scores[site] >= threshold:
            step = min(gain, left)
            new[site], left = new[site] + step, left - step
    return new, norms


def ranks_of(groups: list[dict[str, Tensor]]) -> list[int]:
    return [int(r) for p in groups for r in p["ranks"]]


def rounds(method: TriAdaptLoRA, num_steps: int) -> Iterator[tuple[int, list[dict[str, Tensor]]]]:
    """Random changes in place of training; every step calls `after_step` once."""
    groups = [started(method, SIX), started(method, FOUR)]
    stream = np.random.default_rng(0)
    for step in range(1, num_steps + 1):
        for p in groups:
            for name in ("a", "b", "lower", "upper"):
                p[name] += torch.from_numpy(stream.normal(size=p[name].shape)) * 0.01
            p["lower"], p["upper"] = p["lower"].tril(), p["upper"].triu()
        yield step, groups


@pytest.mark.parametrize("threshold", ["linear", "nonlinear", "fixed"])
@pytest.mark.parametrize("budget", [2, 4, 8])
def test_every_round_of_a_schedule_follows_the_formulas(budget: int, threshold: str) -> None:
    method = TriAdaptLoRA(
        rank=budget, threshold=threshold, top_k=2, warmup=0.1, interval=3, max_rank=10 * budget
    )
    num_steps, start = 120, 12
    gain = {2: 1, 4: 2, 8: 4}[budget]
    before: list[float] = []
    num_rounds = 0
    for step, groups in rounds(method, num_steps):
        if not before:
            before = [float(x) for p in groups for x in started(method, SIX)["previous"]][:6]
            before += [float(x) for x in started(method, FOUR)["previous"]]
        ranks = ranks_of(groups)
        left = budget * len(ranks) - sum(ranks)
        values = [of_site(p, site) for p in groups for site in range(len(p["ranks"]))]
        expected = ranks
        if step > start and step % 3 == 0 and left > 0:
            done = (step - start) / (num_steps - start)
            k = formula(threshold, left, done, len(ranks), 2)
            assert method.num_growing(done, left, len(ranks)) == k
            expected, before = expected_round(values, ranks, before, k, gain, left)
            num_rounds += 1
        method.after_step(groups, step, num_steps)
        assert ranks_of(groups) == expected, f"step {step}"
    assert num_rounds > 1
    assert sum(ranks_of(groups)) == budget * len(ranks), "the budget is reached"


def test_scores_are_changes_of_the_norm_squared_where_that_is_asked_for() -> None:
    method = TriAdaptLoRA(rank=4, initial_rank=2, score="squared", threshold="fixed")
    p = started(method, SIX)
    for site, value in enumerate(p["previous"]):
        assert float(value) == pytest.approx(
            np.linalg.norm(core_of(of_site(p, site), 2)) ** 2, rel=1e-6
        )
    p["lower"][3, 1, 0] += 1.0
    method.after_step([p], 1, 10)
    assert ranks_of([p]) == [2, 2, 2, 4, 2, 2]


def test_growth_of_a_whole_schedule_worked_out_by_hand() -> None:
    """Three sites, ranks 1 to a mean of 3, two at once, rounds at steps 4, 8, 12 of 16.

    Linear: at 4, m = 1/4 of 6 ranks that are left makes 1.5, so k = 1: the best site grows to 3.
    At 8, m = 1/2 of 4 makes k = 2. Site 0 has not moved but its norm is now divided by 3: its
    score is negative, and sites 1 and 2 grow to 3. Nothing is left.
    """
    sites = tuple(Site(f"s{i}", "query", 4, 4) for i in range(3))
    method = TriAdaptLoRA(rank=3, add_rank=2, interval=4, max_rank=9)
    p = started(method, sites)
    for name in ("lower", "upper"):
        p[name].zero_()
    p["lower"][:, 0, 0] = torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)
    p["previous"].zero_()
    seen = {}
    for step in range(1, 17):
        if step == 5:  # what has grown is still zero; the two others move on
            p["lower"][1:, 0, 0] += 0.05
        method.after_step([p], step, 16)
        seen[step] = ranks_of([p])
        if step == 4:
            np.testing.assert_allclose(p["previous"].numpy(), [0.3, 0.2, 0.1], rtol=1e-12)
    assert seen[3] == [1, 1, 1]
    assert seen[4] == seen[7] == [3, 1, 1]
    assert seen[8] == seen[16] == [3, 3, 3]
    np.testing.assert_allclose(p["previous"].numpy(), [0.1, 0.25, 0.15], rtol=1e-12)


@pytest.mark.parametrize(("overshoot", "expected"), [(False, [5, 3, 1]), (True, [5, 5, 1])])
def test_the_last_round_may_pass_the_budget_where_that_is_asked_for(
    overshoot: bool, expected: list[int]
) -> None:
    """Three sites of rank 1 have 6 ranks to come, and two of them ask for 4 each."""
    sites = tuple(Site(f"s{i}", "query", 4, 4) for i in range(3))
    method = TriAdaptLoRA(rank=3, add_rank=4, threshold="fixed", top_k=2, overshoot=overshoot)
    p = started(method, sites)
    p["lower"][:, 0, 0] = torch.tensor([3.0, 2.0, 1.0]).double()
    for step in (1, 2):
        method.after_step([p], step, 10)
        assert ranks_of([p]) == expected


SPENT = {2: ((29, 49), (44, 69)), 8: ((15, 26), (42, 59))}
"""Target -> when a simulation of the authors' code spent the budget, linear and non-linear, from
the shortest to the longest of three tasks, in per cent of the training."""


@pytest.mark.parametrize("target", SPENT)
@pytest.mark.parametrize(
    ("num_steps", "every"),
    [(110_448, 1000), (6_700, 100), (3_900, 100)],
    ids=["mnli", "cola", "rte"],
)
def test_a_budget_is_spent_when_a_simulation_of_the_authors_schedule_says(
    target: int, num_steps: int, every: int
) -> None:
    """72 maps of an encoder, 9, 25 and 50 epochs in batches of 32; no two scores are equal."""
    for threshold, (low, high) in zip(("linear", "nonlinear"), SPENT[target], strict=True):
        method = TriAdaptLoRA(rank=target, threshold=threshold)
        stream = np.random.default_rng(0)
        ranks, step = [1] * 72, every
        while (left := target * 72 - sum(ranks)) > 0:
            step += every
            k = method.num_growing((step - every) / (num_steps - every), left, 72)
            scores = stream.permutation(72).astype(float).tolist()
            ranks = grow(ranks, scores, k, add=method.growth, budget=left, cap=10**6)
        assert low - 1 <= 100 * step / num_steps <= high + 1, threshold


@pytest.mark.parametrize(
    ("k", "add", "budget", "cap", "expected"),
    [
        (1, 2, 100, 8, [3, 1, 3, 1, 4]),  # two best scores are equal: both grow
        (3, 1, 100, 8, [2, 2, 2, 1, 4]),
        (5, 1, 100, 8, [2, 2, 2, 2, 5]),
        (1, 2, 3, 8, [3, 1, 2, 1, 4]),  # of equals the first site is served first
        (1, 2, 1, 8, [2, 1, 1, 1, 4]),
        (5, 3, 100, 4, [4, 4, 4, 4, 4]),  # the last is at the cap
    ],
)
def test_growth_worked_out_by_hand(
    k: int, add: int, budget: int, cap: int, expected: list[int]
) -> None:
    scores = [0.5, 0.2, 0.5, 0.1, -0.3]
    assert grow([1, 1, 1, 1, 4], scores, k, add=add, budget=budget, cap=cap) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5, 0.9])), min_size=1),
    st.integers(1, 40), st.integers(1, 4), st.integers(0, 30), st.integers(6, 9),
)  # fmt: skip
def test_no_round_passes_the_budget_or_the_cap(
    sites: list[tuple[int, float]], k: int, add: int, budget: int, cap: int
) -> None:
    ranks, scores = [r for r, _ in sites], [s for _, s in sites]
    new = grow(ranks, scores, min(k, len(ranks)), add=add, budget=budget, cap=cap)
    gains = [n - r for n, r in zip(new, ranks, strict=True)]
    assert sum(gains) <= budget
    assert max(new) <= cap
    assert all(0 <= g <= add for g in gains)


def test_growth_changes_nothing_but_ranks_and_norms() -> None:
    method = TriAdaptLoRA(rank=4)
    for step, groups in rounds(method, 6):
        before = [{k: v.clone() for k, v in p.items()} for p in groups]
        method.after_step(groups, step, 6)
        for old, new in zip(before, groups, strict=True):
            assert all(torch.equal(old[k], new[k]) for k in ("a", "b", "lower", "upper"))
            if not torch.equal(old["ranks"], new["ranks"]):
                for site, rank in enumerate(old["ranks"].int().tolist()):
                    kept = method._core(new)[site, :rank, :rank]
                    assert torch.equal(kept, method._core(old)[site, :rank, :rank])


@pytest.fixture(scope="module")
def growing() -> Contract:
    return contract("triadaptlora", rank=4, interval=2, threshold="fixed", orthogonality=0.1)


def test_training_leaves_what_has_not_grown_as_it_was_drawn(growing: Contract) -> None:
    backbone = growing.backbone()
    member, fresh = growing.member(backbone), growing.member(backbone)
    seen = set()
    with Pack(backbone) as pack:
        for _ in range(6):
            pack.step([member])
            alive = member.parameters.alive(member.method)
            assert alive is not None
            seen.add(int(alive.sum()))
            dead = ~alive
            assert torch.equal(member.parameters.values[dead], fresh.parameters.values[dead])
            assert not member.parameters.gradient[dead].any()
    assert len(seen) > 2, "nothing has grown, so this proves nothing"


def test_what_was_alive_has_trained(growing: Contract) -> None:
    backbone = growing.backbone()
    member, fresh = growing.member(backbone), growing.member(backbone)
    alive = fresh.parameters.alive(fresh.method)
    assert alive is not None
    with Pack(backbone) as pack:
        for _ in range(3):
            pack.step([member])
    moved = member.parameters.values != fresh.parameters.values
    everything = member.parameters.flat(
        {k: torch.ones_like(t) for k, t in member.parameters.trained.items()}, 0.0
    )
    assert moved[alive & (everything > 0)].float().mean() > 0.95


def test_the_penalty_is_the_mean_distance_from_orthogonal_factors() -> None:
    method = TriAdaptLoRA(rank=3, orthogonality=0.5)
    p = shaken(method, started(method))
    p["ranks"] = torch.tensor([2.0, 3.0]).double()
    made = method.penalty(p)
    assert made is not None
    for site, rank in enumerate((2, 3)):
        v = of_site(p, site)
        a, b = v["a"][:rank], v["b"][:, :rank]
        off = [np.linalg.norm(m - np.eye(rank)) for m in (a @ a.T, b.T @ b)]
        assert float(made[site]) == pytest.approx(0.5 * sum(off) / 2, rel=1e-12)
    assert TriAdaptLoRA(rank=3).penalty(p) is None


def test_the_formula_counts_an_even_growth_to_the_budget() -> None:
    method = TriAdaptLoRA(rank=3)
    p = started(method)
    p["ranks"][:] = 3.0
    alive = method.alive(p)
    assert sum(int(mask[0].sum()) for mask in alive.values()) == method.num_parameters(SITES[0])
    assert method.curves([p, p]) == {"total_rank": 12.0}


def test_counts_at_an_even_growth() -> None:
    # 24 sites of 768 × 768: r (in + out) + r (r + 1)
    made = adapter_count("roberta-base", "triadaptlora", ("query", "value"), rank=8)
    assert made == 24 * (8 * 1536 + 72)


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"rank": 2, "initial_rank": 3, "max_rank": None}, "initial_rank 3 must be at most rank 2"),
        ({"rank": 4, "initial_rank": 1, "max_rank": 3}, "max_rank 3 must be at least rank 4"),
        ({"rank": 4, "initial_rank": 4, "max_rank": 4}, None),
    ],
)
def test_the_start_lies_within_the_budget_and_the_budget_within_the_cap(
    given_values: dict[str, Any], message: str | None
) -> None:
    wrong = TriAdaptLoRA.invalid({"start": "single", **given_values})
    assert wrong is None if message is None else message in str(wrong)
