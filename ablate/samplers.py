"""Optuna's samplers and pruners by the names that studies use, with their options."""

import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ablate.quiet import quiet
from trials.errors import Problem, UserError, nearest
from trials.spec import Json

EXHAUSTIVE = frozenset({"grid", "brute_force"})
"""Samplers that try each combination of a finite space once and then end."""

LEARNING = frozenset({"tpe", "gp", "cmaes"})
"""Samplers that learn from asks which another search made."""

ONE_OBJECTIVE = frozenset({"cmaes"})
"""Samplers that cannot weigh several objectives."""

# One order of the whole space or one low-discrepancy sequence, which must not change over asks.
ONE_SEQUENCE = frozenset({"grid", "qmc"})


@dataclass(frozen=True)
class Factory:
    """A sampler or pruner of Optuna under the name that studies use.

    Attributes:
        kind: `sampler` or `pruner`.
        name: what a study writes.
        class_name: Optuna's class.
        defaults: options where our default is not Optuna's.
        needs: packages beyond Optuna.
    """

    kind: Literal["sampler", "pruner"]
    name: str
    class_name: str
    defaults: Mapping[str, Json] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def options(self) -> tuple[str, ...]:
        """The options that a study may give: all that a file can hold and we do not inject."""
        objects = ("Callable", "Base", "FrozenTrial")
        return tuple(
            name
            for name, item in inspect.signature(self._class()).parameters.items()
            if name not in ("seed", "search_space")
            and (name == "wrapped_pruner" or not any(o in str(item.annotation) for o in objects))
        )

    def build(self, options: Mapping[str, Json], **injected: Any) -> Any:
        """An object of Optuna's.

        Args:
            options: the study's, by keyword.
            injected: what is ours to say, such as the seed.

        Raises:
            UserError: an option is unknown, missing or out of range, or a package is missing.
        """
        valid = self.options()
        problems = [
            Problem(
                f"{self.kind} '{self.name}' has no option '{key}'{nearest(key, valid)}"
                f" (options: {', '.join(valid) or 'none'})",
                key=key,
            )
            for key in options
            if key not in valid
        ]
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        problems += [
            Problem(f"{self.kind} '{self.name}' needs the package '{n}': pip install {n}")
            for n in missing
        ]
        if problems:
            raise UserError(*problems)
        given = {**self.defaults, **options}
        if isinstance(given.get("wrapped_pruner"), Mapping):
            given["wrapped_pruner"] = build_pruner(given["wrapped_pruner"])
        try:
            with quiet():
                return self._class()(**given, **injected)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.kind} '{self.name}': {error}") from None

    def _class(self) -> Any:
        module = f"optuna.{self.kind}s"
        with quiet():
            return getattr(importlib.import_module(module), self.class_name)


def _table(kind: Literal["sampler", "pruner"], *rows: Factory) -> Mapping[str, Factory]:
    return MappingProxyType({row.name: row for row in rows if row.kind == kind})


SAMPLERS = _table(
    "sampler",
    # A liar scores running asks as bad ones; Optuna 5 turned it on. The study may, too.
    Factory("sampler", "tpe", "TPESampler", defaults={"constant_liar": False}),
    Factory("sampler", "random", "RandomSampler"),
    Factory("sampler", "grid", "GridSampler"),
    Factory("sampler", "brute_force", "BruteForceSampler"),
    Factory("sampler", "qmc", "QMCSampler", needs=("scipy",)),
    Factory("sampler", "gp", "GPSampler", needs=("scipy", "torch")),
    Factory("sampler", "cmaes", "CmaEsSampler", needs=("cmaes",)),
    Factory("sampler", "nsgaii", "NSGAIISampler"),
    Factory("sampler", "nsgaiii", "NSGAIIISampler"),
)
"""Samplers by name, with Optuna's own defaults (TPE draws its first 10 asks at random)."""

PRUNERS = _table(
    "pruner",
    Factory("pruner", "none", "NopPruner"),
    Factory("pruner", "median", "MedianPruner"),
    Factory("pruner", "percentile", "PercentilePruner"),
    Factory("pruner", "successive_halving", "SuccessiveHalvingPruner"),
    Factory("pruner", "hyperband", "HyperbandPruner"),
    Factory("pruner", "threshold", "ThresholdPruner"),
    Factory("pruner", "patient", "PatientPruner"),
    Factory("pruner", "wilcoxon", "WilcoxonPruner", needs=("scipy",)),
)
"""Pruners by name; `patient` takes another as `wrapped_pruner: {name: ...}`."""


def named(table: Mapping[str, Factory], given: Mapping[str, Json]) -> tuple[Factory, Json]:
    """The factory that a study names, and the options beside the name."""
    name = str(given.get("name"))
    if name not in table:
        kind = next(iter(table.values())).kind
        raise UserError(f"no {kind} called '{name}'{nearest(name, table)}")
    return table[name], {key: value for key, value in given.items() if key != "name"}


def build_pruner(given: Mapping[str, Json]) -> Any:
    """The pruner of `{"name": ...}` with its options."""
    factory, options = named(PRUNERS, given)
    return factory.build(options)


def check(
    sampler: Mapping[str, Json], pruner: Mapping[str, Json] | None, objectives: int, warm: bool
) -> str:
    """Whether a sampler and a pruner fit a search, but for the sampler's own options.

    Args:
        sampler, pruner: as `{"name": ...}` with options.
        objectives: how many scores an ask has.
        warm: whether an earlier search is told first.

    Returns:
        The sampler's name.

    Raises:
        UserError: the first thing that does not fit.
    """
    name = named(SAMPLERS, sampler)[0].name
    if pruner is not None:
        build_pruner(pruner)
        if objectives > 1 and pruner["name"] != "none":
            message = "compares one score; leave it out with several objectives"
            raise UserError(Problem(f"pruner '{pruner['name']}' {message}", key="pruner"))
    if objectives > 1 and name in ONE_OBJECTIVE:
        raise UserError(f"sampler '{name}' takes one objective, but there are {objectives}")
    if warm and name not in LEARNING:
        learning = ", ".join(sorted(LEARNING))
        raise UserError(f"sampler '{name}' learns nothing from an earlier study; {learning} do")
    return name
