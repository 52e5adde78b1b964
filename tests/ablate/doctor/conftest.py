"""The mini study and the stories of tracking, of the folders beside this one."""

import sys
from pathlib import Path

# pytest imports test files by path; what they share lies above and beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tracking"))
