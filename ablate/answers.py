"""Answers from a study's journal: the frame, the findings, the page. Each is a file to open."""

import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablate import certificate, curves, registered, tally
from ablate import frame as table
from ablate.journal import Journal, State
from ablate.ledger import Ledger
from ablate.plan import Plan
from ablate.predictions import Stored
from ablate.resolve import Resolved
from ablate.rounds import SEED_OF_RESAMPLING
from ablate.spent import spent
from ablate.stats.findings import analyse
from ablate.stats.luck import Spending
from ablate.store import StudyFolder
from ablate.tune_keys import Budget
from trials.tasks.overlap import LARGE, overlaps, used_parts


def findings(
    resolved: Resolved, state: State, data: pd.DataFrame, ledger: Ledger
) -> dict[str, Any]:
    """The content of `findings.json`: the plan's comparisons and claims on these data.

    To make them is a look, which the ledger has afterwards.
    """
    document = _analysed(resolved, state, data, ledger.count(data), ledger.folder)
    ledger.note(data, document["findings"], time.time())
    return document


def _analysed(
    resolved: Resolved, state: State, data: pd.DataFrame, looks: int, folder: StudyFolder
) -> dict[str, Any]:
    plan = resolved.plan
    labels = {name: task.definition.labels for name, task in resolved.tasks.items()}
    document = analyse(
        data,
        comparisons=registered.comparisons(plan, state, data),
        claims=registered.claims(plan),
        level=plan.study.level,
        margin=plan.study.margin,
        rng=np.random.default_rng(SEED_OF_RESAMPLING),
        looks=looks,
        planned_looks=plan.looks,
        predictions=Stored(folder.path / "trials", labels),
        spending=_spending(plan),
    ).to_json()
    if plan.study.digits is not None:
        document["digits"] = plan.study.digits
    document["curves"] = curves.curves(plan, state, resolved.facts)
    if plan.study.tune is not None:
        document["search"] = certificate.certificate(plan, state, resolved.facts)
    return document


def _spending(plan: Plan) -> Spending | None:
    """What the variance stage is asked for, where there is one."""
    stage = plan.study.variance
    if stage is None:
        return None
    return Spending(
        error=stage.error,
        seeds=len(plan.confirm_seeds),
        initialisation_cost=stage.costs.initialisation,
        order_cost=stage.costs.order,
    )


def read_ahead() -> None:
    """Import what a report is drawn with, so that the end of a run does not wait for it."""
    backends = ("matplotlib.backends.backend_svg", "matplotlib.backends.backend_pdf")
    for module in ("ablate.report.render", *backends, "scipy.special"):
        importlib.import_module(module)


def write_answers(
    resolved: Resolved,
    tracking: str | None,
    folder: StudyFolder,
    state: State,
    to: Path | None = None,
    *,
    record: Journal | None = None,
) -> Path:
    """Write frame, findings and page of a study as it stands.

    Args:
        resolved: the study's plan and facts.
        tracking: where MLflow is, without secrets; None when nothing is tracked.
        folder: the study's folder.
        state: the journal's state.
        to: where findings and page go; the study's own report folder when None.
        record: the journal, where this process writes it.

    Returns:
        The page.
    """
    from ablate.report.render import write

    data = tally.frame(resolved.plan, state, resolved.facts)
    table.write(data, folder.frame)
    document = findings(resolved, state, data, Ledger(folder, state, record))
    said = about(resolved, state, tracking, document["claims"])
    return write(data, document, said, to or folder.report)


def write_answers_by(
    metric: str, resolved: Resolved, tracking: str | None, folder: StudyFolder, state: State,
    to: Path | None = None, margin: float | None = None,
) -> Path:  # fmt: skip
    """Write findings and page of a study by another metric than the one it was registered for.

    Args:
        metric: of the tasks that have it.
        resolved, tracking, folder, state: as for `write_answers`.
        to: where findings and page go; beside the study's own report when None.
        margin: largest difference in the metric that does not matter.

    Returns:
        The page.

    Raises:
        UserError: no task of the study has the metric.
    """
    from ablate.report.render import write

    plan = resolved.plan
    data = tally.frame(plan, state, resolved.facts)
    document = analyse(
        data,
        comparisons=registered.unregistered(plan, data, margin),
        claims=(),
        level=plan.study.level,
        rng=np.random.default_rng(SEED_OF_RESAMPLING),
        metric=metric,
    ).to_json()
    if plan.study.digits is not None:
        document["digits"] = plan.study.digits
    said = about(resolved, state, tracking)
    said["caveats"] = [_by_another_metric(metric, resolved), *said["caveats"]]
    return write(data, document, said, to or folder.report.with_name(f"report-{metric}"))


def _by_another_metric(metric: str, resolved: Resolved) -> str:
    primary = sorted({facts.primary for facts in resolved.facts.values()} - {metric})
    named = " or ".join(primary) or metric
    raced = (
        f" Seeds were added until the claims about {named} were decided, which p values here do "
        "not allow for."
        if resolved.plan.looks
        else ""
    )
    return (
        f"Scores are by {metric}. Configurations and epochs were chosen, and claims registered, by "
        f"{named}: all that is here is exploratory.{raced}"
    )


def about(
    resolved: Resolved,
    state: State,
    tracking: str | None,
    claims: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What the page says of the study beside its numbers.

    Args:
        resolved: the study's plan and facts.
        state: the journal's state.
        tracking: where MLflow is, without secrets; None when nothing is tracked.
        claims: as the findings rule on them, for what each decided one has cost.
    """
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
        "space": _space(plan),
        "spent": str(spent(state.trials.values(), claims)),
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


def _space(plan: Plan) -> dict[str, str]:
    """The range of each tuned value, in words; those of all cells where cells differ."""
    found: dict[str, dict[str, None]] = {}
    for cell in plan.cells:
        for name, entry in cell.space.items():
            found.setdefault(name, {})[_range(entry)] = None
    return {name: " or ".join(ranges) for name, ranges in found.items()}


def _range(entry: Mapping[str, Any]) -> str:
    if "choices" in entry:
        return f"one of {', '.join(map(str, entry['choices']))}"
    scale = ", on a log scale" if entry.get("log") else ""
    return f"{entry['low']:g} to {entry['high']:g}{scale}"


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
    for part in state.mended:
        yield (
            f"The journal was damaged in {part.segment}, line {part.line} ({part.reason}): that "
            f"line and those after it, {part.num_lines} in all, were set aside. Trials whose end "
            "was among the intact ones count, the others were trained again. Looks at the results "
            "that were in damaged lines are not counted, and what the study asks for since then "
            "counts as asked after results were seen."
        )
    stale = [t for t in tally.stale_trials(plan, state) if t.final]
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
        ended = tally.has_searched(state, cell_of_plan)
        if ended and not tally.chosen_values(plan, state, cell_of_plan):
            yield f"No ask of {cell_of_plan.name} completed, so nothing of it was confirmed."
        waits = tally.stuck(plan, state, cell_of_plan)
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
