"""`ablate plan`: what a study would run."""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ablate.commands.common import load, out, out_json, table
from ablate.commands.prediction import prediction
from trials.errors import UserError

if TYPE_CHECKING:
    from ablate.plan import Plan
    from ablate.profile import Profile
    from ablate.resolve import Resolved
    from ablate.sizing import Sizing
    from ablate.stats.comparison import Kind
    from ablate.stats.foresight import Foresight
    from trials.spec import Splits

SHOWN = 5
"""Combinations of a cell that are named one by one."""

MANY = 2000
"""Trials from which a plan is drawn up without a prediction that nobody asked for."""


def run(given: argparse.Namespace) -> int:
    """Print cells, counts, claims and what is left out; start nothing."""
    from ablate.study import json_schema

    if given.schema:
        out(json.dumps(json_schema(), indent=2))
        return 0
    if given.study is None:
        raise UserError("plan needs a STUDY (or --schema)")
    study = load(given)
    from ablate.resolve import check_targets

    resolved, plan = study.resolved, study.plan()
    counts = check_targets(resolved)
    memory = _memory(resolved, study.profile)
    if given.json:
        forecast = prediction(study).to_json()
        out_json({**_planned(plan, counts),
                  "memory": [sizing.to_json() for sizing in memory],
                  "forecast": forecast,
                  "power": [asdict(item) for item in foresights(plan)],
                  "unresolved": list(resolved.unresolved)})  # fmt: skip
        return 0
    _print_trials(plan)
    out()
    _print_cells(plan, counts)
    out()
    for sizing in memory:
        out(f"memory    {sizing}")
    for line in prediction(study).lines():
        out(line)
    _print_questions(resolved)
    return 0


def _planned(plan: "Plan", counts: Mapping[str, tuple[int | None, int | None]]) -> dict[str, Any]:
    """Cells, their trained numbers, and the trials that are known before anything has run."""
    from ablate.journal import State
    from ablate.tally import confirmation

    cells = [
        {"key": cell.key, "adapter_parameters": counts[cell.key][0],
         "head_parameters": counts[cell.key][1]}
        for cell in plan.cells
    ]  # fmt: skip
    trials = [
        {"id": spec.id, "cell": cell.key, "seed": spec.seed, "source": spec.source}
        for cell in plan.in_order
        for _, specs in confirmation(plan, State(), cell)
        for spec in specs
    ]
    return {**plan.to_json(), "parameters": cells, "trials": trials}


def _print_trials(plan: "Plan") -> None:
    out(f"study     {plan.study.name}")
    if plan.study.question:
        out(f"question  {plan.study.question}")
    tune = plan.study.tune
    seconds = None if tune is None else tune.budget.gpu_seconds
    search = (f"{plan.counts.search:,} search" if seconds is None
              else f"{seconds:,} device seconds of search a cell")  # fmt: skip
    at_most = "at most " if plan.looks else ""
    out(f"trials    {search} + {at_most}{plan.counts.confirm:,} confirm"
        f"{_of_variance(plan)} in {len(plan.cells):,} cells")  # fmt: skip
    if plan.looks:
        out(f"race      looks at {', '.join(map(str, plan.looks))} seeds")
    alike: dict[Splits, dict[str, None]] = {}
    for cell in plan.cells:
        alike.setdefault(cell.template.splits, {})[cell.task] = None
    for splits, tasks in alike.items():
        out(f"splits    {', '.join(tasks)}: search reads {splits.search}, "
            f"report shows {splits.report}")  # fmt: skip
    for line in _order(plan):
        out(f"order     {line}")


def _of_variance(plan: "Plan") -> str:
    """The trials of the variance stage, and how they cross."""
    stage, number = plan.study.variance, plan.counts.variance
    if stage is None:
        return ""
    repeats = f" × {stage.repeats} repeats" if stage.repeats > 1 else ""
    crossed = f"{stage.initialisations} initialisations × {stage.orders} orders{repeats}"
    cells = sum(bool(plan.luck(cell)) for cell in plan.cells)
    return f" + {number:,} variance ({crossed} of {_plural(cells, 'cell')})"


def _doubts_of_variance(plan: "Plan") -> Iterator[str]:
    """What the variance stage cannot tell as it is planned."""
    from ablate.stats.luck import enough_levels

    stage = plan.study.variance
    if stage is None:
        return
    if not plan.counts.variance:
        yield "variance: no cell meets variance.when"
    if not enough_levels(stage.initialisations, stage.orders):
        yield "variance: below 5 initialisations or orders there are intervals, no variances"
    if stage.repeats < 2:
        yield "variance: without repeats, what no seed controls cannot be told apart"


def _print_cells(plan: "Plan", counts: Mapping[str, tuple[int | None, int | None]]) -> None:
    tune = plan.study.tune
    seconds = None if tune is None else tune.budget.gpu_seconds
    seeds = "–".join(str(n) for n in (*plan.looks[:1], len(plan.confirm_seeds)))
    rows = [
        (cell.task, cell.backbone, cell.arm.label, *counts[cell.key],
         plan.num_asks(cell) if seconds is None else f"{seconds:,} s",
         ", ".join(cell.space) or "–", seeds)
        for cell in plan.cells[:200]
    ]  # fmt: skip
    out(table(("task", "backbone", "arm", "adapter", "head", "asks", "tuned", "seeds"), rows))
    if len(plan.cells) > len(rows):
        out(f"… and {len(plan.cells) - len(rows):,} more cells (all of them with --json)")


def _order(plan: "Plan") -> Iterator[str]:
    """Which tasks come after which, where trials start from another task's adapter."""
    after: dict[tuple[str, str], int] = {}
    for cell in plan.in_order:
        if cell.source is not None:
            pair = (cell.task, plan.cell(cell.source).task)
            after[pair] = after.get(pair, 0) + 1
    searched = any(cell.space for cell in plan.cells if cell.source is not None)
    for (task, source), number in after.items():
        seeds = "the same seed" + (f" (search: seed {plan.confirm_seeds[0]})" if searched else "")
        yield (
            f"{task} after {source}: trials of {_plural(number, 'cell')} start from its adapter "
            f"of {seeds}"
        )


def _memory(resolved: "Resolved", profile: "Profile") -> "list[Sizing]":
    """What trials take; left out of large plans for machines without a GPU, where it is idle."""
    from ablate.sizing import gpu_memory, sizes

    if resolved.plan.num_trials > MANY and gpu_memory(profile) is None:
        return []
    return sizes(resolved, profile)


def _print_questions(resolved: "Resolved") -> None:
    plan = resolved.plan
    for claim, foreseen in zip(plan.claims, foresights(plan), strict=True):
        number = len(claim.comparisons)
        tests = f"1 test over {number} tasks" if claim.over_tasks else "1 test"
        out(f"claim     {claim.id}: {claim.sentence} ({tests})")
        if foreseen.warning is not None:
            out(f"warning   {claim.id}: {foreseen.warning}")
        elif foreseen.effect is not None:
            spread = foreseen.unit == "ratio of sds"
            shown = (f"a ratio of sds of {foreseen.effect:.2f}" if spread
                     else f"{foreseen.effect:.2f} {foreseen.unit}")  # fmt: skip
            out(f"power     {claim.id}: {len(plan.confirm_seeds)} seeds show {shown} "
                f"with power .8 at level {1 - foreseen.alpha:.3f}")  # fmt: skip
    if not plan.claims:
        out(f"claims    none; {len(plan.comparisons)} exploratory comparisons with the baselines")
        out(f"power     {_detectable(plan)}")
    for text in _doubts_of_variance(plan):
        out(f"warning   {text}")
    for cell, reason in plan.excluded:
        out(f"left out  {cell}: {reason}")
    _print_infeasible(plan)
    for key in plan.measured:
        out(f"note      tune.{key} is measured on a machine: the search may ask other values when "
            "it is repeated")  # fmt: skip
    for text in resolved.unresolved:
        out(f"note      {text}: ids are provisional")


def _print_infeasible(plan: "Plan") -> None:
    """Combinations of nuisances that are never tried: the first of each cell, and how many."""
    for cell in plan.cells:
        found = plan.infeasible(cell)
        for values, reason in found[:SHOWN]:
            shown = ", ".join(f"{name} {value}" for name, value in values.items())
            out(f"left out  {cell.name}: {shown} ({reason})")
        if len(found) > SHOWN:
            out(f"left out  {cell.name}: {len(found) - SHOWN:,} more (all of them with --json)")


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def foresights(plan: "Plan") -> "list[Foresight]":
    """What each claim can show, at Holm's first step over all registered tests."""
    from ablate.stats.foresight import foresee

    kinds = {item.id: item.kind for item in plan.comparisons}
    # Over tasks a claim is one test, of the mean over them.
    tests = sum(1 if c.over_tasks else len(c.comparisons) for c in plan.claims)
    seeds = len(plan.confirm_seeds)
    found = []
    for claim in plan.claims:
        kind = kinds[claim.comparisons[0]]
        alpha = _alpha(plan, kind) / max(1, tests)
        found.append(foresee(claim.id, kind, seeds, alpha=alpha))
    return found


def _alpha(plan: "Plan", kind: "Kind") -> float:
    """What a test may spend of the level: all, or, in a race, what its last look may."""
    from ablate.stats.sequential import weights_of

    share = weights_of(kind, plan.looks)[-1] if plan.looks else 1.0
    return (1 - plan.study.level) * share


def _detectable(plan: "Plan") -> str:
    """What the seeds can show in one test; in a race, where all means are tested, in each."""
    from ablate.stats.power import detectable_effect

    seeds, alpha = len(plan.confirm_seeds), _alpha(plan, "mean")
    if plan.looks:
        alpha /= max(1, sum(item.kind == "mean" for item in plan.comparisons))
    effect = detectable_effect(seeds, alpha=alpha)
    if effect is None:
        return f"{seeds} seed cannot show any difference; give confirm.seeds at least 2"
    return (
        f"{seeds} paired seeds show a mean difference of {effect:.2f} sd of the differences "
        f"with power .8 at level {1 - alpha:.3f}"
    )
