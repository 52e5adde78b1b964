"""MLflow beside the journal: every way in which they can differ is seen, and mended."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tracked_stories import Story, crashed, done, spec

from ablate import journal
from ablate.doctor.agreement import Difference, differences, tracked
from ablate.doctor.finding import Finding
from ablate.tracking import Tracker, records
from ablate.tracking.client import Client, Point, Run

A, B, C = spec(1), spec(2), spec(3)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """One store for all tests: its schema takes seconds."""
    return Client(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db")


@pytest.fixture
def story(request: pytest.FixtureRequest, tmp_path: Path, client: Client) -> Story:
    """A finished trial, one that crashed, and one that was cut off; all of it was sent."""
    story = Story(request.node.name, tmp_path)
    story.plan(A, B, C)
    story.begin(A, 10, 20)
    story.finish(A)
    story.begin(B, 10)
    story.finish(B, crashed())
    story.begin(C, 10)
    story.tell(journal.ended("stopped"))
    tracker = Tracker(client.uri, story.info.name, artifacts=None, client=client)
    story.sync(tracker)
    tracker.close(interrupted=True)
    return story


def runs(client: Client, story: Story) -> dict[str, Run]:
    found = client.experiment(story.info.name)
    assert found is not None
    return {run.tags.get(records.TRIAL, ""): run for run in client.runs([found.id])}


def look(client: Client, story: Story, *, mend: bool = False) -> Finding:
    return tracked(client.uri, story.state, story.cells, story.info, mend=mend)


def test_what_was_sent_agrees(client: Client, story: Story) -> None:
    assert list(differences(client, story.state, story.info)) == []
    one = look(client, story)
    assert (one.status, one.text) == ("ok", "3 trials, each in one run with its own numbers")


def delete(client: Client, story: Story) -> None:
    client.delete(runs(client, story)[A.id].id)


def another_score(client: Client, story: Story) -> None:
    point = Point("validation/mcc", 0.99, 2_000_000_000_000, 0)
    client.log(runs(client, story)[A.id].id, points=[point])


def another_step(client: Client, story: Story) -> None:
    point = Point(records.MARKER, 0.75, 2_000_000_000_000, 30)
    client.log(runs(client, story)[A.id].id, points=[point])


def another_status(client: Client, story: Story) -> None:
    client.end(runs(client, story)[B.id].id, "FINISHED", 2_000_000_000_000)


def zombie(client: Client, story: Story) -> None:
    client.update(runs(client, story)[C.id].id, status="RUNNING")


def twice(client: Client, story: Story) -> None:
    run = runs(client, story)[A.id]
    client.create(run.experiment, run.name, run.start + 1, run.tags)


def stranger(client: Client, story: Story) -> None:
    run = runs(client, story)[A.id]
    client.create(run.experiment, run.name, run.start, {**run.tags, records.TRIAL: "e" * 64})


def behind(client: Client, story: Story) -> None:
    """The journal went on while the server was away."""
    story.finish(C, done(0.7))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (delete, "has no run"),
        (another_score, "has other values of validation/mcc"),
        (another_step, "has other steps on its curves"),
        (another_status, "is shown as FINISHED, and is crashed"),
        (zombie, "is shown as running, and nobody runs it"),
        (twice, "has two runs"),
        (stranger, "the journal does not know trial eeeeeeeeeeee"),
        (behind, "is shown as KILLED, and is finished"),
    ],
)
def test_a_difference_is_named_and_mended(
    client: Client, story: Story, damage: Callable[[Client, Story], None], what: str
) -> None:
    damage(client, story)
    found = list(differences(client, story.state, story.info))
    assert len(found) == 1
    assert isinstance(found[0], Difference)
    one = look(client, story)
    assert one.status == "broken"
    assert what in one.text
    one = look(client, story, mend=True)
    assert one.status == "mended", one
    assert what in one.text
    assert look(client, story).status == "ok"
    assert set(runs(client, story)) >= {A.id, B.id, C.id}


def test_a_trial_that_was_set_aside_keeps_its_run(client: Client, story: Story) -> None:
    """The next run takes the trial over; what MLflow has of it stays right."""
    stranger(client, story)
    assert list(differences(client, story.state, story.info, {"e" * 64})) == []
    one = tracked(client.uri, story.state, story.cells, story.info, awaited={"e" * 64}, mend=True)
    assert one.status == "ok"


def test_a_store_that_was_never_made_is_no_mistake(story: Story, tmp_path: Path) -> None:
    file = tmp_path / "none" / "mlflow.db"
    one = tracked(f"sqlite:///{file}", story.state, story.cells, story.info, mend=True)
    assert (one.status, "nothing was tracked" in one.text) == ("warning", True)
    assert not file.exists()


def test_a_server_that_is_away_is_no_traceback(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TIMEOUT", "MAX_RETRIES"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "1")
    uri = "http://me:geheim@127.0.0.1:9"
    one = tracked(uri, story.state, story.cells, story.info, mend=False)
    assert one.status == "broken"
    assert "geheim" not in one.text
