"""Print the pinned numbers of `tests/trials/training/golden.json`.

Run from the root of the checkout, after a change that is meant to change numbers:

    PYTHONPATH=. python tests/oracles/golden.py > tests/trials/training/golden.json
"""

import json
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
FOLDER = Path(__file__).resolve().parents[1] / "trials" / "training"
sys.path.insert(0, str(FOLDER))

from cases import golden  # noqa: E402

METHODS = (
    "lora", "mtlora", "tlora", "lora_mini", "triadaptlora",
    "adalora", "increlora", "adapter", "bitfit", "vera",
)  # fmt: skip

if __name__ == "__main__":
    made = {method: [round(x, 12) for x in golden(method)] for method in METHODS}
    sys.stdout.write(json.dumps(made, indent=2) + "\n")
