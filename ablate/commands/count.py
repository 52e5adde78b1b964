"""`ablate count`: parameters from a backbone's configuration alone."""

import argparse
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.commands.common import machine, out, out_json
from trials.errors import Problem, UserError

if TYPE_CHECKING:
    from trials.published import Published


def run(given: argparse.Namespace) -> int:
    """Print the trained numbers of the method and of the head, and what was published of them."""
    from trials import catalogue
    from trials.families import Head
    from trials.published import published
    from trials.targets import PRESETS, canonical_targets
    from trials.tasks.locate import definition_of
    from trials.training.counting import count

    profile = machine(given)
    problems: list[Problem] = []
    names = [part.strip() for part in given.targets.split(",") if part.strip()]
    hyperparameters: dict[str, Any] = {}
    task_head = Head(given.labels)
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
    try:
        task_head = definition_of(given.task).head if given.task else task_head
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(*problems)
    counted = functools.partial(
        count,
        given.backbone,
        given.method,
        targets=targets,
        head=task_head,
        roots=[Path(root) for root in profile.models],
        base=Path.cwd(),
    )
    adapter, head = counted(hyperparameters)
    asked = (given.backbone, given.method, hyperparameters, targets)
    figures = [
        _figure(row, adapter, head)
        for row in published()
        if row.figure is not None
        and row.head in (None, task_head.outputs if task_head.reads == "text" else None)
        and row.is_of(*asked)
        # What the source does not name has its default, or trains as many numbers.
        and counted(catalogue.complete(given.method, row.given)) == (adapter, head)
    ]
    if given.json:
        out_json(
            {
                "backbone": given.backbone,
                "method": given.method,
                "hyperparameters": hyperparameters,
                "targets": list(targets),
                "adapter_parameters": adapter,
                "head_parameters": head,
                "published": figures,
            }
        )
    else:
        _print(adapter, head, figures)
    return 0


def _print(adapter: int, head: int, figures: Sequence[Mapping[str, str | None]]) -> None:
    out(f"adapter  {adapter:,}")
    out(f"head     {head:,}")
    for figure in figures:
        beside = f", here {figure['counted']}" if figure["counted"] != f"{adapter:,}" else ""
        about = "; ".join(part for part in (figure["source"], figure["note"]) if part)
        out(f"published {figure['figure']}{beside}: {figure['verdict']} ({about})")


def _figure(row: "Published", adapter: int, head: int) -> dict[str, str | None]:
    return {
        "figure": row.figure,
        "counted": row.shown(adapter, head),
        "verdict": row.verdict(adapter, head),
        "source": row.source,
        "note": row.note,
    }


def _setting(text: str) -> tuple[str, Any]:
    from trials import yaml

    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise UserError(f"--set {text}: expected FIELD=VALUE")
    return key.strip(), yaml.parse(value, file=f"--set {text}").value
