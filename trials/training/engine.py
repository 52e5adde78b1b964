"""An engine: trains the trials that visit it, together where they can share a pass.

Trials join and leave at any step. Those that share a step have one backbone and one precision;
methods, structures, ranks, learning rates and seeds differ as they like. The engine knows nothing
of who drives it: a Ray job, a Ray actor, or a plain loop.
"""

import time
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import takewhile

import torch

from trials.places import Assignment
from trials.spec import Progress, TrialResult
from trials.tasks.base import Encoded
from trials.training.memory import places
from trials.training.pack import Pack
from trials.training.run import Run, crashed, is_fatal, is_out_of_memory
from trials.training.stepping import MembersFailed


class DeviceLost(Exception):
    """The device of an engine is of no use to its process any more, whichever trial was at fault.

    Its trials continue from their checkpoints in another process.
    """


@dataclass(frozen=True)
class Event:
    """What an engine has to say of a trial.

    Attributes:
        trial: its id.
        progress: a report; None when the trial has ended.
        result: how it ended, or would have if it were stopped at this report.
    """

    trial: str
    progress: Progress | None
    result: TrialResult


class Engine:
    """Trains up to `capacity` trials at a time.

    Attributes:
        capacity: places in the pack, halved when the device's memory is exhausted; None until the
            first trial over a backbone shows how many the memory holds.
        steps: optimiser steps that it has taken, of all its trials together.
    """

    def __init__(self, capacity: int | None = 1) -> None:
        self.capacity = capacity
        self.steps = 0
        self._given = self._whole = capacity
        self._alone: set[str] = set()
        self._waiting: deque[Assignment] = deque()
        self._active: list[Run] = []
        self._pack: Pack | None = None

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Trials that it has, training or waiting for a place."""
        return len(self._waiting) + len(self._active)

    def join(self, assignment: Assignment, *, alone: bool = False) -> None:
        """Take a trial; it trains as soon as there is a place beside compatible ones.

        Args:
            assignment: the trial.
            alone: no other may train beside it.
        """
        if alone:
            self._alone.add(assignment.spec.id)
        with suppress(Exception):  # Code that does not load fails its trial when that starts.
            for code in assignment.code:
                code.load()
        self._waiting.append(assignment)

    def leave(self, trial: str, reason: str) -> TrialResult | None:
        """Stop a trial.

        Args:
            trial: its id.
            reason: why, as its result will say.

        Returns:
            Its result as pruned, or None when the engine does not have it.
        """
        for assignment in self._waiting:
            if assignment.spec.id == trial:
                self._waiting.remove(assignment)
                return TrialResult(status="pruned", reason=reason)
        for run in self._active:
            if run.spec.id == trial:
                self._active.remove(run)
                return self._placed(run.result("pruned", reason))
        return None

    def close(self) -> None:
        """Leave the backbone as it was."""
        if self._pack is not None:
            self._pack.close()
            self._pack = None

    def advance(self) -> list[Event]:
        """Let every trial do the next thing it needs: a step, an evaluation, or its end.

        Raises:
            DeviceLost: nothing can be done on this device in this process any more.
        """
        try:
            return self._advance()
        except RuntimeError as error:  # What went wrong before shows when the device is waited for.
            _require_device(error)
            raise

    def _advance(self) -> list[Event]:
        events = list(self._admit())
        for run in self._active:
            if run.unreported:
                # After a resume the reports before the checkpoint come again, for whoever may
                # not have heard them.
                events.append(self._report(run, run.unreported.popleft()))
        if events or self._pack is None or not self._active:
            return events
        wanting = [(run, part) for run in self._active if (part := run.wanted()) is not None]
        if wanting or any(run.member.done for run in self._active):
            with self._timed(self._active):
                self._pack.settle()
            wanting = [(run, part) for run, part in wanting if run.wanted() is not None]
            return self._evaluate(wanting) if wanting else self._end()
        return self._step()

    def _admit(self) -> Iterator[Event]:
        """Fill the free places: compatible trials, first those that see the same batches."""
        while len(self._active) < (self.capacity or 1) and self._waiting:
            assignment = self._next_waiting()
            if assignment is None:
                return
            self._waiting.remove(assignment)
            try:
                for code in assignment.code:
                    code.load()
                torch.set_num_threads(assignment.threads)
                run = Run(assignment)
            except Exception as error:  # noqa: BLE001 - a trial that cannot start is recorded
                _require_device(error)
                if self._active and is_out_of_memory(error):
                    # What is there fits, and not one more.
                    _forget(error)
                    self.capacity = len(self._active)
                    self._waiting.appendleft(assignment)
                    return
                yield Event(assignment.spec.id, None, crashed(error, assignment))
                continue
            if self._pack is None or self._pack.backbone is not run.backbone:
                self.close()
                self._pack = Pack(run.backbone)
                self.capacity = self._whole = self._given if run.member.method.packs else 1
            if not self._active and torch.device(assignment.device).type == "cuda":
                torch.cuda.reset_peak_memory_stats(assignment.device)
            self._active.append(run)
            if self.capacity is None:
                with suppress(Exception):  # A trial that cannot take a step fails at its first.
                    self.capacity = self._whole = places(self._pack, run.member)

    def _next_waiting(self) -> Assignment | None:
        """Of those that can join: the first of a seed and task that train now, else the first.

        One that cannot share keeps those behind it from joining, or it might wait for ever.
        """
        if not self._active:
            return self._waiting[0]
        shared = self._shares(self._active[0].assignment)
        fitting = list(takewhile(lambda a: self._shares(a) == shared, self._waiting))
        batches = {run.assignment.batches for run in self._active}
        return next((a for a in fitting if a.batches in batches), next(iter(fitting), None))

    def _end(self) -> list[Event]:
        """Results of the trials that need nothing any more."""
        events = []
        for run in [run for run in self._active if run.member.done]:
            try:
                ended = Event(run.spec.id, None, self._placed(run.finish()))
            except Exception as error:  # noqa: BLE001 - whatever a trial does, the others go on
                events.append(self._crash(run, error))
                continue
            self._active.remove(run)
            events.append(ended)
        return events

    def _evaluate(self, wanting: list[tuple[Run, str]]) -> list[Event]:
        """Outputs for those that want them; trials that read one split are read together."""
        events: list[Event] = []
        groups: list[tuple[Encoded, list[tuple[Run, str]]]] = []
        for run, part in wanting:
            try:
                data = run.data(part)
            except Exception as error:  # noqa: BLE001 - a split may be missing or malformed
                events.append(self._crash(run, error))
                continue
            same = next((group for known, group in groups if known is data), None)
            if same is None:
                groups.append((data, [(run, part)]))
            else:
                same.append((run, part))
        for data, group in groups:
            events += self._outputs(data, group)
        return events

    def _outputs(self, data: Encoded, group: list[tuple[Run, str]]) -> list[Event]:
        assert self._pack is not None
        failure: Exception | None = None
        try:
            with self._timed([run for run, _ in group]):
                made = self._pack.all_outputs([run.member for run, _ in group], data)
        except Exception as error:  # noqa: BLE001 - one of several may be at fault
            failure = error
        if failure is not None:
            _require_device(failure)
            if len(group) == 1:
                return [self._crash(group[0][0], failure)]
            _forget(failure)
            half = len(group) // 2
            return self._outputs(data, group[:half]) + self._outputs(data, group[half:])
        events = []
        for (run, part), outputs in zip(group, made, strict=True):
            try:
                progress = run.take(part, outputs)
            except Exception as error:  # noqa: BLE001 - a metric may raise
                events.append(self._crash(run, error))
                continue
            if progress is not None:
                events.append(self._report(run, progress))
        return events

    def _step(self) -> list[Event]:
        """One optimiser step of every active trial, and checkpoints that are due."""
        assert self._pack is not None
        failure: Exception | None = None
        try:
            with self._timed(self._active):
                self._pack.step([run.member for run in self._active])
        except Exception as error:  # noqa: BLE001 - one of several may be at fault
            failure = error
        if failure is not None:
            return self._recover(failure)
        self.steps += len(self._active)
        due = [run for run in self._active if run.save_is_due]
        if due:
            self._pack.settle()
            for run in due:
                if run.member.diverged is None:
                    run.save()
        return []

    def _recover(self, failure: Exception) -> list[Event]:
        """Go on after a step that failed: with fewer trials at a time, or without the culprit."""
        assert self._pack is not None
        _require_device(failure)
        if isinstance(failure, MembersFailed):
            failed = [(run, failure.errors.get(run.member)) for run in self._active]
            return [self._crash(run, error) for run, error in failed if error is not None]
        if len(self._active) == 1:
            if is_out_of_memory(failure):
                # It needs more than there is; that says nothing of the others.
                self.capacity = self._whole
            return [self._crash(self._active[0], failure)]
        _forget(failure)
        is_too_large = is_out_of_memory(failure)
        if is_too_large:
            self.capacity = max(1, len(self._active) // 2)
        if self._pack.is_torn:
            # The step broke while it moved parameters: all go back to their checkpoints.
            if not is_too_large:
                # Whose fault it was shows when they train one by one.
                self._alone |= {run.spec.id for run in self._active}
            self._requeue(self._active[:], saved=False)
            self._restart_pack()
            return []
        if is_too_large:
            self._pack.settle()
            live = [run for run in self._active if run.member.diverged is None]
            self._requeue(live[self.capacity :], saved=True)
            return []
        events = []
        for run in self._active[:]:
            try:
                with self._timed([run]):
                    self._pack.step([run.member])
            except Exception as error:  # noqa: BLE001 - alone, the fault is its own
                events.append(self._crash(run, error))
        return events

    def _requeue(self, runs: list[Run], *, saved: bool) -> None:
        """Put trials back to the front of the queue, to continue from where they are."""
        for run in reversed(runs):
            if saved:
                run.save()
            self._active.remove(run)
            self._waiting.appendleft(run.assignment)

    def _restart_pack(self) -> None:
        assert self._pack is not None
        backbone = self._pack.backbone
        self._pack.close()
        self._pack = Pack(backbone)

    def _crash(self, run: Run, error: Exception) -> Event:
        """The end of a trial that raised."""
        _require_device(error)
        if run in self._active:
            self._active.remove(run)
        event = Event(run.spec.id, None, self._placed(crashed(error, run.assignment, run)))
        _forget(error)
        return event

    def _report(self, run: Run, progress: Progress) -> Event:
        result = run.result("pruned", f"stopped at step {progress.step}")
        return Event(run.spec.id, progress, self._placed(result))

    def _placed(self, result: TrialResult) -> TrialResult:
        """Add the size of the pack to where a trial ran; alone there is nothing to add."""
        if self.capacity in (None, 1):
            return result
        where = {**result.environment, "pack": str(self.capacity)}
        return replace(result, environment=where)

    def _shares(self, assignment: Assignment) -> tuple[object, ...]:
        """What trials that train in one pass here have in common."""
        trial = assignment.spec.id
        return (*assignment.kind, trial if trial in self._alone else None)

    @contextmanager
    def _timed(self, runs: Sequence[Run]) -> Iterator[None]:
        """Charge each trial its share of the time that something takes."""
        shared, start = list(runs), time.perf_counter()
        yield
        share = (time.perf_counter() - start) / len(shared)
        for run in shared:
            run.seconds += share


def _require_device(error: Exception) -> None:
    """Go on only where the device does.

    Raises:
        DeviceLost: an error was such that every later one on the device would be the same.
    """
    found = error.errors.values() if isinstance(error, MembersFailed) else (error,)
    for each in found:
        if is_fatal(each):
            raise DeviceLost(f"{type(each).__name__}: {str(each).splitlines()[0]}") from each


def _forget(error: Exception) -> None:
    """Release what the frames of an error hold, tensors among it."""
    traceback.clear_frames(error.__traceback__)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def train(assignment: Assignment) -> Generator[Event]:
    """Train one trial alone, in this process; its last event has no report."""
    with Engine() as engine:
        engine.join(assignment)
        while engine.size:
            yield from engine.advance()
