"""One run: what is sent to it, when, and never twice."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tracked_stories import (
    CELL,
    Story,
    all_runs,
    counted,
    crashed,
    done,
    history,
    progress,
    spec,
    track,
    trial_runs,
)

from ablate import journal
from ablate.tracking import StoreError
from ablate.tracking.client import Client, Run
from trials.errors import UserError


def test_only_what_changed_is_sent(client: Client, story: Story) -> None:
    first, second = spec(1), spec(2)
    story.plan(first, second)
    story.begin(first, 10)
    story.begin(second, 10)
    touched: list[str] = []
    spy = counted(client, lambda *_: None)
    tracker = track(spy, story)
    story.sync(tracker)
    log = client.log

    def watched(run: str, **what: Any) -> None:
        touched.append(run)
        log(run, **what)

    spy.log = watched
    story.tell(journal.reported(second.id, progress(20)))
    spy.names.clear()
    story.sync(tracker)
    assert touched == [trial_runs(client, story)[second.id].id]
    assert not spy.names, "one report is one request"
    tracker.client = client
    story.finish(first)
    story.finish(second)
    story.sync(tracker)
    tracker.close()
    assert {run.status for run in all_runs(client, story.info.name)} == {"FINISHED"}


def test_a_killed_driver_is_continued_with_one_point_a_step(client: Client, story: Story) -> None:
    """The resumed trial reports step 20 again, at another time of its own."""
    item = spec(1)
    story.plan(item)
    story.begin(item, 10, 20)
    story.sync(track(client, story))
    story.tell(
        journal.started(item.id, 2),
        journal.reported(item.id, progress(20, 0.6, seconds=9.0)),
        journal.reported(item.id, progress(30)),
    )
    story.finish(item)
    tracker = track(client, story)
    story.sync(tracker)
    tracker.close()
    run = trial_runs(client, story)[item.id]
    assert [p[:2] for p in history(client, run, "search/mcc")] == [(10, 0.5), (20, 0.5), (30, 0.5)]
    assert run.status == "FINISHED"


def test_a_retried_trial_keeps_its_run(client: Client, story: Story) -> None:
    item = spec(1)
    story.plan(item)
    tracker = track(client, story)
    story.begin(item, 10)
    story.finish(item, crashed())
    story.sync(tracker)
    first = trial_runs(client, story)[item.id]
    assert first.status == "FAILED"
    story.tell(journal.retried(item.id))
    story.sync(tracker)
    assert trial_runs(client, story)[item.id].status == "SCHEDULED"
    story.begin(item, 10, 20)
    story.sync(tracker)
    assert trial_runs(client, story)[item.id].status == "RUNNING"
    story.finish(item, replace(done(), seconds=0.5))
    story.sync(tracker)
    last = trial_runs(client, story)[item.id]
    assert (last.id, last.status, last.tags["ablate.reason"]) == (first.id, "FINISHED", "")
    assert last.metrics["seconds"] == 0.5, "the later value counts"
    assert [p[0] for p in history(client, last, "epoch")] == [10, 20]
    tracker.close()


def test_an_interrupted_study_leaves_no_run_running(client: Client, story: Story) -> None:
    item = spec(1)
    story.plan(item, spec(2))
    story.begin(item, 10)
    tracker = track(client, story)
    story.sync(tracker)
    tracker.close(interrupted=True)
    statuses = Counter(run.status for run in all_runs(client, story.info.name))
    assert statuses == {"KILLED": 2, "FINISHED": 1}
    tracker = track(client, story)
    story.sync(tracker)
    assert trial_runs(client, story)[item.id].status == "RUNNING"
    story.finish(item)
    story.sync(tracker)
    tracker.close()
    assert {run.status for run in all_runs(client, story.info.name)} == {"FINISHED"}


def test_a_missing_score_is_left_out(client: Client, story: Story) -> None:
    item = spec(1)
    story.plan(item)
    story.begin(item)
    story.tell(journal.reported(item.id, progress(10, None)))
    story.sync(track(client, story))
    run = trial_runs(client, story)[item.id]
    assert "search/mcc" not in run.metrics
    assert run.metrics["train_loss"] > 0


def test_a_summary_follows_its_cell(client: Client, story: Story) -> None:
    tracker = track(client, story)
    story.sync(tracker)
    story.cells = [replace(CELL, summary={"mean": 0.6, "n": 2, "num_failed": 0, "sd": 0.1})]
    story.sync(tracker)
    story.sync(tracker)

    def cell() -> Run:
        found = [r for r in all_runs(client, story.info.name) if r.tags["ablate.kind"] == "cell"]
        assert len(found) == 1
        return found[0]

    assert cell().metrics == {"mean": 0.6, "n": 2.0, "num_failed": 0.0, "sd": 0.1}
    assert [p[1] for p in history(client, cell(), "mean")] in ([0.4, 0.6], [0.6, 0.4])
    story.cells = [replace(CELL, summary={"mean": None, "n": 0, "num_failed": 2})]
    story.sync(tracker)
    assert cell().metrics == {"n": 0.0, "num_failed": 2.0}, "no old mean beside the new n"
    story.cells = []
    story.sync(tracker)
    assert cell().tags["ablate.stale"] == "true"


def test_of_two_runs_of_a_trial_the_older_stays(client: Client, story: Story) -> None:
    """A request that timed out and arrived after all makes a second run."""
    item = spec(1)
    story.plan(item)
    story.begin(item, 10)
    story.sync(track(client, story))
    first = trial_runs(client, story)[item.id]
    found = client.experiment(story.info.name)
    assert found is not None
    client.create(found.id, "twin", first.start + 1, {**first.tags, "mlflow.runName": "twin"})
    story.sync(track(client, story))
    assert trial_runs(client, story)[item.id].id == first.id


def test_one_refused_trial_does_not_keep_back_the_others(client: Client, story: Story) -> None:
    story.plan(*(spec(seed) for seed in (1, 2, 3)))
    for seed in (1, 2, 3):
        story.begin(spec(seed), 10)
    real = client.create

    def refusing(experiment: str, name: str, start: int, tags: Mapping[str, str]) -> Run:
        if name.endswith("seed 2"):
            raise StoreError("this one not")
        return real(experiment, name, start, tags)

    flaky = counted(client, lambda *_: None)
    flaky.create = refusing
    tracker = track(flaky, story)
    with pytest.raises(StoreError, match="this one not"):
        story.sync(tracker)
    assert set(trial_runs(client, story)) == {spec(1).id, spec(3).id}
    flaky.create = real
    story.sync(tracker)
    assert set(trial_runs(client, story)) == set(story.ids)
    tracker.close()


def test_a_deleted_experiment_is_said(client: Client, story: Story) -> None:
    track(client, story)
    found = client.experiment(story.info.name)
    assert found is not None
    client._mlflow.delete_experiment(found.id)
    with pytest.raises(UserError, match="was deleted in MLflow"):
        track(client, story)
