"""Answers from a study's journal: the frame, the findings, the page. Each is a file to open."""

import importlib
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablate import certificate, curves, results, revision
from ablate import frame as table
from ablate.claims import PlannedClaim, PlannedComparison
from ablate.journal import State
from ablate.plan import Plan
from ablate.resolve import Resolved
from ablate.stats.claims import Claim
from ablate.stats.comparison import Comparison, Pick
from ablate.stats.findings import analyse
from ablate.store import StudyFolder, write_text
from ablate.tune_keys import Budget
from trials.spec import digest
from trials.tasks.overlap import LARGE, overlaps, used_parts

SEED_OF_RESAMPLING = 20260101
"""Of the sign flips and bootstraps, so that a report on the same data is the same report."""


def findings(resolved: Resolved, state: State, data: pd.DataFrame, looks: int) -> dict[str, Any]:
    """The content of `findings.json`: the plan's comparisons and claims on these data."""
    plan = resolved.plan
    late = revision.late_claims(state)
    registered = {
        claim.id: revision.canonical(claim.model_dump(mode="json")) not in late
        for claim in plan.study.claims
    }
    document = analyse(
        data,
        comparisons=[_comparison(item, registered) for item in plan.comparisons],
        claims=[_claim(item) for item in plan.claims],
        level=plan.study.level,
        margin=plan.study.margin,
        rng=np.random.default_rng(SEED_OF_RESAMPLING),
        looks=looks,
    ).to_json()
    document["curves"] = curves.curves(plan, state, resolved.facts)
    if plan.study.tune is not None:
        document["search"] = certificate.certificate(plan, state, resolved.facts)
    return document


def _comparison(planned: PlannedComparison, registered: Mapping[str, bool]) -> Comparison:
    picks: dict[tuple[bool, bool], Pick | None] = {
        (False, False): None,
        (True, False): "treatment",
        (False, True): "control",
        (True, True): "both",
    }
    in_time = planned.claim_id is None or registered[planned.claim_id]
    return Comparison(
        id=planned.id,
        task=planned.task,
        backbone=planned.backbone,
        treatment=planned.treatment,
        control=planned.control,
        kind=planned.kind,
        family=planned.family,
        confirmatory=planned.confirmatory and in_time,
        claim_id=planned.claim_id,
        by=planned.by,
        margin=planned.margin,
        note=planned.note,
        pick=picks[planned.pick_treatment, planned.pick_control],
        late=not in_time,
    )


def _claim(planned: PlannedClaim) -> Claim:
    return Claim(
        id=planned.id,
        kind=planned.kind,  # type: ignore[arg-type]
        sentence=planned.sentence,
        comparisons=planned.comparisons,
        over_tasks=planned.over_tasks,
    )


def read_ahead() -> None:
    """Import what a report is drawn with, so that the end of a run does not wait for it."""
    for module in ("ablate.report.render", "matplotlib.backends.backend_svg", "scipy.special"):
        importlib.import_module(module)


def write_answers(
    resolved: Resolved,
    tracking: str | None,
    folder: StudyFolder,
    state: State,
    to: Path | None = None,
) -> Path:
    """Write frame, findings and page of a study as it stands.

    Args:
        resolved: the study's plan and facts.
        tracking: where MLflow is, without secrets; None when nothing is tracked.
        folder: the study's folder.
        state: the journal's state.
        to: where findings and page go; the study's own report folder when None.

    Returns:
        The page.
    """
    from ablate.report.render import write

    data = results.frame(resolved.plan, state, resolved.facts)
    table.write(data, folder.frame)
    looks = count_look(folder, data)
    document = findings(resolved, state, data, looks)
    return write(data, document, about(resolved, state, tracking), to or folder.report)


def count_look(folder: StudyFolder, data: pd.DataFrame) -> int:
    """Note that these results were looked at; returns how many different ones have been.

    A look is a set of finished trials of the stage that feeds significance: reading the same
    ones twice is one look.
    """
    path = folder.path / "ledger.jsonl"
    seen = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    looks = [json.loads(line) for line in seen]
    shown = data[(data["status"] == "finished") & data["stage"].isin(table.CONFIRM_STAGES)]
    trials = sorted(set(shown["trial_id"]))
    identity = digest(trials)
    if trials and identity not in {look["trials"] for look in looks}:
        looks.append({"time": time.time(), "num_trials": len(trials), "trials": identity})
        write_text(path, "".join(json.dumps(look) + "\n" for look in looks))
    return max(1, len(looks))


def about(resolved: Resolved, state: State, tracking: str | None) -> dict[str, Any]:
    """What the page says of the study beside its numbers."""
    plan = resolved.plan
    study = plan.study
    tune = study.tune
    splits = {cell.task: cell.template.splits for cell in plan.cells}
    return {
        "study": study.name,
        "question": study.question,
        "splits": {
            task: {"search": _split_words(resolved, task, s.search), "report": s.report}
            for task, s in splits.items()
        },
        "selection": study.train.evaluate.select,
        "sampler": None if tune is None else _with_options(tune.sampler.model_dump()),
        "pruner": None if tune is None else _with_options(tune.pruner.model_dump()),
        "budget": None if tune is None else _budget(tune.budget),
        "revisions": [
            {
                "revision": item.revision,
                "when": _when(item.time),
                "added": list(item.added),
                "after_results": item.after_results,
            }
            for item in state.revisions
        ],
        "environment": [*_environments(state), *_origins(resolved)],
        "mlflow": tracking,
        "version": package_version(),
        "generated_at": _when(time.time()),
        "caveats": [*_caveats(plan, state), *_overlaps(resolved), *_cut(resolved, state)],
    }


def _split_words(resolved: Resolved, task: str, part: str) -> str:
    loaded = resolved.tasks.get(task)
    if part != "held_out" or loaded is None:
        return part
    splits = next(c.template.splits for c in resolved.plan.cells if c.task == task)
    return f"held_out ({len(loaded.rows('held_out', splits))} rows of train)"


def _budget(budget: Budget) -> str:
    if budget.gpu_seconds is not None:
        return f"{budget.gpu_seconds:g} seconds on the device for every cell"
    return f"{budget.trials} asks for every cell"


def _with_options(named: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in named.items() if key != "name")
    return f"{named['name']} ({options})" if options else str(named["name"])


def _environments(state: State) -> list[str]:
    found: dict[str, None] = {}
    for trial in state.trials.values():
        environment = (trial.result_json or {}).get("environment") or {}
        kept = {k: v for k, v in environment.items() if k not in ("node", "gpu")}
        if kept:
            found[" · ".join(f"{key} {value}" for key, value in sorted(kept.items()))] = None
    return list(found)


def _caveats(plan: Plan, state: State) -> Iterator[str]:
    stale = [t for t in results.stale_trials(plan, state) if t.final]
    if stale:
        yield (
            f"{len(stale)} ended trials belong to cells or values that the study does not ask "
            "for any more; they stay in the journal and are not shown."
        )
    for cell, reason in plan.excluded:
        yield f"Left out: {cell} ({reason})."
    pairs = {(c.task, plan.cell(c.source).task): None for c in plan.cells if c.source is not None}
    for task, source in pairs:
        yield f"Trials on {task} start from their arm's adapter on {source}, seed by seed."
    kept = {c.task: None for c in plan.cells if c.template.recipe.head == "freeze"}
    if kept:
        yield f"The head is kept as it starts, and does not train: {', '.join(kept)}."
    for cell_of_plan in plan.cells:
        asks = state.asks.get(cell_of_plan.key, [])
        ended = asks and all(state.trials[t].final for ask in asks for t in ask.trials)
        if ended and not results.chosen_values(plan, state, cell_of_plan):
            yield f"No ask of {cell_of_plan.name} completed, so nothing of it was confirmed."
        waits = results.stuck(plan, state, cell_of_plan)
        if waits is not None:
            yield f"Nothing of {cell_of_plan.name} was run: {waits}."


def _overlaps(resolved: Resolved) -> Iterator[str]:
    """What the parts of a task's data share, where that is much."""
    splits = {cell.task: cell.template.splits for cell in resolved.plan.cells}
    for name, task in resolved.tasks.items():
        if name in splits:
            parts = used_parts(task, splits[name])
            for overlap in overlaps(task, splits[name], parts):
                if overlap.large:
                    yield f"On {name}, {overlap}."


def _cut(resolved: Resolved, state: State) -> Iterator[str]:
    """Rows that were longer than what trials read of them, where those are many."""
    splits = {cell.task: cell.template.splits for cell in resolved.plan.cells}
    most: dict[tuple[str, str], int] = {}
    for trial in state.trials.values():
        for part, number in ((trial.result_json or {}).get("num_truncated") or {}).items():
            key = trial.spec_json["task"], part
            most[key] = max(number, most.get(key, 0))
    shares = {
        (name, part): most[name, part] / len(task.rows(part, splits[name]))
        for name, task in resolved.tasks.items()
        for part in (used_parts(task, splits[name]) if name in splits else ())
        if (name, part) in most
    }
    large = [f"{100 * s:.0f} % of {name}'s {part}" for (name, part), s in shares.items()
             if s >= LARGE]  # fmt: skip
    if large:
        yield (
            "Rows are longer than what trials read of them (`max_length`, or the backbone's "
            f"context) and lost their end: {', '.join(large)}."
        )


def _origins(resolved: Resolved) -> Iterator[str]:
    """Which data sets of the hub were read, at which commit."""
    for name, task in resolved.tasks.items():
        if task.origin is not None:
            yield f"data of {name}: {task.origin}"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def package_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("ablate-peft")
    except PackageNotFoundError:
        return "not installed"
