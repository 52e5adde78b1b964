"""`ablate report`: findings and page, of a study or of any table."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.commands.common import load, machine, out, out_json
from ablate.commands.summary import summary
from trials.errors import UserError

if TYPE_CHECKING:
    from ablate.exchange import Columns


def run(given: argparse.Namespace) -> int:
    """Write the report; print the cells, verdicts and where it is."""
    tracked = given.table == "mlflow" and given.study is not None
    if not tracked and (given.table is None) == (given.study is None):
        raise UserError("report needs a STUDY, or a table with --from")
    page = _of_study(given) if given.table is None else _of_table(given, tracked=tracked)
    document = json.loads((page.parent / "findings.json").read_text(encoding="utf-8"))
    if given.json:
        out_json(document)
        return 0
    out(summary(document))
    out(f"report   {page}")
    if given.table is None:
        out(f"spent    {load(given).spent()}")
    return 0


def _of_study(given: argparse.Namespace) -> Path:
    settings = dict(level=given.level, digits=given.digits)
    if given.metric is None:
        settings["margin"] = given.margin
    given.settings += [f"{key}={value}" for key, value in settings.items() if value is not None]
    columns(given)
    if given.baseline:
        raise UserError("--baseline belongs to --from; a study states its baselines itself")
    study = load(given)
    to = None if given.out is None else Path(given.out)
    if given.metric is None:
        return study.report(to)
    return study.report(to, metric=given.metric, margin=given.margin)


def _of_table(given: argparse.Namespace, *, tracked: bool) -> Path:
    from ablate import queries
    from ablate.api import report_table

    return report_table(
        queries.read([given.study], machine(given)) if tracked else str(given.table),
        Path(given.out or "report"),
        baselines=[pattern(text) for text in given.baseline],
        level=0.95 if given.level is None else given.level,
        margin=given.margin,
        columns=columns(given),
        digits=given.digits,
        metric=given.metric,
    )


def columns(given: argparse.Namespace) -> "Columns":
    """What --column, --value and --drop say of a table."""
    from ablate.exchange import Columns

    if given.table in (None, "mlflow") and (given.columns or given.values or given.dropped):
        raise UserError("--column, --value and --drop belong to a table with --from")
    return Columns.parse(given.columns, given.values, given.dropped)


def pattern(text: str) -> Mapping[str, Any]:
    """`method=lora,rank=8` as a pattern."""
    from trials import yaml

    fields = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise UserError(f"--baseline {text}: expected KEY=VALUE, separated by commas")
        fields[key.strip()] = yaml.parse(value, file=f"--baseline {text}").value
    return fields
