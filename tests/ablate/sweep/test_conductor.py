"""The conductor: the same study gives the same answers, whatever ends first or is killed."""

import os
import random
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fake_training import (
    FACTS,
    STEPS,
    TUNE,
    Killed,
    MortalJournal,
    Training,
    chosen,
    conductor,
    count,
    disturbed,
    drive,
    ends,
    nobody_crashes,
    planned,
    search,
    some_crash,
    undisturbed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate import journal, runner, tally, tuning
from ablate import search as search_module
from ablate.journal import Journal, State
from ablate.plan import Plan
from ablate.reuse import Finished
from ablate.search import Tuner
from ablate.sweep.conductor import Conductor
from ablate.sweep.queue import CellRun, Queue
from trials.spec import FAILED, Progress, TrialResult, TrialSpec

TWO_TASKS = ["tiny_acceptability", "tiny_paraphrase"]
THREE_ARMS = [
    {"method": "lora", "rank": 4}, {"method": "tlora", "rank": 16}, {"method": "mtlora", "rank": 4},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nobody_cuts_the_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@cache
def told(seeds: int) -> tuple[Plan, State]:
    """A plan, and what an undisturbed run of it comes to.

    No fixture: hypothesis writes out the arguments of a failure, and these are long.
    """
    made = planned(arms=THREE_ARMS[:2] if seeds > 1 else THREE_ARMS, tune={**TUNE, "seeds": seeds})
    with TemporaryDirectory() as place:
        return made, undisturbed(made, Path(place) / "journal")


@pytest.fixture
def plan() -> Plan:
    return told(1)[0]


@pytest.fixture
def quiet() -> State:
    return told(1)[1]


def confirmations(state: State) -> list[journal.Trial]:
    return [t for t in state.trials.values() if t.spec_json["stage"] == "confirm"]


def values(**entry: Any) -> dict[str, Any]:
    return {**TUNE, "space": entry}


def test_the_story_holds_what_the_others_rely_on(plan: Plan, quiet: State) -> None:
    """Or they would prove nothing: pruned, crashed and finished trials, NaN reports, repeats."""
    statuses = {t.status for t in quiet.trials.values()}
    assert statuses == {"finished", "pruned", "crashed"}
    assert any(r["primary"] is None for t in quiet.trials.values() for r in t.reports.values())
    assert len(plan.cells) == 3
    assert all(len(asks) == 6 for asks in quiet.asks.values())
    assert len(confirmations(quiet)) == 3 * 3


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    places=st.integers(1, 9),
    lives=st.lists(st.integers(0, 90), max_size=4),
)
def test_order_and_kills_change_nothing(seed: int, places: int, lives: list[int]) -> None:
    plan, quiet = told(1)
    with TemporaryDirectory() as place:
        folder = Path(place) / "journal"
        state = disturbed(plan, folder, seed, places, lives)
        assert search(state) == search(quiet)
        assert chosen(state) == chosen(quiet)
        assert ends(state) == ends(quiet)
        assert set(count(folder, "finished").values()) == {1}
        assert set(count(folder, "planned").values()) == {1}
        assert {t.id: (t.ask, t.rank, t.late) for t in state.trials.values()} == {
            t.id: (t.ask, t.rank, t.late) for t in quiet.trials.values()
        }


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    places=st.integers(1, 6),
    lives=st.lists(st.integers(0, 80), max_size=3),
)
def test_order_and_kills_change_nothing_where_an_ask_has_two_seeds(
    seed: int, places: int, lives: list[int]
) -> None:
    """Whether the second trial of a pruned ask ends or is stopped is luck; no answer is."""
    plan, quiet = told(2)
    with TemporaryDirectory() as place:
        folder = Path(place) / "journal"
        state = disturbed(plan, folder, seed, places, lives)
        assert search(state) == search(quiet)
        assert chosen(state) == chosen(quiet)
        confirmed = {t.id for t in confirmations(quiet)}
        assert {k: v for k, v in ends(state).items() if k in confirmed} == {
            k: v for k, v in ends(quiet).items() if k in confirmed
        }
        assert {t.id for t in confirmations(state)} == confirmed
        assert set(count(folder, "finished").values()) == {1}


def test_an_ask_of_two_seeds_is_their_mean(tmp_path: Path) -> None:
    made = planned(tune={**TUNE, "seeds": 2, "pruner": {"name": "none"}})
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        drive(course, random.Random(3), 3, nobody_crashes)
        for key, run in course.cells.items():
            assert run.tuner is not None
            for ask in record.state.asks[key]:
                assert len(ask.trials) == 2
                trials = [record.state.trials[t] for t in ask.trials]
                assert [t.spec.seed for t in trials] == [1_000_000, 1_000_001]
                scores = [t.result.scores["held_out"]["accuracy"] for t in trials]  # type: ignore[union-attr]
                outcome = run.tuner.outcomes[ask.number]
                assert getattr(outcome, "score", None) == pytest.approx(sum(scores) / 2)
            best = max(
                run.tuner.outcomes, key=lambda k: run.tuner.outcomes[k].score  # type: ignore[union-attr]
            )  # fmt: skip
            assert record.state.chosen[key][1].ask == best


def test_a_failed_ask_is_told_failed_and_a_pruned_one_pruned(plan: Plan, tmp_path: Path) -> None:
    from ablate.search import Complete, Failed, Pruned

    names = {"finished": Complete, "crashed": Failed, "pruned": Pruned}
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        drive(course, random.Random(1), 4)
        for key, run in course.cells.items():
            assert run.tuner is not None
            for ask in record.state.asks[key]:
                (trial,) = (record.state.trials[t] for t in ask.trials)
                assert type(run.tuner.outcomes[ask.number]) is names[trial.status]


def test_what_is_pruned_stays_pruned(plan: Plan, tmp_path: Path) -> None:
    """A late report of a stopped trial asks for a stop again, and a late end changes nothing."""
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        drive(course, random.Random(0), 1)
        stopped = [t for t in record.state.trials.values() if t.status == "pruned"]
        assert stopped
        for trial in stopped:
            assert max(trial.reports) < STEPS[-1]
            last = record.state.last_seq
            late = Training(trial.spec, nobody_crashes).progress(STEPS[-1])
            assert not course.report(trial.id, late)
            course.finish(trial.id, TrialResult(status="finished", scores={}))
            assert trial.status == "pruned"
            assert record.state.last_seq == last
    with Journal.open(tmp_path / "journal") as record:
        again = conductor(plan, record)
        assert again.done
        assert again.next() is None


def test_a_cell_whose_every_ask_fails_confirms_nothing(tmp_path: Path) -> None:
    made = planned()

    def fate(spec: TrialSpec) -> int | None:
        return 2 if spec.method == "tlora" else None

    state = undisturbed(made, tmp_path / "journal", fate)
    keys = {cell.arm.method: cell.key for cell in made.cells}
    assert keys["tlora"] not in state.chosen
    assert {t.cell for t in confirmations(state)} == {keys["lora"]}
    assert len(state.asks[keys["tlora"]]) == 6, "others may not have a larger budget"
    with Journal.open(tmp_path / "journal") as record:
        assert runner._outcome(conductor(made, record)) == "failures"


def test_no_search_goes_straight_to_the_confirmation(tmp_path: Path) -> None:
    made = planned(tune=None)
    state = undisturbed(made, tmp_path / "journal", nobody_crashes)
    assert not state.asks
    assert len(state.trials) == 6
    assert {t.status for t in state.trials.values()} == {"finished"}


@pytest.mark.parametrize("places", [1, 3])
def test_asks_that_repeat_values_share_their_trial(tmp_path: Path, places: int) -> None:
    """Two values in six asks; the budget is asked all the same, and a trial trained once."""
    made = planned(tune=values(learning_rate={"choices": [1e-3, 1e-2]}))
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        ended = drive(course, random.Random(5), places, nobody_crashes)
        assert course.done, "no trial to give is not the end: the next ask has to be made"
        assert len(ended) == len(set(ended))
        for run in course.cells.values():
            asks = record.state.asks[run.cell.key]
            assert len(asks) == 6
            assert len({t for ask in asks for t in ask.trials}) <= 2
            assert run.tuner is not None
            assert len(run.tuner.outcomes) == 6
    assert set(count(tmp_path / "journal", "finished").values()) == {1}


@pytest.mark.parametrize("places", [1, 3])
def test_the_budget_is_spent_on_values_that_hold(tmp_path: Path, places: int) -> None:
    tune = {**TUNE, "constraints": ["learning_rate < 1e-3"]}
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(planned(tune=tune), record)
        drive(course, random.Random(5), places, nobody_crashes)
        assert course.done
        for run in course.cells.values():
            asks = record.state.asks[run.cell.key]
            assert len(asks) == 6
            assert all(ask.trials and ask.values["learning_rate"] < 1e-3 for ask in asks)


def test_where_no_values_hold_every_ask_fails_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an endless space this shows only when it is searched."""
    monkeypatch.setattr(search_module, "MOST_DRAWS", 5)
    tune = {**TUNE, "constraints": ["learning_rate < 1e-5"]}
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(planned(tune=tune), record)
        assert not drive(course, random.Random(5), 3, nobody_crashes)
        assert course.done
        assert all(not ask.trials for asks in record.state.asks.values() for ask in asks)
        for run in course.cells.values():
            assert run.tuner is not None
            reasons = {getattr(o, "reason", "") for o in run.tuner.outcomes.values()}
            assert reasons == {"breaks learning_rate < 1e-5"}
        assert runner._outcome(course) == "failures"


def test_an_exhausted_grid_ends(tmp_path: Path) -> None:
    tune = {**values(learning_rate={"choices": [1e-3, 1e-2]}), "sampler": {"name": "grid"}}
    state = undisturbed(planned(tune=tune), tmp_path / "journal", nobody_crashes)
    assert [len(asks) for asks in state.asks.values()] == [2, 2]
    assert len(confirmations(state)) == 6


def test_the_cell_with_the_fewest_asks_comes_first(plan: Plan, tmp_path: Path) -> None:
    """Cells advance together, so that a stopped study compares like with like."""
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        for _ in range(3):
            assert course.next() is not None
        assert [len(asks) for asks in record.state.asks.values()] == [1] * 3


# growth


def grown(folder: Path, plan: Plan) -> tuple[State, list[str]]:
    """Run a (new) version; what was trained now."""
    with Journal.open(folder) as record:
        course = conductor(plan, record)
        trained = drive(course, random.Random(2), 3)
        assert course.done
        return record.state, trained


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    undisturbed(planned(), tmp_path / "journal")
    return tmp_path / "journal"


def test_the_same_study_again_trains_nothing(first_version: Path) -> None:
    before = journal.read(first_version)
    _, trained = grown(first_version, planned())
    assert not trained
    assert journal.read(first_version) == before


@pytest.mark.parametrize(
    ("change", "new_confirm", "new_asks"),
    [
        ({"confirm": {"seeds": 4}}, 2, 0),
        ({"arms": THREE_ARMS}, 3, 6),
        ({"tasks": TWO_TASKS}, 6, 12),
        ({"question": "the same in other words"}, 0, 0),
    ],
)
def test_growth_runs_only_what_is_new_and_marks_it_late(
    first_version: Path, change: dict[str, Any], new_confirm: int, new_asks: int
) -> None:
    old = journal.fold(journal.read(first_version))
    bigger = planned(**change)
    state, trained = grown(first_version, bigger)
    assert not set(trained) & set(old.trials)
    assert {k: v for k, v in ends(state).items() if k in old.trials} == ends(old)
    new = [state.trials[t] for t in trained]
    assert sum(t.spec_json["stage"] == "confirm" for t in new) == new_confirm
    asks = sum(map(len, state.asks.values())) - sum(map(len, old.asks.values()))
    assert asks == new_asks
    assert all(t.late and t.revision == 2 for t in new)
    assert not any(t.late for t in state.trials.values() if t.id in old.trials)
    assert len(state.revisions) == 2
    assert state.revisions[1].after_results


def test_what_is_added_before_a_confirmed_result_is_not_late(tmp_path: Path) -> None:
    """Search scores alone decide nothing that the report shows."""
    folder = tmp_path / "journal"
    with Journal.open(folder) as record:
        course = conductor(planned(), record)
        assignment = course.next()
        assert assignment is not None
        training = Training(assignment.spec, nobody_crashes)
        while isinstance(made := training.advance(), Progress):
            course.report(assignment.spec.id, made)
        course.finish(assignment.spec.id, made)
        assert made.status == "finished"
    state, trained = grown(folder, planned(arms=THREE_ARMS))
    assert len(state.revisions) == 2
    assert trained
    assert not any(t.late for t in state.trials.values())


def test_a_cell_that_changes_makes_what_it_had_stale(first_version: Path) -> None:
    changed = planned(train={"steps": 8, "batch_size": 8, "evaluate": {"every": 2}})
    old = journal.fold(journal.read(first_version))
    state, trained = grown(first_version, changed)
    assert not set(trained) & set(old.trials)
    assert {t.id for t in tally.stale_trials(changed, state)} == set(old.trials)
    assert any("stale" in words for words in state.revisions[1].added)


def test_a_lowered_budget_keeps_what_was_asked(first_version: Path) -> None:
    smaller = planned(tune={**TUNE, "budget": {"trials": 3}})
    state, trained = grown(first_version, smaller)
    assert not [t for t in trained if state.trials[t].spec_json["stage"] == "search"]


def test_a_raised_budget_asks_on(first_version: Path) -> None:
    old = journal.fold(journal.read(first_version))
    state, _ = grown(first_version, planned(tune={**TUNE, "budget": {"trials": 8}}))
    for key, asks in state.asks.items():
        assert [a.values for a in asks[:6]] == [a.values for a in old.asks[key]]
        assert len(asks) == 8


def retry_all(folder: Path) -> list[str]:
    with Journal.open(folder) as record:
        failed = [t.id for t in record.state.trials.values() if t.status in FAILED]
        record.extend(journal.retried(identity) for identity in failed)
    return failed


def crash_in(stage: str) -> Any:
    def fate(spec: TrialSpec) -> int | None:
        return some_crash(spec) if spec.stage == stage else None

    return fate


@pytest.mark.parametrize("stage", ["search", "confirm"])
def test_a_retried_trial_runs_again(tmp_path: Path, stage: str) -> None:
    """A failed search trial too, although later asks were made knowing of its failure."""
    made = planned(tasks=TWO_TASKS, arms=THREE_ARMS)
    folder = tmp_path / "journal"
    undisturbed(made, folder, crash_in(stage))
    failed = retry_all(folder)
    assert failed
    with Journal.open(folder) as record:
        course = conductor(made, record)
        ended = drive(course, random.Random(1), 3, nobody_crashes)
        assert course.done
        assert set(failed) <= set(ended)
        assert all(record.state.trials[t].status in ("finished", "pruned") for t in failed)
    with Journal.open(folder) as record:
        assert conductor(made, record).done, "and the journal opens again"


# what an event costs


class Counted(dict[str, Any]):
    """A dictionary that counts what is read of it."""

    def __init__(self, given: dict[str, Any], reads: list[int]) -> None:
        super().__init__(given)
        self.reads = reads

    def __getitem__(self, key: str) -> Any:
        self.reads[0] += 1
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.reads[0] += 1
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.reads[0] += 1
        return super().__contains__(key)

    def __iter__(self) -> Any:
        self.reads[0] += len(self)
        return super().__iter__()

    def values(self) -> Any:
        self.reads[0] += len(self)
        return super().values()

    def items(self) -> Any:
        self.reads[0] += len(self)
        return super().items()


def dearest(made: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The most reads of trials, asks and cells, and looks at a search, of any one call."""
    reads, most = [0], dict.fromkeys(("next", "report", "finish", "done"), 0)
    ready = Tuner.ready

    def counted_ready(tuner: Tuner) -> bool:
        reads[0] += 1
        return ready(tuner)

    def of(name: str, call: Any) -> Any:
        def counted(*given: Any) -> Any:
            reads[0] = 0
            made = call(*given)
            most[name] = max(most[name], reads[0])
            return made

        return counted

    with Journal.open(folder) as record, monkeypatch.context() as patch:
        course = conductor(made, record)
        patch.setattr(Tuner, "ready", counted_ready)
        record.state.trials = Counted(record.state.trials, reads)
        record.state.asks = Counted(record.state.asks, reads)
        course.cells = Counted(course.cells, reads)
        patch.setattr(type(course), "done", property(of("done", Conductor.done.fget)))  # type: ignore[attr-defined]
        for name in ("next", "report", "finish"):
            patch.setattr(Conductor, name, of(name, getattr(Conductor, name)))
        drive(course, random.Random(4), 3, nobody_crashes)
        assert course.done
        assert len(record.state.trials) >= made.num_trials
    return most


def arms(number: int) -> list[dict[str, Any]]:
    return [{"method": "lora", "rank": rank} for rank in range(1, number + 1)]


@pytest.mark.parametrize(
    "tune", [None, {**TUNE, "budget": {"trials": 2}, "sampler": {"name": "random"}}]
)
def test_an_event_costs_the_same_in_a_larger_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tune: Any
) -> None:
    """More cells, and more seeds where nothing is tuned."""
    few = {"arms": arms(3), "confirm": {"seeds": 2}, "tune": tune}
    many = {"arms": arms(24), "confirm": {"seeds": 2 if tune else 12}, "tune": tune}
    small = dearest(planned(**few), tmp_path / "small", monkeypatch)
    large = dearest(planned(**many), tmp_path / "large", monkeypatch)
    assert small["finish"] > 0
    assert large == small


def test_queued_twice_is_queued_once() -> None:
    (cell,) = planned(arms=THREE_ARMS[:1], tune=None).cells
    run = CellRun(0, cell, None)
    queue = Queue((run,))
    assert not queue
    for identity in ("a", "b", "a"):
        queue.add(run, identity, 0)
    assert queue
    assert [queue.pop(), queue.pop(), queue.pop()] == [(run, "a"), (run, "b"), None]
    queue.add(run, "a", 0)
    assert queue.pop() == (run, "a")


def test_trials_come_seed_by_seed_over_the_cells(tmp_path: Path) -> None:
    """Those of one seed see the same batches, and train best together."""
    plan = planned(arms=THREE_ARMS, tune=None, confirm={"seeds": [7, 3]})
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        given = [course.next() for _ in range(6)]
    assert [a.spec.seed for a in given if a is not None] == [7, 7, 7, 3, 3, 3]
    assert len({a.spec.method for a in given[:3] if a is not None}) >= 2


# several objectives, budgets of seconds, an earlier study


MANY = {
    **TUNE, "pruner": {"name": "none"}, "objectives": ["primary", "trainable_parameters"],
    "sampler": {"name": "nsgaii", "population_size": 3},
}  # fmt: skip


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), lives=st.lists(st.integers(0, 90), max_size=2))
def test_order_and_kills_change_nothing_with_several_objectives(
    seed: int, lives: list[int]
) -> None:
    made = planned(tune=MANY)
    with TemporaryDirectory() as place:
        quiet = undisturbed(made, Path(place) / "quiet")
        state = disturbed(made, Path(place) / "journal", seed, 4, lives)
        assert search(state) == search(quiet)
        assert chosen(state) == chosen(quiet)


def test_each_objective_is_told_in_its_own_unit_and_direction(tmp_path: Path) -> None:
    made = planned(tune={**MANY, "seeds": 2})
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        drive(course, random.Random(1), 2, nobody_crashes)
        for run in course.cells.values():
            assert run.tuner is not None
            assert [aim.direction for aim in run.aims] == ["higher", "lower"]
            for number, outcome in run.tuner.outcomes.items():
                ask = record.state.asks[run.cell.key][number]
                results = [record.state.trials[t].result for t in ask.trials]
                sizes = [r.adapter_parameters for r in results if r is not None]
                assert len(sizes) == 2
                assert outcome.scores[1] == sum(s or 0 for s in sizes) / 2  # type: ignore[union-attr]


def test_an_ask_without_a_value_of_an_objective_failed(tmp_path: Path) -> None:
    tune = {**MANY, "objectives": ["primary", "peak_memory_bytes"]}
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(planned(tune=tune), record)
        drive(course, random.Random(1), 2, nobody_crashes)
        assert course.done
        for run in course.cells.values():
            assert run.tuner is not None
            reasons = {getattr(o, "reason", "") for o in run.tuner.outcomes.values()}
            assert reasons == {"no value of peak_memory_bytes"}
            assert len(run.tuner.outcomes) == 6


@pytest.mark.parametrize("places", [1, 4])
def test_a_budget_of_seconds_is_equal_for_all_cells(tmp_path: Path, places: int) -> None:
    """Trials take 3 seconds each; two are in flight when the tenth second is reached."""
    tune = {**TUNE, "budget": {"gpu_seconds": 10}, "pruner": {"name": "none"}}
    made = planned(tune=tune)
    state = undisturbed(made, tmp_path / "quiet", nobody_crashes)
    assert [len(asks) for asks in state.asks.values()] == [5, 5]
    other = disturbed(made, tmp_path / "journal", 3, places, [20, 30], nobody_crashes)
    assert search(other) == search(state)
    assert state.revisions[0].contents["measured"] == ["budget: gpu_seconds"]


def warmed(folder: Path, made: Plan, earlier: State) -> tuple[State, list[str]]:
    with Journal.open(folder) as record:
        told = tuning.warm(made, FACTS, record.state, earlier)
        course = conductor(made, record, told)
        ended = drive(course, random.Random(2), 3, nobody_crashes)
        assert course.done
        return record.state, ended


def test_an_earlier_study_is_told_first_and_kept_in_the_revision(tmp_path: Path) -> None:
    earlier = undisturbed(planned(study="earlier"), tmp_path / "earlier", nobody_crashes)
    made = planned(tune={**TUNE, "warm_start": "earlier"})
    state, _ = warmed(tmp_path / "journal", made, earlier)
    cold = undisturbed(planned(), tmp_path / "cold", nobody_crashes)
    assert not state.asks.keys() & cold.asks.keys(), "another search is another cell"
    (revision,) = state.revisions
    assert revision.contents["warm"].keys() == {cell.key for cell in made.cells}
    for key, items in revision.contents["warm"].items():
        past = tuning.past_of(state, key)
        assert [(p.values, list(p.scores)) for p in past] == [
            (item["values"], item["scores"]) for item in items
        ]
        assert items
    assert all(len(asks) == 6 for asks in state.asks.values())
    # The earlier study has grown since; what was told stands.
    grown_since = undisturbed(
        planned(study="earlier", tune={**TUNE, "budget": {"trials": 9}}),
        tmp_path / "earlier", nobody_crashes,
    )  # fmt: skip
    again, ended = warmed(tmp_path / "journal", made, grown_since)
    assert not ended
    assert len(again.revisions) == 1


def test_an_earlier_study_of_other_arms_teaches_nothing(tmp_path: Path) -> None:
    other = planned(study="earlier", arms=[{"method": "lora", "rank": 2}])
    earlier = undisturbed(other, tmp_path / "earlier", nobody_crashes)
    assert tuning.warm(planned(), FACTS, State(), earlier) == {}


# what a user would expect


def test_out_of_memory_in_search_is_a_failed_ask(tmp_path: Path) -> None:
    made = planned()
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        while (given := course.next()) is not None:
            search_stage = given.spec.stage == "search"
            status: Any = "out_of_memory" if search_stage else "finished"
            course.finish(given.spec.id, TrialResult(status=status, reason="no memory left"))
        assert course.done
        assert [len(asks) for asks in record.state.asks.values()] == [6, 6]
        assert not record.state.chosen
        assert runner._outcome(course) == "failures"


def test_more_configurations_to_confirm_than_asks_confirm_what_there_is(tmp_path: Path) -> None:
    tune = {**values(learning_rate={"choices": [1e-3, 1e-2]}), "sampler": {"name": "grid"}}
    made = planned(tune=tune, confirm={"seeds": 2, "top": 5})
    state = undisturbed(made, tmp_path / "journal", nobody_crashes)
    assert [sorted(ranks) for ranks in state.chosen.values()] == [[1, 2], [1, 2]]
    assert len(confirmations(state)) == 2 * 2 * 2
    assert made.counts.confirm == 8


def test_no_trial_that_confirms_is_stopped_early(tmp_path: Path) -> None:
    """Whatever it reports: the pruner belongs to the search."""
    tune = {**TUNE, "pruner": {"name": "threshold", "lower": 2.0}}
    state = undisturbed(planned(tune=tune), tmp_path / "a", nobody_crashes)
    assert {t.status for t in state.trials.values()} == {"pruned"}
    state = undisturbed(planned(tune=TUNE), tmp_path / "b", nobody_crashes)
    assert {t.status for t in confirmations(state)} == {"finished"}
    assert "pruned" in {t.status for t in state.trials.values()}


# trials of another study


def library(state: State) -> Any:
    """Another study that trained most of these trials, each in full."""

    def elsewhere(identity: str) -> Finished | None:
        if identity[0] in "0123" or identity not in state.trials:
            return None
        training, reports = Training(state.trials[identity].spec, some_crash), []
        while isinstance(made := training.advance(), Progress):
            reports.append(made)
        return Finished("other", reports, made) if made.status == "finished" else None

    return elsewhere


@pytest.mark.parametrize("places", [1, 4])
def test_what_another_study_finished_is_taken_over_and_changes_no_answer(
    plan: Plan, quiet: State, tmp_path: Path, places: int
) -> None:
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record, elsewhere=library(quiet))
        trained = drive(course, random.Random(4), places)
        assert course.done
        state = record.state
    assert search(state) == search(quiet)
    assert chosen(state) == chosen(quiet)
    # A trial that a pruner stops here stops at the same step, though it was trained in full there.
    assert ends(state) == ends(quiet)
    reused = {t.id for t in state.trials.values() if t.reused_from == "other"}
    assert reused
    assert not reused & set(trained)
    assert reused | set(trained) == set(state.trials)
    assert not reused & count(tmp_path / "journal", "started").keys()
    assert any(state.trials[t].status == "pruned" for t in reused)
    assert journal.fold(journal.read(tmp_path / "journal")).trials == state.trials


def test_a_trial_that_has_begun_here_is_not_taken_over(
    plan: Plan, quiet: State, tmp_path: Path
) -> None:
    with Journal.open(tmp_path / "journal") as record:
        first = conductor(plan, record).next()
    assert first is not None
    with Journal.open(tmp_path / "journal") as record:
        drive(conductor(plan, record, elsewhere=library(quiet)), random.Random(4), 2)
        assert any(t.reused_from for t in record.state.trials.values())
        assert record.state.trials[first.spec.id].reused_from is None
        assert record.state.trials[first.spec.id].final


def test_a_killed_takeover_is_taken_up_again(plan: Plan, quiet: State, tmp_path: Path) -> None:
    for life in [*range(8, 60, 6), None]:
        with MortalJournal.open(tmp_path / "journal") as record:
            record.lives = life
            with suppress(Killed):
                course = conductor(plan, record, elsewhere=library(quiet))
                drive(course, random.Random(4), 2)
    state = journal.fold(journal.read(tmp_path / "journal"))
    assert ends(state) == ends(quiet)
    assert set(count(tmp_path / "journal", "finished").values()) == {1}
