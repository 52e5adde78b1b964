"""What commands share: the study that is meant, JSON, and plain tables."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trials.errors import printable

if TYPE_CHECKING:
    from ablate.api import Ablation
    from ablate.profile import Profile

_MACHINE = (
    "store", "tracking_uri", "data", "models", "device", "address", "cpus", "gpus",
    "cpus_per_trial", "gpus_per_trial", "pack", "max_gpus", "gpu_memory",
    "price_per_gpu_hour", "max_cost", "deadline", "profile",
)  # fmt: skip


def flags(given: argparse.Namespace) -> dict[str, Any]:
    """The flags that belong to the machine."""
    values = {name: getattr(given, name, None) for name in _MACHINE}
    return {name: value for name, value in values.items() if value is not None}


def machine(given: argparse.Namespace) -> "Profile":
    """The profile of a command that names no study."""
    from ablate.profile import LISTS, Profile

    chosen = flags(given)
    name = chosen.pop("profile", None)
    return Profile.read({k: tuple(v) if k in LISTS else v for k, v in chosen.items()}, name=name)


def load(given: argparse.Namespace) -> "Ablation":
    """The study that a command was given."""
    from ablate.api import load as load_study

    return load_study(given.study, settings=given.settings, **flags(given))


def out(text: str = "") -> None:
    """Print a line."""
    sys.stdout.write(f"{printable(text)}\n")


def out_json(value: Any) -> None:
    """Print JSON; what is not finite is null."""
    out(json.dumps(clean(value), indent=2, ensure_ascii=False))


def clean(value: Any) -> Any:
    """A value in JSON's own types, without NaN."""
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns aligned with blanks; a missing value is a dash, numbers stand on the right."""
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) or row[i] is None for row in rows)
        for i in range(len(header))
    ]
    lines = [
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [list(header), *cells]
    ]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
