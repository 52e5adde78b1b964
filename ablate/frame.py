"""The tidy table that statistics read: one row per trial, split and metric.

Columns are `FIXED_COLUMNS`, any number of factors (arm fields other than the method, one column
each: `rank`, `structure`, `freeze` as `a_aux+b_aux`, ...) and of nuisances (tuned values, columns
that start with `tune.`). A trial that failed or is missing is a row with its status, no score and
a reason; nothing is ever filled in.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from trials.errors import Problem, UserError, nearest
from trials.spec import FAILED, Status

NUISANCE_PREFIX = "tune."
CONFIRM_STAGES = ("confirm", "race")
VARIANCE_STAGE = "variance"
STAGES = ("search", *CONFIRM_STAGES, VARIANCE_STAGE)
DIRECTIONS = ("higher", "lower")
STATUSES: tuple[str, ...] = (*get_args(Status), "missing")
FAILED_STATUSES: frozenset[str] = FAILED

_BEFORE_FACTORS = (
    "study", "revision", "stage", "split", "task", "backbone", "arm", "label", "method",
)  # fmt: skip
_AFTER_FACTORS = (
    "seed", "metric", "score", "direction", "primary", "grid_step", "num_examples", "status",
    "reason", "selected_epoch", "trainable_parameters", "seconds", "peak_memory_bytes", "device",
    "environment", "trial_id", "late", "reused_from", "order_seed", "repeat",
)  # fmt: skip
FIXED_COLUMNS: tuple[str, ...] = _BEFORE_FACTORS + _AFTER_FACTORS
_DEFAULTS: Mapping[str, object] = {
    "study": "", "revision": 1, "stage": "confirm", "split": "validation", "task": "task",
    "backbone": "backbone", "metric": "score", "direction": "higher", "primary": True,
    "status": "finished", "late": False,
}  # fmt: skip
_TEXT = (
    "study", "stage", "split", "task", "backbone", "arm", "label", "method", "metric",
    "direction", "status",
)  # fmt: skip
_NUMBERS = (
    "grid_step", "num_examples", "selected_epoch", "trainable_parameters", "seconds",
    "peak_memory_bytes", "order_seed", "repeat",
)  # fmt: skip
_FREE_TEXT = ("reason", "device", "environment", "trial_id", "reused_from")
_VOCABULARY = {"stage": STAGES, "direction": DIRECTIONS, "status": STATUSES}
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_NAMED_ROWS = 5
_MOST = 1e100


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of checked tables, each of another study; no row of one repeats one of another."""
    whole = pd.concat(list(tables), ignore_index=True) if len(tables) > 1 else tables[0]
    return whole.loc[:, _column_order(whole)]


def restored(table: pd.DataFrame) -> pd.DataFrame:
    """A checked table that was kept in a file, with the types that `check` gives."""
    texts = {name: table[name].astype(object) for name in _FREE_TEXT}
    return table.assign(**{name: text.where(text.notna(), None) for name, text in texts.items()})


def nuisances(frame: pd.DataFrame) -> tuple[str, ...]:
    """The tuned hyperparameters' columns, in the frame's order."""
    return tuple(str(c) for c in frame.columns if str(c).startswith(NUISANCE_PREFIX))


def factors(frame: pd.DataFrame) -> tuple[str, ...]:
    """The columns that distinguish arms beside `method`: neither fixed nor a nuisance."""
    apart = {*FIXED_COLUMNS, *nuisances(frame)}
    return tuple(str(c) for c in frame.columns if str(c) not in apart)


def plain(value: Any) -> Any:
    """One table value in JSON's own types: None for missing, 8 for 8.0, lists joined by `+`."""
    if isinstance(value, list | tuple | np.ndarray):
        return "+".join(str(plain(part)) for part in value)
    if value is None or pd.isna(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float) else str(value)


def arm_id(method: str, fields: Mapping[str, Any]) -> str:
    """A stable id such as `mtlora structure=shim rank=8`; fields without a value are left out."""
    values = {key: plain(value) for key, value in fields.items()}
    parts = [f"{key}={value}" for key, value in values.items() if value is not None]
    return " ".join([method, *parts] if method else parts)


def check(frame: pd.DataFrame, *, source: str = "frame") -> pd.DataFrame:
    """Complete a table's columns and refuse it if anything in it is wrong.

    Columns with an obvious default may be absent (stage `confirm`, split `validation`, direction
    `higher`, ...); unknown columns are factors. Where no status column is given, a row without a
    score is `missing`. A score beside any status but `finished` is dropped: it is no result.

    Args:
        frame: at least `score`, `seed` and one of `arm`, `method`, `label` or a factor.
        source: what to call the table in messages, such as its path.

    Returns:
        A new table with every fixed column, factors after `method`, nuisances after those.

    Raises:
        UserError: every mistake found: missing columns, scores that are no numbers, unknown
            words, duplicate rows (the same trial told twice counts once), factors that vary
            within an arm.
    """
    # A half character, which no file can hold, would stop pandas as well.
    names = [str(name).strip().encode(errors="replace").decode() for name in frame.columns]
    table = frame.reset_index(drop=True).set_axis(names, axis="columns")
    problems = _column_problems(table)
    if not problems:
        problems = _cell_problems(table)
    if not problems:
        table, problems = _complete(table)
    if not problems:
        problems = _word_problems(table) + _row_problems(table) + _factor_problems(table)
    if problems:
        raise UserError(*(Problem(text, file=source, key=key) for key, text in problems))
    return _once(table).loc[:, _column_order(table)]


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Each trial once, though several studies have it: a trial that was reused is one measurement.

    It stays where it has finished, of such where its cell has finished the most trials, or else
    with the study that trained it; a cell of which nothing stays is not there.
    """
    if table["study"].nunique() < 2 or not table["trial_id"].notna().any():
        return table
    cell = ["study", "task", "backbone", "arm"]
    unfinished = table["status"] != "finished"
    finished = table.assign(trial_id=table["trial_id"].mask(unfinished))
    trials = finished.groupby(cell)["trial_id"].transform("nunique")
    order = table.assign(
        _unfinished=unfinished, _trials=-trials, _reused=table["reused_from"].notna()
    )
    order = order.sort_values(["_unfinished", "_trials", "_reused"], kind="stable")
    again = order.duplicated(["trial_id", "split", "metric"]) & order["trial_id"].notna()
    kept = table[~again.reindex(table.index)]
    confirms = kept["stage"].isin(CONFIRM_STAGES)
    had = table[table["stage"].isin(CONFIRM_STAGES)].groupby(cell).size().index
    has = kept[confirms].groupby(cell).size().index
    gone = pd.MultiIndex.from_frame(kept[cell]).isin(had.difference(has))
    return kept[~gone].reset_index(drop=True)


def load(path: Path) -> pd.DataFrame:
    """The rows of a CSV or Parquet file, told apart by its content; not checked yet.

    In CSV only an empty field is a missing value; fields are separated by comma, semicolon or tab,
    whichever the first line has most of.

    Raises:
        UserError: a file that cannot be read as a table.
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
        if first.startswith(b"PAR1"):
            from pyarrow import parquet

            # Else damaged values are met only when somebody looks at them.
            parquet.read_table(path).validate(full=True)
            return pd.read_parquet(path)
        separator = max(b",;\t", key=first.count)
        return pd.read_csv(path, sep=chr(separator), keep_default_na=False, na_values=[""])
    except Exception as error:  # noqa: BLE001 - of a damaged file the libraries raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(Problem(f"cannot be read as a table: {reason}", file=str(path))) from None


def write(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a checked table as `.csv` or `.parquet`, by the path's suffix.

    Raises:
        UserError: another suffix.
    """
    file = Path(path)
    if file.suffix.lower() == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix.lower() == ".parquet":
        _uniform(frame).to_parquet(file, index=False)
    else:
        raise UserError(Problem("expected a .csv or .parquet file", file=str(path)))


def _uniform(frame: pd.DataFrame) -> pd.DataFrame:
    """Parquet columns hold one type: a factor that mixes numbers and words becomes words."""
    mixed = [c for c in factors(frame) if pd.api.types.infer_dtype(frame[c]).startswith("mixed")]
    words = {c: frame[c].map(lambda v: None if plain(v) is None else str(plain(v))) for c in mixed}
    return frame.assign(**words)


def _column_order(table: pd.DataFrame) -> list[str]:
    return [*_BEFORE_FACTORS, *factors(table), *nuisances(table), *_AFTER_FACTORS]


def _column_problems(table: pd.DataFrame) -> list[tuple[str, str]]:
    names = list(table.columns)
    problems = [(n, "the column is there twice") for n in sorted({n for n in names if
                names.count(n) > 1})]  # fmt: skip
    unknown = factors(table)
    for name in ("score", "seed"):
        if name not in names:
            guess = nearest(name, unknown)
            hint = guess if "did you mean" in guess else ""
            problems.append((name, f"the column is missing{hint}"))
    if not {"arm", "method", "label"} & set(names) and not unknown:
        problems.append(("arm", "nothing distinguishes arms: expected arm, method or a factor"))
    return problems


def _cell_problems(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Cells that hold no single value; a factor or what was tuned may be a list of names."""
    problems = []
    with_lists = {*factors(table), *nuisances(table)}
    for name in table.columns:
        if table[name].dtype == object:
            odd = [_is_odd(value, listed=name in with_lists) for value in table[name]]
            if any(odd):
                kinds = table[name].map(lambda value: type(value).__name__)
                problems += _wrong_rows(kinds, pd.Series(odd, dtype=bool), name, "no plain value")
    return problems


def _is_odd(value: Any, *, listed: bool) -> bool:
    if isinstance(value, list | tuple | np.ndarray):
        return not listed or any(_is_odd(part, listed=False) for part in value)
    if isinstance(value, str):
        return value != value.encode(errors="replace").decode()
    if isinstance(value, int):
        return abs(value) > _MOST
    return isinstance(value, bytes | bytearray | dict | set | frozenset)


def _complete(table: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Fill absent columns with their defaults and give every column its type."""
    table, problems = _numbers(table)
    if "status" not in table:
        missing = table["score"].isna()
        table = table.assign(status=missing.map({True: "missing", False: "finished"}))
        if "reason" not in table:
            table = table.assign(reason=missing.map({True: "no score", False: None}))
    table = table.assign(**{c: v for c, v in _DEFAULTS.items() if c not in table})
    given = {c: table[c].astype(object) for c in _DEFAULTS}
    table = table.assign(**{c: given[c].where(given[c].notna(), v) for c, v in _DEFAULTS.items()})
    table = table.assign(revision=table["revision"].astype(np.int64))
    lists = {c: table[c].map(_without_lists) for c in nuisances(table) if table[c].dtype == object}
    table = _with_arms(table.assign(**lists))
    others = [c for c in FIXED_COLUMNS if c not in table]
    table = table.assign(**{c: np.nan if c in _NUMBERS else None for c in others})
    words = {c: table[c].astype(object) for c in _FREE_TEXT}
    table = table.assign(**{c: w.where(w.notna(), None) for c, w in words.items()})
    table = table.assign(**{c: table[c].astype(str) for c in _TEXT})
    for name in ("primary", "late"):
        if all(value is True or value is False for value in table[name].unique()):
            table = table.assign(**{name: table[name].astype(bool)})
            continue
        truth = table[name].map(lambda value: _TRUTH.get(str(value).strip().lower()))
        problems += _wrong_rows(table[name], truth.isna(), name, "neither true nor false")
        table = table.assign(**{name: truth.fillna(False).astype(bool)})
    table["score"] = table["score"].where(table["status"] == "finished")
    # Two asks of one search may land on the same values, which is one trial told twice.
    again = table.duplicated([*_key(table), "trial_id"]) & table["trial_id"].notna()
    return table[~again].reset_index(drop=True), problems


def _without_lists(value: Any) -> Any:
    """A tuned value as factors have it: which matrices are frozen may be tuned as well."""
    return plain(value) if isinstance(value, list | tuple | np.ndarray) else value


def _key(table: pd.DataFrame) -> list[str]:
    return [
        "study", "stage", "split", "task", "backbone", "arm", "metric", "seed", "order_seed",
        "repeat", *nuisances(table),
    ]  # fmt: skip


def _numbers(table: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    problems: list[tuple[str, str]] = []
    for name in ("score", "seed", *(n for n in (*_NUMBERS, "revision") if n in table)):
        given = table[name]
        numbers = pd.to_numeric(given, errors="coerce").astype(float)
        wrong = np.isinf(numbers)
        odd = given[numbers.isna() & given.notna()].astype(str).str.strip().str.lower()
        wrong[odd.index] |= ~odd.isin(["nan", "none", ""])
        problems += _wrong_rows(given, wrong, name, "not a finite number")
        if name == "score":
            large = (numbers.abs() > _MOST) & ~wrong
            problems += _wrong_rows(numbers.map("{:g}".format), large, name, "too large to square")
        table = table.assign(**{name: numbers})
    seeds = table["seed"]
    whole = (seeds == np.floor(seeds)) & (seeds.abs() < 2.0**63)
    problems += _wrong_rows(seeds, ~whole & ~np.isinf(seeds), "seed", "not an integer")
    if whole.all():
        table = table.assign(seed=seeds.astype(np.int64))
    return table, problems


def _wrong_rows(
    given: "pd.Series[Any]", wrong: "pd.Series[bool]", name: str, why: str
) -> list[tuple[str, str]]:
    """One problem for each of the first wrong rows, counted from 1, then a count of the rest."""
    rows = list(np.flatnonzero(wrong.to_numpy(dtype=bool)))
    problems = [
        (name, f"row {r + 1}: {plain(given.iloc[r])!r} is {why}") for r in rows[:_NAMED_ROWS]
    ]
    if len(rows) > _NAMED_ROWS:
        problems.append((name, f"{len(rows) - _NAMED_ROWS} more rows: {why}"))
    return problems


def _with_arms(table: pd.DataFrame) -> pd.DataFrame:
    """Give every row its arm, label and method, derived from those that are there."""
    if "method" not in table:
        source = next((c for c in ("arm", "label") if c in table), None)
        table = table.assign(method="" if source is None else table[source])
    if "arm" not in table:
        if "label" in table and not factors(table):
            table = table.assign(arm=table["label"])
        else:
            names = factors(table)
            rows = table[["method", *names]].itertuples(index=False, name=None)
            arms = [arm_id(str(m), dict(zip(names, rest, strict=True))) for m, *rest in rows]
            table = table.assign(arm=arms)
    label = table["arm"]
    if "label" in table:
        label = table["label"].astype(object).where(table["label"].notna(), label)
    return table.assign(label=label)


def _word_problems(table: pd.DataFrame) -> list[tuple[str, str]]:
    problems = []
    for name, words in _VOCABULARY.items():
        for word in sorted(set(table[name]) - set(words)):
            problems.append((name, f"unknown value {word!r}{nearest(word, words)}"))
    for column, per in (("direction", ["task", "metric"]), ("metric", ["task"])):
        rows = table if column == "direction" else table[table["primary"]]
        for key, values in rows.groupby(per)[column]:
            if values.nunique() > 1:
                where = " ".join(str(part) for part in key)
                kind = "directions" if column == "direction" else "primary metrics"
                found = ", ".join(sorted(set(values)))
                problems.append((column, f"{where} has several {kind}: {found}"))
    streams = table["stage"].eq(VARIANCE_STAGE) & table["order_seed"].isna()
    if streams.any():
        text = f"row {int(np.flatnonzero(streams)[0]) + 1}: a trial of stage variance needs one"
        problems.append(("order_seed", text))
    return problems


def _row_problems(table: pd.DataFrame) -> list[tuple[str, str]]:
    key = _key(table)
    repeated = table.duplicated(key, keep="first")
    if not repeated.any():
        return []
    first = table.reset_index().groupby(key, dropna=False)["index"].transform("min")
    rows = list(np.flatnonzero(repeated.to_numpy()))
    shown = [
        ("seed", f"row {r + 1} repeats row {first.iloc[r] + 1}: {_row_name(table.iloc[r])}")
        for r in rows[:_NAMED_ROWS]
    ]
    rest = len(rows) - len(shown)
    return shown + ([("seed", f"{rest} more rows are repeated")] if rest else [])


def _row_name(row: "pd.Series[Any]") -> str:
    names = ("stage", "split", "task", "backbone", "arm", "metric", "seed")
    return ", ".join(f"{name} {row[name]}" for name in names)


def _factor_problems(table: pd.DataFrame) -> list[tuple[str, str]]:
    problems = []
    for name in ("method", *factors(table)):
        values = table[name]
        if values.dtype == object:
            values = values.map(plain).astype(object).map(repr)
        counts = values.groupby(table["arm"]).nunique(dropna=False)
        for arm in counts.index[counts > 1][:_NAMED_ROWS]:
            problems.append((name, f"takes several values within arm {arm!r}; {_REMEDY}"))
        apart = name != "method" and values.nunique(dropna=False) == len(table) > 2
        if apart and table["seed"].nunique() > 1:
            problems.append((name, f"has another value in every row; {_REMEDY}"))
    return problems


_REMEDY = "an unknown column is a factor: drop a measurement, name a tuned value 'tune.…'"
