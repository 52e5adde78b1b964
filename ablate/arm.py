"""An arm: what a study compares."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.patterns import plain
from trials.spec import Json

Targets = tuple[str, ...] | dict[str, list[str]]
"""Canonical names, or `{"modules": [regular expressions]}`."""


@dataclass(frozen=True)
class Arm:
    """What is compared: a method with its fields.

    Attributes:
        id: method and typed fields, such as `mtlora structure=shim rank=8`; unique in a study.
        label: what people read.
        method: registered name.
        fields: every hyperparameter of the method, by name.
        typed: what the user typed, in canonical form: the factors.
        recipe: the typed fields that belong to the recipe, by flat name.
        targets: what is adapted, where the arm says so itself.
        index: position of its entry in the study's `arms`.
    """

    id: str
    label: str
    method: str
    fields: Mapping[str, Json]
    typed: Mapping[str, Json]
    recipe: Mapping[str, Json] = field(default_factory=dict)
    targets: Targets | None = None
    index: int = 0

    def values(self) -> dict[str, Json]:
        """Everything that a pattern or an expression may read of an arm, by name."""
        targets = {} if self.targets is None else {"targets": plain(self.targets)}
        return {
            **self.recipe, **self.fields, **targets, "method": self.method, "label": self.label,
        }  # fmt: skip

    def to_json(self) -> dict[str, Json]:
        """What `plan.json` keeps of it."""
        return {
            "id": self.id,
            "label": self.label,
            "method": self.method,
            "fields": plain(self.fields),
            "typed": plain(self.typed),
        }
