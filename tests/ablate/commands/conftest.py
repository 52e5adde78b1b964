"""The mini study of the folder above."""

import sys
from pathlib import Path

# pytest imports test files by path; what they share lies above them.
sys.path.insert(0, str(Path(__file__).parents[1]))
