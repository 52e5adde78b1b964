"""The keys of a study file, their types, ranges and defaults.

Every model is frozen and refuses keys that it does not know. What needs the catalogue, or several
sections at once, is checked in `ablate.checks`.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from ablate.seeds import Looks, Seeds
from trials.spec import canonical_json

T = TypeVar("T")
Items = Annotated[tuple[T, ...], Field(strict=False)]
Pattern = dict[str, Any]
"""Field -> value, or a list of values; matches an arm that has one of them."""


def shown(value: Any) -> str:
    """A number as people type it in a study: `1e-4`, `0.05`, `16`."""
    if isinstance(value, float) and value and abs(value) <= 0.01:
        mantissa, exponent = f"{value:.6e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return str(value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, but got {value!r}")
    if value != value or abs(value) > sys.float_info.max:  # A whole number may be beyond it.
        raise ValueError(f"must be finite, but got {shown(value)[:40]}")
    return value


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
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise ValueError(f"must consist of letters, digits, - and _, but got {value!r}")
    return value


def _refuse(message: str, *allowed: Any) -> BeforeValidator:
    """Refuse what a later version has, by name, rather than pass it over."""

    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(message)
        return value

    return BeforeValidator(check)


def _not_fp16(value: Any) -> Any:
    if value == "fp16":
        raise ValueError("fp16 is not available in this version; expected fp32 or bf16")
    return value


Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema({"type": "number"})]
Probability = Annotated[float, Field(ge=0, lt=1)]
_EVERY_SCHEMA = WithJsonSchema({"anyOf": [{"const": "epoch"}, {"type": "integer", "minimum": 1}]})


class Section(BaseModel):
    """A mapping of a study file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


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
    precision: Annotated[
        Literal["fp32", "bf16"],
        BeforeValidator(_not_fp16),
    ] = "fp32"
    base_precision: Annotated[
        Literal["same"], _refuse("only 'same' is available in this version", "same")
    ] = "same"
    dropout: DropoutKeys = DropoutKeys()
    label_smoothing: Probability = 0.0
    head: Literal["train", "freeze"] = "train"
    start_from: Annotated[
        None, _refuse("start_from is not available in this version; leave it null", None)
    ] = None
    evaluate: EvaluateKeys = EvaluateKeys()

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self


class Override(Section):
    """One entry of `overrides`."""

    when: Pattern
    train: Train


class Distribution(Section):
    """One entry of `tune.space`: a range, or choices."""

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Number | None = None
    choices: Items[Any] | None = None
    when: Pattern = {}

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        ranged = self.low is not None or self.high is not None
        if ranged == (self.choices is not None):
            raise ValueError("needs either low and high, or choices")
        wrong = self._wrong_range() if ranged else _wrong_choices(self.choices or ())
        if wrong is not None:
            raise ValueError(wrong)
        if not ranged and (self.log or self.step is not None):
            raise ValueError("log and step belong to low and high, not to choices")
        return self

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        """Both ends of a range.

        Raises:
            ValueError: the entry has choices.
        """
        if self.low is None or self.high is None:
            raise ValueError("an entry with choices has no bounds")
        return self.low, self.high

    def _wrong_range(self) -> str | None:
        if self.low is None or self.high is None:
            return f"has {'high' if self.low is None else 'low'} but not the other bound"
        if self.low >= self.high:
            return f"low {shown(self.low)} must be below high {shown(self.high)}"
        if self.log and self.low <= 0:
            return f"log needs low above 0, but got {shown(self.low)}"
        if self.log and self.step is not None:
            return "log and step exclude each other"
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            return f"step {shown(self.step)} must be above 0 and fit between low and high"
        return None


def _wrong_choices(choices: Sequence[Any]) -> str | None:
    if not choices:
        return "choices is empty"
    for index, choice in enumerate(choices):
        if choice in choices[:index]:
            return f"choices holds {choice!r} twice"
    return None


def _budget(value: Any) -> Any:
    if isinstance(value, Mapping) and "gpu_seconds" in value:
        raise ValueError("gpu_seconds is not available in this version; use trials")
    return value


class Budget(Section):
    """`tune.budget`."""

    trials: Annotated[int, Field(ge=1)]


class Named(Section):
    """A sampler or pruner with options of its own."""

    model_config = ConfigDict(extra="allow")
    name: str

    @model_validator(mode="after")
    def _plain_options(self) -> Self:
        try:
            canonical_json(self.options)
        except (TypeError, ValueError):
            raise ValueError("an option must be plain and finite") from None
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class Sampler(Named):
    """`tune.sampler`; the options are the sampler's own."""

    name: Literal["tpe", "random", "grid", "qmc", "cmaes", "gp", "brute_force", "nsgaii"] = "tpe"


class Pruner(Named):
    """`tune.pruner`; the options are the pruner's own."""

    name: Literal[
        "none",
        "median",
        "percentile",
        "successive_halving",
        "hyperband",
        "threshold",
        "patient",
        "wilcoxon",
    ] = "none"


class Tune(Section):
    """`tune`: the search stage."""

    budget: Annotated[Budget, BeforeValidator(_budget)]
    parallel: Annotated[int, Field(ge=1)] = 4
    seeds: Annotated[int, Field(ge=1)] = 1
    space: dict[str, Distribution]
    constraints: Items[str] = ()
    sampler: Sampler = Sampler()
    pruner: Pruner = Pruner()
    objectives: Annotated[
        Items[str],
        _refuse("only [primary] is available in this version", ["primary"], ("primary",)),
    ] = ("primary",)


class Confirm(Section):
    """`confirm`: fresh paired seeds at full budget."""

    seeds: Seeds = 10
    top: Annotated[int, Field(ge=1)] = 1


class Race(Section):
    """`race`: fresh paired seeds, added in rounds until the claims are decided."""

    looks: Looks = (5, 8, 12, 18, 30)


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
    split: Annotated[SplitKeys | None, BeforeValidator(_split)] = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    margin: Annotated[float, Field(gt=0)] | None = None
    claims: Items[ClaimKeys] = ()
    keep: Literal["best", "all", "none"] = "best"
    reuse: bool = True
