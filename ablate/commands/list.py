"""`ablate list`: what there is."""

import argparse
from pathlib import Path
from typing import Any

from ablate.commands.common import machine, out, out_json, table


def run(given: argparse.Namespace) -> int:
    """Print methods with their fields, tasks, studies of the store and packaged ones, targets."""
    rows = {"methods": _methods, "tasks": _tasks, "targets": _targets}
    found = _studies(given) if given.what == "studies" else rows[given.what]()
    if given.json:
        out_json(found)
        return 0
    header = list(found[0]) if found else ["nothing"]
    out(table(header, [[_text(row[key]) for key in header] for row in found]))
    return 0


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _methods() -> list[dict[str, Any]]:
    from trials import catalogue

    return [
        {
            "method": name,
            "fields": {key: item.default for key, item in catalogue.method_fields(name).items()},
            "source": getattr(method, "source", ""),
        }
        for name, method in catalogue.methods().items()
    ]


def _tasks() -> list[dict[str, Any]]:
    from trials import catalogue

    definitions = [getattr(task, "definition", None) for task in catalogue.tasks().values()]
    return [
        {"task": d.name, "kind": d.kind, "primary": d.primary, "metrics": list(d.metrics),
         "text": list(d.text)}
        for d in definitions
        if d is not None
    ]  # fmt: skip


def _targets() -> list[dict[str, Any]]:
    from trials.targets import CANONICAL_TARGETS, PRESETS, QUALIFIED_TARGETS

    names = [{"target": name, "stands for": "one linear map"} for name in CANONICAL_TARGETS]
    names += [
        {"target": name, "stands for": "one linear map of an encoder-decoder"}
        for name in QUALIFIED_TARGETS
    ]
    return names + [{"target": key, "stands for": list(value)} for key, value in PRESETS.items()]


def _studies(given: argparse.Namespace) -> list[dict[str, Any]]:
    from ablate import store
    from ablate.api import packaged_studies

    root = Path(machine(given).store)
    ran = [{"study": folder.name, "where": str(folder.path)} for folder in store.studies(root)]
    packaged = packaged_studies().items()
    return ran + [{"study": name, "where": f"packaged: {path}"} for name, path in packaged]
