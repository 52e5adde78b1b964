"""Outputs of a part of a split are those of the split."""

import numpy as np

from trials.training.predictions import of_portion


def test_a_portion_has_the_outputs_of_its_examples() -> None:
    ids, portion = ["test-0", "test-1", "test-2"], ["test-2", "test-0"]
    assert of_portion(["a", "b", "c"], ids, portion) == ["c", "a"]
    assert of_portion(np.array([[1], [2], [3]]), ids, portion).tolist() == [[3], [1]]
