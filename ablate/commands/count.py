"""`ablate count`: parameters from a backbone's configuration alone."""

import argparse
from pathlib import Path
from typing import Any

from ablate.commands.common import machine, out, out_json
from trials.errors import Problem, UserError


def run(given: argparse.Namespace) -> int:
    """Print the trained numbers of the method and of the head."""
    from trials import catalogue
    from trials.targets import PRESETS, canonical_targets
    from trials.training.counting import count

    profile = machine(given)
    problems: list[Problem] = []
    names = [part.strip() for part in given.targets.split(",") if part.strip()]
    hyperparameters: dict[str, Any] = {}
    targets: Any = ()
    try:
        targets = canonical_targets(names[0] if names[:1] and names[0] in PRESETS else names)
    except UserError as error:
        problems += error.problems
    try:
        catalogue.lookup("method", given.method)
        hyperparameters = catalogue.complete(given.method, dict(map(_setting, given.settings)))
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(*problems)
    adapter, head = count(
        given.backbone,
        given.method,
        hyperparameters,
        targets,
        num_labels=given.labels,
        roots=[Path(root) for root in profile.models],
        base=Path.cwd(),
    )
    if given.json:
        out_json(
            {
                "backbone": given.backbone,
                "method": given.method,
                "hyperparameters": hyperparameters,
                "targets": list(targets),
                "adapter_parameters": adapter,
                "head_parameters": head,
            }
        )
        return 0
    out(f"adapter  {adapter:,}")
    out(f"head     {head:,}")
    return 0


def _setting(text: str) -> tuple[str, Any]:
    from trials import yaml

    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise UserError(f"--set {text}: expected FIELD=VALUE")
    return key.strip(), yaml.parse(value, file=f"--set {text}").value
