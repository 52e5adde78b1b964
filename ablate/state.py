"""What all events of a study so far add up to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from ablate.events import Event
from trials.spec import FAILED, Json, Progress, TrialResult, TrialSpec


@dataclass(frozen=True)
class Ask:
    """One set of nuisance values of a cell and the trials that measure it."""

    number: int
    values: Mapping[str, Json]
    trials: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """Values that go on to confirmation."""

    rank: int
    ask: int
    values: Mapping[str, Json]


@dataclass(frozen=True)
class Revision:
    """A version of the study, and when it came."""

    revision: int
    study: Mapping[str, Json]
    digest: str
    added: tuple[str, ...]
    after_results: bool
    plan_counts: Mapping[str, int]
    contents: Mapping[str, Json]
    time: float


@dataclass(frozen=True)
class Look:
    """A look at results: one entry of the ledger.

    Attributes:
        trials: digest of the trials that were there to see.
        num_trials: how many they were.
        tests: what was tested on them, as plain JSON.
        at: when, in unix seconds.
        batch: revision whose race took it; None for a report.
    """

    trials: str
    num_trials: int
    tests: Sequence[Mapping[str, Json]]
    at: float
    batch: int | None


@dataclass(frozen=True)
class Mended:
    """A part of the journal that was set aside for it was damaged.

    Attributes:
        segment, line: where the damage began.
        reason: what was wrong with that line.
        num_lines: how many were set aside, those after it included.
    """

    segment: str
    line: int
    reason: str
    num_lines: int


@dataclass(slots=True)
class Trial:
    """One trial as the journal knows it.

    Mutable, and its parts stay JSON until asked for: a study may hold 50,000 of them.

    Attributes:
        id: content id of the spec.
        spec_json: the spec as plain JSON; `spec` builds the object.
        attempts: number of the latest attempt; 0 before the first.
        status: `waiting`, `running`, or the final status of the result.
        reports: step -> latest report at that step, as plain JSON; `progress` builds the objects.
        result_json: the result as plain JSON; `result` builds the object.
        started_at: unix seconds of the first start since it last waited.
        failed_before: whether it failed once and was retried; a search has been told so.
        reused_from: the study that trained it, where this one has not.
    """

    id: str
    spec_json: Mapping[str, Json]
    cell: str
    ask: int | None
    rank: int | None
    revision: int
    late: bool
    attempts: int = 0
    status: str = "waiting"
    reports: dict[int, Mapping[str, Json]] = field(default_factory=dict)
    result_json: Mapping[str, Json] | None = None
    started_at: float | None = None
    finished_at: float | None = None
    failed_before: bool = False
    reused_from: str | None = None

    @property
    def spec(self) -> TrialSpec:
        """The recipe, built anew at each reading."""
        return TrialSpec.from_json(self.spec_json)

    @property
    def progress(self) -> tuple[Progress, ...]:
        """The reports in step order; a resumed trial's second report of a step replaces."""
        return tuple(Progress.from_json(self.reports[step]) for step in sorted(self.reports))

    @property
    def result(self) -> TrialResult | None:
        """What the trial left behind; None until it is final."""
        return None if self.result_json is None else TrialResult.from_json(self.result_json)

    @property
    def final(self) -> bool:
        """Whether the trial has ended, in whatever way."""
        return self.status not in ("waiting", "running")


@dataclass
class State:
    """What all events so far add up to.

    Attributes:
        trials: by id, in the order planned.
        asks: cell -> its asks by number.
        chosen: cell -> rank -> the values chosen last for that rank.
        revisions: the versions of the study, oldest first.
        looks: the ledger, oldest first.
        seeds: cell -> how many seeds its race has asked for, where those are more than the first
            look needs.
        mended: what was set aside for it was damaged, oldest first.
        ended: how the last writer stopped; None while it runs or when it was killed.
        why: the limit at which it stopped before the end; None for any other stop.
        last_seq: number of the latest event.
    """

    trials: dict[str, Trial] = field(default_factory=dict)
    asks: dict[str, list[Ask]] = field(default_factory=dict)
    chosen: dict[str, dict[int, Chosen]] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    seeds: dict[str, int] = field(default_factory=dict)
    mended: list[Mended] = field(default_factory=list)
    ended: str | None = None
    why: str | None = None
    last_seq: int = 0

    def apply(self, event: Event) -> None:
        """Take in one more event; nothing changes when it is refused.

        Raises:
            ValueError: the event is out of order, unknown, incomplete or contradicts the state.
        """
        if event.seq <= self.last_seq:
            raise ValueError(f"event {event.seq} follows event {self.last_seq}")
        if event.kind not in _HANDLERS:
            raise ValueError(f"event {event.seq}: unknown event '{event.kind}'")
        try:
            _HANDLERS[event.kind](self, event)
        except (KeyError, TypeError, AttributeError) as error:
            message = f"event {event.seq} ({event.kind}) is incomplete: {error}"
            raise ValueError(message) from None
        if event.kind not in ("ended", "looked"):
            self.ended = self.why = None
        self.last_seq = event.seq

    def open_trials(self) -> tuple[Trial, ...]:
        """The trials that started and have not ended: running, or cut off with their driver."""
        return tuple(t for t in self.trials.values() if t.status == "running")

    def _known(self, event: Event) -> Trial:
        trial = self.trials.get(event.data["trial"])
        if trial is None:
            raise ValueError(f"event {event.seq}: trial {event.data['trial']} was never planned")
        return trial

    def _revised(self, event: Event) -> None:
        data = {f.name: event.data[f.name] for f in fields(Revision) if f.name != "time"}
        data["added"] = tuple(data["added"])
        self.revisions.append(Revision(**data, time=event.time))

    def _asked(self, event: Event) -> None:
        data = event.data
        ask = Ask(data["ask"], data["values"], tuple(data["trials"]))
        expected = len(self.asks.get(data["cell"], ()))
        if ask.number != expected:
            raise ValueError(f"event {event.seq}: ask {ask.number} where {expected} was due")
        self.asks.setdefault(data["cell"], []).append(ask)

    def _chosen(self, event: Event) -> None:
        data = event.data
        choice = Chosen(data["rank"], data["ask"], data["values"])
        self.chosen.setdefault(data["cell"], {})[choice.rank] = choice

    def _planned(self, event: Event) -> None:
        data = event.data
        trial = Trial(
            id=data["trial"],
            spec_json=data["spec"],
            cell=data["cell"],
            ask=data["ask"],
            rank=data["rank"],
            revision=data["revision"],
            late=data["late"],
        )
        # The same content is the same trial: planned again, it keeps what it has.
        self.trials.setdefault(trial.id, trial)

    def _started(self, event: Event) -> None:
        trial, attempt = self._known(event), event.data["attempt"]
        if trial.final:
            raise ValueError(f"event {event.seq}: trial {trial.id} starts, but is {trial.status}")
        trial.attempts = attempt
        trial.status = "running"
        # Where a driver was killed while it took the trial over, and now it cannot any more.
        trial.reused_from = None
        trial.started_at = event.time if trial.started_at is None else trial.started_at

    def _reported(self, event: Event) -> None:
        trial, progress = self._known(event), event.data["progress"]
        # A report may still be on its way when its trial is stopped; the record stands.
        if not trial.final:
            trial.reports[progress["step"]] = progress

    def _reused(self, event: Event) -> None:
        trial = self._known(event)
        if trial.final:
            raise ValueError(f"event {event.seq}: trial {trial.id} is {trial.status} already")
        trial.reused_from = event.data["study"]

    def _finished(self, event: Event) -> None:
        trial, result = self._known(event), event.data["result"]
        if trial.final:
            raise ValueError(f"event {event.seq}: trial {trial.id} ends, but is {trial.status}")
        trial.status = result["status"]
        trial.result_json = result
        trial.finished_at = event.time

    def _retried(self, event: Event) -> None:
        trial = self._known(event)
        if trial.status not in FAILED:
            raise ValueError(f"event {event.seq}: trial {trial.id} did not fail: {trial.status}")
        trial.status = "waiting"
        trial.failed_before = True
        trial.result_json = trial.started_at = trial.finished_at = None

    def _looked(self, event: Event) -> None:
        self.looks.append(Look(**{f.name: event.data[f.name] for f in fields(Look)}))

    def _extended(self, event: Event) -> None:
        self.seeds.update(event.data["cells"])

    def _mended(self, event: Event) -> None:
        self.mended.append(Mended(**{f.name: event.data[f.name] for f in fields(Mended)}))

    def _ended(self, event: Event) -> None:
        self.ended, self.why = event.data["reason"], event.data.get("why")


_HANDLERS = {
    "revised": State._revised,
    "asked": State._asked,
    "chosen": State._chosen,
    "planned": State._planned,
    "started": State._started,
    "reported": State._reported,
    "reused": State._reused,
    "finished": State._finished,
    "retried": State._retried,
    "looked": State._looked,
    "extended": State._extended,
    "mended": State._mended,
    "ended": State._ended,
}


def fold(events: Iterable[Event]) -> State:
    """The state after these events.

    Raises:
        ValueError: an event contradicts those before it.
    """
    state = State()
    for event in events:
        state.apply(event)
    return state
