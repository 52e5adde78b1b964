"""Scores against a dense gradient that torch takes, growth against the schedule by hand."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from dense import SITES, WIDE, adapter_count, assert_close, deltas, of_site, shaken, started
from torch import Tensor

from trials.contract import contract, examples
from trials.methods.base import Site
from trials.methods.increlora import IncreLoRA
from trials.spec import Dropout, Schedule
from trials.training import export
from trials.training.data import collate
from trials.training.pack import Pack

FOUR = tuple(Site(f"layer.{i}.key", "key", 5, 4) for i in range(4))
ALL_SIX = ("query", "key", "value", "attention_output", "intermediate", "output")


@pytest.mark.parametrize("sites", [SITES, WIDE])
def test_the_change_is_alpha_over_current_rank_times_b_e_a(sites: tuple) -> None:
    """The reserve of two ranks takes part with its own e; what lies beyond does not."""
    method = IncreLoRA(rank=4, alpha=5.0)
    p = shaken(method, started(method, sites))
    p["ranks"] = torch.tensor([1.0, 3.0]).double()[: len(sites)]
    for site, made in enumerate(deltas(method, p)):
        v, r = of_site(p, site), int(p["ranks"][site])
        product = np.einsum("or,r,ri->oi", v["b"][:, : r + 2], v["e"][: r + 2], v["a"][: r + 2])
        assert_close(made, 5.0 / (r + 1e-5) * product)


@pytest.mark.parametrize("advance", [True, False])
def test_it_starts_with_one_rank_at_zero_and_a_reserve(advance: bool) -> None:
    method = IncreLoRA(rank=4, advance=advance)
    p = started(method, FOUR)
    reserved = 1e-5 if advance else 0.0
    np.testing.assert_allclose(p["e"][0, :4].numpy(), [0, reserved, reserved, reserved], rtol=1e-6)
    assert method.starts_at_backbone != advance
    alive = {name: mask[0] for name, mask in method.alive(p).items()}
    assert int(alive["a"].sum()) == int(alive["b"].sum()) == (3 if advance else 1)
    assert int(alive["e"].sum()) == 1
    assert float(p["a"].std()) == pytest.approx(0.02, rel=0.1)


def step_of(method: IncreLoRA, p: dict[str, Tensor], scores: list[float], step: int) -> None:
    """A round where the sites have given scores."""
    p["importance"].copy_(torch.tensor(scores).double())
    p["spread"].fill_(1.0)
    method.after_step([p], step, 100)


def test_growth_worked_out_by_hand() -> None:
    # Four sites, 1 of at most 4 ranks each on the mean; a site gains 2; the warm-up is 10 steps.
    method = IncreLoRA(rank=4, top_k=2, warmup=0.1, interval=5)
    p = started(method, FOUR)
    expected = {
        5: [1, 1, 1, 1],  # still warm-up
        12: [1, 1, 1, 1],  # no round
        15: [3, 1, 3, 1],
        20: [5, 1, 5, 1],
        25: [7, 1, 7, 1],  # 16 in all: the budget is spent
        30: [7, 1, 7, 1],
    }
    for step, ranks in expected.items():
        step_of(method, p, [0.4, 0.1, 0.3, 0.2], step)
        assert p["ranks"].tolist() == ranks, step
        assert (p["reserve"] == (2 if step < 25 else 0)).all()
    assert method.curves([p]) == {"total_rank": 16.0}


def test_ties_grow_too_and_the_last_round_is_cut_to_the_budget() -> None:
    method = IncreLoRA(rank=2, top_k=1, warmup=0.0, interval=1)
    p = started(method, FOUR)
    step_of(method, p, [0.3, 0.1, 0.3, 0.3], 1)
    assert p["ranks"].tolist() == [2, 1, 2, 2]
    step_of(method, p, [0.3, 0.1, 0.3, 0.3], 2)
    assert p["ranks"].tolist() == [3, 1, 2, 2]


def test_the_last_round_may_pass_the_budget_where_that_is_asked_for() -> None:
    method = IncreLoRA(rank=2, add_rank=3, top_k=2, warmup=0.0, interval=1, overshoot=True)
    p = started(method, FOUR)
    step_of(method, p, [0.4, 0.1, 0.3, 0.2], 1)
    assert p["ranks"].tolist() == [4, 1, 4, 1]
    assert not p["reserve"].any(), "the budget is spent, so reserves go"
    step_of(method, p, [0.1, 0.4, 0.3, 0.2], 2)
    assert p["ranks"].tolist() == [4, 1, 4, 1]


@pytest.mark.parametrize(("rank", "top_k"), [(2, 1), (4, 3), (8, 5)])
@pytest.mark.parametrize("advance", [True, False])
def test_every_round_of_a_schedule_follows_the_formulas(
    rank: int, top_k: int, advance: bool
) -> None:
    """Random weights and gradients; importance, means, scores and growth again in numpy."""
    num_steps, start, every, gain = 90, 9, 4, {2: 1, 4: 2, 8: 4}[rank]
    method = IncreLoRA(
        rank=rank, top_k=top_k, interval=every, beta1=0.8, beta2=0.7, advance=advance, alpha=6.0
    )
    p = started(method, FOUR)
    stream = np.random.default_rng(0)
    ranks, spare = [1] * 4, gain
    mean, spread = np.zeros(4), np.zeros(4)
    num_rounds = 0
    for step in range(1, num_steps + 1):
        for name in ("a", "b"):
            p[name] += torch.from_numpy(stream.normal(size=p[name].shape)) * 0.05
        p["e"][:, : min(ranks)] += torch.from_numpy(stream.normal(size=(4, min(ranks)))) * 0.1
        gradient = torch.from_numpy(stream.normal(size=(4, 5, 4)))
        for site, r in enumerate(ranks):
            v = of_site(p, site)
            here = slice(r + spare)
            delta = 6.0 / (r + 1e-5) * v["b"][:, here] * v["e"][here] @ v["a"][here]
            importance = np.abs(delta * gradient[site].numpy()).sum() / math.sqrt(20)
            mean[site] = 0.8 * mean[site] + 0.2 * importance
            spread[site] = 0.7 * spread[site] + 0.3 * abs(importance - mean[site])
        left = rank * 4 - sum(ranks)
        if step > start and step % every == 0 and left:
            scores = mean * spread
            k = min(top_k, left, 4)
            for site in np.argsort(-scores)[:k]:
                ranks[site], left = ranks[site] + min(gain, left), left - min(gain, left)
            num_rounds += 1
            spare = 0 if left == 0 else gain
        method.before_step([p], [{"delta": gradient}], step, num_steps)
        np.testing.assert_allclose((p["importance"]).numpy(), mean, rtol=1e-10)
        method.after_step([p], step, num_steps)
        assert p["ranks"].tolist() == ranks, step
        assert (p["reserve"] == spare).all()
        alive = method.alive(p)
        trained = [r + (spare if advance else 0) for r in ranks]
        assert alive["a"].sum((1, 2)).tolist() == trained
        assert alive["e"].sum(1).tolist() == ranks
    assert num_rounds > 1
    assert sum(ranks) == rank * 4


def test_a_reserve_that_is_taken_in_leaves_its_successor_in_its_place() -> None:
    method = IncreLoRA(rank=4, top_k=1, warmup=0.0, interval=1)
    p = started(method, FOUR)
    before = method.alive(p)
    step_of(method, p, [1.0, 0.0, 0.0, 0.0], 1)
    after = method.alive(p)
    assert before["e"][0].nonzero().flatten().tolist() == [0]
    assert after["e"][0].nonzero().flatten().tolist() == [0, 1, 2]
    assert before["a"][0, :, 0].nonzero().flatten().tolist() == [0, 1, 2]
    assert after["a"][0, :, 0].nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


def test_a_score_worked_out_by_hand() -> None:
    method = IncreLoRA(rank=2, beta1=0.5, beta2=0.25)
    p = shaken(method, started(method))
    gradient = torch.randn(2, 10, 7, generator=torch.Generator().manual_seed(2)).double()
    expected = []
    for site, delta in enumerate(deltas(method, p)):
        x = np.abs(delta * gradient[site].numpy()).sum() / math.sqrt(70)
        expected.append(3 / 16 * x**2)
    method.before_step([p], [{"delta": gradient}], 1, 10)
    np.testing.assert_allclose((p["importance"] * p["spread"]).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_dense_gradient_is_the_one_that_torch_takes_of_the_merged_weight(
    accumulate: int,
) -> None:
    """The oracle: the step's loss of a plain model whose weights hold the update."""
    case = contract("increlora", rank=4, interval=2)
    backbone = case.backbone(torch.float64)
    recipe: dict[str, Any] = {
        "dropout": Dropout(), "accumulate": accumulate, "schedule": Schedule(), "clip": 1e-3
    }  # fmt: skip
    member = case.member(backbone, recipe=dataclasses.replace(case.spec.recipe, **recipe))
    seen: list[Any] = []
    with Pack(backbone) as pack:
        for _ in range(3):
            pack.step([member])
        model = export.merge(member, backbone)
        adapted = {site.name: model.get_submodule(site.name).weight for site in member.sites}
        for weight in adapted.values():
            weight.requires_grad_(True)
        rows = [row for part in member.rows() for row in part]
        batch = collate(examples(), rows, 0)
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        member.losses(logits, batch.labels).mean().backward()
        object.__setattr__(
            member.method, "before_step", lambda groups, gradients, *_: seen.extend(gradients)
        )
        pack.step([member])
    for group, gradients in zip(member.parameters.groups, seen, strict=True):
        for site, made in zip(group.sites, gradients["delta"], strict=True):
            expected = adapted[site.name].grad
            assert expected is not None
            torch.testing.assert_close(made, expected, rtol=1e-9, atol=1e-13)
            assert float(made.abs().max()) > 1e-7
    assert not member.dense


def test_what_is_new_starts_its_own_warm_up() -> None:
    case = contract("increlora", rank=4, interval=2, top_k=2)
    backbone = case.backbone()
    member = case.member(backbone)
    with Pack(backbone) as pack:
        for _ in range(12):
            pack.step([member])
    births = member.optimiser.births[2:]
    assert births == sorted(births)
    assert births[:2] == [2, 4]
    assert member.curves()["total_rank"] == 4 * len(member.sites)


@pytest.mark.parametrize("restart", [True, False])
def test_what_is_new_warms_up_anew_or_follows_the_running_rate(restart: bool) -> None:
    """The rate of each cohort, as the optimiser takes it, by the two definitions."""
    case = contract("increlora", rank=4, interval=3, top_k=2, restart=restart)
    backbone = case.backbone()
    recipe = dataclasses.replace(case.spec.recipe, steps=20, schedule=Schedule(warmup=4))
    member = case.member(backbone, recipe=recipe)
    with Pack(backbone) as pack:
        for _ in range(8):
            pack.step([member])
    births = member.optimiser.births
    assert births[2:] == [3, 6]
    for cohort, birth in enumerate(births[1:], 1):
        step, length = (8 - birth - 1, 20 - birth) if restart else (7, 20)
        rising, falling = step / 4, (length - step) / (length - 4)
        expected = recipe.learning_rate * min(rising, falling)
        rate, first, _ = member.optimiser._coefficients(cohort)
        assert rate == pytest.approx(expected, rel=1e-12), cohort
        assert first == pytest.approx(1 - 0.9 ** (8 - birth)), "moments start at birth"
    rates = {member.optimiser._coefficients(c)[0] for c in range(1, len(births))}
    assert len(rates) == (3 if restart else 1)


def test_trained_numbers_do_not_count_reserves() -> None:
    case = contract("increlora", rank=4, initial_rank=2)
    member = case.member(case.backbone())
    expected = sum(2 * (site.inputs + site.outputs + 1) for site in member.sites)
    assert member.parameters.counts(member.method)[0] == expected


def test_the_penalty_includes_the_reserve() -> None:
    method = IncreLoRA(rank=4, orthogonality=0.5)
    p = shaken(method, started(method))
    p["ranks"] = torch.tensor([1.0, 3.0]).double()
    made = method.penalty(p)
    assert made is not None
    for site, width in enumerate((3, 5)):
        v = of_site(p, site)
        a, b = v["a"][:width], v["b"][:, :width]
        off = [np.linalg.norm(m - np.eye(width)) for m in (a @ a.T, b.T @ b)]
        assert float(made[site]) == pytest.approx(0.5 * sum(off) / 2, rel=1e-12)
    assert IncreLoRA(rank=4, orthogonality=0.0).penalty(p) is None


@pytest.mark.parametrize(("rank", "number"), [(8, 1_327_680), (2, 331_920)])
def test_counts_with_the_budget_spread_evenly(rank: int, number: int) -> None:
    assert adapter_count("deberta-v3-base", "increlora", ALL_SIX, rank=rank) == number


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
    wrong = IncreLoRA.invalid(given_values)
    assert wrong is None if message is None else message in str(wrong)
