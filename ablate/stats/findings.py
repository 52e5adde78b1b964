"""The whole analysis: a table, comparisons and claims in, the content of `findings.json` out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate import frame as table
from ablate.stats.averages import averages
from ablate.stats.beside import scores_beside
from ablate.stats.bootstrap import BCA_FROM, Resamples, bca
from ablate.stats.cells import Cell, Cells
from ablate.stats.claims import Claim, Ruling, rule
from ablate.stats.comparison import Comparison
from ablate.stats.components import Component, components
from ablate.stats.decide import decide
from ablate.stats.document import SCHEMA, validate
from ablate.stats.effect import clopper_pearson
from ablate.stats.evaluation import Read, with_bounds, with_examples
from ablate.stats.evaluation_bound import scale_of, share
from ablate.stats.finding import Finding, plain_json
from ablate.stats.interaction import interactions
from ablate.stats.level import level_of
from ablate.stats.luck import CellLuck, Spending, lucks
from ablate.stats.many import OverTasks, many
from ablate.stats.metric import shown_by
from ablate.stats.questions import Questions, ask
from ablate.stats.shape import collapsed
from ablate.stats.standing import Standing, standings
from ablate.stats.status import Array

__all__ = ["Findings", "analyse", "validate"]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that an analysis found.

    Attributes:
        level: of the study.
        metric, split: the one that all tasks share, `mixed`, or None without results.
        looks: how often the data have been looked at, this time included.
        findings: tests, confirmatory ones first.
        variance: where variance comes from, by task and backbone.
        missing: trials without a score, and why.
        claims: what is ruled on each.
        cells: summary of each cell.
        beside: other metrics and splits of each cell.
        averages: those over tasks that papers print.
        over_tasks: all arms over all tasks, by backbone.
        luck: what the variance stage found, by cell.
    """

    level: float
    metric: str | None
    split: str | None
    looks: int
    findings: tuple[Finding, ...]
    variance: tuple[Component, ...]
    missing: tuple[dict[str, Any], ...]
    claims: tuple[Ruling, ...]
    cells: tuple[dict[str, Any], ...]
    beside: tuple[dict[str, Any], ...]
    averages: tuple[dict[str, Any], ...]
    over_tasks: tuple[OverTasks, ...] = ()
    luck: tuple[CellLuck, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The content of `findings.json`, in plain JSON types."""
        document = {
            "schema": SCHEMA,
            "level": self.level,
            "metric": self.metric,
            "split": self.split,
            "looks": self.looks,
            "findings": [finding.to_json() for finding in self.findings],
            "variance": [asdict(component) for component in self.variance],
            "missing": self.missing,
            "claims": [asdict(ruling) for ruling in self.claims],
            "cells": self.cells,
            "beside": self.beside,
            "averages": self.averages,
            "over_tasks": [asdict(one) for one in self.over_tasks],
            "luck": [asdict(one) for one in self.luck],
        }
        return {key: plain_json(value) for key, value in document.items()}


def analyse(
    frame: pd.DataFrame,
    *,
    comparisons: Sequence[Comparison],
    claims: Sequence[Claim],
    level: float = 0.95,
    margin: float | None = None,
    rng: np.random.Generator,
    looks: int = 1,
    planned_looks: Sequence[int] = (),
    predictions: Read | None = None,
    spending: Spending | None = None,
    metric: str | None = None,
) -> Findings:
    """Answer a study's comparisons and rule on its claims.

    Only finished trials of the confirm (or race) stage count, by the primary metric on the report
    split. Differences are oriented so that a positive estimate favours the treatment: scores are
    negated where lower is better. Confirmatory findings leave out rows that were added after
    results were seen; what those add is shown beside, as exploratory.

    Args:
        frame: one row per trial, split and metric; completed and checked first.
        comparisons: resolved to arm ids; ids are unique.
        claims: that refer to them.
        level: of intervals, and 1 - level of tests, in (0.5, 1).
        margin: largest difference that does not matter, for comparisons that declare none.
        rng: drawn from once; a finding's numbers do not depend on which others there are.
        looks: how often the data have been looked at, this time included.
        planned_looks: seed counts of a race, for comparisons that were registered for no other.
        predictions: where per-example predictions of a cell come from, if they are stored.
        spending: what the variance stage is to say of how runs are best spent.
        metric: in the place of the primary one; see `shown_by`. Comparisons should then be
            exploratory, and claims none, for it is not what they were registered for.

    Returns:
        The findings.

    Raises:
        UserError: a mistake in the table.
        ValueError: comparison ids that repeat or that a claim names in vain; a level out of range.
    """
    _check_arguments(comparisons, claims, level)
    checked = table.check(frame)
    questions = Questions(
        frame=checked if metric is None else shown_by(checked, metric),
        level=level,
        margin=margin,
        looks=tuple(planned_looks),
        generators=generators(rng),
    )
    cells = questions.cells
    drafts = ask(questions, comparisons, claims)
    decided = decide(drafts, level=level, generators=questions.generators)
    if predictions is not None:
        decided = with_examples(
            decided, cells, predictions, level=level, generators=questions.generators
        )
    decided = with_bounds(decided, cells, level=level)
    found = (*decided, *interactions(cells, level=level))
    of_no_gain = {comparison.id for comparison in comparisons if comparison.by == 0}
    places = standings(
        cells,
        [finding for finding in decided if finding.id in of_no_gain],
        level=level,
        rng=questions.generators("standings"),
    )
    return Findings(
        level=level,
        metric=_shared(cell.metric for cell in cells.values()),
        split=_shared(cell.split for cell in cells.values()),
        looks=looks,
        findings=tuple(sorted(found, key=lambda finding: not finding.confirmatory)),
        variance=components(cells),
        missing=tuple(_missing(questions.frame, cells, comparisons)),
        claims=tuple(rule(claim, _serving(claim, decided)) for claim in claims),
        cells=tuple(
            _summary(cell, level, questions.resamples, places.get(key))
            for key, cell in cells.items()
        ),
        beside=scores_beside(cells, level=level),
        averages=averages(cells, level=level),
        over_tasks=many(cells, level=level, rng=questions.generators("over tasks")),
        luck=lucks(questions.frame, level=level, spending=spending),
    )


def _check_arguments(
    comparisons: Sequence[Comparison], claims: Sequence[Claim], level: float
) -> None:
    if not 0.5 < level < 1:
        raise ValueError(f"level must be between 0.5 and 1, but got {level=}")
    names = [comparison.id for comparison in comparisons]
    repeated = sorted({name for name in names if names.count(name) > 1})
    unknown = sorted({name for claim in claims for name in claim.comparisons} - set(names))
    if repeated or unknown:
        raise ValueError(f"comparisons that repeat: {repeated}; that claims lack: {unknown}")


def generators(rng: np.random.Generator) -> Callable[[str], np.random.Generator]:
    """A generator of its own for each name; draws from `rng` once."""
    base = int(rng.integers(2**63))

    def generator(name: str) -> np.random.Generator:
        own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return np.random.default_rng([base, own])

    return generator


def _shared(values: Any) -> str | None:
    found = sorted({value for value in values if value is not None})
    return found[0] if len(found) == 1 else ("mixed" if found else None)


def _serving(claim: Claim, findings: Sequence[Finding]) -> list[Finding]:
    """The findings that a claim rests on: the mean over tasks, or each of its comparisons."""
    over_tasks = claim.over_tasks and len(claim.comparisons) > 1
    wanted = {f"{claim.id}/tasks"} if over_tasks else set(claim.comparisons)
    return [finding for finding in findings if finding.id in wanted]


def _summary(
    cell: Cell, level: float, resamples: Resamples, standing: Standing | None
) -> dict[str, Any]:
    scores = np.array(list(cell.scores.values()), dtype=np.float64)
    summary = asdict(level_of(scores, level=level, num_failed=len(cell.failed)))
    n = scores.size
    if n >= BCA_FROM:
        beside = bca(scores, level=level, rng=resamples.draw(n), counts=resamples(n))
        summary |= {"bca_low": beside.low, "bca_high": beside.high}
    summary |= _collapse(-scores if cell.lower_is_better else scores, level)
    scale = scale_of(cell.step, cell.num_examples)
    bound = share(summary["mean"], cell.num_examples, scale, level=level)
    if cell.not_a_number:
        summary["status"] = "nan_present"
    return {
        "task": cell.task,
        "backbone": cell.backbone,
        "arm": cell.arm,
        "label": cell.label,
        "method": cell.method,
        "factors": dict(cell.factors),
        "metric": cell.metric,
        "split": cell.split,
        "direction": "lower" if cell.lower_is_better else "higher",
        **summary,
        "seeds": list(cell.scores),
        "scores": list(cell.scores.values()),
        "best_values": dict(cell.best_values),
        "trainable_parameters": cell.trainable_parameters,
        "late": bool(cell.late),
        "example_noise": None if bound is None else asdict(bound),
        "standing": None if standing is None else asdict(standing),
    }


def _collapse(scores: Array, level: float) -> dict[str, Any]:
    """How many seeds ended in a cluster well below the others, as a rate with its interval."""
    fallen = collapsed(scores)
    low, high = clopper_pearson(fallen, scores.size, level=level) if scores.size else (None, None)
    return {"num_collapsed": fallen, "collapse_low": low, "collapse_high": high}


def _missing(
    frame: pd.DataFrame, cells: Cells, comparisons: Sequence[Comparison]
) -> list[dict[str, Any]]:
    """Trials without a score: failed or missing rows, seeds that other arms have, absent arms."""
    names = ["task", "backbone", "arm", "stage", "seed", "status", "reason"]
    bad = frame[frame["status"].isin([*table.FAILED_STATUSES, "missing"])]
    found = [
        {key: table.plain(value) for key, value in row.items()}
        for row in bad[names].drop_duplicates().to_dict("records")
    ]
    confirmed = frame[frame["stage"].isin(table.CONFIRM_STAGES)]
    where = ["task", "backbone"]
    seeds = {key: set(rows["seed"]) for key, rows in confirmed.groupby(where)}
    own = {key: set(rows["seed"]) for key, rows in confirmed.groupby([*where, "arm"])}
    # Cells of a race have as many seeds as their questions took; the table lists what it lacks.
    raced = any(comparison.looks for comparison in comparisons)
    for key in () if raced else cells:
        for seed in sorted(seeds.get(key[:2], set()) - own.get(key, set())):
            place = dict(zip(("task", "backbone", "arm"), key, strict=True))
            found.append({**place, "stage": "confirm", "seed": int(seed), "status": "missing",
                          "reason": "other arms have this seed"})  # fmt: skip
    for key in dict.fromkeys(
        (c.task, c.backbone, arm) for c in comparisons for arm in (*c.treatment, *c.control)
    ):
        if key not in cells:
            place = dict(zip(("task", "backbone", "arm"), key, strict=True))
            found.append({**place, "stage": "confirm", "seed": None, "status": "missing",
                          "reason": "the table has no row of this arm here"})  # fmt: skip
    return found
