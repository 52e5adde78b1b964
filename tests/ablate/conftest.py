"""A small study that was really trained, once for all tests of the folder."""

import sys
from pathlib import Path

import pytest

# pytest imports test files by path; what they share lies beside them.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "sweep"))

from mini_study import Ran, run_mini  # noqa: E402


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The mini study, run to its end in this process. Not to be changed."""
    return run_mini(tmp_path_factory.mktemp("ran"))
