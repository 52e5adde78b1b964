"""From an arm, a task and a backbone of a study to the cell that they make, and its trials."""

from collections.abc import Mapping
from dataclasses import replace

from ablate import recipe, starts
from ablate import space as spaces
from ablate.arm import Arm
from ablate.cell import Cell
from ablate.precedence import field_values, recipe_values
from ablate.references import Reference
from ablate.space import Space
from ablate.study import Study
from ablate.tune_keys import PRIMARY, Tune
from trials import catalogue
from trials.spec import Json, Splits, TrialSpec, digest

Resolved = tuple[str | None, Splits | None]
"""Digest of a task's data, and the splits that `auto` means for it; None where not known yet."""


def make_cell(
    study: Study,
    arm: Arm,
    task: Reference,
    backbone: Reference,
    resolved: Resolved,
    backbone_digest: str | None,
) -> Cell:
    """The cell of an arm on a task and a backbone.

    Args:
        study: the checked study.
        arm, task, backbone: what makes the cell.
        resolved: what is known of the task's data.
        backbone_digest: None while it is not known.
    """
    values = recipe_values(study.keys, arm, task, backbone)
    values["start_from"] = starts.start_of(study.keys, arm, task, backbone, study.tasks)
    fields = field_values(study.keys, arm, task, backbone, study.methods)
    template = TrialSpec(
        task=task.name,
        data_digest=resolved[0],
        backbone=backbone.name,
        backbone_digest=backbone_digest,
        method=arm.method,
        hyperparameters=catalogue.recorded(study.methods.fields(arm.method), fields),
        targets=study.targets if arm.targets is None else arm.targets,
        recipe=recipe.build(values),
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
            **_later(tune),
        }
    )


def _later(tune: Tune) -> dict[str, Json]:
    """Keys of later versions, where they are given: without them a cell is the one it was."""
    found: dict[str, Json] = {}
    if tune.objectives != (PRIMARY,):
        found["objectives"] = list(tune.objectives)
    if tune.warm_start is not None:
        found["warm_start"] = tune.warm_start
    if tune.constraints:
        # They were asks once, and failed; a search under them is another one now.
        found["infeasible"] = "drawn again"
    return found


def with_values(study: Study, cell: Cell, values: Mapping[str, Json]) -> TrialSpec:
    """A cell's template with values of its nuisances, each as its field or recipe types it."""
    arm, methods = cell.arm, study.methods
    known = methods.fields(arm.method)
    typed = {n: spaces.canonical(n, v, arm.method, methods) for n, v in values.items()}
    given = {n: v for n, v in typed.items() if n in known}
    fields = {**arm.fields, **cell.template.hyperparameters, **given}
    own = recipe.flat_recipe(cell.template.recipe)
    changed = recipe.merged(own, {n: v for n, v in typed.items() if n not in known})
    recorded = catalogue.recorded(known, fields)
    return replace(cell.template, hyperparameters=recorded, recipe=recipe.build(changed))
