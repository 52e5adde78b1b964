"""What methods and tasks there are and which fields they take, read without importing torch.

The folder is the list: every file of `trials/methods` and `trials/tasks` registers what it holds,
as do a user's own files and the entry points of installed packages. Method files import torch
inside their functions (through `trials.methods.initialisers`), so that this stays quick.
"""

import functools
import hashlib
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from trials.errors import Problem, UserError, nearest

Kind = Literal["method", "task"]
T = TypeVar("T")

OF_PEFT = "peft."
"""How the name of a method starts that is a configuration of the `peft` library."""

_registry: dict[Kind, dict[str, type]] = {"method": {}, "task": {}}
_local: dict[str, ModuleType] = {}
"""Name of a local file -> the version of it that was loaded last."""


@dataclass(frozen=True)
class Field:
    """One hyperparameter of a method: what it is and what it may be.

    Attributes:
        name: the key in a study.
        default: value when the study is silent.
        low, high: inclusive bounds; None where there is none.
        choices: the allowed values; None for any.
        subset_of: for a list: the names it may hold, in canonical order.
        optional: whether null is allowed.
        free: whether any plain value is, where the default is null; its owner checks it.
        later: whether ids of trials had been given out before the method got it; see `recorded`.
        help: one line for people.
    """

    name: str
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    subset_of: tuple[str, ...] | None = None
    optional: bool = False
    free: bool = False
    later: bool = False
    help: str = ""

    def check(self, value: Any) -> str | None:
        """Say what is wrong with a value, or None when it is allowed."""
        if self.kind == "any":
            return None
        if value is None:
            return None if self.optional else "must not be null"
        if self.choices is not None:
            if value in self.choices and type(value) is type(self.choices[0]):
                return None
            return f"must be one of {_listed(self.choices)}, but got {value!r}" + _maybe(
                value, self.choices
            )
        if self.subset_of is not None:
            return self._check_subset(value)
        return self._check_scalar(value)

    def _check_subset(self, value: Any) -> str | None:
        names = self.subset_of or ()
        if not isinstance(value, list | tuple):
            return f"must be a list of names from {_listed(names)}, but got {value!r}"
        wrong = [v for v in value if v not in names]
        if wrong:
            return f"holds {wrong[0]!r}{nearest(wrong[0], names)}"
        if len(set(value)) < len(value):
            return f"names something twice: {value!r}"
        if len(value) == len(names):
            return f"must leave at least one of {_listed(names)} out"
        return None

    def _check_scalar(self, value: Any) -> str | None:
        expected = self.kind
        if expected == "bool":
            return None if isinstance(value, bool) else f"must be true or false, but got {value!r}"
        if expected == "str":
            return None if isinstance(value, str) else f"must be text, but got {value!r}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number, but got {value!r}"
        if expected == "int" and not isinstance(value, int):
            return f"must be a whole number, but got {value!r}"
        if value != value or abs(value) > sys.float_info.max:
            return f"must be finite, but got {str(value)[:40]}"
        if self.low is not None and value < self.low:
            return f"must be at least {self.low}, but got {value!r}"
        if self.high is not None and value > self.high:
            return f"must be at most {self.high}, but got {value!r}"
        return None

    @property
    def kind(self) -> str:
        """`int`, `float`, `bool`, `str`, `list` or `any`."""
        if self.free and self.default is None:
            return "any"
        if self.subset_of is not None:
            return "list"
        sample = self.default
        if sample is None:
            return "int" if isinstance(self.low, int) else "float"
        return type(sample).__name__

    def canonical(self, value: Any) -> Any:
        """The value as it enters a spec: lists in canonical order, numbers in the field's type."""
        if value is None:
            return None
        if self.subset_of is not None:
            return [name for name in self.subset_of if name in value]
        if self.kind == "float" and self.choices is None:
            return float(value)
        return value


def hyper(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
    subset_of: Sequence[str] | None = None,
    optional: bool = False,
    free: bool = False,
    later: bool = False,
    help: str = "",
) -> Any:
    """Declare a hyperparameter of a method: a dataclass field that knows its range.

    Args:
        default: value when a study is silent; its type is the field's type.
        low, high: inclusive bounds of a number.
        choices: the allowed values.
        subset_of: for a list of names: the names, of which at least one must be left out.
        optional: whether null is allowed.
        free: whether any plain value is allowed where the default is null.
        later: whether trials without the field may have been run: where it has its default, a
            trial is the one that it was before (`recorded`).
        help: one line for `ablate list methods` and the generated documentation.
    """
    metadata = {
        "low": low,
        "high": high,
        "choices": None if choices is None else tuple(choices),
        "subset_of": None if subset_of is None else tuple(subset_of),
        "optional": optional or default is None,
        "free": free,
        "later": later,
        "help": help,
    }
    return field(default=default, metadata={"hyper": metadata})


def register(name: str, kind: Kind = "method") -> Callable[[type[T]], type[T]]:
    """Register a class of a method or task under the name that studies use."""

    def decorate(cls: type[T]) -> type[T]:
        known = _registry[kind].get(name)
        if known is not None and known.__module__ != cls.__module__:
            raise UserError(f"{kind} '{name}' of {cls.__module__} exists in {known.__module__}")
        _registry[kind][name] = cls
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return decorate


def methods(named: Sequence[str] = ()) -> Mapping[str, type]:
    """Every registered method class, by name.

    Args:
        named: names that may stand for a configuration of the `peft` library, `peft.` and its
            class; those that there are are registered.
    """
    _load_package("trials.methods")
    _load_entry_points("ablate.methods")
    for name in named:
        with suppress(UserError):
            _describe(name)
    return dict(sorted(_registry["method"].items()))


def _describe(name: str) -> None:
    """Register a configuration of the `peft` library, where a method's name is that of one."""
    if name.startswith(OF_PEFT) and name not in _registry["method"]:
        importlib.import_module("trials.methods.peft").describe(name)


def tasks() -> Mapping[str, type]:
    """Every registered task class, by name."""
    _load_package("trials.tasks")
    _load_entry_points("ablate.tasks")
    return dict(sorted(_registry["task"].items()))


def lookup(kind: Kind, name: str) -> type:
    """The class registered under a name.

    A method's name that starts with `peft.` is that of a configuration of that library.

    Raises:
        UserError: nothing is registered under that name; the nearest name is suggested.
    """
    if kind == "method":
        _describe(name)
    table = methods() if kind == "method" else tasks()
    if name not in table:
        raise UserError(f"no {kind} called '{name}'{nearest(name, table)}")
    return table[name]


def packs(method: str) -> bool:
    """Whether a method's trials share passes; it is taken to, as long as its code is not loaded."""
    if method.startswith(OF_PEFT):
        return False
    _load_package("trials.methods")
    _load_entry_points("ablate.methods")
    return bool(getattr(_registry["method"].get(method), "packs", True))


def method_fields(name: str) -> Mapping[str, Field]:
    """The hyperparameters of a registered method, by name, in the order of its file."""
    described = {}
    for item in fields(lookup("method", name)):
        if "hyper" in item.metadata:
            default = item.default
            if default is MISSING:
                raise UserError(f"method '{name}': field '{item.name}' needs a default")
            described[item.name] = Field(name=item.name, default=default, **item.metadata["hyper"])
    return described


def complete(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All hyperparameters of a method: the given ones checked, the rest by default.

    Raises:
        UserError: unknown keys and values out of range, all at once.
    """
    known = method_fields(name)
    problems = [
        Problem(f"method '{name}' has no field '{key}'{nearest(key, known)}", key=key)
        for key in given
        if key not in known
    ]
    for key, value in given.items():
        if key in known and (wrong := known[key].check(value)) is not None:
            problems.append(Problem(wrong, key=key))
    if problems:
        raise UserError(*problems)
    values = {key: given.get(key, item.default) for key, item in known.items()}
    values = {key: known[key].canonical(value) for key, value in values.items()}
    invalid = getattr(lookup("method", name), "invalid", None)
    if invalid is not None and (wrong := invalid(values)) is not None:
        raise UserError(Problem(wrong))
    return values


def recorded(known: Mapping[str, Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as they enter a spec: without later fields at their defaults.

    So a trial keeps the id that it had before its method got the field.

    Args:
        known: the method's fields.
        values: all of them in canonical form.
    """
    return {
        name: value
        for name, value in values.items()
        if not known[name].later or value != known[name].canonical(known[name].default)
    }


@dataclass(frozen=True)
class LocalCode:
    """A user's own source file, as it travels to workers: by content, not by path."""

    name: str
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the source."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @classmethod
    def read(cls, path: Path) -> "LocalCode":
        """Read a file named in a study's `use`."""
        try:
            return cls(name=path.name, source=path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"use: cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"use: {path} is not UTF-8 text") from None

    def load(self) -> tuple[str, ...]:
        """Execute the file once in this process; what it registers replaces an older version.

        Returns:
            The names of the methods and tasks that the file registers.
        """
        module_name = f"ablate_local_{self.digest[:16]}"
        if not _registered_by(module_name):
            _forget(self.name)
            module = ModuleType(module_name)
            module.__dict__["__ablate_file__"] = self.name
            sys.modules[module_name] = module
            try:
                exec(compile(self.source, self.name, "exec"), module.__dict__)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"{self.name}: {type(error).__name__}: {error}") from error
        _local[self.name] = sys.modules[module_name]
        return _registered_by(module_name)


def local_function(file: str, name: str) -> Callable[..., Any]:
    """A function of a local file that was loaded.

    Raises:
        UserError: no such file was loaded, or it has no such function.
    """
    if file not in _local:
        raise UserError(f"no file {file} is loaded; a study names it in `use`, a check by --use")
    module = _local[file]
    found = getattr(module, name, None)
    if not callable(found):
        functions = [key for key, value in vars(module).items() if callable(value)]
        raise UserError(f"{file} has no function '{name}'{nearest(name, functions)}")
    return found  # type: ignore[no-any-return]


def _forget(file_name: str) -> None:
    """Drop what an earlier version of the same local file had registered."""
    for table in _registry.values():
        for name, cls in list(table.items()):
            module = sys.modules.get(cls.__module__)
            if getattr(module, "__ablate_file__", None) == file_name:
                del table[name]


def _registered_by(module_name: str) -> tuple[str, ...]:
    return tuple(
        name
        for table in _registry.values()
        for name, cls in table.items()
        if cls.__module__ == module_name
    )


@functools.cache
def _load_package(package_name: str) -> None:
    package = importlib.import_module(package_name)
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package_name}.{info.name}")


@functools.cache
def _load_entry_points(group: str) -> None:
    for entry in importlib.metadata.entry_points(group=group):
        entry.load()


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(str(n) for n in names)


def _maybe(value: Any, choices: Sequence[Any]) -> str:
    hint = nearest(value, [str(c) for c in choices])
    return hint if hint.startswith("; did") else ""
