"""The writer: MLflow never holds up a driver, and loses nothing."""

import sqlite3
import threading
import time

from tracked_stories import CELL, Story, all_runs, history, spec, track, trial_runs

from ablate.journal import State
from ablate.tracking import StoreError, Writer
from ablate.tracking.client import Client


def test_the_writer_follows_a_driver_past_a_locked_database(client: Client, story: Story) -> None:
    specs = [spec(seed) for seed in range(6)]
    writer = Writer(
        lambda: track(client, story),
        story.state,
        lambda state: ([CELL], story.info),
        interval=0.01,
    )
    writer.start()
    other = sqlite3.connect(client.uri.removeprefix("sqlite:///"), check_same_thread=False)
    try:
        for number, item in enumerate(specs):
            story.plan(item)
            story.begin(item, 10, 20)
            writer.notify()
            if number == 2:
                other.execute("BEGIN EXCLUSIVE")
                threading.Timer(2.0, other.rollback).start()
            started = time.monotonic()
            story.finish(item)
            writer.notify()
            assert time.monotonic() - started < 1.0, "the driver waited"
            time.sleep(0.05)
        assert writer.close(timeout=50)
    finally:
        other.close()
    assert writer.problems == []
    found = trial_runs(client, story)
    assert set(found) == set(story.ids)
    assert {run.status for run in all_runs(client, story.info.name)} == {"FINISHED"}
    assert all(len(history(client, run, "epoch")) == 2 for run in found.values())


class Moody:
    """A tracker whose store is away for a while."""

    def __init__(self, moods: list[Exception | None]) -> None:
        self.moods = moods
        self.seen: list[int] = []
        self.closed: list[bool] = []

    def sync(self, state: State, cells: object, study: object) -> None:
        mood = self.moods.pop(0) if self.moods else None
        if mood is not None:
            raise mood
        self.seen.append(state.last_seq)

    def close(self, *, interrupted: bool) -> None:
        self.closed.append(interrupted)


def write_with(tracker: Moody, story: Story, heard: list[str | None] | None = None) -> Writer:
    return Writer(
        lambda: tracker,  # type: ignore[arg-type,return-value]
        story.state,
        lambda state: ([], story.info),
        interval=0.01,
        on_change=([] if heard is None else heard).append,
    )


def test_an_outage_is_told_once_and_when_it_is_over(story: Story) -> None:
    heard: list[str | None] = []
    moods = [None, StoreError("away"), StoreError("still away"), None, StoreError("again"), None]
    writer = write_with(Moody(moods), story, heard)
    writer.start()
    while len(writer.problems) < 2:
        writer.notify()
        time.sleep(0.01)
    assert writer.close(timeout=10)
    assert heard == ["away", None, "again", None]


def test_the_writer_retries_and_says_each_problem_once(story: Story) -> None:
    away = StoreError("away")
    tracker = Moody([away, away, ValueError("ours"), None])
    writer = write_with(tracker, story)
    writer.start()
    assert writer.close(timeout=10, interrupted=True)
    assert tracker.seen[-1] == story.state.last_seq
    assert tracker.closed == [True]
    assert writer.problems == ["away", "tracking failed: ValueError: ours"]


def test_the_writer_gives_up_in_time(story: Story) -> None:
    writer = write_with(Moody([StoreError("away")] * 1000), story)
    writer.start()
    started = time.monotonic()
    assert not writer.close(timeout=1.2)
    assert time.monotonic() - started < 3
    assert writer.problems == ["away"]


def test_a_store_found_away_only_at_the_end_is_not_waited_for_as_a_slow_one_is(
    story: Story,
) -> None:
    writer = write_with(Moody([StoreError("away")] * 1000), story)
    started = time.monotonic()
    writer.start()
    assert not writer.close(timeout=600, away=0.1)
    assert time.monotonic() - started < 60


def test_a_writer_that_never_started_closes(story: Story) -> None:
    assert not write_with(Moody([]), story).close(timeout=1)
