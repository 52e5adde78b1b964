"""From the table to one record a cell: the scores that significance may rest on, by seed.

Only rows of the confirm (or race) stage, the primary metric and the report split count.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ablate.frame import CONFIRM_STAGES, FAILED_STATUSES, NUISANCE_PREFIX, nuisances, plain
from ablate.stats.comparison import arm_fields
from trials.errors import Problem, UserError

REPORT_SPLITS = ("test", "validation")  # the first that a task has is the one shown
SEARCH_SPLITS = ("held_out", "validation", "test")

Row = Mapping[str, Any]
Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm on one task and backbone.

    Attributes:
        step: of the grid that scores lie on, where they do.
        num_examples: of the split that is shown, where it is known.
        scores: seed -> score, in the metric's own unit and direction.
        every: (split, metric) -> seed -> score: those of the other metrics and splits as well.
        trials: seed -> id of the trial that the score is of, where the table has ids.
        failed: seed -> status of the trial that ended without a score.
        not_a_number: seeds that finished without a number for a score.
        late: seeds added after results were seen.
        best_values: tuned values of the confirmed trials, where they agree.
        devices: kinds of device that the scores come from.
    """

    task: str
    backbone: str
    arm: str
    label: str
    method: str
    factors: Mapping[str, Any]
    metric: str | None = None
    split: str | None = None
    lower_is_better: bool = False
    step: float | None = None
    num_examples: int | None = None
    scores: Mapping[int, float] = field(default_factory=dict)
    every: Mapping[tuple[str, str], Mapping[int, float]] = field(default_factory=dict)
    trials: Mapping[int, str] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    not_a_number: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    best_values: Mapping[str, Any] = field(default_factory=dict)
    trainable_parameters: float | None = None
    devices: frozenset[str] = frozenset()


Cells = Mapping[Key, Cell]


def collect(frame: pd.DataFrame) -> Cells:
    """Fold a checked table into cells, keyed by (task, backbone, arm) in order of appearance.

    Raises:
        UserError: the report split of a task is not clear, or a cell confirms several
            configurations and no search result says which is its best.
    """
    fields = arm_fields(frame)
    tuned = nuisances(frame)
    splits = report_splits(frame)
    confirmed: dict[Key, list[Row]] = {}
    columns = frame.drop(columns=["environment", "reason"]).astype(object)
    for row in columns.to_dict("records"):
        rows = confirmed.setdefault((row["task"], row["backbone"], row["arm"]), [])
        if row["stage"] in CONFIRM_STAGES:
            rows.append(row)
    ranking = _search_means(frame)
    names = _names(frame)
    cells = {}
    for key, rows in confirmed.items():
        primary = [row for row in rows if row["primary"]]
        chosen = _one_configuration(key, primary, tuned, ranking)
        kept = {(row["seed"], _configuration(row, tuned)) for row in chosen}
        every = _every([row for row in rows if (row["seed"], _configuration(row, tuned)) in kept])
        cells[key] = _cell(chosen, key, fields[key[2]], splits, tuned, names[key[2]], every)
    return cells


def _every(rows: Sequence[Row]) -> dict[tuple[str, str], dict[int, float]]:
    """The scores of finished trials by split and metric, then by seed; undefined ones left out."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        if row["status"] == "finished" and not math.isnan(row["score"]):
            by_seed = found.setdefault((row["split"], row["metric"]), {})
            by_seed[int(row["seed"])] = float(row["score"])
    return found


def report_splits(frame: pd.DataFrame) -> dict[str, str]:
    """The split that is shown, by task: test where it has scores, else validation, else its one.

    Raises:
        UserError: several splits, and neither of those two among them.
    """
    rows = frame[frame["stage"].isin(CONFIRM_STAGES) & (frame["status"] == "finished")]
    chosen: dict[str, str] = {}
    problems = []
    for task, splits in rows.groupby("task", sort=False)["split"]:
        names = sorted(set(splits))
        known = [name for name in REPORT_SPLITS if name in names]
        if not known and len(names) > 1:
            problems.append(Problem(f"task {task} has several splits: {', '.join(names)}; keep "
                                    "the one to report", key="split"))  # fmt: skip
        chosen[str(task)] = (known or names)[0]
    if problems:
        raise UserError(*problems)
    return chosen


def best_by_search(
    frame: pd.DataFrame, arms: Sequence[str], task: str, backbone: str
) -> str | None:
    """The arm whose best configuration scores best in the search stage, and only there.

    A configuration's score is its mean over the seeds of the search split; pruned and failed
    trials have none. Ties go to the arm named first.

    Returns:
        An arm id, or None where no arm has a search result.
    """
    best: dict[str, float] = {}
    for (a_task, a_backbone, arm, _), score in _search_means(frame).items():
        if (a_task, a_backbone) == (task, backbone):
            best[arm] = max(score, best.get(arm, -math.inf))
    return max((arm for arm in arms if arm in best), key=best.__getitem__, default=None)


_Configuration = tuple[tuple[str, Any], ...]
_Ranking = Mapping[tuple[str, str, str, _Configuration], float]


def _search_means(frame: pd.DataFrame) -> _Ranking:
    """Mean search score of every configuration, oriented so that higher is better."""
    rows = frame[
        (frame["stage"] == "search") & (frame["status"] == "finished") & frame["primary"]
        & frame["score"].notna()
    ]  # fmt: skip
    tuned = nuisances(frame)
    found: dict[tuple[str, str, str, _Configuration], dict[str, list[float]]] = {}
    for row in rows.astype(object).to_dict("records"):
        key = (row["task"], row["backbone"], row["arm"], _configuration(row, tuned))
        score = -row["score"] if row["direction"] == "lower" else row["score"]
        found.setdefault(key, {}).setdefault(row["split"], []).append(score)
    means = {}
    for key, by_split in found.items():
        split = next((s for s in SEARCH_SPLITS if s in by_split), min(by_split))
        means[key] = math.fsum(by_split[split]) / len(by_split[split])
    return means


def _configuration(row: Row, tuned: Sequence[str]) -> _Configuration:
    return tuple((name, plain(row[name])) for name in tuned)


def _one_configuration(
    key: Key, rows: list[Row], tuned: Sequence[str], ranking: _Ranking
) -> list[Row]:
    """The rows of the configuration that the search ranked first, where several were confirmed."""
    repeated = len({(r["seed"], r["split"], r["study"]) for r in rows}) < len(rows)
    if not repeated:
        return rows
    found = list(dict.fromkeys(_configuration(row, tuned) for row in rows))
    ranked = [c for c in found if (*key, c) in ranking]
    if len(found) == 1 or not ranked:
        where = f"{key[2]} on {key[0]}, {key[1]}"
        raise UserError(
            Problem(
                f"{where}: several confirmed trials at one seed, and no search result says "
                "which of their configurations is the cell's best",
                key="seed",
            )  # fmt: skip
        )
    best = max(ranked, key=lambda c: ranking[(*key, c)])
    return [row for row in rows if _configuration(row, tuned) == best]


def _names(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Label and method of each arm."""
    rows = frame.drop_duplicates("arm")[["arm", "label", "method"]]
    return {arm: (str(label), str(method)) for arm, label, method in rows.to_numpy().tolist()}


def _cell(
    rows: list[Row],
    key: Key,
    fields: Mapping[str, Any],
    splits: Mapping[str, str],
    tuned: Sequence[str],
    name: tuple[str, str],
    every: Mapping[tuple[str, str], Mapping[int, float]],
) -> Cell:
    split = splits.get(key[0])
    done = [row for row in rows if row["status"] == "finished" and row["split"] == split]
    good = [row for row in done if not math.isnan(row["score"])]
    scores = {int(row["seed"]): float(row["score"]) for row in good}
    settled = {int(row["seed"]) for row in done}
    failed = {int(row["seed"]): row["status"] for row in rows if row["status"] in FAILED_STATUSES}
    agreed = {n.removeprefix(NUISANCE_PREFIX): _agreed(row[n] for row in rows) for n in tuned}
    return Cell(
        task=key[0],
        backbone=key[1],
        arm=key[2],
        label=name[0],
        method=name[1],
        factors={k: v for k, v in fields.items() if k != "method"},
        metric=_agreed(row["metric"] for row in rows),
        split=split,
        lower_is_better=any(row["direction"] == "lower" for row in rows),
        step=_agreed(row["grid_step"] for row in good),
        num_examples=_agreed(row["num_examples"] for row in good),
        scores=dict(sorted(scores.items())),
        every=every,
        trials={int(row["seed"]): row["trial_id"] for row in good if plain(row["trial_id"])},
        failed={seed: status for seed, status in sorted(failed.items()) if seed not in settled},
        not_a_number=frozenset(settled - set(scores)),
        late=frozenset(int(row["seed"]) for row in rows if row["late"]),
        best_values={name: value for name, value in agreed.items() if value is not None},
        trainable_parameters=_mean(row["trainable_parameters"] for row in rows),
        devices=frozenset(str(row["device"]) for row in good if plain(row["device"])),
    )


def _agreed(values: Iterable[Any]) -> Any:
    """The one value that all rows with a value share, or None."""
    found = {plain(value) for value in values} - {None}
    return found.pop() if len(found) == 1 else None


def _mean(values: Iterable[Any]) -> float | None:
    """Mean of the values that are there: a method that grows trains more on some seeds."""
    known = [float(value) for value in values if not pd.isna(value)]
    mean = sum(known) / len(known) if known else None
    return int(mean) if mean is not None and mean.is_integer() else mean
