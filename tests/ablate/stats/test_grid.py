import numpy as np
import pytest

from ablate.stats.grid import constant, differences


def test_equal_gaps_on_a_grid_are_equal_to_the_last_bit() -> None:
    step = 1 / 277
    treatment, control = np.arange(200, 210) * step, np.arange(197, 207) * step
    assert not constant(treatment - control)
    assert constant(differences(treatment, control, step=step))
    assert constant(differences(treatment, control, step=None))


def test_scores_printed_with_few_digits_fall_back_on_their_grid() -> None:
    assert differences(np.array([0.8736]), np.array([0.87365]), step=1 / 277)[0] == 0.0


def test_zero_is_not_negative() -> None:
    gaps = differences(np.array([0.1]), np.array([0.1 + 1e-17]), step=0.01)
    assert not np.signbit(gaps[0])


def test_differences_below_the_noise_survive_on_no_grid() -> None:
    assert differences(np.array([1e-9]), np.array([0.0]), step=None)[0] == pytest.approx(1e-9)
    assert differences(np.zeros(2), np.zeros(2), step=None).tolist() == [0.0, 0.0]


def test_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        differences(np.zeros(2), np.zeros(3), step=None)
    with pytest.raises(ValueError, match="step must be positive"):
        differences(np.zeros(2), np.zeros(2), step=0.0)


def test_no_values_are_not_constant() -> None:
    assert not constant(np.array([]))
