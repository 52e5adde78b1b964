"""What is fixed of a task, and how a task is registered that is a definition and nothing more."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from trials.catalogue import register
from trials.families import Head
from trials.tasks.generation import Generation, Template
from trials.tasks.lines import SPLITS
from trials.tasks.metrics import Direction, Kind
from trials.tasks.rows import Format, Portion


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Where the hub has a data set.

    Attributes:
        path: its id.
        config: its configuration; None for the only one.
        revision: commit, tag or branch; None for the newest, whose commit is then found out.
        splits: (our split, the hub's split) pairs; splits without public labels are left out.
        columns: (our column, the hub's column) pairs, where the names differ.
    """

    path: str
    config: str | None = None
    revision: str | None = None
    splits: tuple[tuple[str, str], ...] = (("train", "train"), ("validation", "validation"))
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Span:
    """How answers are looked for in the text that they stand in.

    Attributes:
        stride: tokens that one window over the text shares with the next; a third of the most
            tokens that are read at once when None.
        max_answer: tokens of the longest answer that is given.
        no_answer: None where every question has an answer. Else "no answer" is said where its
            score is above the best answer's by more than this: a number, or `search` for the
            number that is best on the split that chooses.
    """

    stride: int | None = None
    max_answer: int = 30
    no_answer: float | Literal["search"] | None = None


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What is fixed of a task, whatever its rows are.

    Attributes:
        name: as studies name it.
        kind: one of `trials.tasks.metrics.KINDS`.
        text: one or two text columns; of a span the question and the text that answers it, of
            text to text the prompt that a row becomes.
        label: label column; of text to text the completion.
        labels: names in id order; empty where labels are no classes.
        metrics: names from `trials.tasks.metrics.METRICS`.
        primary: the metric that tuning, selection and claims use.
        direction: whether a higher or a lower primary metric is better.
        group: rows that share a value in any of these columns stay together in a hold-out; of
            columns in a tuple, in whichever of them the value stands.
        beside: splits that are scored and shown beside the one that is reported, where the data
            have them; they choose nothing and no claim rests on them.
        source: where the rows come from, and their licence.
        hub: where the hub has them; None for nowhere.
        folder: name of its folder under a data root; None for the task's own.
        span: how answers are looked for; None for other kinds.
        template: how rows of a text-to-text task become prompts and references.
        generation: how its completions are written.
        adapt: from a row as the data set has it to the columns that are named here.
        portions: splits beside that are parts of others.
    """

    name: str
    kind: Kind
    metrics: tuple[str, ...]
    primary: str
    text: tuple[str, ...] = ("prompt",)
    label: str = "completion"
    labels: tuple[str, ...] = ()
    direction: Direction = "higher"
    group: tuple[str | tuple[str, ...], ...] = ()
    beside: tuple[str, ...] = ()
    source: str = ""
    hub: Hub | None = None
    folder: str | None = None
    span: Span | None = None
    template: Template | None = None
    generation: Generation | None = None
    adapt: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    portions: tuple[Portion, ...] = ()

    @property
    def links(self) -> tuple[tuple[str, ...], ...]:
        """The columns of `group`, those that share their values together."""
        return tuple((names,) if isinstance(names, str) else names for names in self.group)

    @property
    def format(self) -> Format:
        """The columns that rows must have."""
        group = tuple(name for names in self.links for name in names)
        if self.template is not None:
            return Format(kind=self.kind, group=group, template=self.template, adapt=self.adapt)
        may_lack = self.span is not None and self.span.no_answer is not None
        return Format(self.text, self.label, self.kind, self.labels, group, may_lack)

    @property
    def columns(self) -> tuple[str, ...]:
        """What people put into rows for it."""
        return (*self.text, self.label) if self.template is None else self.template.columns

    @property
    def head(self) -> Head:
        """What it asks of a trial's head.

        A number for each label, or the one of a regression; for a span, of each token how well it
        begins and ends the answer; nothing where words are asked for.
        """
        if self.template is not None:
            return Head(0, "words")
        if self.kind == "span":
            return Head(2, "tokens")
        return Head(len(self.labels) or 1)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it may have, in order."""
        return (*SPLITS, *self.beside)

    def portion(self, split: str) -> Portion | None:
        """Which part of another split a split is; None for one of its own."""
        return next((part for part in self.portions if part.split == split), None)

    @property
    def identity(self) -> dict[str, Any]:
        """What of it can change a trial's numbers."""
        names = ("kind", "text", "label", "labels", "metrics", "primary", "direction", "group")
        found = {name: getattr(self, name) for name in names}
        parts = {"span": self.span, "template": self.template, "generation": self.generation}
        return found | {name: asdict(part) for name, part in parts.items() if part is not None}


class Benchmark:
    """Base of registered tasks: a definition, and rows where the package ships them.

    Class attributes:
        name: as registered.
        definition: what is fixed of it.
        data: folder of its rows within the package; None for data roots and the hub.
    """

    name: ClassVar[str]
    definition: ClassVar[Definition]
    data: ClassVar[Path | None] = None


def benchmark(fixed: Definition, *, module: str, folder: Path | None = None) -> type[Benchmark]:
    """Register a task that is a definition and nothing more.

    Args:
        fixed: the definition; its name is the task's.
        module: `__name__` of the file that registers it.
        folder: folder of its rows within the package.
    """
    attributes = {"__module__": module, "definition": fixed, "data": folder}
    return register(fixed.name, kind="task")(type(fixed.name, (Benchmark,), attributes))
