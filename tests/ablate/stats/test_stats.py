"""The statistics alone: what they import, and that their table of contents is true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate import stats

ROOT = Path(stats.__file__).parents[2]
HEAVY = ("torch", "ray", "transformers", "datasets", "peft", "optuna", "mlflow", "sklearn",
         "matplotlib")  # fmt: skip


def test_nothing_heavy_is_imported() -> None:
    """Of all files: statistics of a table need neither torch nor ray."""
    script = f"""
import sys
from ablate import stats
for name in dir(stats):
    getattr(stats, name)
import numpy as np
made = stats.paired.compare_paired(
    np.array([1.0, 2.0, 4.0]), np.zeros(3), level=0.95, rng=np.random.default_rng(0)
)
assert made.gain.n == 3
print("LOADED", sorted({HEAVY!r} & sys.modules.keys()))
""".replace(f"{HEAVY!r}", f"set({HEAVY!r})")
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout


def test_the_table_of_contents_names_files_that_are_there() -> None:
    named = re.findall(r"`(\w+)`", stats.__doc__ or "")
    assert len(named) > 15
    assert set(named) <= set(dir(stats))


def test_every_file_has_its_tests() -> None:
    here = Path(__file__).parent
    assert {name for name in dir(stats) if not (here / f"test_{name}.py").is_file()} == set()


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'pingouin'"):
        _ = stats.pingouin
