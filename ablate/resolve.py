"""What a study refers to, found on this machine or the hub; specs turned into assignments."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ablate.plan import Plan, plan
from ablate.profile import Profile
from ablate.store import StudyFolder
from ablate.study import Study
from ablate.tally import TaskFacts
from trials import backbones, catalogue
from trials.backbones import has_configuration
from trials.errors import Problem, UserError
from trials.families import WRITE_NOT, Family
from trials.methods.base import Method
from trials.places import Assignment, Places
from trials.sites import has_targets
from trials.spec import Splits, TrialSpec
from trials.tasks import metrics
from trials.tasks.base import Definition, Task
from trials.tasks.locate import definition_of, is_here
from trials.tasks.locate import load as load_task
from trials.tasks.metrics import grid_step


@dataclass(frozen=True)
class Resolved:
    """A study's plan with what its references turned out to be.

    Attributes:
        plan: the plan; provisional where something is not at hand.
        places: where things are looked up.
        facts: of every task.
        tasks: by name, those that were loaded.
        unresolved: why, of each reference that is not at hand.
    """

    plan: Plan
    places: Places
    facts: Mapping[str, TaskFacts]
    tasks: Mapping[str, Task]
    unresolved: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of `plan.json`: the plan, and which data its tasks turned out to have."""
        data = {
            name: {"digest": task.digest, "origin": task.origin, "rows": dict(task.num_examples)}
            for name, task in self.tasks.items()
        }
        return {**self.plan.to_json(), "data": data}


def resolve(study: Study, profile: Profile, *, hub: bool) -> Resolved:
    """Load the tasks and identify the backbones of a study.

    Args:
        study: the checked study.
        profile: roots of data and models.
        hub: whether what is not on this machine is fetched from the hub; when False, it stays
            unresolved and the plan provisional.

    Raises:
        UserError: everything that is missing or malformed, all at once.
    """
    places = Places(data=profile.data, models=profile.models, base=str(study.folder.resolve()))
    problems: list[Problem] = []
    unresolved: list[str] = []
    tasks: dict[str, Task] = {}
    digests: dict[str, str] = {}
    definitions: dict[str, Definition] = {}
    where: dict[str, Any] = {"roots": places.data_roots, "base": places.base_folder}
    for task in study.tasks:
        try:
            if not hub and not is_here(task.text, **where):
                definitions[task.name] = definition_of(task.text, base=places.base_folder)
                unresolved.append(f"task '{task.text}' is not on this machine")
                continue
            loaded = load_task(task.text, **where)
            tasks[task.name], definitions[task.name] = loaded, loaded.definition
            _resolve_splits(study, loaded)
        except UserError as error:
            problems += error.problems
    for backbone in study.backbones:
        try:
            local = backbones.find(backbone.text, places.model_roots, places.base_folder)
            if local is None and not hub:
                unresolved.append(f"backbone '{backbone.text}' is not on this machine")
                continue
            digests[backbone.name] = backbones.resolve(
                backbone.text, places.model_roots, places.base_folder
            )
        except UserError as error:
            problems += error.problems
    problems += _unwritten(study, definitions, places)
    if problems:
        raise UserError(*problems)
    data = {name: (task.digest, _resolve_splits(study, task)) for name, task in tasks.items()}
    made = plan(study, data=data, backbones=digests)
    facts = {name: task_facts(definition) for name, definition in definitions.items()}
    return Resolved(made, places, facts, tasks, tuple(unresolved))


def _unwritten(
    study: Study, definitions: Mapping[str, Definition], places: Places
) -> Iterator[Problem]:
    """What keeps texts from being written, or scored, where a task asks for them."""
    writing = [d for d in definitions.values() if d.head.reads == "words"]
    for definition in writing:
        try:
            metrics.require(definition.metrics)
        except UserError as error:
            yield from error.problems
    for backbone in study.backbones if writing else ():
        with suppress(UserError):  # What cannot be found has been told.
            folder = backbones.find(backbone.text, places.model_roots, places.base_folder)
            if folder is not None and not backbones.family_in(folder).writes:
                asked = f"task '{writing[0].name}' asks backbone '{backbone.text}' for a text, but"
                yield Problem(f"{asked} {WRITE_NOT}")


def _resolve_splits(study: Study, task: Task) -> Splits:
    keys = study.keys.split
    chosen = "auto" if keys is None else {"search": keys.search, "report": keys.report}
    splits = task.resolve_splits(chosen)
    task.rows("train", splits)
    return splits


def task_facts(definition: Definition) -> TaskFacts:
    """What scores mean on a task."""
    return TaskFacts(
        primary=definition.primary,
        direction=definition.direction,
        directions={
            name: metrics.find(name, definition.kind).direction or "higher"
            for name in definition.metrics
        }
        | {definition.primary: definition.direction},
        head=definition.head,
        grid={name: grid_step(name, 100) is not None for name in definition.metrics},
    )


def assignment(
    resolved: Resolved, folder: StudyFolder, device: str, threads: int, spec: TrialSpec
) -> Assignment:
    """Add places, code and folder to a spec."""
    study = resolved.plan.study
    task = next(t for t in study.tasks if t.name == spec.task)
    backbone = next(b for b in study.backbones if b.name == spec.backbone)
    return Assignment(
        spec=spec,
        task=task.text,
        backbone=backbone.text,
        places=resolved.places,
        folder=str(folder.trial(spec.id)),
        reads=resolved.facts[spec.task].head.reads,
        source=None if spec.source is None else str(folder.trial(spec.source)),
        code=study.code,
        device=device,
        threads=threads,
    )


def require_heads(resolved: Resolved) -> None:
    """Prove before anything runs that a head is there wherever it is to be kept as it is.

    What a checkpoint of the hub holds is seen when it is loaded.

    Raises:
        UserError: every backbone without a head to freeze.
    """
    places = resolved.places
    problems: dict[str, None] = {}
    references = {b.name: b.text for b in resolved.plan.study.backbones}
    for cell in resolved.plan.cells:
        if cell.template.recipe.head_start != "backbone":
            continue
        reference = references[cell.backbone]
        folder = backbones.find(reference, places.model_roots, places.base_folder)
        if folder is not None and backbones.lacks_head(folder, backbones.family_in(folder)):
            problems[
                f"train.head: freeze keeps the head of the backbone's checkpoint, but {reference} "
                "comes without one: train it, start_from a task that trains one, or name a "
                "backbone that was trained to classify"
            ] = None
    if problems:
        raise UserError(*problems)


Counts = tuple[int | None, int | None]
"""Trained numbers of a method and of a head; None where the backbone is not at hand."""


def require_targets(resolved: Resolved) -> None:
    """Prove before anything runs that every cell's targets exist.

    A method that stands where the targets say, and weights in a folder that have them by name,
    are proof enough; what is left is asked of a model, which takes seconds of imports.

    Raises:
        UserError: every target that matches no module of its backbone.
    """
    places = resolved.places
    weights: dict[str, tuple[Family, frozenset[str]]] = {}
    for backbone in resolved.plan.study.backbones:
        folder = backbones.find(backbone.text, places.model_roots, places.base_folder)
        if folder is not None:
            weights[backbone.name] = backbones.family_in(folder), backbones.weights_in(folder)
    for cell in resolved.plan.cells:
        method = catalogue.lookup("method", cell.arm.method)
        is_plain = getattr(method, "sites", None) is Method.sites
        known = weights.get(cell.backbone)
        proven = known is not None and has_targets(*known, cell.template.targets)
        if not (proven and is_plain and catalogue.packs(cell.arm.method)):
            check_targets(resolved)
            return


def check_targets(resolved: Resolved) -> dict[str, Counts]:
    """Prove that every cell's targets exist, and count what they train.

    Returns:
        Cell key -> trained numbers of the method, and of the head; None for a backbone that the
        plan could not resolve.

    Raises:
        UserError: every target that matches no module of its backbone.
    """
    from trials.training.counting import count

    problems: dict[str, None] = {}
    counts: dict[str, Counts] = {}
    references = {b.name: b.text for b in resolved.plan.study.backbones}
    roots, base = resolved.places.model_roots, resolved.places.base_folder
    for cell in resolved.plan.cells:
        reference = references[cell.backbone]
        unknown = cell.template.backbone_digest is None
        if unknown and not has_configuration(reference, roots, base):
            counts[cell.key] = (None, None)
            continue
        try:
            counts[cell.key] = count(
                reference,
                cell.arm.method,
                cell.template.hyperparameters,
                cell.template.targets,
                head=resolved.facts[cell.task].head,
                roots=roots,
                base=base,
            )
            if cell.template.recipe.head == "freeze":
                counts[cell.key] = (counts[cell.key][0], 0)
        except UserError as error:
            problems |= {f"{cell.backbone}: {problem}": None for problem in error.problems}
    if problems:
        raise UserError(*problems)
    return counts
