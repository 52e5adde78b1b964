"""What MLflow is told about one trial or cell, as plain values. Pure.

Everything here follows from the journal alone, clock included, so that sending it again changes
nothing.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.frame import NUISANCE_PREFIX, plain
from ablate.journal import Trial
from ablate.tracking.client import MAX_METRICS, Point
from ablate.tracking.facts import CellInfo, StudyInfo
from trials import catalogue
from trials.spec import FAILED, Json

MAX_PARAM = 6000
MAX_TAG = 5000
"""MLflow's limits: of values of parameters, and of tags on servers before version 3."""

MARKER = "epoch"
"""The curve that comes last in a report: where it has a step, the whole report is there."""

KIND = "ablate.kind"
TRIAL = "ablate.trial"
CELL = "ablate.cell"
STUDY = "ablate.study"
OWNER = "ablate.store"
STALE = "ablate.stale"
REUSED = "ablate.reused_from"
"""The study that trained a trial, where it is not the one that shows it."""

SENT = "ablate.sent"
"""When something of a run was last sent, as a metric, which MLflow can search by size."""

CONFIG_FILE = "study.json"
"""A study's keys, beside its parent run."""

MAX_NAME = 250
"""Of a run, in the databases of servers."""

ROW = "ablate.row"
PARENT = "mlflow.parentRunId"
OWN = ("ablate.", "environment.", "mlflow.note.")
"""Prefixes of the tags that are ours to change after a run was made."""

_INVALID = re.compile(r"[^\w\-. :/]", re.ASCII)
_WHERE = ("node", "gpu")
_MEASURES = (
    "adapter_parameters", "head_parameters", "seconds", "peak_memory_bytes", "selected_epoch",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A trial's run as it should be; times in unix milliseconds.

    Attributes:
        status: MLflow's word for the state of the run.
        start: None before the first start.
        end: None until the trial is final.
    """

    name: str
    status: str
    start: int | None
    end: int | None
    tags: Mapping[str, str]


def milliseconds(seconds: float) -> int:
    """MLflow's clock."""
    return round(seconds * 1000)


def run_status(trial_status: str) -> str:
    """MLflow's word for a trial's state; one that was pruned has done what it was asked to."""
    if trial_status in FAILED:
        return "FAILED"
    return {"waiting": "SCHEDULED", "running": "RUNNING"}.get(trial_status, "FINISHED")


def record(trial: Trial, cell: CellInfo | None, study: StudyInfo) -> Record:
    """A trial's run, but for its parameters and curves.

    Args:
        trial: as the journal knows it.
        cell: its cell; None where the study does not ask for the trial any more.
        study: the study as a whole.
    """
    spec, result = trial.spec_json, trial.result_json or {}
    label = spec["method"] if cell is None else cell.label
    ask = "" if trial.ask is None or spec["stage"] != "search" else f" · ask {trial.ask}"
    reason = str(result.get("reason") or "")
    tags = {
        KIND: "trial",
        TRIAL: trial.id,
        CELL: trial.cell if cell is None else cell.key,
        STUDY: study.name,
        "ablate.stage": spec["stage"],
        "ablate.status": trial.status,
        "ablate.reason": reason[:MAX_TAG],
        "ablate.attempts": str(trial.attempts),
        "ablate.data_digest": spec.get("data_digest") or "",
        "ablate.backbone_digest": spec.get("backbone_digest") or "",
        STALE: str(cell is None).lower(),
        **({} if trial.reused_from is None else {"ablate.reused_from": trial.reused_from}),
        **_environment_tags(result),
        **({} if cell is None else row_tags(row(trial, cell, study))),
    }
    started = trial.finished_at if trial.started_at is None else trial.started_at
    return Record(
        name=f"{label}{ask} · seed {spec['seed']}"[:MAX_NAME],
        status=run_status(trial.status),
        start=None if started is None else milliseconds(started),
        end=None if trial.finished_at is None else milliseconds(trial.finished_at),
        tags=tags,
    )


def _environment_tags(result: Mapping[str, Json]) -> dict[str, str]:
    found = {"device": result.get("device"), **(result.get("environment") or {})}
    return {
        key(f"environment.{name}"): str(value)[:MAX_TAG]
        for name, value in found.items()
        if value is not None
    }


def row(trial: Trial, cell: CellInfo, study: StudyInfo) -> dict[str, Json]:
    """What a table needs to know of a trial, beside the columns that follow from its scores."""
    spec, result = trial.spec_json, trial.result_json or {}
    search = spec["stage"] == "search"
    found = result.get("environment") or {}
    kept = sorted((name, value) for name, value in found.items() if name not in _WHERE)
    missing = None if trial.final else f"{trial.status}, not ended yet"
    return {
        "study": study.name,
        "revision": trial.revision,
        "late": trial.late,
        "reused_from": trial.reused_from,
        "stage": spec["stage"],
        "seed": spec["seed"],
        **_streams(spec),
        "split": cell.search_split if search else cell.report_split,
        "task": cell.task,
        "backbone": cell.backbone,
        "arm": cell.arm,
        "label": cell.label,
        "method": cell.method,
        "factors": dict(cell.factors),
        "nuisances": {name: nuisance(spec, name) for name in cell.nuisances},
        "primary": cell.primary,
        "direction": cell.direction,
        "directions": dict(cell.directions),
        "grid": [name for name, on in cell.grid.items() if on],
        "status": trial.status if trial.final else "missing",
        "reason": result.get("reason") if trial.final else missing,
        "selected_epoch": result.get("selected_epoch"),
        "trainable_parameters": result.get("adapter_parameters"),
        "seconds": result.get("seconds"),
        "peak_memory_bytes": result.get("peak_memory_bytes"),
        "device": result.get("device"),
        "environment": " ".join(f"{name}={value}" for name, value in kept) or None,
        "scores": result.get("scores") or {} if trial.status == "finished" else {},
        "num_examples": result.get("num_examples") or {},
    }


def _streams(spec: Mapping[str, Json]) -> dict[str, Json]:
    """The order's own seed and the number of the repeat, of trials that have them."""
    if spec["stage"] != "variance":
        return {}
    return {"order_seed": spec["order_seed"], "repeat": spec.get("repeat", 0)}


def nuisance(spec: Mapping[str, Json], name: str) -> Json:
    """A tuned value from the trial's own spec: a field of the method, else of the recipe.

    A spec leaves out a method's later fields where they have their defaults.
    """
    if name in spec["hyperparameters"]:
        return spec["hyperparameters"][name]
    value: Json = spec["recipe"]
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if value is not None else _later_default(spec["method"], name)


def _later_default(method: str, name: str) -> Json:
    known = catalogue.method_fields(method) if method in catalogue.methods() else {}
    return known[name].canonical(known[name].default) if name in known else None


def row_tags(content: Mapping[str, Json]) -> dict[str, str]:
    """A row as tags, cut into parts that fit; the order of factors is kept."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    parts = [text[i : i + MAX_TAG] for i in range(0, len(text), MAX_TAG)]
    tags = {f"{ROW}.{i}": part for i, part in enumerate(parts)}
    return {f"{ROW}.parts": str(len(parts)), **tags}


def row_of(tags: Mapping[str, str]) -> dict[str, Json] | None:
    """Inverse of `row_tags`; None for a run without a row, or with only a part of one."""
    num_parts = int(tags.get(f"{ROW}.parts", 0))
    try:
        found = json.loads("".join(tags[f"{ROW}.{i}"] for i in range(num_parts)) or "null")
    except (KeyError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def table_rows(content: Mapping[str, Json], trial: str) -> Iterator[dict[str, Any]]:
    """The rows of the frame that a trial stands for: one a split and metric, or one without."""
    same = ("study", "revision", "late", "stage", "seed", "split", "task", "backbone", "arm",
            "label", "method", "direction", "status", "reason", "selected_epoch",
            "trainable_parameters", "seconds", "peak_memory_bytes", "device",
            "environment")  # fmt: skip
    base = {
        **{name: content[name] for name in same},
        **{name: content.get(name) for name in ("reused_from", "order_seed", "repeat")},
        **{name: _joined(value) for name, value in content["factors"].items()},
        **{f"{NUISANCE_PREFIX}{name}": value for name, value in content["nuisances"].items()},
        "metric": content["primary"],
        "score": None,
        "primary": True,
        "trial_id": trial,
    }
    if content["status"] != "finished":
        yield base
        return
    for split, scores in content["scores"].items():
        num_examples = content["num_examples"].get(split)
        for metric, score in scores.items():
            primary = metric == content["primary"]
            on_grid = metric in content["grid"] and num_examples
            other = content["directions"].get(metric, "higher")
            yield {
                **base,
                "split": split,
                "metric": metric,
                "score": score,
                "primary": primary,
                "direction": content["direction"] if primary else other,
                "num_examples": num_examples,
                "grid_step": 1 / num_examples if on_grid else None,
            }


def _joined(value: Json) -> Json:
    return plain(value) if isinstance(value, list) else value


def params(trial: Trial) -> dict[str, str]:
    """The whole recipe by dotted name; hyperparameters by their plain names."""
    spec = trial.spec_json
    apart = ("hyperparameters", "data_digest", "backbone_digest")
    rest = {name: value for name, value in spec.items() if name not in apart}
    return _texts({**dict(_flat(spec["hyperparameters"])), **dict(_flat(rest))})


def cell_params(cell: CellInfo) -> dict[str, str]:
    """What distinguishes a cell."""
    same = {"task": cell.task, "backbone": cell.backbone, "method": cell.method}
    return _texts({**dict(_flat(cell.factors)), **same})


def _flat(values: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", plain(value) if isinstance(value, list | tuple) else value


def _texts(values: Mapping[str, Json]) -> dict[str, str]:
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    return {key(name): text[:MAX_PARAM] for name, text in texts.items()}


def key(name: str) -> str:
    """A name that MLflow takes."""
    return _INVALID.sub("_", name)[:250]


def report_points(report: Mapping[str, Json], start: int) -> list[Point]:
    """The curves' values at one report.

    Args:
        report: a `Progress` as plain JSON.
        start: when the run began, in milliseconds. The journal's state keeps no time of a
            report, so its time is the start plus the seconds worked since.
    """
    values = {f"search/{name}": value for name, value in report["scores"].items()}
    values |= {f"method/{name}": value for name, value in (report.get("extra") or {}).items()}
    values |= {"train_loss": report["train_loss"], MARKER: report["epoch"]}
    return _points(values, start + milliseconds(report.get("seconds") or 0), report["step"])


def result_points(trial: Trial) -> list[Point]:
    """What a trial left behind; the scores of one that failed are no result."""
    result = trial.result_json or {}
    values = {name: result.get(name) for name in _MEASURES}
    if trial.status not in FAILED:
        for split, scores in (result.get("scores") or {}).items():
            values |= {f"{split}/{metric}": score for metric, score in scores.items()}
    # Step 0 always: a retried trial's later values take the place of the first ones by time.
    return _points(values, milliseconds(trial.finished_at or 0), 0)


def _points(values: Mapping[str, float | None], timestamp: int, step: int) -> list[Point]:
    """A value that is missing is left out: neither 0 nor NaN."""
    return [
        Point(key(name), float(value), timestamp, step)
        for name, value in values.items()
        if value is not None
    ]


def batches(reports: Iterable[Sequence[Point]]) -> Iterator[list[Point]]:
    """Pack reports into batches that MLflow takes, each whole and in order where one fits."""
    batch: list[Point] = []
    for report in reports:
        if len(batch) + len(report) > MAX_METRICS:
            if batch:
                yield batch
            *full, batch = [
                list(report[i : i + MAX_METRICS]) for i in range(0, len(report), MAX_METRICS)
            ] or [[]]
            yield from full
        else:
            batch = [*batch, *report]
    if batch:
        yield batch
