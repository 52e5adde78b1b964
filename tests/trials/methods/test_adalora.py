"""Scores and masks against peft's own rank allocator, and against the paper's formulas in numpy."""

import dataclasses
import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from dense import SITES, WIDE, adapter_count, assert_close, deltas, of_site, shaken, started
from peft.tuners.adalora.layer import RankAllocator
from torch import Tensor, nn

from trials.contract import contract
from trials.methods.adalora import AdaLoRA
from trials.methods.base import Site
from trials.spec import Schedule
from trials.training.pack import Pack

SIX = tuple(Site(f"layer.{i}.key", "key", 5, 4) for i in range(6))
FOUR = tuple(Site(f"layer.{i}.up", "intermediate", 3, 6) for i in range(4))
NAMES = {"q": "lora_A", "lambda": "lora_E", "p": "lora_B"}
ALL_SIX = ("query", "key", "value", "attention_output", "intermediate", "output")


@pytest.mark.parametrize("sites", [SITES, WIDE])
def test_the_change_is_alpha_over_the_first_rank_times_p_lambda_q(sites: tuple) -> None:
    method = AdaLoRA(rank=2, initial_rank=5, alpha=7.0)
    p = shaken(method, started(method, sites))
    for site, made in enumerate(deltas(method, p)):
        v = of_site(p, site)
        product = np.einsum("or,r,ri->oi", v["p"], v["lambda"], v["q"])
        assert_close(made, 7.0 / (5 + 1e-5) * product)


def test_it_starts_at_the_backbone_half_as_wide_again_as_its_budget() -> None:
    p = started(AdaLoRA(rank=8), SIX)
    assert p["q"].shape == (6, 12, 4)
    assert not p["lambda"].any()
    drawn = torch.cat([p["q"].flatten(), p["p"].flatten()])
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.1)
    assert AdaLoRA(rank=1).start == 1
    assert AdaLoRA(rank=2, initial_rank=4).start == 4


def test_the_budget_of_every_step_is_the_published_curve() -> None:
    """b(t) = b_T + (b_0 - b_T) (1 - (t - t_i) / (T - t_i - t_f))³, in exact fractions."""
    total, first, final, sites = 500, 50, 150, 12
    method = AdaLoRA(rank=4, initial_rank=7, warmup=0.1, final=0.3, interval=7)
    for step in range(1, total + 1):
        done = Fraction(step - first, total - first - final)
        left = 1 - min(max(done, Fraction(0)), Fraction(1))
        most, least = 7 * sites, 4 * sites
        budget, is_round = method.budget(step, total, sites)
        assert budget == math.floor(least + (most - least) * left**3), step
        ended = step > total - final
        assert is_round == (step > first and (ended or step % 7 == 0))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # 10 sites, ranks 12 to 8; warm-up 20 of 200 steps, the last 80 are final: 100 in between.
        (20, (120, False)),
        (30, (109, True)),  # 80 + 40 · 0.9³ = 109.16
        (35, (104, False)),  # 80 + 40 · 0.85³ = 104.565
        (70, (85, True)),  # 80 + 40 · 0.5³
        (110, (80, True)),  # 80 + 40 · 0.1³ = 80.04
        (120, (80, True)),
        (121, (80, True)),
        (199, (80, True)),
    ],
)
def test_the_budget_falls_with_the_third_power(step: int, expected: tuple[int, bool]) -> None:
    method = AdaLoRA(rank=8, initial_rank=12, warmup=0.1, final=0.4, interval=10)
    assert method.budget(step, 200, 10) == expected


class Triplets(nn.Module):
    """The parameters of one site under the names that peft's allocator looks for."""

    def __init__(self, p: dict[str, Tensor], site: int) -> None:
        super().__init__()
        for name, theirs in NAMES.items():
            value = p[name][site].clone()
            parameter = nn.Parameter(value[:, None] if name == "lambda" else value)
            setattr(self, theirs, nn.ParameterDict({"default": parameter}))


@pytest.mark.parametrize("interval", [1, 3])
def test_scores_and_masks_are_those_of_pefts_allocator(interval: int) -> None:
    """Random weights and gradients at every step, the same for both."""
    num_steps = 40
    method = AdaLoRA(
        rank=2, initial_rank=4, warmup=0.1, final=0.25, interval=interval, beta1=0.8, beta2=0.9
    )
    groups = [started(method, SIX), started(method, FOUR)]
    theirs = nn.ModuleList(
        [Triplets(p, site) for p in groups for site in range(len(p["lambda"]))]
    ).double()
    config = SimpleNamespace(
        beta1=0.8, beta2=0.9, target_r=2, tinit=4, tfinal=10, deltaT=interval, total_step=num_steps
    )
    allocator: Any = RankAllocator(theirs, config, "default")
    stream = torch.Generator().manual_seed(0)
    masked = set()
    for step in range(1, num_steps + 1):
        gradients = []
        for p in groups:
            for name in NAMES:
                drawn = torch.randn(p[name].shape, generator=stream, dtype=torch.float64)
                p[name].add_(drawn * 0.1)
            gradients.append(
                {n: torch.randn(p[n].shape, generator=stream, dtype=torch.float64) for n in NAMES}
            )
        pairs = [(p, g, k) for p, g in zip(groups, gradients, strict=True)
                 for k in range(len(p["kept"]))]  # fmt: skip
        for module, (p, gradient, k) in zip(theirs, pairs, strict=True):
            for name, their_name in NAMES.items():
                parameter = getattr(module, their_name)["default"]
                parameter.data.copy_(p[name][k].view_as(parameter))
                parameter.grad = gradient[name][k].view_as(parameter).clone()
        budget, pattern = allocator.update_and_allocate(theirs, step)
        method.before_step(groups, gradients, step, num_steps)
        method.after_step(groups, step, num_steps)
        assert method.budget(step, num_steps, 10) == (budget, pattern is not None), step
        for module, (p, _, k) in zip(theirs, pairs, strict=True):
            np.testing.assert_array_equal(
                p["lambda"][k].numpy(), module.lora_E["default"].detach().squeeze(1).numpy()
            )
        masked.add(int(sum((p["lambda"] == 0).sum() for p in groups)))
    assert len(masked) > 3, "the budget hardly falls, so this proves little"
    assert method.curves(groups) == {"total_rank": 20.0}


def test_a_score_worked_out_by_hand() -> None:
    method = AdaLoRA(rank=1, initial_rank=2, beta1=0.5, beta2=0.25, warmup=0.0, final=0.0)
    site = (Site("s", "query", 1, 2),)
    p = started(method, site)
    p["q"][:] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    p["lambda"][:] = torch.tensor([5.0, 0.0])
    p["p"][:] = torch.tensor([[1.0, -2.0]])
    gradient = {"q": torch.ones(1, 2, 2).double(), "lambda": torch.tensor([[1.0, 1.0]]).double(),
                "p": torch.tensor([[[2.0, 1.0]]]).double()}  # fmt: skip
    method.before_step([p], [gradient], 1, 10)
    # Of importance x the mean is x / 2, the spread 3/4 · x / 2, and so the score 3/16 x².
    expected = [3 / 16 * (25 + (1 + 4) / 2 + 4), 3 / 16 * (0 + (9 + 16) / 2 + 4)]
    np.testing.assert_allclose(method.scores(p)[0].numpy(), expected, rtol=1e-12)


def test_what_is_pruned_keeps_training_and_may_come_back() -> None:
    method = AdaLoRA(rank=1, initial_rank=2, warmup=0.0, final=0.5, interval=1, beta1=0.5)
    p = started(method, SITES)
    p["lambda"][:] = 1.0
    strong = {name: torch.zeros_like(p[name]) for name in NAMES}
    strong["lambda"][:, 0] = 1.0
    method.before_step([p], [strong], 4, 10)
    method.after_step([p], 6, 10)
    assert p["kept"].tolist() == [[1, 0], [1, 0]]
    assert p["lambda"].tolist() == [[1, 0], [1, 0]]
    p["lambda"][:] = torch.tensor([0.1, 9.0])
    other = {name: torch.zeros_like(p[name]) for name in NAMES}
    other["lambda"][:, 1] = 1.0
    method.before_step([p], [other], 4, 10)
    method.after_step([p], 7, 10)
    assert p["kept"].tolist() == [[0, 1], [0, 1]]
    assert p["lambda"].tolist() == [[0, 9], [0, 9]]


def test_in_the_final_steps_scores_stand_still() -> None:
    method = AdaLoRA(rank=2, initial_rank=3, final=0.5)
    p = started(method, SITES)
    gradient = {name: torch.ones_like(p[name]) for name in NAMES}
    for step, moves in ((4, True), (5, False), (9, False)):
        before = p["p_importance"].clone()
        method.before_step([p], [gradient], step, 10)
        assert torch.equal(before, p["p_importance"]) != moves, step


@pytest.mark.parametrize("scored", ["before", "after"])
def test_scores_see_the_weights_before_the_step_or_after_it(scored: str) -> None:
    """λ starts at 0, so before it its first importance is 0 however far the step has moved it."""
    case = contract("adalora", rank=4, beta1=0.0, scored=scored)
    backbone = case.backbone()
    recipe = dataclasses.replace(case.spec.recipe, schedule=Schedule(name="constant"))
    member = case.member(backbone, recipe=recipe)
    with Pack(backbone) as pack:
        pack.step([member])
    for group in member.parameters.groups:
        assert group.tensors["lambda"].abs().max() > 1e-4
        assert group.tensors["lambda_importance"].any() == (scored == "after")
        gradient = group.tensors["lambda"].grad
        if scored == "after":
            expected = (group.tensors["lambda"] * gradient).abs()
            torch.testing.assert_close(group.tensors["lambda_importance"], expected)


def test_trained_numbers_are_those_that_the_last_round_kept() -> None:
    case = contract("adalora", rank=4, interval=1)
    backbone = case.backbone()
    member = case.member(backbone)
    everything = member.parameters.counts(member.method)[0]
    with Pack(backbone) as pack:
        for _ in range(12):
            pack.step([member])
    assert member.curves() == {"total_rank": 4.0 * len(member.sites)}
    kept = member.parameters.counts(member.method)[0]
    expected = sum(
        int(k) * (site.inputs + site.outputs + 1)
        for group in member.parameters.groups
        for site, k in zip(group.sites, group.tensors["kept"].sum(-1), strict=True)
    )
    assert kept == expected < everything


def test_the_penalty_is_the_mean_distance_from_orthogonal_factors() -> None:
    method = AdaLoRA(rank=2, initial_rank=3, orthogonality=0.5)
    p = shaken(method, started(method))
    made = method.penalty(p)
    assert made is not None
    for site in range(2):
        v = of_site(p, site)
        off = [np.linalg.norm(m - np.eye(3)) for m in (v["q"] @ v["q"].T, v["p"].T @ v["p"])]
        assert float(made[site]) == pytest.approx(0.5 * sum(off) / 2, rel=1e-12)
        squared = sum(x**2 for x in off)
        other = AdaLoRA(rank=2, initial_rank=3, orthogonality=0.5, distance="squared").penalty(p)
        assert other is not None
        assert float(other[site]) == pytest.approx(0.5 * squared / 2, rel=1e-12)
    assert AdaLoRA(rank=3, orthogonality=0.0).penalty(p) is None


@pytest.mark.parametrize(("rank", "number"), [(8, 1_327_680), (2, 331_920)])
def test_counts_with_the_budget_spread_evenly(rank: int, number: int) -> None:
    assert adapter_count("deberta-v3-base", "adalora", ALL_SIX, rank=rank) == number


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"initial_rank": 4}, "initial_rank 4 must be at least rank 8"),
        ({"warmup": 0.5, "final": 0.6}, "warmup 0.5 and final 0.6 are shares of one training"),
        ({"initial_rank": 8}, None),
    ],
)
def test_the_budget_falls_and_has_time_to(changed: dict[str, Any], message: str | None) -> None:
    usual = {"rank": 8, "initial_rank": None, "warmup": 0.1, "final": 0.4}
    wrong = AdaLoRA.invalid({**usual, **changed})
    assert wrong is None if message is None else message in str(wrong)
