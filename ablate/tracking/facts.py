"""What the tracker is told about a study and its cells; the journal knows the rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trials.spec import Json


def _nothing(_: str) -> list[Path]:
    return []


@dataclass(frozen=True, kw_only=True)
class CellInfo:
    """One cell: arm × task × backbone.

    Attributes:
        key: the cell's key in the journal.
        arm: the arm's id.
        factors: fields of the arm as the user typed them, without the method.
        nuisances: names of the tuned hyperparameters, such as `learning_rate`.
        primary: metric that tuning, selection and claims use.
        direction: `higher` or `lower`, of the primary metric.
        search_split, report_split: which data choose and which show.
        summary: what the confirmed seeds say (`mean`, `sd`, `ci_low`, `ci_high`, `n`,
            `num_failed`); None where it cannot be said.
        directions: of the other metrics; `higher` where not given.
        grid: metric -> whether its values lie on a grid of 1/n.
    """

    key: str
    task: str
    backbone: str
    arm: str
    label: str
    method: str
    factors: Mapping[str, Json]
    nuisances: tuple[str, ...]
    primary: str
    direction: str
    search_split: str
    report_split: str
    summary: Mapping[str, float | None] = field(default_factory=dict)
    directions: Mapping[str, str] = field(default_factory=dict)
    grid: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StudyInfo:
    """The study as a whole.

    Attributes:
        config: the study's keys and values, for the record.
        folder: the study's folder in the store; a trial's files are in `trials/<id>` of it.
        keep_files: trial id -> files and folders to send with it, asked when the trial ends.
        stale: trials that the study does not ask for any more; no table shows them.
        moved: trial id -> key of its cell now, for trials that were first planned for a cell of
            another key. A trial without a cell is stale.
    """

    name: str
    question: str
    revision: int
    config: Mapping[str, Json]
    folder: Path
    keep_files: Callable[[str], list[Path]] = _nothing
    stale: frozenset[str] = frozenset()
    moved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Owner:
    """Whose studies a store has, on a server that many share.

    Attributes:
        store: identity of the store; stays when it moves.
        user: who runs the study.
    """

    store: str
    user: str
