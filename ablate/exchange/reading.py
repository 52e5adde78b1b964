"""What a file is, told by its content, and its rows as a checked table."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ablate import frame
from ablate.exchange import optuna_table, peft_comparison, wandb_runs
from ablate.exchange.columns import Columns
from trials.errors import Problem, UserError

_SQLITE = b"SQLite format 3\0"
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Imported:
    """A table from elsewhere.

    Attributes:
        frame: checked, see `ablate.frame`.
        origin: what the source was found to be.
        notes: sentences on how it was read that a reader of the results should know.
    """

    frame: pd.DataFrame
    origin: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Raw:
    """Rows before they are checked.

    Attributes:
        rows: in the frame's columns as far as they are known.
        origin: what the source was found to be.
        notes: as in `Imported`.
    """

    rows: pd.DataFrame
    origin: str
    notes: tuple[str, ...] = ()


def read(source: Path | str, columns: Columns | None = None, metric: str | None = None) -> Imported:
    """Read results that this package, another one, or somebody by hand has written.

    Args:
        source: a CSV, Parquet, JSON or JSON-lines file of rows; a JSON file of PEFT's method
            comparison or a folder of them; an Optuna storage (a SQLite file, its journal, or the
            URL of any) or a CSV of `study.trials_dataframe()`; the runs of a W&B project as CSV
            or JSON.
        columns: what the table's columns are, where their names do not say.
        metric: the primary one, where the table has several and does not say.

    Returns:
        The checked table.

    Raises:
        UserError: no such file, a content that is none of these, or all mistakes in it.
    """
    columns = columns or Columns()
    raw = _raw(str(source), columns)
    rows = raw.rows
    if metric is not None and "metric" in rows and "primary" not in rows:
        rows = rows.assign(primary=rows["metric"].astype(str) == metric)
    return Imported(frame.check(rows, source=str(source)), raw.origin, raw.notes)


def _raw(source: str, columns: Columns) -> Raw:
    if "://" in source:
        return _optuna(source, source, columns)
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return _folder(path, columns)
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise UserError(Problem("no such file", file=source)) from None
    except OSError as error:
        raise UserError(Problem(f"cannot be read: {error.strerror}", file=source)) from None
    if head.startswith(_SQLITE):
        return _optuna(f"sqlite:///{path}", source, columns)
    if head.startswith(_PARQUET):
        return _table(frame.load(path), source, columns)
    if head.lstrip()[:1] in (b"{", b"["):
        return _json(path, source, columns)
    return _table(frame.load(path), source, columns)


def _folder(path: Path, columns: Columns) -> Raw:
    files = sorted(path.glob("*.json"))
    if not files:
        raise UserError(Problem("the folder has no .json file", file=str(path)))
    return _peft({str(file): _parsed(file) for file in files}, str(path), columns)


def _json(path: Path, source: str, columns: Columns) -> Raw:
    """One document, or a document a line."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if error.msg != "Extra data" or len(lines) < 2:
            raise UserError(_broken(source, error)) from None
        document = [_line(source, number, line) for number, line in enumerate(lines, start=1)]
        if optuna_table.is_journal(document):
            return _optuna(str(path), source, columns)
    if isinstance(document, Mapping) and peft_comparison.recognises(document):
        return _peft({source: document}, source, columns)
    rows = document if isinstance(document, list) else None
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(
            Problem(
                "expected a list of rows, a result of PEFT's method comparison, or the runs of a "
                "W&B project",
                file=source,
            )
        )
    if all(peft_comparison.recognises(row) for row in rows):
        named = {f"{source}[{place}]": row for place, row in enumerate(rows)}
        return _peft(named, source, columns)
    if wandb_runs.recognises_json(rows):
        return _of(wandb_runs.from_json, rows, source, columns, wandb_runs.ORIGIN)
    return _table(pd.DataFrame(rows), source, columns)


def _table(table: pd.DataFrame, source: str, columns: Columns) -> Raw:
    table = table.rename(columns=lambda name: str(name).strip())
    if wandb_runs.recognises(table):
        return _of(wandb_runs.from_table, table, source, columns, wandb_runs.ORIGIN)
    if optuna_table.recognises(table):
        return _of(optuna_table.from_table, table, source, columns, optuna_table.ORIGIN)
    return Raw(columns.apply(table, source=source), "a table")


def _optuna(url: str, source: str, columns: Columns) -> Raw:
    from ablate.exchange import optuna_storage

    table = optuna_storage.trials(url, source=source)
    return _of(optuna_table.from_table, table, source, columns, optuna_table.ORIGIN)


def _peft(documents: Mapping[str, Any], source: str, columns: Columns) -> Raw:
    rows, notes = peft_comparison.rows(documents)
    return Raw(columns.apply(rows, source=source), peft_comparison.ORIGIN, notes)


_Importer = Callable[..., tuple[pd.DataFrame, tuple[str, ...]]]


def _of(importer: _Importer, given: Any, source: str, columns: Columns, origin: str) -> Raw:
    rows, notes = importer(given, columns, source=source)
    return Raw(rows, origin, notes)


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(Problem("is no text in UTF-8", file=str(file))) from None
    except json.JSONDecodeError as error:
        raise UserError(_broken(str(file), error)) from None


def _line(source: str, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(Problem(f"is no JSON: {error.msg}", file=source, line=number)) from None


def _broken(source: str, error: json.JSONDecodeError) -> Problem:
    return Problem(f"is no JSON: {error.msg}", file=source, line=error.lineno)
