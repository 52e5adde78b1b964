"""The papers' averages, held to the rows that the papers printed."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate import frame
from ablate.stats.averages import ADALORA, LORA, averages
from ablate.stats.cells import collect

VALIDATION, MISMATCHED = "validation", "validation_mismatched"

# Hu et al. 2021, table 2: MNLI (overall), SST-2, MRPC, CoLA, QNLI, QQP, RTE, STS-B, average
OF_LORA = """
87.6 94.8 90.2 63.6 92.8 91.9 78.7 91.2 86.4
84.7 93.7 92.7 62.0 91.8 84.0 81.5 90.8 85.2
87.1 94.2 88.5 60.8 93.1 90.2 71.5 89.7 84.4
87.3 94.7 88.4 62.6 93.0 90.6 75.9 90.3 85.4
87.5 95.1 89.7 63.4 93.3 90.8 86.6 91.5 87.2
90.2 96.4 90.9 68.0 94.7 92.2 86.6 92.4 88.9
90.6 96.2 90.9 68.2 94.9 91.6 87.4 92.6 89.0
90.2 96.1 90.2 68.3 94.8 91.9 83.8 92.1 88.4
90.5 96.6 89.7 67.8 94.8 91.7 80.1 91.9 87.9
89.9 96.2 88.7 66.5 94.7 92.1 83.4 91.0 87.8
90.3 96.3 87.7 66.3 94.7 91.5 72.9 91.5 86.4
90.6 96.2 90.2 68.2 94.8 91.6 85.2 92.3 88.6
"""
# Zhang et al. 2023, table 1: MNLI m, mm, SST-2, CoLA, QQP accuracy, F1, QNLI, RTE, MRPC, STS-B
# (the mean of both correlations), average
OF_ADALORA = """
89.90 90.12 95.63 69.19 92.40 89.80 94.03 83.75 89.46 91.60 88.09
89.37 89.91 94.84 66.96 88.41 84.95 92.24 78.70 87.75 91.35 86.02
90.13 90.17 95.53 68.64 91.91 89.27 94.11 84.48 89.95 91.48 88.12
90.33 90.39 95.61 68.77 92.04 89.40 94.29 85.20 89.46 91.54 88.24
90.65 90.69 94.95 69.82 91.99 89.38 93.87 85.20 89.95 91.60 88.34
90.76 90.79 96.10 71.45 92.23 89.74 94.55 88.09 90.69 91.84 89.31
90.12 90.23 95.30 67.87 91.65 88.95 93.76 85.56 89.22 91.30 87.93
90.15 90.28 95.53 69.48 91.62 88.86 93.98 84.12 89.22 91.52 88.04
90.10 90.02 95.41 67.65 91.54 88.81 93.52 83.39 89.25 91.31 87.60
89.89 90.06 94.72 69.06 91.40 88.62 93.87 84.48 89.71 91.38 87.90
90.30 90.38 94.95 68.71 91.61 88.91 94.03 85.56 89.71 91.68 88.15
90.66 90.70 95.80 70.04 91.78 89.16 94.49 87.36 90.44 91.63 88.86
"""


def numbers(text: str) -> list[list[float]]:
    return [[float(part) for part in line.split()] for line in text.split("\n") if line]


@pytest.mark.parametrize("row", numbers(OF_LORA), ids=str)
def test_the_average_of_lora_is_the_printed_one(row: list[float]) -> None:
    mnli, sst2, mrpc, cola, qnli, qqp, rte, stsb, printed = row
    scores = {
        ("mnli", VALIDATION, "accuracy"): mnli,
        ("mnli", MISMATCHED, "accuracy"): mnli,  # one overall accuracy is printed
        ("sst2", VALIDATION, "accuracy"): sst2,
        ("mrpc", VALIDATION, "accuracy"): mrpc,
        ("cola", VALIDATION, "mcc"): cola,
        ("qnli", VALIDATION, "accuracy"): qnli,
        ("qqp", VALIDATION, "accuracy"): qqp,
        ("rte", VALIDATION, "accuracy"): rte,
        ("stsb", VALIDATION, "pearson"): stsb,
    }
    assert LORA.of(scores) == pytest.approx(printed, abs=0.0501)  # printed to one decimal


@pytest.mark.parametrize("row", numbers(OF_ADALORA), ids=str)
def test_the_average_of_adalora_is_the_printed_one(row: list[float]) -> None:
    matched, mismatched, sst2, cola, accuracy, f1, qnli, rte, mrpc, stsb, printed = row
    scores = {
        ("mnli", VALIDATION, "accuracy"): matched,
        ("mnli", MISMATCHED, "accuracy"): mismatched,
        ("sst2", VALIDATION, "accuracy"): sst2,
        ("cola", VALIDATION, "mcc"): cola,
        ("qqp", VALIDATION, "accuracy"): accuracy,
        ("qqp", VALIDATION, "f1"): f1,
        ("qnli", VALIDATION, "accuracy"): qnli,
        ("rte", VALIDATION, "accuracy"): rte,
        ("mrpc", VALIDATION, "accuracy"): mrpc,
        ("stsb", VALIDATION, "pearson"): stsb,  # the mean of both is printed
        ("stsb", VALIDATION, "spearman"): stsb,
    }
    assert ADALORA.of(scores) == pytest.approx(printed, abs=0.0071)  # of means that were rounded


@pytest.mark.parametrize("average", [LORA, ADALORA])
def test_an_average_with_a_part_missing_is_missing(average: object) -> None:
    assert isinstance(average, type(LORA))
    full = {(task, *part): 0.5 for task, parts in average.parts.items() for part in parts}
    assert average.of(full) == 0.5
    for key in full:
        assert average.of({k: v for k, v in full.items() if k != key}) is None


@pytest.fixture
def glue() -> Callable[..., pd.DataFrame]:
    """Scores of an arm on all eight tasks, five seeds, at random; and what was drawn."""

    def build(without: tuple[str, int] | None = None) -> pd.DataFrame:
        rng = np.random.default_rng(3)
        rows = [
            {"task": task, "split": split, "metric": metric, "arm": "lora", "method": "lora",
             "seed": seed, "score": rng.uniform(), "primary": (split, metric) == parts[0]}
            for task, parts in ADALORA.parts.items()
            for seed in range(5)
            for split, metric in parts
            if without != (task, seed)
        ]  # fmt: skip
        return frame.check(pd.DataFrame(rows))

    return build


def test_an_interval_is_that_of_the_means_of_each_seed(glue: Callable[..., pd.DataFrame]) -> None:
    table = glue()
    of_lora, of_adalora = averages(collect(table), level=0.95)
    assert (of_lora["average"], of_adalora["average"]) == (LORA.name, ADALORA.name)
    by_task = table.groupby(["seed", "task"])["score"].mean().groupby("seed").mean()
    assert of_adalora["mean"] == pytest.approx(by_task.mean())
    low, high = stats.t.interval(0.95, 4, by_task.mean(), by_task.std() / np.sqrt(5))
    assert (of_adalora["ci_low"], of_adalora["ci_high"]) == pytest.approx((low, high))
    assert of_adalora["seeds"] == [0, 1, 2, 3, 4]
    assert (of_adalora["n"], of_adalora["n_dropped"], of_adalora["status"]) == (5, 0, "ok")
    plain = table[~table["metric"].isin(["f1", "spearman"])]
    expected = plain.groupby(["seed", "task"])["score"].mean().groupby("seed").mean().mean()
    assert of_lora["mean"] == pytest.approx(expected)


def test_a_seed_that_lacks_a_task_is_dropped_and_counted(
    glue: Callable[..., pd.DataFrame],
) -> None:
    found = averages(collect(glue(without=("rte", 2))), level=0.95)[1]
    assert (found["n"], found["n_dropped"], found["seeds"]) == (4, 1, [0, 1, 3, 4])


def test_a_study_that_lacks_a_task_has_no_average(glue: Callable[..., pd.DataFrame]) -> None:
    table = glue()
    assert averages(collect(table[table["task"] != "rte"]), level=0.95) == ()
