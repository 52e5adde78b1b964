"""Which trial runs next, and what follows from its reports. Knows no executor.

The conductor folds the plan and the journal into a queue. Ray Tune (through `tune_bridge`) or a
plain loop (`twin`) asks it for assignments and tells it what came of them; every decision is in
the journal before it takes effect, so a killed driver continues where it was.

An event costs the same in a study of ten trials and of ten thousand: what may run next lies in
`ablate.sweep.queue`, and a trial's end leads straight to the asks that it measures.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ablate import journal, rounds, tuning
from ablate.journal import Journal, State, Trial
from ablate.outcomes import Outcome
from ablate.plan import Cell, Plan
from ablate.reuse import Finished
from ablate.revision import first_seen
from ablate.sweep.queue import CellRun, Queue
from ablate.tally import TaskFacts, seed_by_seed, starts, stuck, without_start
from trials.places import Assignment
from trials.spec import Json, Progress, TrialResult, TrialSpec


class Conductor:
    """The course of one study.

    Attributes:
        plan: what is to be run.
        journal: the record, open for writing.
        running: ids of the trials that an executor has.
        halted: why nothing more is given out; trials that run are left to a later run.
        cells: state of each cell, in plan order.
    """

    def __init__(
        self,
        plan: Plan,
        record: Journal,
        assign: Callable[[TrialSpec, Cell], Assignment],
        facts: Mapping[str, TaskFacts],
        on_event: Callable[[str | None], None] = lambda ended: None,
        elsewhere: Callable[[str], Finished | None] = lambda trial: None,
        limit: Callable[[State], str | None] = lambda state: None,
    ) -> None:
        """Take up a study where its journal ends.

        Args:
            plan: the resolved plan.
            record: its journal.
            assign: adds places, code and folder to a spec.
            facts: primary metric and direction of every task.
            on_event: called after each change, with the trial that ended by it or None.
            elsewhere: a trial that another study has finished already, or None.
            limit: why the run must stop though work is left, or None.
        """
        self.plan = plan
        self.journal = record
        self.state = record.state
        self.running: set[str] = set()
        self._assign = assign
        self._facts = facts
        self._on_event = on_event
        self._elsewhere = elsewhere
        self._limit = limit
        self.halted: str | None = None
        self._first_seen = first_seen(record.state)
        self.cells = {
            cell.key: CellRun(
                place,
                cell,
                tuning.tuner(plan, cell, facts, tuning.past_of(record.state, cell.key)),
                tuning.objectives_of(plan, cell, facts),
            )
            for place, cell in enumerate(plan.cells)
        }
        self._queue = Queue(tuple(self.cells.values()))
        self._turns = {seed: turn for turn, seed in enumerate(plan.confirm_seeds)}
        self._measures: dict[str, list[tuple[CellRun, int]]] = defaultdict(list)
        self._following: dict[str, list[tuple[CellRun, str]]] = defaultdict(list)
        self._asking_after: dict[str, dict[str, CellRun]] = defaultdict(dict)
        self._starting: dict[str, list[CellRun]] = defaultdict(list)
        for cell in plan.cells:
            if cell.source is not None:
                self._starting[cell.source].append(self.cells[cell.key])
        self._planned_as = {identity: n for n, identity in enumerate(self.state.trials)}
        self._searching = dict(self.cells)
        self._in_round: set[str] = set()
        for cell in plan.in_order:
            self._take_up(self.cells[cell.key])
        self._end_round()

    def next(self) -> Assignment | None:
        """The next trial to train, or None while there is none to give.

        What waits comes first: trials that search, then those that confirm, seed by seed. Then
        comes a new ask, of the cell that has had the fewest.
        """
        while self.look() is None:
            # An ask that has nothing to train (its values are known, or break a constraint) may
            # have made the next one possible.
            while (given := self._queue.pop()) is None:
                run = self._queue.ready()
                if run is None:
                    return None
                self._ask(run)
            run, identity = given
            trial = self.state.trials[identity]
            if trial.ask is not None and trial.ask in run.pruned:
                self._end(trial, TrialResult(status="pruned", reason="its ask was pruned"))
                continue
            if self._take_over(trial):
                continue
            self.journal.append(journal.started(trial.id, trial.attempts + 1))
            self.running.add(trial.id)
            self._on_event(None)
            return self._assign(trial.spec, run.cell)
        return None

    def look(self) -> str | None:
        """Why the run must stop, if it must; once it must it must."""
        if self.halted is None:
            broken = self.journal.broken
            self.halted = self._limit(self.state) if broken is None else str(broken)
        return self.halted

    @property
    def num_waiting(self) -> int:
        """Trials that could train now if there were room, as far as they are known."""
        return self._queue.num_waiting

    def _take_over(self, trial: Trial) -> bool:
        """Let what was measured elsewhere stand for a trial that has not begun.

        Its reports come first, one by one, so that a pruner stops it where it would have.
        """
        found = None if trial.attempts else self._elsewhere(trial.id)
        if found is None:
            return False
        if found.study is not None:
            self.journal.append(journal.reused(trial.id, found.study))
        for progress in found.reports:
            if not self.report(trial.id, progress):
                reason = f"stopped at step {progress.step}"
                stopped = replace(found.result, status="pruned", reason=reason, scores={},
                                  seconds=progress.seconds)  # fmt: skip
                self.finish(trial.id, stopped)
                return True
        self.finish(trial.id, found.result)
        return True

    @property
    def done(self) -> bool:
        """Whether nothing is left to run."""
        return not self.running and not self._queue

    def report(self, trial_id: str, progress: Progress) -> bool:
        """Take in an evaluation of a running trial.

        Returns:
            Whether the trial goes on; False asks the executor to stop it as pruned.
        """
        trial = self.state.trials[trial_id]
        if trial.final:
            return False
        if progress.step not in trial.reports:
            self.journal.append(journal.reported(trial_id, progress))
            self._on_event(None)
        run = self.cells.get(trial.cell)
        # A trial that was planned for a cell of an earlier version belongs to no search now.
        if run is None or trial.ask is None or run.tuner is None or trial.failed_before:
            return True
        if trial.ask not in run.pruned and progress.step < progress.num_steps:
            reports = tuning.reports(self.state, self._ask_of(run, trial.ask), run.aims[0])
            if progress.step in reports:
                known = {s: v for s, v in reports.items() if s <= progress.step}
                if run.tuner.should_prune(trial.ask, known):
                    run.pruned.add(trial.ask)
        return trial.ask not in run.pruned

    def finish(self, trial_id: str, result: TrialResult) -> None:
        """Take in the end of a running trial; a second end of the same trial changes nothing.

        One that could not write its files has not failed: it waits until there is room.
        """
        self.running.discard(trial_id)
        trial = self.state.trials[trial_id]
        if result.unwritable:
            self.halted = self.halted or result.reason
        elif not trial.final:
            self._end(trial, result)

    def _end(self, trial: Trial, result: TrialResult) -> None:
        self.journal.append(journal.finished(trial.id, result))
        for run, number in self._measures.get(trial.id, ()):
            self._settle(run, (number,))
        self._in_round.discard(trial.id)
        for run, identity in self._following.pop(trial.id, ()):
            self._wait(run, identity)
        for run in self._asking_after.pop(trial.id, {}).values():
            self._look_at(run)
        self._end_round()
        self._on_event(trial.id)

    def _take_up(self, run: CellRun) -> None:
        """Rebuild a cell from the journal, and queue what was planned but has not ended."""
        asks = self.state.asks.get(run.cell.key, [])
        if run.tuner is not None:
            for ask in asks:
                self._take_ask(run, ask)
            told = {a.number: self._outcome(run, a.number, tuning.told) for a in asks}
            run.tuner.replay(asks, {k: v for k, v in told.items() if v is not None})
            self._settle(run, range(len(asks)))
        for ask in asks:
            if any(self.state.trials[t].status == "pruned" for t in ask.trials):
                run.pruned.add(ask.number)
        self._maybe_confirm(run)
        known = self._current(run) & self._planned_as.keys()
        for identity in sorted(known, key=self._planned_as.__getitem__):
            self._wait(run, identity)
        self._look_at(run)

    def _look_at(self, run: CellRun) -> None:
        """Let a cell's search ask where it may, once there is something to start from."""
        begin = starts(self.plan, self.state, run.cell)
        if begin is None:
            return
        known = self.state.trials.get(begin[0]) if begin else None
        if not begin or (known is not None and known.status == "finished"):
            self._queue.look_at(run)
        elif known is None or not known.final:
            self._asking_after[begin[0]][run.cell.key] = run

    def _wait(self, run: CellRun, identity: str) -> None:
        """Queue a trial, unless it has ended, runs or waits already; after its source, if any."""
        trial = self.state.trials[identity]
        if trial.final or identity in self.running:
            return
        spec = trial.spec
        if spec.stage == "confirm":
            self._in_round.add(identity)
        if spec.source is not None:
            source = self.state.trials.get(spec.source)
            if source is None or not source.final:
                self._following[spec.source].append((run, identity))
                return
            if source.status != "finished":
                self._end(trial, without_start(source))
                return
        last = len(self._turns)
        turn = 1 + (self._turns.get(spec.seed, last) if spec.stage == "confirm" else last)
        turn = 0 if spec.stage == "search" else turn
        self._queue.add(run, identity, turn)

    def _current(self, run: CellRun) -> frozenset[str]:
        """Ids of the trials that the plan asks of a cell, as far as they are known."""
        ids = {t for ask in self.state.asks.get(run.cell.key, []) for t in ask.trials}
        if run.confirming:
            ids |= {spec.id for _, spec in seed_by_seed(self.plan, self.state, run.cell)}
        return frozenset(ids)

    def _ask(self, run: CellRun) -> None:
        assert run.tuner is not None
        proposed = run.tuner.ask()
        specs = self._ask_specs(run, proposed.values)
        ids = tuple(dict.fromkeys(spec.id for spec in specs))
        self.journal.append(journal.asked(run.cell.key, proposed.number, proposed.values, ids))
        self._take_ask(run, journal.Ask(proposed.number, proposed.values, ids), specs)
        for identity in ids:
            self._wait(run, identity)
        self._settle(run, (proposed.number,))

    def _ask_specs(self, run: CellRun, values: Mapping[str, Json]) -> list[TrialSpec]:
        """One trial a search seed; none where the values break a constraint of the study."""
        if self.plan.violated(run.cell, values) is not None:
            return []
        begin = starts(self.plan, self.state, run.cell)
        assert begin is not None  # No cell asks before it has something to start from.
        return list(self.plan.specs(run.cell, values, "search", begin))

    def _take_ask(
        self, run: CellRun, ask: journal.Ask, specs: list[TrialSpec] | None = None
    ) -> None:
        """Plan an ask's trials where that is due, and remember whom their ends concern."""
        for identity in ask.trials:
            self._measures[identity].append((run, ask.number))
        if any(identity not in self.state.trials for identity in ask.trials):
            specs = self._ask_specs(run, ask.values) if specs is None else specs
            self._plan(run, specs, ask=ask.number, rank=None)

    def _plan(
        self, run: CellRun, specs: list[TrialSpec], *, ask: int | None, rank: int | None
    ) -> None:
        entries = []
        for spec in specs:
            if spec.id not in self.state.trials:
                revision, late = self._first_seen(run.cell.key, spec.seed, spec.stage)
                entries.append(
                    journal.planned(
                        spec.id,
                        spec.to_json(),
                        cell=run.cell.key,
                        revision=revision,
                        ask=ask,
                        rank=rank,
                        late=late,
                    )
                )
                self._planned_as[spec.id] = len(self._planned_as)
        if entries:
            self.journal.extend(entries)

    def _settle(self, run: CellRun, numbers: Iterable[int]) -> None:
        """Tell the search what came of these asks, and draw the consequences."""
        assert run.tuner is not None
        for number in numbers:
            ask = self._ask_of(run, number)
            known = number in run.tuner.outcomes
            retried = tuning.was_retried(self.state, ask)
            outcome = self._outcome(run, number) if retried or not known else None
            if outcome is None:
                continue
            if not known:
                run.tuner.record(number, outcome)
            else:
                run.tuner.correct(number, outcome)
        self._look_at(run)
        self._maybe_confirm(run)

    def _ask_of(self, run: CellRun, number: int) -> journal.Ask:
        return self.state.asks[run.cell.key][number]

    def _outcome(
        self, run: CellRun, number: int, of: Callable[..., Outcome | None] = tuning.outcome
    ) -> Outcome | None:
        """What came of an ask, or, with `tuning.told`, what the search was told of it."""
        ask = self._ask_of(run, number)
        broken = None if ask.trials else self.plan.violated(run.cell, ask.values)
        return of(self.state, ask, run.cell.template.splits.search, run.aims, broken)

    def _maybe_confirm(self, run: CellRun) -> None:
        """Plan the confirmation once the search of a cell is over."""
        if run.confirming or not self.plan.confirm_seeds or not self._search_over(run):
            return
        if run.tuner is not None:
            best = run.tuner.best(self.plan.study.confirm.top)
            known = self.state.chosen.get(run.cell.key, {})
            for rank, ask in enumerate(best, 1):
                if rank not in known or known[rank].ask != ask.number:
                    self.journal.append(journal.chosen(run.cell.key, rank, ask.number, ask.values))
        if starts(self.plan, self.state, run.cell) is None:
            return  # Until the cell that it starts from has chosen.
        run.confirming = True
        del self._searching[run.cell.key]
        self._confirm(run)

    def _confirm(self, run: CellRun) -> None:
        """Plan the trials that confirm a cell now: all, or those that its race has asked for."""
        planned = seed_by_seed(self.plan, self.state, run.cell)
        for rank in sorted({rank for rank, _ in planned}):
            self._plan(run, [spec for r, spec in planned if r == rank], ask=None, rank=rank)
        for _, spec in planned:
            self._wait(run, spec.id)
        for follower in self._starting.get(run.cell.key, ()):
            self._maybe_confirm(follower)
            self._look_at(follower)

    def _end_round(self) -> None:
        """Take the looks of a race, once every trial that it has asked for has ended."""
        if not self.plan.looks or self._in_round or any(map(self._may_search, self._searching)):
            return
        while (look := rounds.due(self.plan, self.state, self._facts)) is not None:
            self.journal.append(look)
        longer = rounds.extension(self.plan, self.state, self._facts)
        if longer:
            self.journal.append(journal.extended(longer))
            for cell in self.plan.in_order:
                if cell.key in longer:
                    self._confirm(self.cells[cell.key])

    def _may_search(self, key: str) -> bool:
        """Whether a cell may yet choose its values; not where its source has come to nothing."""
        return stuck(self.plan, self.state, self.cells[key].cell) is None

    def _search_over(self, run: CellRun) -> bool:
        if run.tuner is None:
            return True
        asks = self.state.asks.get(run.cell.key, [])
        if not run.tuner.spent() or len(run.tuner.outcomes) < len(asks):
            return False
        # An ask whose outcome is known is open again while one of its trials is retried.
        return all(self._outcome(run, ask.number) for ask in asks)
