"""The frame: one row per trial, split and metric; what has no score is a row that says why."""

from typing import Any

import pandas as pd
import pytest
from mini_study import keys

from ablate import journal, tally
from ablate.journal import Entry, Event, State
from ablate.plan import Plan, plan
from ablate.study import Study
from ablate.tally import TaskFacts
from trials.spec import Progress, Splits, TrialResult, TrialSpec

FACTS = {
    "tiny_acceptability": TaskFacts(
        "mcc", "higher", {"mcc": "higher", "accuracy": "higher"}, {"mcc": False, "accuracy": True}
    )
}
VALUES = ({"learning_rate": 1e-3}, {"learning_rate": 1e-2})


def planned(**changes: Any) -> Plan:
    study = Study.from_dict(keys(**changes))
    return plan(study, data={"tiny_acceptability": ("d", Splits())}, backbones={"tiny": "b"})


class Record:
    """A journal in memory."""

    def __init__(self, made: Plan) -> None:
        self.plan, self.state = made, State()

    def add(self, entry: Entry) -> None:
        self.state.apply(Event(self.state.last_seq + 1, 0.0, entry.kind, entry.data))

    def trial(self, cell: int, spec: TrialSpec, ask: int | None, result: TrialResult | None) -> str:
        key, rank = self.plan.cells[cell].key, 1 if ask is None else None
        self.add(journal.planned(spec.id, spec.to_json(), cell=key, revision=1, ask=ask, rank=rank))
        if result is not None:
            self.add(journal.started(spec.id, 1))
            self.add(journal.finished(spec.id, result))
        return spec.id

    def ask(self, cell: int, number: int, result: TrialResult | None) -> str:
        spec = self.plan.spec(self.plan.cells[cell], VALUES[number], 1_000_000, "search")
        self.add(journal.asked(self.plan.cells[cell].key, number, VALUES[number], [spec.id]))
        return self.trial(cell, spec, number, result)

    def confirm(self, cell: int, seed: int, result: TrialResult | None) -> str:
        spec = self.plan.spec(self.plan.cells[cell], VALUES[1], seed, "confirm")
        return self.trial(cell, spec, None, result)

    def choose(self, cell: int) -> None:
        self.add(journal.chosen(self.plan.cells[cell].key, 1, 1, VALUES[1]))

    def frame(self) -> pd.DataFrame:
        return tally.frame(self.plan, self.state, FACTS)

    def standings(self) -> list[tally.Standing]:
        return tally.standings(self.plan, self.state, FACTS)


def done(mcc: float, *splits: str) -> TrialResult:
    scores = {split: {"mcc": mcc, "accuracy": mcc / 2 + 0.5} for split in splits}
    return TrialResult(
        status="finished", scores=scores, num_examples=dict.fromkeys(splits, 40),
        adapter_parameters=7, seconds=2.0, device="cpu", selected_epoch=1.5,
        environment={"torch": "2", "node": "n1", "gpu": "0"},
    )  # fmt: skip


@pytest.fixture
def record() -> Record:
    """The first cell is searched and half confirmed; the second only searched, in part."""
    made = Record(planned())
    made.ask(0, 0, done(0.2, "held_out"))
    made.ask(0, 1, done(0.6, "held_out"))
    made.choose(0)
    made.confirm(0, 0, done(0.5, "held_out", "validation"))
    made.confirm(0, 1, TrialResult(status="crashed", reason="no luck"))
    made.ask(1, 0, TrialResult(status="pruned", reason="stopped at step 2"))
    made.ask(1, 1, None)
    return made


def test_a_row_per_trial_split_and_metric(record: Record) -> None:
    found = record.frame()
    finished = found[found["status"] == "finished"]
    assert len(finished) == 2 * 2 + 2 * 2
    (row,) = finished[
        (finished["stage"] == "confirm")
        & (finished["split"] == "validation")
        & (finished["metric"] == "accuracy")
    ].to_dict("records")
    assert row["score"] == 0.75
    assert row["grid_step"] == 1 / 40
    assert not row["primary"]
    assert row["seed"] == 0
    assert row["tune.learning_rate"] == 1e-2
    assert row["rank"] == 4
    assert row["trainable_parameters"] == 7
    assert row["environment"] == "torch=2", "where it ran is no reason for another number"
    assert set(finished[finished["metric"] == "mcc"]["grid_step"].isna()) == {True}


def test_what_has_no_score_says_why(record: Record) -> None:
    found = record.frame()
    (crashed,) = found[found["status"] == "crashed"].to_dict("records")
    assert (crashed["reason"], crashed["split"], crashed["stage"]) == (
        "no luck", "validation", "confirm",
    )  # fmt: skip
    assert pd.isna(crashed["score"])
    (pruned,) = found[found["status"] == "pruned"].to_dict("records")
    assert pruned["split"] == "held_out"
    (waiting,) = found[found["status"] == "missing"].to_dict("records")
    assert waiting["reason"] == "waiting, not ended yet"


def test_a_trial_that_was_not_planned_yet_is_missing() -> None:
    made = Record(planned(tune=None, arms=[{"method": "lora"}], claims=[], baselines=[]))
    spec = made.plan.spec(made.plan.cells[0], {}, 0, "confirm")
    made.trial(0, spec, None, done(0.5, "held_out", "validation"))
    missing = made.frame().query("status == 'missing'").to_dict("records")
    assert [(m["seed"], m["reason"], m["split"]) for m in missing] == [
        (1, "not run yet", "validation")
    ]


def test_a_study_in_which_nothing_finished_has_a_frame_too() -> None:
    """Every trial may fail; the report has to say so."""
    made = Record(planned())
    for cell in (0, 1):
        for number in (0, 1):
            made.ask(cell, number, TrialResult(status="diverged", reason="loss is NaN"))
    found = made.frame()
    assert list(found["status"]) == ["diverged"] * 4
    assert found["score"].isna().all()


def test_a_study_that_has_not_begun_has_an_empty_frame() -> None:
    assert Record(planned()).frame().empty


def test_where_each_cell_stands(record: Record) -> None:
    first, second = record.standings()
    assert (first.search, first.confirm, first.failed, first.running) == ((2, 2), (2, 2), 1, 0)
    assert first.reasons == ("no luck",)
    assert first.best == 0.6
    assert (second.search, second.confirm, second.failed) == ((1, 2), (0, 2), 0)
    assert second.best is None, "a pruned ask has no score"


def test_where_fewer_asks_have_a_score_than_are_to_be_confirmed_those_are_all() -> None:
    made = Record(planned(confirm={"seeds": 2, "top": 2}))
    made.ask(0, 0, TrialResult(status="crashed", reason="no luck"))
    made.ask(0, 1, done(0.6, "held_out"))
    made.choose(0)
    made.confirm(0, 0, done(0.5, "held_out", "validation"))
    assert made.standings()[0].confirm == (1, 2)


def test_a_running_trial_is_counted(record: Record) -> None:
    (waiting,) = [t for t in record.state.trials.values() if t.status == "waiting"]
    record.add(journal.started(waiting.id, 1))
    report = Progress(
        step=2, num_steps=4, epoch=1.0, train_loss=1.0, scores={}, primary=0.1, seconds=1.0
    )
    record.add(journal.reported(waiting.id, report))
    assert record.standings()[1].running == 1


def test_the_best_of_a_lower_metric_is_the_lowest(record: Record) -> None:
    facts = {"tiny_acceptability": TaskFacts("mcc", "lower", {"mcc": "lower"}, {})}
    assert tally.standings(record.plan, record.state, facts)[0].best == 0.2


def test_what_the_plan_does_not_ask_for_is_stale(record: Record) -> None:
    assert tally.stale_trials(record.plan, record.state) == []
    fewer = planned(confirm={"seeds": 1})
    (stale,) = tally.stale_trials(fewer, record.state)
    assert stale.spec.seed == 1
    assert set(tally.frame(fewer, record.state, FACTS)["seed"]) == {0, 1_000_000}


def test_a_trial_that_was_asked_and_never_planned_breaks_nothing(record: Record) -> None:
    """What a kill between the two events leaves."""
    other = planned(tune={**keys()["tune"], "parallel": 2})
    state = State()
    ask = journal.asked(other.cells[0].key, 0, VALUES[0], ["a" * 64])
    state.apply(Event(1, 0.0, ask.kind, ask.data))
    assert tally.stale_trials(other, state) == []
    assert tally.standings(other, state, FACTS)[0].search == (0, 2)
    assert not tally.has_searched(state, other.cells[0])
