"""From the entries of `arms` to arms: `{each: [...]}` multiplied out, every field checked."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ablate import recipe
from ablate.arm import Arm
from ablate.labels import Draft, label_mistakes, labelled, without_duplicates
from ablate.patterns import plain, words
from ablate.schema import MOST_CHARACTERS
from ablate.validation import Mistake, Path
from trials import catalogue
from trials.catalogue import Field
from trials.errors import UserError, nearest
from trials.spec import Json
from trials.targets import canonical_targets

MOST_VALUES = 1000
MOST_ARMS = 10_000
"""Of one entry: a few lines of `each` can stand for billions."""


@cache
def _fields(name: str, cls: type) -> Mapping[str, Field]:
    """By class, since a local file that was mended registers another under the same name."""
    return catalogue.method_fields(name)


@dataclass(frozen=True)
class Methods:
    """The methods that a study may use."""

    classes: Mapping[str, type]

    def fields(self, method: str) -> Mapping[str, Field]:
        """The hyperparameters of a method."""
        return _fields(method, self.classes[method])

    def invalid(self, method: str, values: Mapping[str, Json]) -> str | None:
        """What is wrong with a combination of values that are each allowed."""
        check: Callable[[Mapping[str, Json]], str | None] | None
        check = getattr(self.classes[method], "invalid", None)
        return None if check is None else check(values)

    def drops_input(self, method: str) -> bool:
        """Whether `dropout.adapter` reaches it."""
        cls = self.classes[method]
        return bool(getattr(cls, "packs", True) and getattr(cls, "drops_input", True))

    def unread(self, method: str, values: Mapping[str, Json]) -> dict[str, str]:
        """What a recipe says that a method would pass over, by flat name, and why it would.

        Args:
            method: registered name.
            values: the recipe, by flat name.
        """
        found = {}
        if values.get("dropout.adapter") and not self.drops_input(method):
            found["dropout.adapter"] = f"method '{method}' has no input of an update to drop"
        stored = values.get("base_precision", "same")
        if stored != "same" and not getattr(self.classes[method], "packs", True):
            changes = f"method '{method}' changes a copy of the backbone itself"
            found["base_precision"] = f"{changes}, which {stored} cannot take"
        return found

    def chooses_sites(self, method: str) -> bool:
        """Whether targets would change nothing."""
        return bool(getattr(self.classes[method], "chooses_sites", False))


def expand(
    entries: Sequence[Mapping[str, Any]], methods: Methods
) -> tuple[tuple[Arm, ...], list[Mistake], frozenset[int]]:
    """Every arm that the entries of `arms` stand for.

    Returns:
        The arms, what is wrong, and the positions of the entries that are wrong.
    """
    drafts: list[Draft] = []
    mistakes: list[Mistake] = []
    broken: set[int] = set()
    for index, entry in enumerate(entries):
        wrong = _entry_mistakes(index, entry, methods)
        if not wrong:
            found, wrong = _multiply(index, entry, methods)
            drafts += found
        if wrong:
            broken.add(index)
            mistakes += wrong
    drafts, wrong = without_duplicates(drafts)
    arms = labelled(drafts)
    return arms, mistakes + wrong + label_mistakes(arms), frozenset(broken)


def _is_each(value: Any) -> bool:
    return isinstance(value, Mapping) and "each" in value


def _entry_mistakes(index: int, entry: Mapping[str, Any], methods: Methods) -> list[Mistake]:
    """What is wrong with an entry before it is multiplied."""
    path: Path = ("arms", index)
    method = entry.get("method")
    if method is None:
        return [Mistake(path, f"needs a method{nearest('', methods.classes)}")]
    if not isinstance(method, str):
        return [Mistake((*path, "method"), f"must be the name of a method, but got {method!r}")]
    if method not in methods.classes:
        return [Mistake((*path, "method"), _unknown(method, methods))]
    mistakes = []
    label = entry.get("label")
    if label is not None and (not isinstance(label, str) or not label.strip()):
        mistakes.append(Mistake((*path, "label"), f"must be text, but got {label!r}"))
    elif label is not None and len(label) > MOST_CHARACTERS:
        message = f"must have at most {MOST_CHARACTERS} characters, but has {len(label)}"
        mistakes.append(Mistake((*path, "label"), message))
    known = methods.fields(method)
    for name, value in entry.items():
        if name in ("method", "label"):
            continue
        if name not in known and name not in recipe.RECIPE_NAMES and name != "targets":
            hint = nearest(name, [*known, "label"])
            message = f"method '{method}' has no field '{name}'{hint}"
            mistakes.append(Mistake((*path, name), message))
        elif name == "targets" and methods.chooses_sites(method):
            message = f"method '{method}' chooses itself what it adapts: leave targets out"
            mistakes.append(Mistake((*path, name), message))
        else:
            mistakes += _value_mistakes((*path, name), str(name), value, known)
    return mistakes


def _unknown(method: str, methods: Methods) -> str:
    """What to say of a method that there is not."""
    if method.startswith(catalogue.OF_PEFT):
        try:
            catalogue.lookup("method", method)
        except UserError as error:
            return str(error)
    return f"no method called '{method}'{nearest(method, methods.classes)}"


def _value_mistakes(path: Path, name: str, value: Any, known: Mapping[str, Field]) -> list[Mistake]:
    if not _is_each(value):
        return _one_value(path, name, value, known)
    mistakes = [
        Mistake((*path, key), f"unknown key '{key}' beside each") for key in value if key != "each"
    ]
    options = value["each"]
    if options == "all":
        if name not in known or known[name].subset_of is None:
            message = "each: all is for fields that hold a set of names; list the values"
            mistakes.append(Mistake(path, message))
        return mistakes
    if not isinstance(options, list | tuple) or not options:
        message = f"each needs a list of values, but got {options!r}"
        return [*mistakes, Mistake(path, message)]
    if len(options) > MOST_VALUES:
        message = f"each may have {MOST_VALUES} values at most, but has {len(options)}"
        return [*mistakes, Mistake(path, message)]
    for position, option in enumerate(options):
        mistakes += _one_value((*path, "each", position), name, option, known)
        if option in options[:position]:
            mistakes.append(Mistake((*path, "each", position), f"{option!r} is named twice"))
    return mistakes


def _one_value(path: Path, name: str, value: Any, known: Mapping[str, Field]) -> list[Mistake]:
    if name in known:
        wrong = known[name].check(value)
    elif name == "targets":
        return target_mistakes(path, value)
    else:
        wrong = recipe.wrong_value(name, value)
    return [] if wrong is None else [Mistake(path, wrong)]


def target_mistakes(path: Path, value: Any) -> list[Mistake]:
    """What is wrong with targets."""
    try:
        canonical_targets(value)
    except UserError as error:
        return [Mistake((*path, *_steps(p.key)), p.message) for p in error.problems]
    return []


def _steps(key: str | None) -> Path:
    """`modules[1]` as a path."""
    if not key:
        return ()
    name, _, index = key.partition("[")
    return (*((name,) if name else ()), *((int(index[:-1]),) if index else ()))


def _multiply(
    index: int, entry: Mapping[str, Any], methods: Methods
) -> tuple[list[Draft], list[Mistake]]:
    """The product of all `each`; the field that is typed last varies fastest."""
    method = entry["method"]
    known = methods.fields(method)
    given = {name: value for name, value in entry.items() if name not in ("method", "label")}
    options = [_options(name, value, known) for name, value in given.items()]
    multiplied = tuple(name for name, value in given.items() if _is_each(value))
    number = math.prod(map(len, options))
    if number > MOST_ARMS:
        much = f"stands for {number:,} arms, and an entry may for {MOST_ARMS:,} at most"
        return [], [Mistake(("arms", index), much)]
    drafts: list[Draft] = []
    wrong: dict[str, Mistake] = {}
    for values in itertools.product(*options):
        typed = dict(zip(given, values, strict=True))
        complete = {
            name: item.canonical(typed.get(name, item.default)) for name, item in known.items()
        }
        message = methods.invalid(method, complete)
        if message is not None:
            wrong[message] = Mistake(("arms", index), message)
            continue
        arm = _arm(index, entry, complete, _canonical(typed, known))
        drafts.append(Draft(arm, multiplied))
    return drafts, list(wrong.values())


def _options(name: str, value: Any, known: Mapping[str, Field]) -> Sequence[Any]:
    if not _is_each(value):
        return [value]
    if value["each"] != "all":
        return list(value["each"])
    names = known[name].subset_of or ()
    return [
        list(subset) for size in range(len(names)) for subset in itertools.combinations(names, size)
    ]


def _canonical(typed: Mapping[str, Any], known: Mapping[str, Field]) -> dict[str, Json]:
    """Typed values as they enter a spec, in the order of the method's file."""
    result: dict[str, Json] = {
        name: plain(item.canonical(typed[name])) for name, item in known.items() if name in typed
    }
    for name in (*recipe.RECIPE_NAMES, "targets"):
        if name in typed and name not in known:
            value = typed[name]
            result[name] = (
                plain(canonical_targets(value))
                if name == "targets"
                else recipe.canonical(name, value)
            )
    return result


def _arm(
    index: int,
    entry: Mapping[str, Any],
    complete: Mapping[str, Json],
    typed: Mapping[str, Json],
) -> Arm:
    method = entry["method"]
    parts = [method, *(f"{name}={words(value)}" for name, value in typed.items())]
    targets = canonical_targets(typed["targets"]) if "targets" in typed else None
    return Arm(
        id=" ".join(parts),
        label=entry.get("label") or "",
        method=method,
        fields=plain(complete),
        typed=typed,
        recipe={n: v for n, v in typed.items() if n not in complete and n != "targets"},
        targets=None if "targets" in complete else targets,
        index=index,
    )
