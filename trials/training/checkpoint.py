"""Checkpoints: one safetensors file, replaced as a whole, with its plain numbers in the header."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def write(path: Path, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Write atomically: a reader sees the old file or the new one, never a part.

    Args:
        path: the file to replace.
        tensors: what to keep, moved to the CPU.
        numbers: plain JSON values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    on_cpu = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    save_file(on_cpu, temporary, metadata={"numbers": json.dumps(numbers)})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and numbers, or None where there is no readable file."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            numbers = json.loads((file.metadata() or {})["numbers"])
            return {key: file.get_tensor(key) for key in file.keys()}, numbers  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError):
        return None
