import numpy as np
import pytest

from ablate.stats.status import gravest, vector


def test_the_gravest_status_is_shown() -> None:
    assert gravest("ok", "skewed") == "skewed"
    assert gravest("insufficient_n", "not_robust", "nan_present") == "not_robust"


@pytest.mark.parametrize("values", [[0.1, float("nan")], [float("inf")], [[0.1]]])
def test_a_vector_is_flat_and_finite(values: object) -> None:
    with pytest.raises(ValueError, match="scores must be"):
        vector(values, name="scores")


def test_integers_become_floats() -> None:
    assert vector([1, 2], name="scores").dtype == np.float64
