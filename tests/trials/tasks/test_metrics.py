"""Metrics against values worked out by hand."""

import math

import numpy as np
import pytest

from trials.catalogue import LocalCode
from trials.errors import UserError
from trials.tasks.metrics import METRICS, find, grid_step

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
    assert lower == {"mse", "mae", "ter"}


def test_only_accuracy_moves_in_steps() -> None:
    assert grid_step("accuracy", 200) == 0.005
    assert grid_step("mcc", 200) is None
    assert grid_step("accuracy", 0) is None


def test_a_metric_is_found_by_name() -> None:
    assert find("mcc") is METRICS["mcc"]
    with pytest.raises(UserError, match=r"no metric called 'acc'"):
        find("acc")
    with pytest.raises(UserError, match="no file nowhere.py is loaded"):
        find("nowhere.py:f")


@pytest.mark.parametrize(
    ("body", "value"),
    [("0.25", 0.25), ("True", 1.0), ("predictions.sum()", 2.0), ("float('inf')", math.nan)],
)
def test_a_metric_of_ones_own_gives_a_finite_number_or_nan(body: str, value: float) -> None:
    source = f"def own(predictions, labels):\n    return {body}\n"
    LocalCode("own_of_test_metrics.py", source).load()
    metric = find("own_of_test_metrics.py:own")
    assert (metric.kind, metric.direction, metric.binary) == (None, None, False)
    found = metric.function(np.array([1, 1, 0]), np.array([1, 0, 0]))
    assert found == pytest.approx(value, nan_ok=True)


def test_what_a_metric_of_ones_own_does_wrong_is_said() -> None:
    source = (
        "def own(p, l):\n    return 'high'\n\ndef odd(p, l):\n    return 0\nodd.direction = 'up'\n"
    )
    LocalCode("own_of_test_metrics.py", source).load()
    with pytest.raises(UserError, match="must give a number, but gave 'high'"):
        find("own_of_test_metrics.py:own").function(np.zeros(1), np.zeros(1))
    with pytest.raises(UserError, match="must be higher or lower, not 'up'"):
        find("own_of_test_metrics.py:odd")


def test_the_version_of_a_file_that_was_loaded_last_counts() -> None:
    for value in (1, 2, 1):
        LocalCode("own_of_test_metrics.py", f"def own(p, l):\n    return {value}\n").load()
        found = find("own_of_test_metrics.py:own").function(np.zeros(1), np.zeros(1))
        assert found == value
