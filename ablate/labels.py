"""What people call an arm, and which arms are the same."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.arm import Arm
from ablate.patterns import plain, words
from ablate.validation import Mistake, Path
from trials.spec import Json, canonical_json

_SHORT: Mapping[str, str] = {"rank": "r"}
"""How a label names a field; the field's own abbreviations only."""


@dataclass(frozen=True)
class Draft:
    """An arm before its label, which depends on the others.

    Attributes:
        arm: its label is what the user typed, or empty.
        multiplied: the fields that `each` multiplied.
    """

    arm: Arm
    multiplied: tuple[str, ...]


def without_duplicates(drafts: Sequence[Draft]) -> tuple[list[Draft], list[Mistake]]:
    """The drafts without those that say the same as an earlier one, and these as mistakes."""
    first: dict[str, Arm] = {}
    left: list[Draft] = []
    mistakes: dict[Path, Mistake] = {}
    for draft in drafts:
        arm = draft.arm
        content = canonical_json([arm.method, arm.fields, arm.recipe, plain(arm.targets)])
        if content in first:
            other = first[content]
            message = f"is the same as arms[{other.index}]: {arm.id}"
            if arm.id != other.id:
                message += f" is {other.id}"
            path: Path = ("arms", arm.index)
            mistakes.setdefault(path, Mistake(path, message))
            continue
        first[content] = arm
        left.append(draft)
    return left, list(mistakes.values())


def labelled(drafts: Sequence[Draft]) -> tuple[Arm, ...]:
    """Every arm with its label; where short ones are not unique, the id serves."""
    differing = _differing([draft.arm for draft in drafts])
    arms = []
    for draft in drafts:
        arm, own = draft.arm, draft.arm.label
        names = draft.multiplied if own else [n for n in arm.typed if n in differing[arm.method]]
        parts = [own or arm.method, *(_phrase(n, arm.typed[n]) for n in names if n in arm.typed)]
        arms.append(replace(arm, label=" ".join(parts)))
    own_labels = [bool(draft.arm.label) for draft in drafts]
    counts: dict[str, int] = {}
    for arm in arms:
        counts[arm.label] = counts.get(arm.label, 0) + 1
    return tuple(
        replace(arm, label=arm.id) if counts[arm.label] > 1 and not own else arm
        for arm, own in zip(arms, own_labels, strict=True)
    )


def _differing(arms: Iterable[Arm]) -> Mapping[str, set[str]]:
    """Method -> typed fields that have more than one value, within it or over all methods."""
    seen: dict[str, set[str]] = {}
    methods_of: dict[str, set[str]] = {}
    for arm in arms:
        methods_of.setdefault(arm.method, set())
        for name, value in {**arm.fields, **arm.typed}.items():
            seen.setdefault(name, set()).add(canonical_json(value))
            methods_of[arm.method].add(name)
    return {
        method: {name for name in names if len(seen[name]) > 1}
        for method, names in methods_of.items()
    }


def _phrase(name: str, value: Json) -> str:
    if isinstance(value, str):
        return value
    short = _SHORT.get(name, name)
    if isinstance(value, list):
        return f"{short} {words(value)}"
    return f"{short}={words(value)}"


def label_mistakes(arms: Sequence[Arm]) -> list[Mistake]:
    """Labels that several arms have."""
    first: dict[str, Arm] = {}
    mistakes: dict[Path, Mistake] = {}
    for arm in arms:
        other = first.setdefault(arm.label, arm)
        if other is not arm:
            path: Path = ("arms", arm.index, "label")
            message = f"'{arm.label}' is the label of arms[{other.index}] too"
            mistakes.setdefault(path, Mistake(path, message))
    return list(mistakes.values())
