"""The keys of a study file, their types, ranges and defaults.

Every model is frozen and refuses keys that it does not know. What needs the catalogue, or several
sections at once, is checked in `ablate.checks`.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from ablate.section import Items, Pattern, Section
from ablate.seeds import Looks, Seeds
from ablate.tune_keys import Tune

MOST_CHARACTERS = 100
"""Of a study's name: it is a folder's, and an experiment's."""
MOST_DIGITS = 8


def _every(value: Any) -> str | int:
    if value == "epoch":
        return "epoch"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"must be epoch or a number of steps, but got {value!r}")
    return value


def _warmup(value: float) -> float:
    if value > 1 and value != int(value):
        raise ValueError(f"must be a share below 1 or a whole number of steps, but got {value}")
    return value


def _study_name(value: str) -> str:
    if "/" in value or "\\" in value:
        raise ValueError(
            f"must be a name of letters, digits, - and _, but {value!r} is a path; "
            "the store keeps a study in a folder of that name"
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value) or value.startswith("-"):
        raise ValueError(f"must consist of letters, digits, - and _, but got {value[:100]!r}")
    if len(value) > MOST_CHARACTERS:
        raise ValueError(f"must have at most {MOST_CHARACTERS} characters, but has {len(value)}")
    return value


def _refuse(message: str, *allowed: Any) -> BeforeValidator:
    """Refuse what a later version has, by name, rather than pass it over."""

    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(message)
        return value

    return BeforeValidator(check)


Probability = Annotated[float, Field(ge=0, lt=1)]
_EVERY_SCHEMA = WithJsonSchema({"anyOf": [{"const": "epoch"}, {"type": "integer", "minimum": 1}]})


class OptimizerKeys(Section):
    """`train.optimizer`."""

    name: Literal["adamw"] = "adamw"
    betas: Annotated[tuple[Probability, Probability], Field(strict=False)] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class ScheduleKeys(Section):
    """`train.schedule`."""

    name: Literal["linear", "cosine", "constant"] = "linear"
    warmup: Annotated[float, Field(ge=0), AfterValidator(_warmup)] = 0.0


class DropoutKeys(Section):
    """`train.dropout`."""

    backbone: Probability = 0.0
    adapter: Probability = 0.0
    attention: Probability = 0.0


class EvaluateKeys(Section):
    """`train.evaluate`."""

    every: Annotated[str | int, PlainValidator(_every), _EVERY_SCHEMA] = "epoch"
    select: Literal["best", "last"] = "best"


class StartFrom(Section):
    """`train.start_from`."""

    task: str


class Train(Section):
    """`train`: the recipe, as far as the file gives it; see `trials.spec.Recipe`."""

    epochs: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 16
    accumulate: Annotated[int, Field(ge=1)] = 1
    max_length: Annotated[int, Field(ge=1)] = 128
    optimizer: OptimizerKeys = OptimizerKeys()
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: ScheduleKeys = ScheduleKeys()
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    base_precision: Literal["same", "int8", "nf4"] = "same"
    dropout: DropoutKeys = DropoutKeys()
    label_smoothing: Probability = 0.0
    head: Literal["train", "freeze"] = "train"
    start_from: StartFrom | None = None
    gradient_checkpointing: bool = False
    evaluate: EvaluateKeys = EvaluateKeys()

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self


class Override(Section):
    """One entry of `overrides`."""

    when: Pattern
    train: Train = Train()
    fields: dict[str, Any] = Field(default={})


class Confirm(Section):
    """`confirm`: fresh paired seeds at full budget."""

    seeds: Seeds = 10
    top: Annotated[int, Field(ge=1)] = 1


class Race(Section):
    """`race`: fresh paired seeds, added in rounds until the claims are decided."""

    looks: Looks = (5, 8, 12, 18, 30)


class Costs(Section):
    """`variance.costs`: what each further one costs beside its runs, in runs."""

    initialisation: Annotated[float, Field(ge=0)] = 0.0
    order: Annotated[float, Field(ge=0)] = 0.0


class Variance(Section):
    """`variance`: initialisations crossed with data orders, each pair of them several times."""

    initialisations: Annotated[int, Field(ge=2)] = 5
    orders: Annotated[int, Field(ge=2)] = 5
    repeats: Annotated[int, Field(ge=1)] = 2
    when: Pattern = Field(default={})
    error: Annotated[float, Field(gt=0)] | None = None
    costs: Costs = Costs()


class SplitKeys(Section):
    """`split`, where it is not `auto`."""

    search: Literal["held_out", "validation", "test"] = "held_out"
    report: Literal["validation", "test"] = "validation"


class ClaimKeys(Section):
    """One entry of `claims`."""

    id: str
    kind: Literal["better", "worse", "equivalent", "different", "less_variable", "more_variable"]
    treatment: Pattern
    control: Pattern
    over: Literal["tasks"] | None = None
    task: str | None = None
    backbone: str | None = None
    by: Annotated[float, Field(ge=0)] = 0.0
    margin: Annotated[float, Field(gt=0)] | None = None
    pick: Literal["best_by_search"] | None = None


def _split(value: Any) -> SplitKeys | None:
    """None for `auto`; pydantic places the mistakes of a mapping."""
    return None if value == "auto" else value


class StudyKeys(Section):
    """The whole file."""

    study: Annotated[str, AfterValidator(_study_name)]
    question: str = ""
    extends: str | None = Field(default=None, exclude=True)
    use: Items[str] = ()
    tasks: Items[str]
    backbones: Items[str]
    targets: Any
    arms: Items[dict[str, Any]]
    baselines: Items[Pattern] = ()
    match: Items[str] | None = None
    exclude: Items[str] = ()
    train: Train
    overrides: Items[Override] = ()
    tune: Tune | None = None
    confirm: Confirm | None = Confirm()
    race: Race | None = None
    variance: Variance | None = None
    split: Annotated[SplitKeys | None, BeforeValidator(_split)] = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    margin: Annotated[float, Field(gt=0)] | None = None
    digits: Annotated[int, Field(ge=0, le=MOST_DIGITS)] | None = None
    claims: Items[ClaimKeys] = ()
    keep: Literal["best", "all", "none"] = "best"
    reuse: bool = True
