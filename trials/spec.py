"""What a trial is, what it reports while it runs, and what it leaves behind.

A `TrialSpec` holds the whole recipe of one training run, completely resolved. Its identity is the
SHA-256 of its canonical JSON: two specs with the same content are the same trial on any machine.
Nothing that belongs to a machine (paths, devices, worker counts) is part of it.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self, cast

NUMERICS = 3
"""Raised by hand whenever a change of this package alters the numbers that a trial computes."""

Json = Any
Stage = Literal["search", "confirm", "variance"]
Status = Literal["finished", "pruned", "diverged", "crashed", "out_of_memory", "timed_out"]

FAILED: frozenset[str] = frozenset({"diverged", "crashed", "out_of_memory", "timed_out"})
"""The states of a trial that ended without a score and was not stopped on purpose."""


def canonical_json(value: Json) -> str:
    """Serialise so that equal values give equal text: sorted keys, no blanks, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Json) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def predictions_file(split: str) -> str:
    """Name of the file, in a trial's folder, of its predictions on a split."""
    return f"predictions_{split}.jsonl.gz"


def later(default: Json) -> Any:
    """A field that a part of a spec got after ids had been given out.

    Where it has its default, the trial is the one that it was without the field. So the canonical
    content leaves it out there, and the ids in old journals stay those of their trials.
    """
    return field(default=default, metadata={_LATER: True})


_LATER = "later"


def _said(part: Any) -> dict[str, Json]:
    """The fields of a part, without those of a later version at their defaults."""
    return {
        item.name: getattr(part, item.name)
        for item in fields(part)
        if not (item.metadata.get(_LATER) and getattr(part, item.name) == item.default)
    }


def _content(part: Any) -> dict[str, Json]:
    """What `asdict` gives of what is said."""
    return {k: _content(v) if is_dataclass(v) else v for k, v in _said(part).items()}


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW with decoupled weight decay; decay leaves biases and scalars alone."""

    name: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate over optimiser steps: warm-up, then linear, cosine or constant.

    Attributes:
        warmup: a share of all steps when below 1, else a number of steps.
    """

    name: str = "linear"
    warmup: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """Probabilities.

    Attributes:
        backbone: on hidden states.
        adapter: on the input of each update.
        attention: on attention probabilities.
    """

    backbone: float = 0.0
    adapter: float = 0.0
    attention: float = later(0.0)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """When the search split is read (`epoch` or every n steps), and which state is kept."""

    every: str | int = "epoch"
    select: str = "best"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a trial is trained.

    Attributes:
        epochs: passes over the training split; None when `steps` is given.
        steps: optimiser steps; None when `epochs` is given.
        batch_size: examples of one microbatch.
        accumulate: microbatches of one optimiser step.
        max_length: tokens an example is cut to.
        clip: largest global gradient norm of the trial; None for none.
        precision: `fp32`, or autocast to `bf16` or `fp16`, which has a loss scale for each trial.
        base_precision: storage of the frozen backbone's linear maps: `same` as loaded, `int8`, or
            `nf4`.
        head: `train`, or `freeze` to keep the head as it starts.
        head_start: how the head starts: `new` (at random), as the `backbone`'s checkpoint has it,
            or as the `source` left it.
        start_from: another task whose adapter this trial starts from; see `TrialSpec.source`.
        gradient_checkpointing: whether the backward pass computes each layer again instead of
            keeping what is in it: less memory, more time, the same numbers.
    """

    epochs: float | None = None
    steps: int | None = None
    batch_size: int = 16
    accumulate: int = 1
    max_length: int = 128
    optimizer: Optimizer = field(default_factory=Optimizer)
    learning_rate: float = 1e-3
    schedule: Schedule = field(default_factory=Schedule)
    clip: float | None = 1.0
    precision: str = "fp32"
    base_precision: str = "same"
    dropout: Dropout = field(default_factory=Dropout)
    label_smoothing: float = 0.0
    head: str = "train"
    head_start: str = later("new")
    start_from: str | None = None
    gradient_checkpointing: bool = later(False)
    evaluate: Evaluate = field(default_factory=Evaluate)

    @cached_property
    def content(self) -> dict[str, Json]:
        """Its part of a trial's content, once: many trials share a recipe. Not to be changed."""
        return _content(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Self:
        """Rebuild from `content` or `dataclasses.asdict` after a trip through JSON."""
        parts = dict(value)
        parts["optimizer"] = Optimizer(
            **{**value["optimizer"], "betas": tuple(value["optimizer"]["betas"])}
        )
        parts["schedule"] = Schedule(**value["schedule"])
        parts["dropout"] = Dropout(**value["dropout"])
        parts["evaluate"] = Evaluate(**value["evaluate"])
        return cls(**parts)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Which data choose and which data show.

    Attributes:
        search: split that tuning and epoch selection read: `held_out` (a part of train, taken
            out of it), `validation` or `test`.
        report: split whose scores the report shows; not read by the `search` stage.
    """

    search: str = "held_out"
    report: str = "validation"


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One training run, completely resolved.

    Attributes:
        task: registered name, or the name in a folder's `task.yaml`.
        data_digest: digest of the task's rows and definition; None while provisional.
        backbone: hub id or the last part of a folder's path.
        backbone_digest: commit of the hub or digest of the folder; None while provisional.
        method: registered name.
        hyperparameters: every field of the method, by name.
        targets: canonical target names, or `{"modules": [regular expressions]}`.
        recipe: how it is trained.
        splits: which data choose and which show.
        seed: base of every random stream.
        order_seed: base of the streams of order and dropout, where it is another one: what happens
            along the way rather than where training starts; None for `seed`.
        repeat: number of a trial among those that share everything else; it changes no stream.
        stage: `search` reads the search split only; `confirm` and `variance` read the report split
            as well.
        source: id of the trial whose adapter it starts from; None for the backbone.
        code: digest of each local source file that the trial uses, by file name.
        numerics: version of the numbers that this package computes.
    """

    task: str
    backbone: str
    method: str
    hyperparameters: Mapping[str, Json]
    targets: tuple[str, ...] | Mapping[str, Json]
    recipe: Recipe
    splits: Splits
    seed: int
    stage: Stage
    data_digest: str | None = None
    backbone_digest: str | None = None
    source: str | None = later(None)
    order_seed: int | None = later(None)
    repeat: int = later(0)
    code: Mapping[str, str] = field(default_factory=dict)
    numerics: int = NUMERICS

    def content(self) -> dict[str, Json]:
        """All that the id is made of; the parts are shared and not to be changed."""
        return {
            **_said(self),
            "recipe": self.recipe.content,
            "splits": self.splits.__dict__,
        }

    def to_json(self) -> dict[str, Json]:
        """Plain JSON types only."""
        return cast("dict[str, Json]", json.loads(canonical_json(self.content())))

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Self:
        """Inverse of `to_json`."""
        parts = dict(value)
        targets = parts["targets"]
        parts["targets"] = tuple(targets) if isinstance(targets, list) else targets
        parts["recipe"] = Recipe.from_json(parts["recipe"])
        parts["splits"] = Splits(**parts["splits"])
        return cls(**parts)

    @cached_property
    def id(self) -> str:
        """SHA-256 (64 hex digits) of the canonical JSON."""
        return digest(self.content())

    @property
    def provisional(self) -> bool:
        """True while data or backbone are not resolved, so that the id may still change."""
        return self.data_digest is None or self.backbone_digest is None

    @property
    def seed_on_the_way(self) -> int:
        """Base of the streams of order and dropout."""
        return self.seed if self.order_seed is None else self.order_seed

    def with_seed(self, seed: int, stage: Stage) -> Self:
        """The same recipe at another seed and stage."""
        return replace(self, seed=seed, stage=stage)

    def with_luck(self, seed: int, order_seed: int, repeat: int) -> Self:
        """The same recipe in the variance stage: both seeds, and which of its repeats it is."""
        return replace(self, seed=seed, order_seed=order_seed, repeat=repeat, stage="variance")

    def with_source(self, source: str | None) -> Self:
        """The same trial, started from another one's adapter."""
        return self if source == self.source else replace(self, source=source)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a running trial reports at each evaluation.

    Attributes:
        step: optimiser steps done.
        num_steps: optimiser steps in all.
        epoch: passes over the training split done, as a real number.
        train_loss: mean training loss since the last report.
        scores: metric -> value on the search split, in the metric's own unit.
        primary: value of the task's primary metric on the search split.
        seconds: seconds of training and evaluation so far, over all interruptions.
        extra: method state worth a curve, such as the rank of every site.
    """

    step: int
    num_steps: int
    epoch: float
    train_loss: float
    scores: Mapping[str, float]
    primary: float
    seconds: float
    extra: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Plain JSON types; a loss or score that is not finite becomes null."""
        return dict(_finite(asdict(self)))

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Self:
        """Inverse of `to_json`; keys of a newer version are passed over."""
        return cls(**_known(cls, value))


UNWRITABLE = "nothing can be written"
"""How the reason of a trial begins that had no room for its files."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial leaves behind.

    Attributes:
        status: `finished`, `pruned` or one of the failures.
        reason: why, for anything but `finished`.
        scores: split -> metric -> value.
        num_examples: split -> number of scored examples.
        num_truncated: split, and `train` -> examples that were longer than the recipe's
            `max_length` or the backbone's context, and lost tokens.
        selected_step: step of the state that was kept; None when nothing was.
        selected_epoch: its epoch.
        adapter_parameters: trained numbers of the method, in the state that was kept.
        head_parameters: trained numbers of the head.
        seconds: seconds of training and evaluation, over all interruptions.
        peak_memory_bytes: largest memory held on the device; of the process on CPU.
        device: kind of device, such as `cpu` or a GPU's name.
        environment: versions, threads, commit: what may explain a difference between machines.
        files: artifact name -> path relative to the trial's folder.
    """

    status: Status
    reason: str | None = None
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    num_examples: Mapping[str, int] = field(default_factory=dict)
    num_truncated: Mapping[str, int] = field(default_factory=dict)
    selected_step: int | None = None
    selected_epoch: float | None = None
    adapter_parameters: int | None = None
    head_parameters: int | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    device: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Plain JSON types; a score that is not finite becomes null."""
        return dict(_finite(asdict(self)))

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Self:
        """Inverse of `to_json`; keys of a newer version are passed over."""
        return cls(**_known(cls, value))

    @property
    def unwritable(self) -> bool:
        """Whether the trial stopped for want of room, and through no fault of its own."""
        return self.status == "crashed" and (self.reason or "").startswith(UNWRITABLE)


def _known(cls: type, value: Mapping[str, Json]) -> dict[str, Json]:
    names = {f.name for f in fields(cls)}
    return {k: v for k, v in value.items() if k in names}


def _finite(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
