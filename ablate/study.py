"""A study: one question, one YAML file, checked whole before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ablate import checks
from ablate.arm import Arm, Targets
from ablate.arms import Methods, expand
from ablate.json_schema import json_schema
from ablate.references import Reference, backbone_reference, load_code, task_reference
from ablate.schema import (
    ClaimKeys,
    Confirm,
    Override,
    Race,
    StudyKeys,
    Train,
    Variance,
)
from ablate.section import Pattern
from ablate.seeds import FIRST_SEARCH_SEED
from ablate.sources import Source
from ablate.tune_keys import Tune
from ablate.validation import Mistake, read_keys
from ablate.validation import Path as KeyPath
from trials import catalogue
from trials.catalogue import LocalCode
from trials.errors import Problem, UserError
from trials.spec import Json, Splits, digest
from trials.targets import canonical_targets

__all__ = ["Study", "json_schema"]


@dataclass(frozen=True)
class Study:
    """A study file, checked; `Study.read` and `Study.from_dict` make one.

    Attributes:
        keys: every key with its default filled in.
        arms: what is compared, every `each` multiplied out.
        tasks: name and reference of each task.
        backbones: name and reference of each backbone.
        code: the local files of `use`.
        registers: name of a local file -> the methods and tasks that it registers.
        source: the files and texts that it was read from.
        methods: the methods that it may use, and their fields.
    """

    keys: StudyKeys
    arms: tuple[Arm, ...]
    tasks: tuple[Reference, ...]
    backbones: tuple[Reference, ...]
    code: tuple[LocalCode, ...]
    registers: Mapping[str, tuple[str, ...]]
    source: Source = field(repr=False)
    methods: Methods = field(repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Relative paths are taken from here."""
        return self.source.folder

    @property
    def file(self) -> str | None:
        """Path of the study's file; None for a study from Python."""
        return self.source.file

    @classmethod
    def read(cls, path: Path | str, overrides: Sequence[str] = ()) -> "Study":
        """Read and check a study's file.

        Args:
            path: the YAML file.
            overrides: `key=value` texts in the order of the command line.

        Raises:
            UserError: every mistake of the file, each with file, line and key.
        """
        return _checked(Source.read(Path(path), overrides))

    @classmethod
    def from_dict(
        cls, value: Mapping[str, Any], *, folder: Path | str = ".", overrides: Sequence[str] = ()
    ) -> "Study":
        """Check a study that Python wrote down.

        Args:
            value: the keys of a study file.
            folder: relative paths are taken from here.
            overrides: `key=value` texts.

        Raises:
            UserError: every mistake, each with its key.
        """
        return _checked(Source.of(value, Path(folder)).with_settings(overrides))

    @property
    def name(self) -> str:
        """The folder in the store and the experiment's name."""
        return self.keys.study

    @property
    def question(self) -> str:
        """What the study asks."""
        return self.keys.question

    @property
    def train(self) -> Train:
        """The recipe, as far as the file gives it."""
        return self.keys.train

    @property
    def overrides(self) -> tuple[Override, ...]:
        """Changes of the recipe where a condition holds."""
        return self.keys.overrides

    @property
    def tune(self) -> Tune | None:
        """The search stage; None where nothing is tuned."""
        return self.keys.tune

    @property
    def confirm(self) -> Confirm:
        """The confirm stage; its default where `race` stands in its place."""
        return self.keys.confirm or Confirm()

    @property
    def race(self) -> Race | None:
        """What the confirm stage is where seeds are added until the claims are decided."""
        return self.keys.race

    @property
    def variance(self) -> Variance | None:
        """The stage that takes luck apart; None where there is none."""
        return self.keys.variance

    @property
    def baselines(self) -> tuple[Pattern, ...]:
        """Arm patterns that every other arm is compared with."""
        return self.keys.baselines

    @property
    def claims(self) -> tuple[ClaimKeys, ...]:
        """What the study sets out to check."""
        return self.keys.claims

    @property
    def level(self) -> float:
        """Confidence of the intervals."""
        return self.keys.level

    @property
    def margin(self) -> float | None:
        """Largest difference that counts as none, in the metric's unit."""
        return self.keys.margin

    @property
    def digits(self) -> int | None:
        """Decimals of scores in the report's tables; None where their size says."""
        return self.keys.digits

    @property
    def keep(self) -> Literal["best", "all", "none"]:
        """Which adapters are kept."""
        return self.keys.keep

    @property
    def reuse(self) -> bool:
        """Whether trials of other studies in the same store may be used."""
        return self.keys.reuse

    @cached_property
    def targets(self) -> Targets:
        """What is adapted, in canonical form."""
        return canonical_targets(self.keys.targets)

    @property
    def splits(self) -> Splits | None:
        """The splits that the file names; None for `auto`, which depends on the data."""
        split = self.keys.split
        return None if split is None else Splits(search=split.search, report=split.report)

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """Seeds that the search's objective averages."""
        num_seeds = 0 if self.tune is None else self.tune.seeds
        return tuple(range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + num_seeds))

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """Seeds of the confirm stage, never used in search; those of a race, at most."""
        seeds = self.confirm.seeds if self.race is None else self.race.looks[-1]
        return tuple(range(seeds)) if isinstance(seeds, int) else seeds

    def problem(self, mistake: Mistake) -> Problem:
        """A mistake with the file and line where its key was written."""
        return self.source.problem(mistake)

    def to_json(self) -> dict[str, Json]:
        """Every key with its default filled in, as plain JSON; equal studies give equal values."""
        value = self.keys.model_dump(mode="json")
        if self.digits is None:  # Studies that were recorded before there was such a key are equal.
            del value["digits"]
        value["confirm"] = None if self.race else self.confirm.model_dump(mode="json")
        if self.variance is None:
            # A key of a later version: a study without it is the one that it was.
            del value["variance"]
        value["split"] = "auto" if self.keys.split is None else value["split"]
        # What an override leaves out has no default: it stays what it was.
        value["overrides"] = [
            override.model_dump(mode="json", exclude_unset=True) for override in self.overrides
        ]
        return value

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the keys and of the local code."""
        return digest([self.to_json(), {code.name: code.digest for code in self.code}])


def _checked(source: Source) -> Study:
    reading = read_keys(source.value)
    if reading.keys is None:
        raise UserError(*(source.problem(mistake) for mistake in reading.mistakes))
    study, found = _assemble(source, reading.keys)
    placed = [Mistake(reading.original(mistake.path), mistake.message) for mistake in found]
    mistakes = [*reading.mistakes, *(m for m in placed if not reading.explains(m.path))]
    if mistakes:
        problems = dict.fromkeys(source.problem(mistake) for mistake in mistakes)
        raise UserError(*sorted(problems, key=lambda p: (p.file or "", p.line or 0)))
    return study


def _assemble(source: Source, keys: StudyKeys) -> tuple[Study, list[Mistake]]:
    """The study as far as it can be built, and everything that is wrong with it."""
    folder = source.folder
    code, registers, mistakes = load_code(keys.use, folder)
    named = [entry.get("method") for entry in keys.arms]
    classes = _visible(catalogue.methods([n for n in named if isinstance(n, str)]), code)
    methods = Methods(classes)
    known_tasks = _visible(catalogue.tasks(), code)
    tasks, wrong_tasks = _references(
        "tasks", keys.tasks, lambda text: task_reference(text, folder, known_tasks)
    )
    backbones, wrong_backbones = _references(
        "backbones", keys.backbones, lambda text: backbone_reference(text, folder)
    )
    arms, wrong_arms, broken = expand(keys.arms, methods)
    mistakes = [*mistakes, *wrong_tasks, *wrong_backbones, *wrong_arms]
    context = checks.Context(
        keys=keys,
        arms=arms,
        broken=[keys.arms[index] for index in sorted(broken)],
        methods=methods,
        tasks=tasks,
        backbones=backbones,
        whole=not wrong_tasks and not wrong_backbones,
    )
    mistakes += checks.mistakes(context)
    study = Study(keys, arms, tasks, backbones, code, registers, source, methods)
    return study, mistakes


def _visible(classes: Mapping[str, type], code: Sequence[LocalCode]) -> dict[str, type]:
    """Without what local files of other studies registered earlier in this process."""
    own = {f"ablate_local_{item.digest[:16]}" for item in code}
    return {
        name: cls
        for name, cls in classes.items()
        if not cls.__module__.startswith("ablate_local_") or cls.__module__ in own
    }


def _references(
    key: str, texts: Sequence[str], resolve: Any
) -> tuple[tuple[Reference, ...], list[Mistake]]:
    """References with unique names."""
    found: dict[str, Reference] = {}
    mistakes: list[Mistake] = []
    if not texts:
        mistakes.append(Mistake((key,), "needs at least one entry"))
    for index, text in enumerate(texts):
        path: KeyPath = (key, index)
        try:
            reference = resolve(text)
        except UserError as error:
            mistakes += [Mistake(path, str(problem)) for problem in error.problems]
            continue
        if reference.name in found:
            mistakes.append(Mistake(path, f"'{reference.name}' is named twice"))
        found.setdefault(reference.name, reference)
    return tuple(found.values()), mistakes
