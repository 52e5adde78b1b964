"""A trainer without torch: what a trial scores follows from its id, so any order can be tried."""

import hashlib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate import journal, revision, tally
from ablate.journal import Entry, Event, Journal, State
from ablate.plan import Cell, Plan, plan
from ablate.study import Study
from ablate.sweep.conductor import Conductor
from ablate.tally import TaskFacts
from trials.places import Assignment, Places
from trials.spec import Json, Progress, Splits, TrialResult, TrialSpec

STEPS = (2, 4, 6, 8)
FACTS = {
    task: TaskFacts("accuracy", "higher", {"accuracy": "higher"}, {"accuracy": True})
    for task in ("tiny_acceptability", "tiny_paraphrase")
}
TUNE: Mapping[str, Any] = {
    "budget": {"trials": 6},
    "parallel": 2,
    "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
    "sampler": {"name": "tpe", "n_startup_trials": 2},
    "pruner": {"name": "median", "n_startup_trials": 1},
}


def planned(**changes: Any) -> Plan:
    """A resolved plan of two arms, searched and confirmed."""
    keys: dict[str, Any] = {
        "study": "s",
        "tasks": ["tiny_acceptability"],
        "backbones": ["tiny"],
        "targets": ["query", "value"],
        "arms": [{"method": "lora", "rank": 4}, {"method": "tlora", "rank": 16}],
        "train": {"steps": 8, "evaluate": {"every": 2}},
        "tune": dict(TUNE),
        "confirm": {"seeds": 3},
        **changes,
    }
    study = Study.from_dict(keys)
    data = {t.name: (f"data of {t.name}", Splits()) for t in study.tasks}
    return plan(study, data=data, backbones={"tiny": "b"})


def draw(*parts: Json) -> float:
    """A number between 0 and 1 that follows from the parts."""
    text = repr(parts).encode()
    return int(hashlib.sha256(text).hexdigest()[:8], 16) / 16**8


def score(spec: TrialSpec, step: int) -> float:
    return draw(spec.id, step)


GAINS: dict[str, float] = {}
"""Method -> what it scores more than the others on the split that is shown."""

Fate = Callable[[TrialSpec], int | None]
"""The step after whose report a trial crashes; None for one that does not."""


def nobody_crashes(spec: TrialSpec) -> int | None:
    return None


def some_crash(spec: TrialSpec) -> int | None:
    # Whatever version of its numbers the package has.
    luck = draw(replace(spec, numerics=2).id, "fate")
    return 0 if luck < 0.06 else 4 if luck < 0.14 else None


class Killed(BaseException):
    """The driver's process is gone, at any event."""


class MortalJournal(Journal):
    """Dies before it writes the n-th event from now."""

    lives: int | None = None

    def _put(self, entry: Entry) -> Event:
        if self.lives is not None:
            if self.lives <= 0:
                raise Killed
            self.lives -= 1
        return super()._put(entry)


class Training:
    """One running trial."""

    def __init__(self, spec: TrialSpec, fate: Fate) -> None:
        self.spec = spec
        self.dies_after = fate(spec)
        self.steps = list(STEPS)

    def advance(self) -> Progress | TrialResult:
        if self.dies_after == (self.steps[0] if self.steps else STEPS[-1] + 2) - 2:
            return TrialResult(status="crashed", reason="bad luck")
        if self.steps:
            return self.progress(self.steps.pop(0))
        scores = {"held_out": {"accuracy": score(self.spec, STEPS[-1])}}
        if self.spec.stage != "search":
            gain = GAINS.get(self.spec.method, 0.0)
            scores["validation"] = {"accuracy": draw(self.spec.id, "report") + gain}
        return TrialResult(
            status="finished", scores=scores, num_examples=dict.fromkeys(scores, 50), seconds=3.0,
            adapter_parameters=int(1000 * draw(self.spec.id, "size")),
        )  # fmt: skip

    def progress(self, step: int) -> Progress:
        primary = score(self.spec, step)
        # A metric that is not defined everywhere.
        primary = math.nan if primary < 0.03 else primary
        return Progress(
            step=step, num_steps=STEPS[-1], epoch=step / 8, train_loss=1.0,
            scores={"accuracy": primary}, primary=primary, seconds=1.0,
        )  # fmt: skip


def assign(spec: TrialSpec, cell: Cell) -> Assignment:
    assert spec.task == cell.task
    return Assignment(
        spec=spec, task=spec.task, backbone=spec.backbone, places=Places(), folder="nowhere"
    )


def conductor(
    plan: Plan, record: Journal, warm: Mapping[str, Any] | None = None, **more: Any
) -> Conductor:
    """As the runner begins: the study's version goes into the journal first."""
    stale = [t for t in tally.stale_trials(plan, record.state) if t.final]
    entry = revision.next_revision(plan, record.state, len(stale), warm or {})
    if entry is not None:
        record.append(entry)
    return Conductor(plan, record, assign, FACTS, **more)


def drive(
    conductor: Conductor, rng: random.Random, places: int, fate: Fate = some_crash
) -> list[str]:
    """Run to the end, any running trial next; returns the trials in the order they ended."""
    running: dict[str, Training] = {}
    ended: list[str] = []
    idle = False
    while True:
        if len(running) < places and not idle:
            given = conductor.next()
            idle = given is None
            if given is not None:
                assert given.spec.id not in running
                running[given.spec.id] = Training(given.spec, fate)
            if given is not None and rng.random() < 0.7:
                continue
        if not running:
            if idle:
                return ended
            continue
        identity = rng.choice(list(running))
        made = running[identity].advance()
        if isinstance(made, Progress):
            if conductor.report(identity, made):
                continue
            made = TrialResult(status="pruned", reason=f"stopped at step {made.step}")
        conductor.finish(identity, made)
        del running[identity]
        ended.append(identity)
        idle = False


def undisturbed(plan: Plan, folder: Path, fate: Fate = some_crash) -> State:
    """One trial after another, no crash."""
    with Journal.open(folder) as record:
        course = conductor(plan, record)
        drive(course, random.Random(0), 1, fate)
        assert course.done
        return record.state


def disturbed(
    plan: Plan, folder: Path, seed: int, places: int, lives: list[int], fate: Fate = some_crash
) -> State:
    """Any order, with a kill after each of `lives` events."""
    for number, life in enumerate([*lives, None]):
        with MortalJournal.open(folder) as record:
            record.lives = life
            try:
                course = conductor(plan, record)
                drive(course, random.Random(seed + number), places, fate)
            except Killed:
                continue
            assert course.done
            return journal.fold(journal.read(folder))
    raise AssertionError


def search(state: State) -> Json:
    """What the search of each cell did."""
    return {
        cell: [(ask.number, dict(ask.values), ask.trials) for ask in asks]
        for cell, asks in state.asks.items()
    }


def chosen(state: State) -> Json:
    return {
        cell: {rank: (c.ask, dict(c.values)) for rank, c in ranks.items()}
        for cell, ranks in state.chosen.items()
    }


def ends(state: State) -> Json:
    """Status, scores and reports of every trial."""
    return {
        t.id: (t.status, (t.result_json or {}).get("scores"), dict(t.reports))
        for t in state.trials.values()
    }


def count(folder: Path, kind: str) -> dict[str, int]:
    """How often each trial has an event of a kind."""
    found: dict[str, int] = {}
    for event in journal.read(folder):
        if event.kind == kind:
            found[event.data["trial"]] = found.get(event.data["trial"], 0) + 1
    return found
