"""`ablate plan`: what a study would run."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.commands.common import load, out, out_json, table
from trials.errors import UserError

if TYPE_CHECKING:
    from ablate.plan import Plan
    from ablate.profile import Profile
    from ablate.resolve import Resolved
    from ablate.sizing import Sizing

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

    resolved = study.resolved
    counts = check_targets(resolved)
    plan = resolved.plan
    memory = _memory(resolved, study.profile)
    if given.json:
        cells = [
            {"key": cell.key, "adapter_parameters": counts[cell.key][0],
             "head_parameters": counts[cell.key][1]}
            for cell in plan.cells
        ]  # fmt: skip
        trials = [
            {"id": spec.id, "cell": cell.key, "seed": spec.seed}
            for cell in plan.cells
            if not cell.space
            for spec in plan.specs(cell, {}, "confirm")
        ]
        unresolved = list(resolved.unresolved)
        out_json({**plan.to_json(), "parameters": cells, "trials": trials,
                  "memory": [sizing.to_json() for sizing in memory],
                  "expected_confirm": _expected(plan) if plan.looks else None,
                  "unresolved": unresolved})  # fmt: skip
        return 0
    out(f"study     {plan.study.name}")
    if plan.study.question:
        out(f"question  {plan.study.question}")
    at_most = "at most " if plan.looks else ""
    out(f"trials    {plan.counts.search:,} search + {at_most}{plan.counts.confirm:,} confirm "
        f"in {len(plan.cells):,} cells")  # fmt: skip
    if plan.looks:
        expected = _expected(plan)
        out(f"race      looks at {', '.join(map(str, plan.looks))} seeds; about "
            f"{expected['no_difference']:,} confirm where nothing differs, about "
            f"{expected['one_sd']:,} where every difference is one sd")  # fmt: skip
    for task in plan.study.tasks:
        splits = next((c.template.splits for c in plan.cells if c.task == task.name), None)
        if splits is not None:
            out(f"splits    {task.name}: search reads {splits.search}, "
                f"report shows {splits.report}")  # fmt: skip
    out()
    seeds = "–".join(str(n) for n in (*plan.looks[:1], len(plan.confirm_seeds)))
    rows = [
        (cell.task, cell.backbone, cell.arm.label, *counts[cell.key],
         plan.num_asks(cell), ", ".join(cell.space) or "–", seeds)
        for cell in plan.cells[:200]
    ]  # fmt: skip
    out(table(("task", "backbone", "arm", "adapter", "head", "asks", "tuned", "seeds"), rows))
    if len(plan.cells) > len(rows):
        out(f"… and {len(plan.cells) - len(rows):,} more cells (all of them with --json)")
    out()
    for sizing in memory:
        out(f"memory    {sizing}")
    _print_questions(resolved)
    return 0


def _expected(plan: "Plan") -> dict[str, int]:
    """Trials that a race is expected to take, by how much the arms differ."""
    import numpy as np

    from ablate.journal import State
    from ablate.registered import batches
    from ablate.rehearsal import expected_trials

    races = [batch.race for batch in batches(plan, State())]
    others = plan.looks[0] * (len(plan.cells) - sum(len(race.wanted) for race in races))

    def expected(effect: float) -> int:
        rng = np.random.default_rng(0)
        return others + round(sum(expected_trials(race, effect, rng=rng) for race in races))

    return {"no_difference": expected(0.0), "one_sd": expected(1.0)}


def _memory(resolved: "Resolved", profile: "Profile") -> "list[Sizing]":
    """What trials take; left out of large plans for machines without a GPU, where it is idle."""
    from ablate.sizing import gpu_memory, sizes

    trials = resolved.plan.counts.search + resolved.plan.counts.confirm
    if trials > MANY and gpu_memory(profile) is None:
        return []
    return sizes(resolved, profile)


def _print_questions(resolved: "Resolved") -> None:
    plan = resolved.plan
    tests = sum(comparison.confirmatory for comparison in plan.comparisons)
    effect = _detectable(len(plan.confirm_seeds), plan.study.level, tests, plan.looks)
    for claim in plan.claims:
        out(f"claim     {claim.id}: {claim.sentence} ({_plural(len(claim.comparisons), 'test')})")
    if not plan.claims:
        out(f"claims    none; {len(plan.comparisons)} exploratory comparisons with the baselines")
    out(f"power     {effect}")
    for cell, reason in plan.excluded:
        out(f"left out  {cell}: {reason}")
    for text in resolved.unresolved:
        out(f"note      {text}: ids are provisional")


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _detectable(seeds: int, level: float, tests: int, looks: Sequence[int]) -> str:
    """What `seeds` paired seeds can show, at Holm's first step over all registered tests.

    Of a race, at what its last look may spend.
    """
    from ablate.stats.power import detectable_effect
    from ablate.stats.sequential import look_weights

    share = look_weights(looks)[-1] if looks else 1.0
    alpha = (1 - level) * share / max(1, tests)
    effect = detectable_effect(seeds, alpha=alpha)
    if effect is None:
        return f"{seeds} seed cannot show any difference; give confirm.seeds at least 2"
    return (
        f"{seeds} paired seeds show a mean difference of {effect:.2f} sd of the differences "
        f"with power .8 at level {1 - alpha:.3f}"
    )
