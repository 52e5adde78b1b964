"""Answers over one or many studies, from MLflow or from the store: what the commands show."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ablate import api, store
from ablate.best import Choice, choose, picked
from ablate.configurations import NAME, configurations
from ablate.distil import Origin, distil
from ablate.expressions import Expression
from ablate.frame import NUISANCE_PREFIX, joined, plain
from ablate.profile import Profile
from ablate.rounds import SEED_OF_RESAMPLING
from ablate.runner import tracking_uri
from ablate.study import Study
from ablate.versus import versus
from trials.errors import Problem, UserError, nearest

Source = Literal["mlflow", "store"]


def results(
    *studies: str,
    source: Source = "mlflow",
    where: str | None = None,
    refresh: bool = False,
    **flags: Any,
) -> pd.DataFrame:
    """The results of studies as one table: one row per trial, split and metric.

    A trial that several of the studies show, since one reused it, is there once, under the first
    study that has its result.

    Args:
        studies: names or files; none for all that there are.
        source: `mlflow`, or `store` for the journals of the store.
        where: a condition such as `stage == 'confirm' and rank <= 8`, over all columns; a tuned
            value goes by its own name as well.
        refresh: read everything in MLflow anew rather than what has changed.
        flags: fields of `ablate.profile.Profile`, such as `store="runs"`.

    Returns:
        The columns of `ablate.frame`.

    Raises:
        UserError: no such study, nothing tracked yet, a store that does not answer, or a condition
            that cannot be read.
    """
    profile = api.profile_of(flags)
    if source == "store":
        found = _from_store(studies, profile)
    elif source == "mlflow":
        found = read(studies, profile, refresh=refresh)
    else:
        raise UserError(f"source must be 'mlflow' or 'store', but got {source!r}")
    found = found.reset_index(drop=True)
    finished_first = found.iloc[(found["status"] != "finished").argsort(kind="stable")]
    again = finished_first.duplicated(["trial_id", "split", "metric"]).reindex(found.index)
    kept = found[~again | found["trial_id"].isna()]
    return _where(kept, where).reset_index(drop=True)


def read(studies: Sequence[str], profile: Profile, *, refresh: bool = False) -> pd.DataFrame:
    """The table of studies from MLflow; of all there are where none is named."""
    from ablate.tracking import runs

    return runs(tracking_uri(profile), names(studies, profile) or None, refresh=refresh)


def best(
    studies: Sequence[str], profile: Profile, choice: Choice, *, refresh: bool = False
) -> pd.DataFrame:
    """The best configurations of studies, from MLflow; see `ablate.best.choose`."""
    return choose(_configurations(studies, profile, refresh=refresh), choice)


def distilled(
    studies: Sequence[str], profile: Profile, choice: Choice, path: Path, *, refresh: bool = False
) -> Mapping[str, Any]:
    """The keys of a study that trains the best configurations again; see `ablate.distil`.

    Args:
        studies, profile, choice, refresh: as for `best`.
        path: where its file will be; its name is the study's.

    Raises:
        UserError: as for `best`, nothing fits, or the configurations cannot be in one study.
    """
    rows = picked(_configurations(studies, profile, refresh=refresh), choice)
    if not rows:
        raise UserError("no configuration fits, so there is no study to write")
    folder = path.absolute().parent
    origins = {name: _origin(name, profile) for name in dict.fromkeys(r["study"] for r in rows)}
    return distil(rows, origins, name=path.stem, folder=folder)


def compare(
    study: str,
    treatment: str,
    control: str,
    profile: Profile,
    *,
    level: float = 0.95,
    margin: float | None = None,
    refresh: bool = False,
) -> dict[str, Any]:
    """The arms that one pattern names against those of another, on shared seeds, from MLflow.

    Args:
        study: name or file.
        treatment, control: see `ablate.versus.versus`.
        profile: where things are.
        level: of intervals, in (0.5, 1).
        margin: asks for equivalence as well.
        refresh: read everything anew.
    """
    if not 0.5 < level < 1:
        raise UserError(f"--level must be between 0.5 and 1, but got {level}")
    if margin is not None and not margin > 0:
        raise UserError(f"--margin must be above 0, but got {margin}")
    table = read([study], profile, refresh=refresh)
    rng = np.random.default_rng(SEED_OF_RESAMPLING)
    found = versus(table, treatment, control, level=level, margin=margin, rng=rng)
    return {"study": str(table["study"].iloc[0]), **found}


def names(studies: Sequence[str], profile: Profile) -> list[str]:
    """Studies by name: of a file, the one that it states."""
    return [
        Study.read(api.locate(study, Path(profile.store))[0]).name
        if Path(study).suffix in (".yaml", ".yml")
        else study
        for study in studies
    ]


def _configurations(studies: Sequence[str], profile: Profile, *, refresh: bool) -> pd.DataFrame:
    from ablate.tracking import computed

    uri, named = tracking_uri(profile), names(studies, profile)
    return computed(uri, named or None, configurations, NAME, refresh=refresh)


def _from_store(studies: Sequence[str], profile: Profile) -> pd.DataFrame:
    root = Path(profile.store)
    named = studies or [folder.name for folder in store.studies(root)]
    made = []
    for study in named:
        path, settings = api.locate(study, root)
        made.append(api.Ablation(Study.read(path, settings), profile).results())
    tables = [table for table in made if len(table)]
    if not tables:
        raise UserError(f"no trials in {root} yet")
    return joined(tables)


def _where(table: pd.DataFrame, where: str | None) -> pd.DataFrame:
    """The rows for which a condition holds; each set of values that it reads is asked once."""
    if where is None:
        return table
    condition = Expression.parse(where)
    columns = {str(name).removeprefix(NUISANCE_PREFIX): str(name) for name in table.columns}
    columns |= {str(name): str(name) for name in table.columns}
    wrong = sorted(condition.names - columns.keys())
    if wrong:
        hints = (f"no column called '{name}'{nearest(name, columns)}" for name in wrong)
        raise UserError(*(Problem(hint, key="where") for hint in hints))
    read_names = sorted(condition.names)
    asked: dict[tuple[Any, ...], bool] = {}
    parts = [table[columns[name]].astype(object) for name in read_names]
    keep = []
    for values in zip(*parts, strict=True) if parts else [()] * len(table):
        if values not in asked:
            known = {n: plain(v) for n, v in zip(read_names, values, strict=True)}
            there = {name: value for name, value in known.items() if value is not None}
            asked[values] = condition.holds(there) is True
        keep.append(asked[values])
    return table[np.array(keep, dtype=bool)]


def _origin(study: str, profile: Profile) -> Origin:
    """A study's keys from MLflow, and the folder that its paths are relative to."""
    from ablate.tracking import study_keys

    keys = study_keys(tracking_uri(profile), study)
    folder = Path.cwd()
    file = store.StudyFolder(Path(profile.store) / study).origin
    if file.is_file():
        folder = Path(json.loads(file.read_text(encoding="utf-8"))["file"]).parent
    return Origin(keys, folder)
