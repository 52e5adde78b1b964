"""From the best configurations to a study that trains them again, trial for trial. Pure.

Each configuration becomes an arm that states what the search had chosen for it; nothing is tuned
any more. The arms meet only the tasks and backbones that they were chosen for. That the new study's
trials are those that were confirmed is checked here, by their specs, before anything is written.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate import plan as plans
from ablate import recipe
from ablate.cell import Cell
from ablate.cells import with_values
from ablate.frame import plain as told
from ablate.patterns import matches, plain
from ablate.plan import Plan
from ablate.sources import rebased
from ablate.study import Study
from trials.errors import UserError
from trials.spec import Json, TrialSpec, canonical_json

_SHARED = ("split", "targets", "confirm", "level", "margin", "keep", "reuse")
"""Keys that the new study takes from the first of the old ones."""

_MERGED = ("use", "tasks", "backbones")
_FOLLOWS = ("head_start", "start_from")
"""Of a recipe, what follows from its other keys, and what from the task."""


@dataclass(frozen=True)
class Origin:
    """A study that configurations come from.

    Attributes:
        keys: of its file, with every default filled in.
        folder: relative paths are taken from here.
    """

    keys: Mapping[str, Json]
    folder: Path


@dataclass
class _Arm:
    """An arm of the new study.

    Attributes:
        entry: as `arms` has it, without its label.
        label: unique in the new study.
        specs: what its trials are, at seed 0, by task and backbone.
    """

    entry: dict[str, Json]
    label: str
    specs: dict[tuple[str, str], TrialSpec] = field(default_factory=dict)


def distil(
    chosen: Sequence[Mapping[str, Any]], origins: Mapping[str, Origin], *, name: str, folder: Path
) -> dict[str, Json]:
    """The keys of a study that trains configurations again.

    Args:
        chosen: rows of `ablate.configurations`, in any order.
        origins: the studies that they come from.
        name: of the new study.
        folder: where its file will be.

    Returns:
        What its file says.

    Raises:
        UserError: a study does not have a configuration any more, or two of them cannot be in
            one study, and which key they differ in.
    """
    studies = {row["study"]: _planned(origins[row["study"]]) for row in chosen}
    arms = _arms(chosen, studies)
    used = {study.name: study for study in (p.study for p in studies.values())}
    keys = _keys(chosen, list(used.values()), origins, name=name, folder=folder)
    keys["train"] = _train(next(iter(arms[0].specs.values())))
    keys["overrides"] = _overrides(arms)
    for arm in arms:
        _state_all(arm, keys, folder)
    keys["arms"] = [{**arm.entry, "label": arm.label} for arm in arms]
    keys["exclude"] = _exclusions(arms)
    made = plans.plan(Study.from_dict(keys, folder=folder))
    _require_same(arms, made)
    keys["baselines"] = _baselines(list(used.values()), made)
    return {key: value for key, value in keys.items() if value not in ([], None)}


def _planned(origin: Origin) -> Plan:
    return plans.plan(Study.from_dict(origin.keys, folder=origin.folder))


def _arms(chosen: Sequence[Mapping[str, Any]], studies: Mapping[str, Plan]) -> list[_Arm]:
    """One for each method with its fields and recipe; it may have been chosen in several places."""
    found: dict[str, _Arm] = {}
    for row in chosen:
        made = studies[row["study"]]
        if not len(row["trials"]):
            raise UserError(f"{row['label']} on {row['task']} has no confirmed trials yet")
        cell = _cell(made, row)
        values = {key: _value(row, key, entry) for key, entry in cell.space.items()}
        spec = with_values(made.study, cell, values)
        entry = {"method": cell.arm.method, **cell.arm.typed, **_typed(spec, cell.space)}
        stated = {k: v for k, v in recipe.flat_recipe(spec.recipe).items() if k not in _FOLLOWS}
        same = canonical_json([entry, stated, plain(spec.targets)])
        arm = found.setdefault(same, _Arm(entry, cell.arm.label))
        arm.specs[cell.task, cell.backbone] = spec
    return _with_own_labels(list(found.values()))


def _cell(made: Plan, row: Mapping[str, Any]) -> Cell:
    wanted = (row["task"], row["backbone"], row["arm"])
    for cell in made.cells:
        if (cell.task, cell.backbone, cell.arm.id) == wanted:
            return cell
    raise UserError(f"study '{row['study']}' does not ask for {row['label']} any more")


def _value(row: Mapping[str, Any], name: str, entry: Mapping[str, Json]) -> Json:
    """A tuned value; one that is missing was chosen to be none, and a list is told as text."""
    value: Json = row.get(f"tune.{name}")
    lists = [choice for choice in entry.get("choices", ()) if isinstance(choice, list)]
    return next((choice for choice in lists if told(choice) == value), value)


def _typed(spec: TrialSpec, space: Iterable[str]) -> dict[str, Json]:
    """Tuned values as the spec has them."""
    flat = recipe.flat_recipe(spec.recipe)
    return {
        key: plain(spec.hyperparameters[key] if key in spec.hyperparameters else flat[key])
        for key in space
    }


def _with_own_labels(arms: list[_Arm]) -> list[_Arm]:
    """Labels made unique by where an arm was chosen, and by a number where that is not enough."""
    counts = Counter(arm.label for arm in arms)
    taken: set[str] = set()
    for arm in arms:
        task = next(iter(arm.specs))[0]
        wanted = f"{arm.label} for {task}" if counts[arm.label] > 1 else arm.label
        options = (wanted, *(f"{wanted} {number}" for number in range(2, len(arms) + 2)))
        arm.label = next(option for option in options if option not in taken)
        taken.add(arm.label)
    return arms


def _train(spec: TrialSpec) -> dict[str, Json]:
    """A whole recipe as `train` has it; what the other arms differ in they state themselves."""
    given: dict[str, Json] = plain(asdict(spec.recipe))
    return {
        key: value
        for key, value in given.items()
        if key not in _FOLLOWS and (value is not None or key == "clip")
    }


def _overrides(arms: Sequence[_Arm]) -> list[dict[str, Json]]:
    """Tasks whose trials start from the adapters of another."""
    starts = {task: spec.recipe.start_from for arm in arms for (task, _), spec in arm.specs.items()}
    return [
        {"when": {"task": task}, "train": {"start_from": {"task": source}}}
        for task, source in starts.items()
        if source is not None
    ]


def _keys(
    chosen: Sequence[Mapping[str, Any]],
    studies: Sequence[Study],
    origins: Mapping[str, Origin],
    *,
    name: str,
    folder: Path,
) -> dict[str, Any]:
    """The new study but for its arms."""
    first = studies[0].to_json()
    for other in studies[1:]:
        for key in ("confirm", "split"):
            if other.to_json()[key] != first[key]:
                raise UserError(
                    f"{key}: studies '{studies[0].name}' and '{other.name}' differ here, so one "
                    "study cannot train what was chosen from both; name one of them"
                )
    keys: dict[str, Any] = {
        "study": name,
        "question": "Do the best configurations of "
        f"{', '.join(study.name for study in studies)} score what they scored?",
        **{key: first[key] for key in _SHARED},
    }
    keys["confirm"] = {**first["confirm"], "top": 1}
    for key in _MERGED:
        keys[key] = []
    for study in studies:
        own = {**study.to_json(), **_places(study, chosen)}
        moved = rebased(own, origins[study.name].folder, folder)
        for key in _MERGED:
            keys[key] += [text for text in moved[key] if text not in keys[key]]
    return keys


def _places(study: Study, chosen: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The study's tasks and backbones that something was chosen for, as it writes them."""
    own = [row for row in chosen if row["study"] == study.name]
    return {
        key: [item.text for item in references if item.name in {row[column] for row in own}]
        for key, column, references in (
            ("tasks", "task", study.tasks),
            ("backbones", "backbone", study.backbones),
        )
    }


def _state_all(arm: _Arm, keys: Mapping[str, Any], folder: Path) -> None:
    """Let the arm say itself what the rest of the new study says otherwise."""
    alone = {**keys, "arms": [arm.entry], "exclude": []}
    made = plans.plan(Study.from_dict(alone, folder=folder))
    for cell in made.cells:
        spec = arm.specs.get((cell.task, cell.backbone))
        if spec is None:
            continue
        wanted = recipe.flat_recipe(spec.recipe)
        given = recipe.flat_recipe(cell.template.recipe)
        arm.entry |= {
            key: wanted[key]
            for key in recipe.RECIPE_NAMES
            if wanted[key] != given[key] and not (key in ("epochs", "steps") and not wanted[key])
        }
        if spec.targets != cell.template.targets:
            arm.entry["targets"] = plain(spec.targets)


def _exclusions(arms: Sequence[_Arm]) -> list[str]:
    """What keeps each arm to the places that it was chosen for."""
    every = {place for arm in arms for place in arm.specs}
    whole = {(task, backbone) for task, _ in every for _, backbone in every}
    return [
        f"label == {arm.label!r} and task == {task!r} and backbone == {backbone!r}"
        for arm in arms
        for task, backbone in sorted(whole - arm.specs.keys())
    ]


def _require_same(arms: Sequence[_Arm], made: Plan) -> None:
    """Every trial that was confirmed is one of the new study's.

    Raises:
        UserError: one is not, and in which key.
    """
    cells = {(cell.arm.label, cell.task, cell.backbone): cell for cell in made.cells}
    for arm in arms:
        for (task, backbone), spec in arm.specs.items():
            cell = cells[arm.label, task, backbone]
            # Which files are part of an id depends on what else a study uses; numbers do not.
            same = replace(cell.template, code=spec.code)
            if same.with_seed(0, "confirm").id != spec.id:
                raise UserError(
                    f"{arm.label} on {task}: {_difference(spec, cell.template)} is not that of the "
                    "other configurations, and no arm can state it; name one study, or --top 1"
                )


def _difference(one: TrialSpec, other: TrialSpec) -> str:
    """The first key of two specs that differs."""
    left, right = one.to_json(), other.to_json()
    for key in left:
        if left[key] != right.get(key):
            inner = left[key] if isinstance(left[key], Mapping) else {}
            parts = (part for part in inner if inner[part] != right[key].get(part))
            return next((f"{key}.{part}" for part in parts), key)
    return "the recipe"


def _baselines(studies: Sequence[Study], made: Plan) -> list[Json]:
    """The old studies' baselines that some of the new arms match, and some do not."""
    found: list[Json] = []
    for pattern in (pattern for study in studies for pattern in study.baselines):
        hits = [matches(pattern, arm.values()) for arm in made.arms]
        if any(hits) and not all(hits) and plain(pattern) not in found:
            found.append(plain(pattern))
    return found
