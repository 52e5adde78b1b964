"""What the tests of the folder share lies beside them; pytest imports test files by path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
