"""What a study will run: cells, trials, and claims resolved to cells. Pure; runs nothing.

Data and backbones are resolved elsewhere and given as digests; until then trial ids are
provisional.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from ablate import recipe
from ablate import space as spaces
from ablate.arm import Arm
from ablate.cell import Cell
from ablate.claims import PlannedClaim, PlannedComparison, compile_claims
from ablate.expressions import Expression
from ablate.patterns import plain
from ablate.precedence import recipe_values
from ablate.references import Reference
from ablate.space import Space
from ablate.study import Study
from trials import catalogue
from trials.errors import UserError
from trials.spec import Json, Splits, Stage, TrialSpec, canonical_json, digest

__all__ = ["Cell", "Plan", "PlannedClaim", "PlannedComparison", "plan"]

Resolved = tuple[str | None, Splits | None]
"""Digest of a task's data, and the splits that `split: auto` means for it."""


@dataclass(frozen=True)
class Counts:
    """Numbers of trials by stage, at most: a pruned or exhausted search runs fewer."""

    search: int
    confirm: int

    @property
    def total(self) -> int:
        """Both stages."""
        return self.search + self.confirm


@dataclass(frozen=True)
class Plan:
    """A study, resolved to cells.

    Attributes:
        study: the study.
        cells: in the order of tasks, backbones and arms.
        comparisons: what is tested, every side written out as arm ids.
        claims: what the study set out to check.
        excluded: (cell, reason) of combinations that are left out.
    """

    study: Study
    cells: tuple[Cell, ...]
    comparisons: tuple[PlannedComparison, ...]
    claims: tuple[PlannedClaim, ...]
    excluded: tuple[tuple[str, str], ...]

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """Seeds that one ask of the search trains."""
        return self.study.search_seeds

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """Paired seeds that all cells share."""
        return self.study.confirm_seeds

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that have a cell."""
        return tuple({cell.arm.id: cell.arm for cell in self.cells}.values())

    @property
    def provisional(self) -> bool:
        """Whether some ids may still change."""
        return any(cell.template.provisional for cell in self.cells)

    @property
    def revision_digest(self) -> str:
        """SHA-256 (hex) of what the study asks for: its keys and local code."""
        return self.study.digest

    def cell(self, key: str) -> Cell:
        """The cell of a key.

        Raises:
            KeyError: this plan has no such cell.
        """
        return self._by_key[key]

    @cached_property
    def _by_key(self) -> Mapping[str, Cell]:
        return {cell.key: cell for cell in self.cells}

    def spec(self, cell: Cell, values: Mapping[str, Json], seed: int, stage: Stage) -> TrialSpec:
        """The trial of a cell at nuisance values, a seed and a stage.

        Args:
            cell: one of this plan.
            values: nuisance -> value, for every entry of the cell's space.
            seed: base of every random stream.
            stage: search or confirm.

        Raises:
            ValueError: `values` are not those of the cell's space.
        """
        if set(values) != set(cell.space):
            raise ValueError(f"{cell.name} takes {sorted(cell.space)}, but got {sorted(values)}")
        if not values:
            return cell.template.with_seed(seed, stage)
        return _with_values(self.study, cell, values).with_seed(seed, stage)

    def specs(self, cell: Cell, values: Mapping[str, Json], stage: Stage) -> tuple[TrialSpec, ...]:
        """The trials of a cell at nuisance values, one for each seed of a stage.

        Those that confirm are made once, and keep their ids: whoever shows or tracks a study asks
        for all of them again and again, and to hash a recipe takes longer than all else about it.
        """
        seeds = self.search_seeds if stage == "search" else self.confirm_seeds
        key = (cell.key, canonical_json(dict(values)))
        made = self._confirming.get(key) if stage == "confirm" else None
        if made is None:
            first = self.spec(cell, values, 0, stage)
            made = tuple(first.with_seed(seed, stage) for seed in seeds)
        if stage == "confirm":
            self._confirming[key] = made
        return made

    @cached_property
    def _confirming(self) -> dict[tuple[str, str], tuple[TrialSpec, ...]]:
        return {}

    def num_asks(self, cell: Cell) -> int:
        """How many sets of nuisance values the search of a cell tries, at most."""
        tune = self.study.tune
        if tune is None or not cell.space:
            return 0
        size = spaces.size(cell.space) if tune.sampler.name in ("grid", "brute_force") else None
        return tune.budget.trials if size is None else min(size, tune.budget.trials)

    @cached_property
    def counts(self) -> Counts:
        """Numbers of trials by stage."""
        top = self.study.confirm.top
        confirmed = sum(min(top, self.num_asks(c)) if c.space else 1 for c in self.cells)
        return Counts(
            search=sum(map(self.num_asks, self.cells)) * len(self.search_seeds),
            confirm=confirmed * len(self.confirm_seeds),
        )

    @property
    def num_trials(self) -> int:
        """Trials of both stages, at most."""
        return self.counts.total

    def violated(self, cell: Cell, values: Mapping[str, Json]) -> str | None:
        """What nuisance values break: the first of `tune.constraints`, or a rule of the method.

        Args:
            cell: one of this plan.
            values: nuisance -> value.
        """
        tune = self.study.tune
        known = {**cell.values, **values}
        for text in () if tune is None else tune.constraints:
            if Expression.parse(text).holds(known) is False:
                return text
        fields = {name: known[name] for name in cell.arm.fields}
        return self.study.methods.invalid(cell.arm.method, fields)

    def to_json(self) -> dict[str, Json]:
        """The content of `plan.json`."""
        return {
            "schema": 1,
            "study": self.study.name,
            "revision": self.revision_digest,
            "provisional": self.provisional,
            "arms": [_arm_json(arm) for arm in self.arms],
            "cells": [_cell_json(cell) for cell in self.cells],
            "comparisons": [plain(asdict(item)) for item in self.comparisons],
            "claims": [plain(asdict(item)) for item in self.claims],
            "excluded": [{"cell": cell, "reason": reason} for cell, reason in self.excluded],
            "search_seeds": list(self.search_seeds),
            "confirm_seeds": list(self.confirm_seeds),
            "num_trials": {"search": self.counts.search, "confirm": self.counts.confirm},
        }


def plan(
    study: Study,
    *,
    data: Mapping[str, Resolved] | None = None,
    backbones: Mapping[str, str | None] | None = None,
) -> Plan:
    """Resolve a study to cells, trials and tests.

    Args:
        study: the checked study.
        data: task name -> digest of its data and the splits that `auto` means for it; what is
            missing stays provisional.
        backbones: backbone name -> its digest.

    Raises:
        UserError: everything is excluded, or a claim cannot be resolved to cells.
    """
    cells: list[Cell] = []
    excluded: list[tuple[str, str]] = []
    rules = [(text, Expression.parse(text)) for text in study.keys.exclude]
    for task in study.tasks:
        for backbone in study.backbones:
            digest_of_backbone = (backbones or {}).get(backbone.name)
            for arm in study.arms:
                resolved = (data or {}).get(task.name, (None, None))
                cell = _cell(study, arm, task, backbone, resolved, digest_of_backbone)
                reason = _reason(study, cell, rules)
                if reason is None:
                    cells.append(cell)
                else:
                    excluded.append((cell.name, reason))
    if not cells:
        raise UserError("every combination of arm, task and backbone is excluded")
    comparisons, claims = compile_claims(study, cells)
    return Plan(study, tuple(cells), comparisons, claims, tuple(excluded))


def _cell(
    study: Study,
    arm: Arm,
    task: Reference,
    backbone: Reference,
    resolved: Resolved,
    backbone_digest: str | None,
) -> Cell:
    template = TrialSpec(
        task=task.name,
        data_digest=resolved[0],
        backbone=backbone.name,
        backbone_digest=backbone_digest,
        method=arm.method,
        hyperparameters=catalogue.identifying(study.methods.fields(arm.method), arm.fields),
        targets=study.targets if arm.targets is None else arm.targets,
        recipe=recipe.build(recipe_values(study.keys, arm, task, backbone)),
        splits=study.splits or resolved[1] or Splits(),
        seed=0,
        stage="confirm",
        code=_code(study, arm, task),
    )
    tune = study.tune
    entries = {} if tune is None else tune.space
    space = spaces.space_of(entries, arm, task, backbone, study.methods)
    key = _key(study, template, space)
    return Cell(key, task.name, backbone.name, arm, template, space)


def _code(study: Study, arm: Arm, task: Reference) -> dict[str, str]:
    """The local files that a trial uses: those of its method, its task and its metrics.

    A file that registers nothing may be used by any other, so every trial has it.
    """
    result = {}
    for item in study.code:
        registered = study.registers.get(item.name, ())
        used = {arm.method, task.name} & set(registered) or item.name in task.local_code
        if used or not registered:
            result[item.name] = item.digest
    return result


def _key(study: Study, template: TrialSpec, space: Space) -> str:
    tune = study.tune
    if tune is None or not space:
        return digest({"template": template.content()})
    return digest(
        {
            "template": template.content(),
            "space": space,
            "sampler": tune.sampler.model_dump(),
            "pruner": tune.pruner.model_dump(),
            "constraints": list(tune.constraints),
            "parallel": tune.parallel,
            "seeds": tune.seeds,
        }
    )


def _reason(study: Study, cell: Cell, rules: Sequence[tuple[str, Expression]]) -> str | None:
    """Why a cell is left out, or None."""
    constraints = () if study.tune is None else study.tune.constraints
    if not rules and not constraints:
        return None
    values = cell.values
    for index, (text, rule) in enumerate(rules):
        if rule.holds(values):
            return f"exclude[{index}]: {text}"
    for index, text in enumerate(constraints):
        rule = Expression.parse(text)
        if not rule.names & set(cell.space) and rule.holds(values) is False:
            return f"tune.constraints[{index}] does not hold: {text}"
    return None


def _with_values(study: Study, cell: Cell, values: Mapping[str, Json]) -> TrialSpec:
    arm, methods = cell.arm, study.methods
    known = methods.fields(arm.method)
    typed = {n: spaces.canonical(n, v, arm.method, methods) for n, v in values.items()}
    fields = {**cell.template.hyperparameters, **{n: v for n, v in typed.items() if n in known}}
    own = recipe.flat_recipe(cell.template.recipe)
    changed = recipe.merged(own, {n: v for n, v in typed.items() if n not in known})
    return replace(cell.template, hyperparameters=fields, recipe=recipe.build(changed))


def _arm_json(arm: Arm) -> dict[str, Json]:
    return {
        "id": arm.id,
        "label": arm.label,
        "method": arm.method,
        "fields": plain(arm.fields),
        "typed": plain(arm.typed),
    }


def _cell_json(cell: Cell) -> dict[str, Json]:
    return {
        "key": cell.key,
        "task": cell.task,
        "backbone": cell.backbone,
        "arm": cell.arm.id,
        "template": cell.template.to_json(),
        "space": cell.space,
    }
