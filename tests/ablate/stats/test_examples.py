import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.examples import METRICS, Predictions, two_way
from trials.tasks import metrics

CLASSES = ("accuracy", "mcc", "f1", "f1_macro")
REAL = ("pearson", "mse", "mae")


def classified(rng: np.random.Generator, right: float, labels: np.ndarray, seeds: int, k: int):
    wrong = (labels + rng.integers(1, k, size=(seeds, labels.size))) % k
    said = np.where(rng.random((seeds, labels.size)) < right, labels, wrong)
    return Predictions(labels=labels.astype(float), said=said.astype(float), num_labels=k)


def sides(rng: np.random.Generator, metric: str, seeds: int = 5, examples: int = 60):
    k = 2 if metric == "f1" else 3
    if metric in CLASSES:
        labels = rng.integers(0, k, size=examples)
        return [classified(rng, right, labels, seeds, k) for right in (0.85, 0.7)]
    labels = rng.normal(size=examples)
    return [
        Predictions(labels=labels, said=labels + sd * rng.normal(size=(seeds, examples)),
                    num_labels=None)
        for sd in (0.5, 0.8)
    ]  # fmt: skip


@pytest.mark.parametrize("metric", [*CLASSES, *REAL])
def test_the_estimate_is_the_difference_of_scores(rng: np.random.Generator, metric: str) -> None:
    treatment, control = sides(rng, metric)
    seen = two_way(treatment, control, metric, level=0.95, rng=rng)
    score = metrics.METRICS[metric].function
    kind = int if metric in CLASSES else float
    gaps = [
        score(t.astype(kind), treatment.labels.astype(kind))
        - score(c.astype(kind), treatment.labels.astype(kind))
        for t, c in zip(treatment.said, control.said, strict=True)
    ]
    assert seen.estimate == pytest.approx(np.mean(gaps))
    assert seen.error_seeds == pytest.approx(np.std(gaps, ddof=1) / 5**0.5)
    assert seen.ci_low < seen.estimate < seen.ci_high
    assert (seen.num_seeds, seen.num_examples, seen.status) == (5, 60, "ok")


def test_every_metric_is_one_that_tasks_have() -> None:
    assert set(METRICS) <= set(metrics.METRICS)


@pytest.mark.parametrize("metric", ["accuracy", "mcc", "pearson"])
def test_the_error_of_examples_by_drawing_them(rng: np.random.Generator, metric: str) -> None:
    treatment, control = sides(rng, metric, seeds=3, examples=200)
    seen = two_way(treatment, control, metric, level=0.95, rng=rng)
    score = metrics.METRICS[metric].function
    drawn = []
    for _ in range(400):
        index = rng.integers(0, 200, size=200)
        gaps = [score(t[index], treatment.labels[index]) - score(c[index], treatment.labels[index])
                for t, c in zip(treatment.said, control.said, strict=True)]  # fmt: skip
        drawn.append(np.mean(gaps))
    assert seen.error_examples == pytest.approx(np.std(drawn), rel=0.15)


def test_of_accuracy_the_error_of_examples_has_a_formula(rng: np.random.Generator) -> None:
    treatment, control = sides(rng, "accuracy", seeds=4, examples=500)
    seen = two_way(treatment, control, "accuracy", level=0.95, rng=rng)
    right = [(side.said == side.labels).mean(axis=0) for side in (treatment, control)]
    assert seen.error_examples == pytest.approx((right[0] - right[1]).std() / 500**0.5, rel=0.1)


def test_mcnemar_at_each_seed(rng: np.random.Generator) -> None:
    treatment, control = sides(rng, "accuracy", seeds=3)
    seen = two_way(treatment, control, "accuracy", level=0.95, rng=rng)
    right = [side.said == side.labels for side in (treatment, control)]
    for seed, p in enumerate(seen.p_by_seed):
        one, other = right[0][seed], right[1][seed]
        lost, won = int((one & ~other).sum()), int((other & ~one).sum())
        assert p == pytest.approx(stats.binomtest(lost, lost + won).pvalue)
    assert two_way(*sides(rng, "mse"), "mse", level=0.95, rng=rng).p_by_seed == ()


def test_where_lower_is_better_a_smaller_error_is_a_gain(rng: np.random.Generator) -> None:
    seen = two_way(*sides(rng, "mse"), "mse", level=0.95, rng=rng, lower_is_better=True)
    assert seen.estimate > 0


def test_awkward_predictions(rng: np.random.Generator) -> None:
    treatment, control = sides(rng, "accuracy", seeds=2)
    two = two_way(treatment, control, "accuracy", level=0.95, rng=rng)
    assert (two.ci_low, two.status, len(two.p_by_seed)) == (None, "insufficient_n", 2)
    same = sides(rng, "accuracy", seeds=4)[0]
    none = two_way(same, same, "accuracy", level=0.95, rng=rng)
    assert (none.estimate, none.ci_low, none.status) == (0.0, None, "degenerate_zero_variance")
    assert two_way(same, same, "spearman", level=0.95, rng=rng) is None
    flat = Predictions(labels=np.arange(5.0), said=np.ones((3, 5)), num_labels=None)
    undefined = two_way(flat, flat, "pearson", level=0.95, rng=rng)
    assert (undefined.estimate, undefined.status) == (None, "nan_present")
    with pytest.raises(ValueError, match="same seeds and examples"):
        two_way(treatment, same, "accuracy", level=0.95, rng=rng)
    with pytest.raises(ValueError, match="shapes do not fit"):
        Predictions(labels=np.arange(3.0), said=np.ones((2, 4)), num_labels=2)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99))
def test_swapping_sides_mirrors_and_order_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    treatment, control = sides(rng, "mcc", seeds=4, examples=40)
    one = two_way(treatment, control, "mcc", level=0.95, rng=np.random.default_rng(0))
    other = two_way(control, treatment, "mcc", level=0.95, rng=np.random.default_rng(0))
    assert other.estimate == pytest.approx(-one.estimate)
    assert other.ci_low == pytest.approx(-one.ci_high)
    order = rng.permutation(40)
    moved = [Predictions(labels=s.labels[order], said=s.said[::-1, order], num_labels=3)
             for s in (treatment, control)]  # fmt: skip
    shuffled = two_way(*moved, "mcc", level=0.95, rng=rng)
    assert shuffled.estimate == pytest.approx(one.estimate)
    assert sorted(shuffled.p_by_seed) == pytest.approx(sorted(one.p_by_seed))
