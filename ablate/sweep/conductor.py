"""Which trial runs next, and what follows from its reports. Knows no executor.

The conductor folds the plan and the journal into a queue. Ray Tune (through `tune_bridge`) or a
plain loop (`twin`) asks it for assignments and tells it what came of them; every decision is in
the journal before it takes effect, so a killed driver continues where it was.

An event costs the same in a study of ten trials and of ten thousand: what may run next lies in
`ablate.sweep.queue`, and a trial's end leads straight to the asks that it measures.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from ablate import journal, rounds
from ablate.journal import Journal, Trial
from ablate.outcomes import Complete, Failed, Outcome, Pruned
from ablate.plan import Cell, Plan
from ablate.results import TaskFacts, chosen_values, seeds_asked
from ablate.revision import first_seen
from ablate.search import Tuner
from ablate.sweep.queue import CellRun, Queue
from trials.places import Assignment
from trials.spec import FAILED, Json, Progress, TrialResult, TrialSpec


class Conductor:
    """The course of one study.

    Attributes:
        plan: what is to be run.
        journal: the record, open for writing.
        running: ids of the trials that an executor has.
        cells: state of each cell, in plan order.
    """

    def __init__(
        self,
        plan: Plan,
        record: Journal,
        assign: Callable[[TrialSpec, Cell], Assignment],
        facts: Mapping[str, TaskFacts],
        on_event: Callable[[str | None], None] = lambda ended: None,
    ) -> None:
        """Take up a study where its journal ends.

        Args:
            plan: the resolved plan.
            record: its journal.
            assign: adds places, code and folder to a spec.
            facts: primary metric and direction of every task.
            on_event: called after each change, with the trial that ended by it or None.
        """
        self.plan = plan
        self.journal = record
        self.state = record.state
        self.running: set[str] = set()
        self._assign = assign
        self._facts = facts
        self._on_event = on_event
        self._first_seen = first_seen(record.state)
        self.cells = {
            cell.key: CellRun(place, cell, self._tuner(cell))
            for place, cell in enumerate(plan.cells)
        }
        self._queue = Queue(tuple(self.cells.values()))
        self._turns = {seed: turn for turn, seed in enumerate(plan.confirm_seeds)}
        self._measures: dict[str, list[tuple[CellRun, int]]] = defaultdict(list)
        self._planned_as = {identity: n for n, identity in enumerate(self.state.trials)}
        self._searching = len(self.cells)
        self._in_round: set[str] = set()
        for run in self.cells.values():
            self._take_up(run)
        self._end_round()

    def next(self) -> Assignment | None:
        """The next trial to train, or None while there is none to give.

        What waits comes first: trials that search, then those that confirm, seed by seed. Then
        comes a new ask, of the cell that has had the fewest.
        """
        while True:
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
            self.journal.append(journal.started(trial.id, trial.attempts + 1))
            self.running.add(trial.id)
            self._on_event(None)
            return self._assign(trial.spec, run.cell)

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
            reports = self._reports(run, trial.ask)
            if progress.step in reports:
                known = {s: v for s, v in reports.items() if s <= progress.step}
                if run.tuner.should_prune(trial.ask, known):
                    run.pruned.add(trial.ask)
        return trial.ask not in run.pruned

    def finish(self, trial_id: str, result: TrialResult) -> None:
        """Take in the end of a running trial; a second end of the same trial changes nothing."""
        self.running.discard(trial_id)
        trial = self.state.trials[trial_id]
        if not trial.final:
            self._end(trial, result)

    def _end(self, trial: Trial, result: TrialResult) -> None:
        self.journal.append(journal.finished(trial.id, result))
        for run, number in self._measures.get(trial.id, ()):
            self._settle(run, (number,))
        self._in_round.discard(trial.id)
        self._end_round()
        self._on_event(trial.id)

    def _tuner(self, cell: Cell) -> Tuner | None:
        tune = self.plan.study.tune
        if tune is None or not cell.space:
            return None
        direction = self._facts[cell.task].direction
        return Tuner(
            self.plan.study.name,
            cell.key,
            cell.space,
            sampler=tune.sampler.model_dump(),
            pruner=None if tune.pruner.name == "none" else tune.pruner.model_dump(),
            direction="higher" if direction == "higher" else "lower",
            parallel=tune.parallel,
            budget=tune.budget.trials,
        )

    def _take_up(self, run: CellRun) -> None:
        """Rebuild a cell from the journal, and queue what was planned but has not ended."""
        asks = self.state.asks.get(run.cell.key, [])
        if run.tuner is not None:
            for ask in asks:
                self._take_ask(run, ask)
            told = {ask.number: self._told(run, ask) for ask in asks}
            run.tuner.replay(asks, {k: v for k, v in told.items() if v is not None})
            self._settle(run, range(len(asks)))
        for ask in asks:
            if any(self.state.trials[t].status == "pruned" for t in ask.trials):
                run.pruned.add(ask.number)
        self._maybe_confirm(run)
        known = self._current(run) & self._planned_as.keys()
        for identity in sorted(known, key=self._planned_as.__getitem__):
            self._wait(run, identity)
        self._queue.look_at(run)

    def _wait(self, run: CellRun, identity: str) -> None:
        """Queue a trial, unless it has ended, runs or waits already."""
        if not self.state.trials[identity].final and identity not in self.running:
            spec = self.state.trials[identity].spec
            if spec.stage == "confirm":
                self._in_round.add(identity)
            turn = 0 if spec.stage == "search" else 1 + self._turns.get(spec.seed, len(self._turns))
            self._queue.add(run, identity, turn)

    def _current(self, run: CellRun) -> frozenset[str]:
        """Ids of the trials that the plan asks of a cell, as far as they are known."""
        ids = {t for ask in self.state.asks.get(run.cell.key, []) for t in ask.trials}
        if run.confirming:
            ids |= {spec.id for _, spec in self._confirmation(run)}
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
        return list(self.plan.specs(run.cell, values, "search"))

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

    def _reports(self, run: CellRun, number: int) -> dict[int, float]:
        """Mean primary score at each step that all trials of an ask have reached."""
        ids = self.state.asks[run.cell.key][number].trials
        reports = [self.state.trials[t].reports for t in ids]
        steps = sorted(set.intersection(*(set(r) for r in reports)))
        means = {}
        for step in steps:
            values = [r[step]["primary"] for r in reports]
            if all(v is not None for v in values):
                means[step] = sum(values) / len(values)
        return means

    def _settle(self, run: CellRun, numbers: Iterable[int]) -> None:
        """Tell the search what came of these asks, and draw the consequences."""
        assert run.tuner is not None
        for number in numbers:
            ask = self.state.asks[run.cell.key][number]
            known, retried = number in run.tuner.outcomes, self._was_retried(ask)
            outcome = self._outcome(run, number) if retried or not known else None
            if outcome is None:
                continue
            if not known:
                run.tuner.record(number, outcome)
            else:
                run.tuner.correct(number, outcome)
        self._queue.look_at(run)
        self._maybe_confirm(run)

    def _told(self, run: CellRun, ask: journal.Ask) -> Outcome | None:
        """What the search was told of an ask: that it failed, if it ever did."""
        if self._was_retried(ask):
            return Failed("failed before it was retried", {})
        return self._outcome(run, ask.number)

    def _was_retried(self, ask: journal.Ask) -> bool:
        return any(self.state.trials[t].failed_before for t in ask.trials)

    def _outcome(self, run: CellRun, number: int) -> Outcome | None:
        """What came of an ask, or None while one of its trials has not ended."""
        ask = self.state.asks[run.cell.key][number]
        trials = [self.state.trials[t] for t in ask.trials]
        if not trials:
            return Failed(f"breaks {self.plan.violated(run.cell, ask.values)}", {})
        if not all(t.final for t in trials):
            return None
        if any(t.status == "pruned" for t in trials):
            return self._pruned_outcome(run, number)
        reports = self._reports(run, number)
        failed = next((t for t in trials if t.status in FAILED), None)
        if failed is not None:
            reason = failed.result.reason if failed.result is not None else None
            return Failed(reason or failed.status, reports)
        scores = [self._search_score(run, t) for t in trials]
        return Complete(sum(scores) / len(scores), reports)

    def _pruned_outcome(self, run: CellRun, number: int) -> Outcome:
        """Only what was reported up to the step at which the pruner spoke, whatever ran on."""
        trials = [self.state.trials[t] for t in self.state.asks[run.cell.key][number].trials]
        reports = self._reports(run, number)
        last = min(max(t.reports, default=0) for t in trials if t.status == "pruned")
        return Pruned({s: v for s, v in reports.items() if s <= last})

    def _search_score(self, run: CellRun, trial: Trial) -> float:
        assert trial.result is not None
        scores = trial.result.scores[run.cell.template.splits.search]
        return scores[self._facts[run.cell.task].primary]

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
        run.confirming = True
        self._searching -= 1
        self._confirm(run)

    def _confirm(self, run: CellRun) -> None:
        """Plan the trials that confirm a cell now: all, or those that its race has asked for."""
        planned = self._confirmation(run)
        for rank in sorted({rank for rank, _ in planned}):
            self._plan(run, [spec for r, spec in planned if r == rank], ask=None, rank=rank)
        for _, spec in planned:
            self._wait(run, spec.id)

    def _end_round(self) -> None:
        """Take the looks of a race, once every trial that it has asked for has ended."""
        if not self.plan.looks or self._searching or self._in_round:
            return
        while (look := rounds.due(self.plan, self.state, self._facts)) is not None:
            self.journal.append(look)
        longer = rounds.extension(self.plan, self.state, self._facts)
        if longer:
            self.journal.append(journal.extended(longer))
            for key in longer:
                self._confirm(self.cells[key])

    def _confirmation(self, run: CellRun) -> list[tuple[int, TrialSpec]]:
        """The specs that confirm a cell, seeds first so that cells can be compared early."""
        chosen = chosen_values(self.plan, self.state, run.cell)
        seeds = seeds_asked(self.plan, self.state, run.cell)
        by_rank = [self.plan.specs(run.cell, values, "confirm")[:seeds] for values in chosen]
        return [(rank, spec) for specs in zip(*by_rank, strict=True)
                for rank, spec in enumerate(specs, 1)]  # fmt: skip

    def _search_over(self, run: CellRun) -> bool:
        if run.tuner is None:
            return True
        asks = self.state.asks.get(run.cell.key, [])
        if not run.tuner.spent() or len(run.tuner.outcomes) < len(asks):
            return False
        # An ask whose outcome is known is open again while one of its trials is retried.
        return all(self._outcome(run, ask.number) for ask in asks)
