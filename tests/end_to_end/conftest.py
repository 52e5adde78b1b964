"""Adds this folder to the path: pytest imports test files by path; what they share lies here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
