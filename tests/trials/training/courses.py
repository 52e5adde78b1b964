"""Trials of 12 steps that visit an engine, and what each comes to when nothing disturbs it."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import assignment_of, small_task, tiny_backbone
from torch import Tensor

from trials import backbones
from trials.places import Assignment
from trials.spec import Evaluate, Progress, TrialResult
from trials.training import checkpoint, run
from trials.training.engine import Engine, train
from trials.training.member import Member
from trials.training.pack import Pack
from trials.training.stepping import MembersFailed

STEPS = 12
CLOSE = 1e-10
"""Rounding of float64 over the steps of a trial."""


Ending = tuple[list[Progress], TrialResult, dict[str, Tensor]]
"""What a trial reported, how it ended, and its adapter."""


@dataclasses.dataclass
class Shared:
    """What the tests of a file share: where data and backbones are, and undisturbed trials."""

    root: Path
    backbones: dict[str, Any]
    endings: dict[str, Ending]


class Visits:
    """An engine's trials and what it said of them.

    Attributes:
        engine: at which they are.
        steps: the optimiser steps that were taken: (trial, steps done before) of each member.
        reads: how many members each reading of a split was for.
        reports: trial -> its reports; those that came again are left out.
        results: trial -> its last result.
    """

    def __init__(self, folder: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = Engine(1)
        self.steps: list[list[tuple[str, int]]] = []
        self.reads: list[int] = []
        self.reports: dict[str, list[Progress]] = {}
        self.results: dict[str, TrialResult] = {}
        self._folder, self._root, self._known = folder, shared.root, shared.endings
        step, all_outputs = Pack.step, Pack.all_outputs

        def counted(pack: Pack, members: list[Member]) -> None:
            taken = [(member.spec.id, member.step) for member in members]
            try:
                step(pack, members)
            except MembersFailed:
                self.steps.append(taken)
                raise
            self.steps.append(taken)

        def read(pack: Pack, members: list[Member], data: Any) -> list[Tensor]:
            self.reads.append(len(members))
            return all_outputs(pack, members, data)

        monkeypatch.setattr(Pack, "step", counted)
        monkeypatch.setattr(Pack, "all_outputs", read)

    def trial(self, seed: int = 3, **more: Any) -> Assignment:
        """A trial with a folder of its own."""
        backbone = more.pop("backbone", "tiny")
        more = {"steps": STEPS, "evaluate": Evaluate(every=4), **more}
        made = assignment_of(self._folder, self._root, seed=seed, **more)
        spec = dataclasses.replace(made.spec, backbone=backbone)
        folder = str(self._folder / spec.id)
        return dataclasses.replace(made, spec=spec, backbone=backbone, folder=folder)

    def join(self, *assignments: Assignment) -> None:
        for assignment in assignments:
            self.engine.join(assignment)

    def go(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let the engine go on until it is empty, or something is so."""
        while self.engine.size and not until():
            for event in self.engine.advance():
                if event.progress is None:
                    assert event.trial not in self.results
                    self.results[event.trial] = event.result
                    continue
                reports = self.reports.setdefault(event.trial, [])
                assert event.result.status == "pruned"
                if event.progress.step not in [report.step for report in reports]:
                    reports.append(event.progress)

    def steps_done(self, assignment: Assignment) -> int:
        """Optimiser steps of a trial so far."""
        return sum(assignment.spec.id == trial for taken in self.steps for trial, _ in taken)

    @property
    def packs(self) -> list[set[str]]:
        """The trials of each pack, in order; a pack counts once however many steps it took."""
        packs: list[set[str]] = []
        for taken in self.steps:
            now = {trial for trial, _ in taken}
            if not packs or packs[-1] != now:
                packs.append(now)
        return packs

    def assert_undisturbed(self, *assignments: Assignment, close: float = CLOSE) -> None:
        """Reports, scores and adapters are those of the trials alone, up to rounding."""
        for assignment in assignments:
            reports, result, adapter = self._undisturbed(assignment)
            mine = self.reports[assignment.spec.id]
            assert [r.step for r in mine] == [r.step for r in reports]
            assert [r.scores for r in mine] == [r.scores for r in reports]
            losses = [r.train_loss for r in reports]
            assert [r.train_loss for r in mine] == pytest.approx(losses, abs=close)
            ended = self.results[assignment.spec.id]
            assert ended.status == result.status == "finished", ended.reason
            assert ended.scores == result.scores
            assert ended.selected_step == result.selected_step
            gap = max_gap(adapter_of(Path(assignment.folder)), adapter)
            assert gap < close

    def _undisturbed(self, assignment: Assignment) -> Ending:
        """Trained once for all tests of a file, by itself."""
        if assignment.spec.id not in self._known:
            folder = self._folder / "undisturbed" / assignment.spec.id
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Pack, "step", PLAIN_STEP)
                patch.setattr(Pack, "all_outputs", PLAIN_OUTPUTS)
                *events, last = train(dataclasses.replace(assignment, folder=str(folder)))
            reports = [e.progress for e in events if e.progress is not None]
            self._known[assignment.spec.id] = reports, last.result, adapter_of(folder)
        return self._known[assignment.spec.id]


PLAIN_STEP, PLAIN_OUTPUTS = Pack.step, Pack.all_outputs


def adapter_of(folder: Path) -> dict[str, Tensor]:
    found = checkpoint.read(folder / run.ADAPTER)
    assert found is not None
    return found[0]


def max_gap(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert set(one) == set(other)
    return max(float((one[k] - other[k]).abs().max()) for k in one)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Backbones of float64, where rounding hides nothing, and one of float32."""
    loaded = {
        "tiny": tiny_backbone(),
        "other": tiny_backbone(),
        "single": tiny_backbone(torch.float32),
    }
    return Shared(small_task(tmp_path_factory.mktemp("data")), loaded, {})


@pytest.fixture
def visits(shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visits]:
    """An engine of one place; a test may put another in its place."""
    monkeypatch.setattr(backbones, "load", lambda reference, *_: shared.backbones[reference])
    made = Visits(tmp_path, shared, monkeypatch)
    yield made
    made.engine.close()
