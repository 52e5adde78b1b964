"""What a study will run: cells, trials, and claims resolved to cells. Pure; runs nothing.

Data and backbones are resolved elsewhere and given as digests; until then trial ids are
provisional.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product

from ablate import constraints, starts
from ablate.arm import Arm
from ablate.cell import Cell
from ablate.cells import Resolved, make_cell, with_values
from ablate.claims import PlannedClaim, PlannedComparison, compile_claims
from ablate.combinations import size
from ablate.expressions import Expression
from ablate.patterns import plain
from ablate.references import meets
from ablate.study import Study
from trials.errors import UserError
from trials.spec import Json, Stage, TrialSpec, canonical_json

__all__ = ["Cell", "Plan", "PlannedClaim", "PlannedComparison", "plan"]


@dataclass(frozen=True)
class Counts:
    """Numbers of trials by stage, at most: a pruned or exhausted search, or a race, runs fewer."""

    search: int
    confirm: int
    variance: int = 0

    @property
    def total(self) -> int:
        """All stages."""
        return self.search + self.confirm + self.variance

    def to_json(self) -> dict[str, Json]:
        """By stage; the variance stage where there is one."""
        found = {"search": self.search, "confirm": self.confirm}
        return {**found, "variance": self.variance} if self.variance else found


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
        """Paired seeds that all cells share; as many as a race may come to."""
        return self.study.confirm_seeds

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds at which a race looks; empty where the number is fixed."""
        return () if self.study.race is None else self.study.race.looks

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

    def spec(
        self,
        cell: Cell,
        values: Mapping[str, Json],
        seed: int,
        stage: Stage,
        source: str | None = None,
    ) -> TrialSpec:
        """The trial of a cell at nuisance values, a seed and a stage.

        Args:
            cell: one of this plan.
            values: nuisance -> value, for every entry of the cell's space.
            seed: base of every random stream.
            stage: search or confirm.
            source: id of the trial that it starts from, where the cell has a source.

        Raises:
            ValueError: `values` are not those of the cell's space, or `source` is not as the cell.
        """
        if set(values) != set(cell.space):
            raise ValueError(f"{cell.name} takes {sorted(cell.space)}, but got {sorted(values)}")
        if (source is None) != (cell.source is None):
            raise ValueError(f"{cell.name} starts from {cell.source}, but got {source}")
        made = with_values(self.study, cell, values) if values else cell.template
        return made.with_seed(seed, stage).with_source(source)

    def specs(
        self, cell: Cell, values: Mapping[str, Json], stage: Stage, sources: Sequence[str] = ()
    ) -> tuple[TrialSpec, ...]:
        """The trials of a cell at nuisance values, one for each seed of a stage.

        Those that confirm are made once, and keep their ids: whoever shows or tracks a study asks
        for all of them again and again, and to hash a recipe takes longer than all else about it.

        Args:
            cell: one of this plan.
            values: nuisance -> value.
            stage: search or confirm.
            sources: where the cell has a source, the ids of its trials by the seeds that confirm.
                Each trial that confirms starts from the one of its seed; those that search have
                other seeds, and start from the first.
        """
        seeds = self.search_seeds if stage == "search" else self.confirm_seeds
        begin: Sequence[str | None] = sources if sources else [None] * len(seeds)
        if sources and stage == "search":
            begin = [sources[0]] * len(seeds)
        key = (cell.key, canonical_json(dict(values)), *sources)
        made = self._confirming.get(key) if stage == "confirm" else None
        if made is None:
            first = self.spec(cell, values, 0, stage, begin[0])
            pairs = zip(seeds, begin, strict=True)
            made = tuple(first.with_seed(seed, stage).with_source(source) for seed, source in pairs)
        if stage == "confirm":
            self._confirming[key] = made
        return made

    @cached_property
    def _confirming(self) -> dict[tuple[str, ...], tuple[TrialSpec, ...]]:
        return {}

    def luck(self, cell: Cell) -> tuple[tuple[int, int, int], ...]:
        """(initialisation, order, repeat) of a cell's variance stage; empty where it has none.

        Repeats come last, so that a stage that is stopped has pairs rather than repeats.
        """
        stage, study = self.study.variance, self.study
        if stage is None:
            return ()
        task, backbone = (
            next(reference for reference in references if reference.name == name)
            for references, name in ((study.tasks, cell.task), (study.backbones, cell.backbone))
        )
        if not meets(stage.when, cell.arm, task, backbone):
            return ()
        numbers = product(range(stage.repeats), range(stage.initialisations), range(stage.orders))
        return tuple((start, order, repeat) for repeat, start, order in numbers)

    def variance_specs(
        self, cell: Cell, values: Mapping[str, Json], sources: Sequence[str] = ()
    ) -> tuple[TrialSpec, ...]:
        """The trials of a cell's variance stage at nuisance values.

        Args:
            cell: one of this plan.
            values: nuisance -> value.
            sources: as for `specs`; all start from the first.
        """
        key = ("variance", cell.key, canonical_json(dict(values)), *sources)
        if key not in self._confirming:
            numbers = self.luck(cell)
            first = self.spec(cell, values, 0, "variance", next(iter(sources), None))
            self._confirming[key] = tuple(first.with_luck(*number) for number in numbers)
        return self._confirming[key]

    @cached_property
    def in_order(self) -> tuple[Cell, ...]:
        """The cells, each after the one that it starts from, else as they are."""
        return starts.in_order(self.cells)

    @cached_property
    def sources(self) -> frozenset[str]:
        """Keys of the cells that others start from."""
        return frozenset(cell.source for cell in self.cells if cell.source is not None)

    def num_asks(self, cell: Cell) -> int:
        """How many sets of nuisance values the search of a cell tries, at most."""
        tune = self.study.tune
        if tune is None or not cell.space:
            return 0
        if tune.sampler.name not in ("grid", "brute_force"):
            return tune.budget.most_asks
        number = size(cell.space)
        if number is None:
            return tune.budget.most_asks
        return min(number - len(self.infeasible(cell)), tune.budget.most_asks)

    @cached_property
    def counts(self) -> Counts:
        """Numbers of trials by stage."""
        top = self.study.confirm.top
        confirmed = sum(min(top, self.num_asks(c)) if c.space else 1 for c in self.cells)
        return Counts(
            search=sum(map(self.num_asks, self.cells)) * len(self.search_seeds),
            confirm=confirmed * len(self.confirm_seeds),
            variance=sum(len(self.luck(cell)) for cell in self.cells),
        )

    @property
    def num_trials(self) -> int:
        """Trials of all stages, at most."""
        return self.counts.total

    def violated(self, cell: Cell, values: Mapping[str, Json]) -> str | None:
        """What nuisance values break: the first of `tune.constraints`, or a rule of the method.

        Args:
            cell: one of this plan.
            values: nuisance -> value.
        """
        return constraints.violated(self.study, cell, values)

    def hopeless(self, cell: Cell) -> bool:
        """Whether no combination of a cell's nuisance values may be tried."""
        found = self.infeasible(cell)
        return bool(found) and len(found) == size(cell.space)

    def infeasible(self, cell: Cell) -> constraints.Infeasible:
        """Combinations of a cell's nuisance values that are never tried, and why."""
        if cell.key not in self._infeasible:
            self._infeasible[cell.key] = constraints.infeasible(self.study, cell)
        return self._infeasible[cell.key]

    @cached_property
    def _infeasible(self) -> dict[str, constraints.Infeasible]:
        return {}

    @property
    def measured(self) -> tuple[str, ...]:
        """The keys of `tune` by which a search may ask other values when it is repeated."""
        return () if self.study.tune is None else self.study.tune.measured

    @property
    def warm_start(self) -> str | None:
        """The study whose asks are told first."""
        return None if self.study.tune is None else self.study.tune.warm_start

    def to_json(self) -> dict[str, Json]:
        """The content of `plan.json`."""
        return {
            "schema": 1,
            "study": self.study.name,
            "revision": self.revision_digest,
            "provisional": self.provisional,
            "arms": [arm.to_json() for arm in self.arms],
            "cells": [cell.to_json() for cell in self.cells],
            "comparisons": [plain(asdict(item)) for item in self.comparisons],
            "claims": [plain(asdict(item)) for item in self.claims],
            "excluded": [{"cell": cell, "reason": reason} for cell, reason in self.excluded],
            "infeasible": [
                {"cell": cell.name, "values": dict(values), "reason": reason}
                for cell in self.cells
                for values, reason in self.infeasible(cell)
            ],
            "measured": list(self.measured),
            "search_seeds": list(self.search_seeds),
            "confirm_seeds": list(self.confirm_seeds),
            "looks": list(self.looks),
            "num_trials": self.counts.to_json(),
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
        UserError: everything is excluded, a cell would start from one that is, or a claim cannot
            be resolved to cells.
    """
    cells: list[Cell] = []
    excluded: list[tuple[str, str]] = []
    rules = [(text, Expression.parse(text)) for text in study.keys.exclude]
    for task in study.tasks:
        for backbone in study.backbones:
            digest_of_backbone = (backbones or {}).get(backbone.name)
            for arm in study.arms:
                resolved = (data or {}).get(task.name, (None, None))
                cell = make_cell(study, arm, task, backbone, resolved, digest_of_backbone)
                reason = _reason(study, cell, rules)
                if reason is None:
                    cells.append(cell)
                else:
                    excluded.append((cell.name, reason))
    if not cells:
        raise UserError("every combination of arm, task and backbone is excluded")
    made = Plan(study, tuple(cells), (), (), tuple(excluded))
    nothing = [cell for cell in cells if made.hopeless(cell)]
    cells = [cell for cell in cells if cell not in nothing]
    excluded += [(c.name, f"no values of its nuisances hold: {made.infeasible(c)[0][1]}")
                 for c in nothing]  # fmt: skip
    if not cells:
        raise UserError("every combination of arm, task and backbone is excluded")
    cells = starts.linked(cells, study.confirm_seeds[0])
    comparisons, claims = compile_claims(study, cells)
    return Plan(study, tuple(cells), comparisons, claims, tuple(excluded))


def _reason(study: Study, cell: Cell, rules: Sequence[tuple[str, Expression]]) -> str | None:
    """Why a cell is left out, or None."""
    must_hold = () if study.tune is None else study.tune.constraints
    if not rules and not must_hold:
        return None
    values = cell.values
    for index, (text, rule) in enumerate(rules):
        if rule.holds(values):
            return f"exclude[{index}]: {text}"
    for index, text in enumerate(must_hold):
        rule = Expression.parse(text)
        if not rule.names & set(cell.space) and rule.holds(values) is False:
            return f"tune.constraints[{index}] does not hold: {text}"
    return None
