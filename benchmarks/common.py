"""What the benchmarks share: the machine in words, results as JSON lines, tables."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("torch", "transformers", "peft", "ray", "optuna", "mlflow")


def machine() -> dict[str, Any]:
    """What a figure depends on beside the code."""
    import torch

    found: dict[str, Any] = {
        "python": platform.python_version(),
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def keep(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows, with the machine, to `results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "rows": list(rows)}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a Markdown table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(_text(row.get(name, "")) for name in names) + " |")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else str(value)
