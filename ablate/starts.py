"""Which cells start from another task's adapter, and in which order they come."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from ablate.arm import Arm
from ablate.cell import Cell
from ablate.precedence import origin, recipe_values
from ablate.references import Reference
from ablate.schema import StudyKeys
from ablate.validation import Mistake, Path
from trials.errors import UserError, nearest
from trials.spec import digest


def start_of(
    keys: StudyKeys, arm: Arm, task: Reference, backbone: Reference, tasks: Sequence[Reference]
) -> str | None:
    """Name of the task whose adapter a cell starts from; None where it starts from the backbone."""
    text = recipe_values(keys, arm, task, backbone).get("start_from")
    return next((other.name for other in tasks if text in (other.name, other.text)), None)


def linked(cells: Sequence[Cell], first_seed: int) -> list[Cell]:
    """The cells with those that they start from, whose results are part of what fixes theirs.

    Args:
        cells: of one study.
        first_seed: of those that confirm: what is searched starts from the source's trial of it.

    Raises:
        UserError: the cell that one would start from is left out.
    """
    at = {(c.arm.id, c.backbone, c.task): c for c in cells}
    problems: dict[str, None] = {}

    def link(cell: Cell) -> Cell:
        start = cell.template.recipe.start_from
        if start is None:
            return cell
        source = at.get((cell.arm.id, cell.backbone, start))
        if source is None:
            problems[f"{cell.name} starts from its adapter on {start}, which is left out"] = None
            return cell
        before = link(source)
        seed = first_seed if cell.space else None
        key = digest({"cell": cell.key, "source": before.key, "seed": seed})
        return replace(cell, key=key, source=before.key)

    made = [link(cell) for cell in cells]
    if problems:
        raise UserError(*problems)
    return made


def in_order(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells, each after the one that it starts from, else as they are."""
    by_key = {cell.key: cell for cell in cells}
    placed: dict[str, Cell] = {}

    def place(cell: Cell) -> None:
        if cell.source is not None and cell.source not in placed:
            place(by_key[cell.source])
        placed.setdefault(cell.key, cell)

    for cell in cells:
        place(cell)
    return tuple(placed.values())


def mistakes(
    keys: StudyKeys,
    arms: Sequence[Arm],
    tasks: Sequence[Reference],
    backbones: Sequence[Reference],
) -> list[Mistake]:
    """Tasks that the study does not have, and cells that would wait for themselves."""
    found = list(_unknown(keys, tasks))
    if found:
        return found
    cycles: dict[frozenset[str], Mistake] = {}
    for arm, backbone in product(arms, backbones):
        starts = {task.name: start_of(keys, arm, task, backbone, tasks) for task in tasks}
        for task in tasks:
            cycle = _cycle(task.name, starts)
            if cycle and frozenset(cycle) not in cycles:
                path = (*origin(keys, arm, task, backbone, "start_from"), "task")
                cycles[frozenset(cycle)] = Mistake(path, _sentence(cycle))
    return list(cycles.values())


def _unknown(keys: StudyKeys, tasks: Sequence[Reference]) -> Iterator[Mistake]:
    given: list[tuple[Path, str]] = []
    if keys.train.start_from is not None:
        given.append((("train", "start_from", "task"), keys.train.start_from.task))
    for index, override in enumerate(keys.overrides):
        if override.train.start_from is not None:
            path: Path = ("overrides", index, "train", "start_from", "task")
            given.append((path, override.train.start_from.task))
    known = list(dict.fromkeys(text for task in tasks for text in (task.name, task.text)))
    for path, text in given:
        if text not in known:
            yield Mistake(path, f"no task of this study called '{text}'{nearest(text, known)}")


def _cycle(task: str, starts: dict[str, str | None]) -> list[str]:
    """The tasks from this one back to itself; empty where the way ends, or ends elsewhere."""
    way = [task]
    while (before := starts[way[-1]]) is not None:
        if before == task:
            return way
        if before in way:
            return []
        way.append(before)
    return []


def _sentence(cycle: Sequence[str]) -> str:
    if len(cycle) == 1:
        return (
            f"{cycle[0]} would start from its own adapter; give start_from to the other tasks "
            "alone, in overrides"
        )
    names = ", which starts from ".join([*cycle[1:], cycle[0]])
    return f"{cycle[0]} starts from {names}: none of them could be the first"
