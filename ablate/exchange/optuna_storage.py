"""The trials of an Optuna storage, read with Optuna itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ablate.exchange.optuna_table import is_value
from ablate.quiet import quiet
from trials.errors import Problem, UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_WORDS = {"MAXIMIZE": "higher", "MINIMIZE": "lower"}


def trials(url: str, *, source: str) -> pd.DataFrame:
    """The trials of every study of a storage, as `trials_dataframe` makes them.

    Args:
        url: of the storage, or the path of a journal's file.
        source: what to call it in messages.

    Returns:
        One row a trial, with its `study` and, for each value, `direction_<value>`.

    Raises:
        UserError: Optuna is not installed, cannot read it, or there is no study in it.
    """
    try:
        import optuna
    except ImportError:
        told = "an Optuna storage is read with Optuna: pip install optuna"
        raise UserError(Problem(told, file=source)) from None
    with quiet():
        try:
            storage = _opened(url)
            names = optuna.study.get_all_study_names(storage)
            studies = [optuna.load_study(study_name=name, storage=storage) for name in names]
            tables = [_table(study) for study in studies if study.trials]
        except Exception as error:  # noqa: BLE001 - SQLAlchemy's, a driver's or Optuna's own
            told = f"Optuna cannot read it: {str(error).splitlines()[0]}"
            raise UserError(Problem(told, file=source)) from None
    if not tables:
        raise UserError(Problem("the storage has no study with a trial", file=source))
    return pd.concat(tables, ignore_index=True)


def _opened(url: str) -> "BaseStorage | str":
    """A storage that is there: Optuna would make a new one in an empty place."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in url:
        return JournalStorage(JournalFileBackend(url))
    local = url.removeprefix("sqlite:///")
    if local != url:
        _require_studies(Path(local))
    return url


def _require_studies(file: Path) -> None:
    """Refuse a SQLite file of another program, and one that is not there.

    Raises:
        FileNotFoundError, ValueError: in words for the user.
    """
    import sqlite3

    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = {name for (name,) in found}
    finally:
        connection.close()
    if {"experiments", "runs"} <= names:
        raise ValueError("this is MLflow's file; use `ablate report STUDY --from mlflow`")
    if not {"studies", "trials"} <= names:
        raise ValueError("the SQLite file has no tables of Optuna")


def _table(study: Any) -> pd.DataFrame:
    table = study.trials_dataframe()
    names = [name for name in map(str, table.columns) if is_value(name)]
    directions = [_WORDS.get(direction.name, "") for direction in study.directions]
    told = {f"direction_{n}": d for n, d in zip(names, directions, strict=True)}
    attributes = {f"user_attrs_{k}": v for k, v in study.user_attrs.items()
                  if k in ("task", "backbone", "arm", "method") and isinstance(v, str)}  # fmt: skip
    return table.assign(study=study.study_name, **told, **attributes)
