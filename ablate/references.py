"""What a study points at: tasks, backbones and local code, by name or by path."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.arm import Arm
from ablate.patterns import matches
from ablate.sources import is_path
from ablate.validation import Mistake
from trials import yaml
from trials.catalogue import LocalCode
from trials.errors import UserError, nearest
from trials.paths import is_plain_name, user_path

_HUB_ID = re.compile(r"[\w.+-]+(/[\w.+-]+)*")


@dataclass(frozen=True)
class Reference:
    """A task or backbone of a study.

    Attributes:
        text: as the user wrote it.
        name: as specs, frames and reports have it.
        folder: the folder, where it is one; None for a registered name or hub id.
        local_code: names of local files that a task's folder asks for.
    """

    text: str
    name: str
    folder: Path | None = None
    local_code: tuple[str, ...] = ()


def meets(when: Mapping[str, Any], arm: Arm, task: Reference, backbone: Reference) -> bool:
    """Whether a condition holds for an arm on a task and a backbone, each by name or as typed."""
    pattern = dict(when)
    for key, reference in (("task", task), ("backbone", backbone)):
        if key in pattern:
            wanted = pattern.pop(key)
            options = wanted if isinstance(wanted, list | tuple) else (wanted,)
            if reference.name not in options and reference.text not in options:
                return False
    return matches(pattern, arm.values())


def task_reference(text: str, folder: Path, known: Mapping[str, type]) -> Reference:
    """A registered task, or a folder that holds a `task.yaml`.

    Raises:
        UserError: there is no such task or folder.
    """
    if not is_path(text, "tasks"):
        if text not in known:
            hint = nearest(text, known)
            raise UserError(f"no task called '{text}'{hint} (a folder is written ./{text})")
        return Reference(text, text)
    place = user_path(text, folder)
    if not place.is_dir():
        raise UserError(f"there is no folder {place}")
    file = place / "task.yaml"
    if not file.is_file():
        raise UserError(f"the folder {place} has no task.yaml")
    value = yaml.load(file).value
    name = value.get("task") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or not name:
        raise UserError(f"{file} does not say `task: <name>`")
    return Reference(text, name, place, _local_metrics(value))


def _local_metrics(value: Mapping[str, object]) -> tuple[str, ...]:
    """Files of metrics written as `module.py:function`."""
    metrics = value.get("metrics")
    names = [*(metrics if isinstance(metrics, list) else ()), value.get("primary")]
    texts = [name for name in names if isinstance(name, str)]
    return tuple(dict.fromkeys(t.partition(":")[0] for t in texts if ".py:" in t))


def backbone_reference(text: str, folder: Path) -> Reference:
    """A hub id with or without `@revision`, or a folder.

    Raises:
        UserError: there is no such folder, or the text is no id.
    """
    if is_path(text, "backbones"):
        place = user_path(text, folder)
        if not place.is_dir():
            raise UserError(f"there is no folder {place}")
        return Reference(text, place.resolve().name, place)
    name, at, commit = text.partition("@")
    if not (_HUB_ID.fullmatch(name) and is_plain_name(name)) or (
        at and not _HUB_ID.fullmatch(commit)
    ):
        raise UserError(f"must be a hub id such as name or name@revision, but got {text!r}")
    return Reference(text, text)


def load_code(
    texts: Sequence[str], folder: Path
) -> tuple[tuple[LocalCode, ...], dict[str, tuple[str, ...]], list[Mistake]]:
    """Read and execute the local files of `use`.

    Returns:
        The files, what each registers by file name, and what is wrong.
    """
    code: dict[str, LocalCode] = {}
    registers: dict[str, tuple[str, ...]] = {}
    mistakes: list[Mistake] = []
    for index, text in enumerate(texts):
        try:
            item = LocalCode.read(user_path(text, folder))
            if item.name in code:
                raise UserError(f"two files are called {item.name}")
            registers[item.name] = item.load()
            code[item.name] = item
        except UserError as error:
            mistakes += [
                Mistake(("use", index), str(problem).removeprefix("use: "))
                for problem in error.problems
            ]
    return tuple(code.values()), registers, mistakes
