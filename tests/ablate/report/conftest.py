"""A synthetic study: two tasks, five arms, one of them late, one with a single seed, some failures.

Its numbers are made up here and its statistics computed plainly, so that the report can be tested
without the modules that compute the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate import frame as table
from ablate.report.render import write
from ablate.stats.findings import analyse

ATTACK = "<script>alert(1)</script>"
FORMULA = "=HYPERLINK(1)"
ARMS = (
    ("lora", "LoRA, rank 8", "lora", 294_912, 0.0),
    ("shim", "MTLoRA SHIM, rank 8", "mtlora", 296_448, 0.021),
    ("tlora", f"TLoRA {ATTACK}", "tlora", 18_433, 0.002),
    ("mini", FORMULA, "lora_mini", 73_728, -0.014),
    ("late", "AdaLoRA $r=8$", "adalora", 589_824, 0.006),
)
TASKS = (("cola", 0.59, 0.012), ("rte", 0.71, 0.019))
SEEDS = tuple(range(8))
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
T_QUANTILE = 2.365  # 97.5 % of Student's t with 7 degrees of freedom


@dataclass(frozen=True)
class Study:
    """What `render.write` takes."""

    frame: pd.DataFrame
    findings: dict[str, Any]
    about: dict[str, Any]


@pytest.fixture(scope="session")
def study() -> Study:
    """The synthetic study; tests must not change it."""
    return build()


def build() -> Study:
    """Make the study anew."""
    frame = _frame(np.random.default_rng(7))
    return Study(frame=frame, findings=_findings(frame), about=_about())


def _frame(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for task, level, sd in TASKS:
        luck = rng.normal(0, sd * 0.7, len(SEEDS))
        for arm, label, method, size, gain in ARMS:
            common = {
                "study": "mtlora-on-glue", "revision": 2 if arm == "late" else 1, "task": task,
                "backbone": "deberta-v3-base", "arm": arm, "label": label, "method": method,
                "rank": 8.0, "metric": "matthews" if task == "cola" else "accuracy",
                "direction": "higher", "primary": True, "trainable_parameters": float(size),
                "environment": "torch 2.9.0, cuda 13.0", "device": "H200", "late": arm == "late",
            }  # fmt: skip
            own = level + gain * (1.6 if task == "cola" else 0.6)
            rows += _confirm(rng, common, own + luck, sd)
            rows += _search(rng, common, own)
    return pd.DataFrame(rows)


def _confirm(
    rng: np.random.Generator, common: dict[str, Any], means: np.ndarray, sd: float
) -> list[dict[str, Any]]:
    arm = common["arm"]
    rows = []
    for seed, mean in zip(SEEDS, means, strict=True):
        if arm == "late" and common["task"] == "rte" and seed > 0:
            continue
        row = {
            **common, "stage": "confirm", "split": "test", "seed": seed, "status": "finished",
            "score": float(mean + rng.normal(0, sd * (0.35 if arm == "shim" else 0.8))),
            "tune.learning_rate": 1e-3, "reason": None,
            "trial_id": f"{common['task']}-{arm}-{seed:02d}-c0ffee",
        }  # fmt: skip
        if arm == "mini" and common["task"] == "cola" and seed in (3, 6):
            row |= {
                "status": "diverged" if seed == 3 else "out_of_memory",
                "score": np.nan,
                "reason": "loss became NaN at step 412" if seed == 3 else "asked for 81 GB",
            }
        rows.append(row)
    return rows


def _search(rng: np.random.Generator, common: dict[str, Any], own: float) -> list[dict[str, Any]]:
    rows = []
    for ask, rate in enumerate((*RATES, 5e-4, 2e-3)):
        away = np.log10(rate / 1e-3)
        score = own - 0.05 * away**2 + rng.normal(0, 0.006)
        status = "pruned" if rate == 1e-4 else "finished"
        if rate == 3e-3 and common["arm"] == "mini":
            status, score = "diverged", np.nan
        rows.append(
            {
                **common, "stage": "search", "split": "dev", "seed": 100, "status": status,
                "score": np.nan if status != "finished" else float(score),
                "tune.learning_rate": rate, "reason": None,
                "trial_id": f"{common['task']}-{common['arm']}-ask{ask}",
            }
        )  # fmt: skip
    return rows


def _findings(frame: pd.DataFrame) -> dict[str, Any]:
    runs = frame[(frame["stage"] == "confirm") & (frame["status"] == "finished")]
    scores = {
        (task, arm): runs[(runs["task"] == task) & (runs["arm"] == arm)].set_index("seed")["score"]
        for task, *_ in TASKS
        for arm, *_ in ARMS
    }
    compared = [
        _finding(task, arm, label, scores[task, arm] - scores[task, "lora"])
        for task, *_ in TASKS
        for arm, label, *_ in ARMS[1:]
    ]
    both = (scores["cola", "shim"] + scores["rte", "shim"]) / 2
    base = (scores["cola", "lora"] + scores["rte", "lora"]) / 2
    compared.append(_finding(None, "shim", ARMS[1][1], both - base) | {"kind": "across_tasks"})
    return {
        "schema": 1,
        "level": 0.95,
        "metric": {"cola": "matthews", "rte": "accuracy"},
        "split": {task: {"search": "dev", "report": "test"} for task, *_ in TASKS},
        "looks": 2,
        "cells": [
            _cell(task, *arm, scores[task, arm[0]], frame) for task, *_ in TASKS for arm in ARMS
        ],
        "findings": compared,
        "variance": [_variance(task, scores) for task, *_ in TASKS],
        "missing": [
            {
                "task": "rte", "arm": "late", "label": ARMS[4][1], "seed": 5, "status": "crashed",
                "reason": f"worker lost {ATTACK}", "trial_id": "rte-late-05-dead",
            }
        ],
        "claims": _claims(),
    }  # fmt: skip


def _interval(values: pd.Series) -> dict[str, Any]:
    """Mean and 95 % t interval (as for 8 values, which is near enough here); nulls when n < 2."""
    n = len(values)
    half = T_QUANTILE * float(values.std()) / n**0.5 if n > 1 else None
    mean = float(values.mean())
    return {
        "ci_low": None if half is None else mean - half,
        "ci_high": None if half is None else mean + half,
    }


def _cell(
    task: str, arm: str, label: str, method: str, size: int, _: float, scores: pd.Series,
    frame: pd.DataFrame,
) -> dict[str, Any]:  # fmt: skip
    n = len(scores)
    lost = frame[
        (frame["task"] == task)
        & (frame["arm"] == arm)
        & (frame["stage"] == "confirm")
        & (frame["status"] != "finished")
    ]
    return {
        "task": task, "backbone": "deberta-v3-base", "arm": arm, "label": label, "method": method,
        "factors": {"rank": 8}, "n": n, "num_failed": len(lost), "mean": float(scores.mean()),
        "sd": float(scores.std()) if n > 1 else None, **_interval(scores),
        "status": "ok" if n > 1 else "insufficient_n", "seeds": [int(s) for s in scores.index],
        "best_values": {"tune.learning_rate": 1e-3}, "trainable_parameters": size,
        "late": arm == "late",
    }  # fmt: skip


def _finding(task: str | None, arm: str, label: str, gaps: pd.Series) -> dict[str, Any]:
    gaps = gaps.dropna()
    n, mean = len(gaps), float(gaps.mean())
    ends = _interval(gaps)
    p = float(np.exp(-abs(mean) / (float(gaps.std()) / n**0.5))) if n > 1 else None
    verdict = "undecided"
    if ends["ci_low"] is not None and ends["ci_low"] * ends["ci_high"] > 0:
        verdict = "better" if mean > 0 else "worse"
    return {
        "id": f"{task or 'all'}:{arm}-lora", "kind": "mean", "task": task,
        "treatment": {"arm": arm, "label": label, "rank": 8},
        "control": {"arm": "lora", "label": ARMS[0][1], "rank": 8},
        "n": n, "n_dropped": len(SEEDS) - n, "num_failed": len(SEEDS) - n, "paired": True,
        "estimate": mean, "unit": "points", **ends, "level": 0.95, "test": "paired_t",
        "p_value": p, "p_adjusted": None if p is None else min(1.0, 4 * p), "adjustment": "holm",
        "family": "claims", "confirmatory": arm == "shim", "sequential": False,
        "effect_size": mean / float(gaps.std()) if n > 1 else None, "effect_size_kind": "g_z",
        "status": "ok" if n > 1 else "insufficient_n", "verdict": verdict,
        "seeds_needed": 34 if verdict == "undecided" and n > 1 else None,
        "claim_id": "shim-better" if arm == "shim" else None, "late": arm == "late",
        "seed_correlation": 0.6, "p_sign_flip": p,
    }  # fmt: skip


def _variance(task: str, scores: dict[tuple[str, str], pd.Series]) -> dict[str, Any]:
    gap = float(scores[task, "shim"].std() - scores[task, "lora"].std())
    finding = _finding(task, "shim", ARMS[1][1], scores[task, "shim"] - scores[task, "lora"])
    return finding | {
        "id": f"{task}:shim-lora:sd", "kind": "variance", "estimate": gap,
        "ci_low": gap - 0.009, "ci_high": gap + 0.008, "test": "swap_median", "p_value": 0.21,
        "p_adjusted": 0.42, "verdict": "undecided", "seeds_needed": 50, "effect_size": None,
        "claim_id": "shim-steadier",
    }  # fmt: skip


def _claims() -> list[dict[str, Any]]:
    return [
        {
            "id": "shim-better", "kind": "better", "verdict": "supported",
            "sentence": "MTLoRA SHIM scores higher than LoRA at the same rank, over both tasks.",
            "findings": ["cola:shim-lora", "rte:shim-lora", "all:shim-lora"],
            "seeds_needed": None, "reason": "The interval lies above zero on every seed count.",
        },
        {
            "id": "shim-steadier", "kind": "less_variable", "verdict": "undecided",
            "sentence": "MTLoRA SHIM varies less between seeds than LoRA on CoLA.",
            "findings": ["cola:shim-lora:sd"], "seeds_needed": 50, "reason": None,
        },
        {
            "id": "mini-comparable", "kind": "equivalent", "verdict": "contradicted",
            "sentence": f"LoRA-Mini {ATTACK} stays within half a point of LoRA.",
            "findings": ["cola:mini-lora", "gone"], "seeds_needed": None,
            "reason": "The whole interval lies beyond the margin.",
        },
        {
            "id": "late-better", "kind": "better", "verdict": "not_robust",
            "sentence": "AdaLoRA scores higher than LoRA.", "findings": [], "seeds_needed": 21,
            "reason": None,
        },
    ]  # fmt: skip


def _about() -> dict[str, Any]:
    return {
        "study": "mtlora-on-glue",
        "question": "Does MTLoRA's structured core beat plain LoRA on small GLUE tasks?",
        "splits": {"search": "dev", "report": "test"},
        "selection": "best",
        "sampler": "tpe",
        "pruner": "median",
        "budget": "6 tries per cell",
        "revisions": [
            {"revision": 1, "when": "2026-01-05", "added": ["4 arms"], "after_results": False},
            {
                "revision": 2,
                "when": "2026-01-07",
                "added": ["arm AdaLoRA, rank 8"],
                "after_results": True,
            },
        ],
        "environment": ["torch 2.9.0, cuda 13.0, H200", {"transformers": "5.1.0", "peft": "0.19"}],
        "mlflow": "sqlite:///mlflow.db",
        "version": "0.1.0",
        "generated_at": "2026-01-08T09:30:00Z",
        "caveats": ["RTE has 277 test examples: one is worth 0.0036 points."],
    }


@pytest.fixture(scope="session")
def whole(study: Study) -> Study:
    """The synthetic study with every section that a page can have; tests must not change it."""
    real = analyse(
        table.check(study.frame), comparisons=(), claims=(), rng=np.random.default_rng(1)
    ).to_json()
    first, *rest = study.findings["findings"]
    first = {**first, "examples": {
        "num_seeds": 8, "num_examples": 277, "estimate": 0.031, "ci_low": 0.004, "ci_high": 0.059,
        "error_seeds": 0.004, "error_examples": 0.013, "p_by_seed": [0.2, 0.0004], "status": "ok",
    }}  # fmt: skip
    looks = [
        {"num_seeds": n, "n": n, "estimate": 0.02, "ci_low": -0.01, "ci_high": 0.05,
         "p_value": 0.04, "p_sequential": p}
        for n, p in ((5, 0.4), (8, 0.03))
    ]  # fmt: skip
    raced = {**first, "id": "raced", "looks": looks, "stopped": "decided", "sequential": True}
    findings = {
        **study.findings,
        "findings": [first, raced, *rest],
        "variance": [*study.findings["variance"], *real["variance"]],
        "cells": [
            {**cell, "direction": "higher", "standing": same["standing"]}
            for cell, same in zip(study.findings["cells"], real["cells"], strict=True)
        ],
        "beside": [
            {**cell, "split": "dev", "metric": "f1", "scores": []}
            for cell in study.findings["cells"]
        ],
        "averages": [
            {**cell, "average": "GLUE as in LoRA", "source": "Hu et al. 2021", "n_dropped": 1}
            for cell in study.findings["cells"]
        ],
        "over_tasks": real["over_tasks"],
        "search": _search_of(study.findings["cells"]),
    }
    about = {**study.about, "spent": "1.2 GPU-hours (4,320 s on H200), 0.6 for each of 2 claims"}
    return Study(frame=study.frame, findings=findings, about=about)


@pytest.fixture(scope="session")
def whole_folder(whole: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that study."""
    return write(whole.frame, whole.findings, whole.about, tmp_path_factory.mktemp("whole")).parent


def _search_of(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """A certificate of tuning as `ablate.certificate` states it."""
    chosen = {"values": {"learning_rate": 1e-3}, "search_score": 0.62, "confirm_mean": 0.6,
              "n": 8, "shrinkage": 0.02}  # fmt: skip
    return {
        "common_asks": 6,
        "warnings": ["LoRA was tuned and AdaLoRA was not: its values are the recipe's own."],
        "cells": [
            {
                "task": cell["task"], "arm": cell["arm"], "label": cell["label"], "asks": 6,
                "nuisances": ["learning_rate"], "pruned": 1, "device_seconds": 61.0,
                "expected_best": [0.5, 0.6], "chosen": [chosen],
            }
            for cell in cells
        ],
    }  # fmt: skip
