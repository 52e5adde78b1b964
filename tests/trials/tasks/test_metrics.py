"""Metrics against values worked out by hand."""

import math

import numpy as np
import pytest

from trials.tasks.metrics import METRICS, grid_step

# 3 true positives, 1 false positive, 2 false negatives, 4 true negatives
LABELS = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
SAID = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("accuracy", 7 / 10),
        ("f1", 2 * 3 / (2 * 3 + 1 + 2)),
        ("f1_macro", (6 / 9 + 8 / 11) / 2),
        ("mcc", (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)),
    ],
)
def test_classification_by_hand(metric: str, value: float) -> None:
    assert METRICS[metric].function(SAID, LABELS) == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("pearson", 5.75 / math.sqrt(5 * 8.6875)),  # covariance and variances, each times 4
        ("spearman", 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15)),
        ("mse", (1 + 1 + 0.25 + 0) / 4),
        ("mae", (1 + 1 + 0.5 + 0) / 4),
    ],
)
def test_regression_by_hand(metric: str, value: float) -> None:
    said, labels = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 3.0, 2.5, 4.0])
    assert METRICS[metric].function(said, labels) == pytest.approx(value)


def test_macro_f1_of_three_labels_is_the_plain_mean() -> None:
    labels, said = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 2, 2, 1])
    assert METRICS["f1_macro"].function(said, labels) == pytest.approx((1 + 0.5 + 0.5) / 3)


@pytest.mark.parametrize("constant", [0, 1])
def test_constant_predictions_score_zero_without_warnings(constant: int) -> None:
    said = np.full(10, constant)
    assert METRICS["mcc"].function(said, LABELS) == 0.0
    assert METRICS["mcc"].function(said, said) == 0.0
    assert METRICS["f1"].function(np.zeros(10, int), LABELS) == 0.0
    assert METRICS["f1"].function(np.zeros(10, int), np.zeros(10, int)) == 0.0


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("said", [np.zeros(4), np.full(4, 2.5), np.array([1, 1, 1, 1 + 2e-16])])
def test_a_correlation_with_a_constant_is_missing(metric: str, said: np.ndarray) -> None:
    labels = np.array([0.0, 1.0, 2.0, 3.0])
    assert math.isnan(METRICS[metric].function(said, labels))
    assert math.isnan(METRICS[metric].function(labels, said))


def test_errors_are_better_when_lower_and_the_rest_when_higher() -> None:
    lower = {name for name, metric in METRICS.items() if metric.direction == "lower"}
    assert lower == {"mse", "mae"}


def test_only_accuracy_moves_in_steps() -> None:
    assert grid_step("accuracy", 200) == 0.005
    assert grid_step("mcc", 200) is None
    assert grid_step("accuracy", 0) is None
