"""Small tables with known answers, shared by the tests of statistics."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate import frame

Scores = Mapping[str, Sequence[float | None]]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture
def table() -> Callable[..., pd.DataFrame]:
    """Build a checked table from arm -> scores by seed; None is a failed trial."""

    def build(scores: Scores, *, tasks: Sequence[str] = ("cola",), **columns: Any) -> pd.DataFrame:
        rows = [
            {
                "task": task,
                "arm": arm,
                "method": arm.split()[0],
                "seed": seed,
                "score": score,
                "status": "finished" if score is not None else "diverged",
                "reason": None if score is not None else "loss was not finite",
                **columns,
            }
            for task in tasks
            for arm, values in scores.items()
            for seed, score in enumerate(values)
        ]
        return frame.check(pd.DataFrame(rows))

    return build
