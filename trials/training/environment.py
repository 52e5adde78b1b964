"""What may explain a difference between two machines: recorded, no part of any identity."""

import functools
import importlib.metadata
import platform
import resource
import subprocess
import sys
from pathlib import Path

import torch

_LIBRARIES = ("ablate-peft", "torch", "transformers", "numpy", "safetensors")


def environment(device: str) -> dict[str, str]:
    """Versions, threads, device and commit, as text."""
    found = dict(_versions())
    found["device"] = device_name(device)
    found["threads"] = str(torch.get_num_threads())
    return found


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = _commit()
    return tuple((found | ({"commit": commit} if commit else {})).items())


def _commit() -> str | None:
    """The commit of a source checkout that this package runs from."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def device_name(device: str) -> str:
    """`cpu`, or the GPU's model."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.device(device).type


def peak_memory_bytes(device: str) -> int:
    """Largest memory held on a GPU since its counter was reset; of the process on a CPU."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
