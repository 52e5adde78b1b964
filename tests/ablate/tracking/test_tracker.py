"""The tracker: however often it is killed or refused, MLflow ends up the same."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tracked_stories import (
    Story,
    all_runs,
    counted,
    eventful,
    history,
    long_story,
    spec,
    track,
    trial_runs,
)

from ablate import frame, journal
from ablate.tracking import StoreError
from ablate.tracking.client import Client
from ablate.tracking.records import SENT, row_of


class Killed(BaseException):
    """What `kill -9` is to the code under test: nothing handles it."""


def snapshot(client: Client, name: str) -> dict[str, Any]:
    """Everything that the store has of a study, but for ids and when it was sent."""
    result = {}
    for run in all_runs(client, name):
        is_trial = run.tags["ablate.kind"] == "trial"
        identity = run.tags["ablate.kind"] + run.tags.get("ablate.trial", "")
        assert identity not in result, "made twice"
        curves = {key: history(client, run, key) for key in run.metrics if key != SENT}
        if not is_trial:
            curves = {key: [(s, v, 0) for s, v, _ in points] for key, points in curves.items()}
        tags = {
            k: v for k, v in run.tags.items() if k not in ("mlflow.parentRunId", "ablate.study")
        }
        row = row_of(tags)
        tags = {k: v for k, v in tags.items() if not k.startswith("ablate.row")}
        files = sorted(f.path for f in client._mlflow.list_artifacts(run.id))
        result[identity] = {
            "name": "" if run.name == name else run.name,
            "status": run.status,
            "times": (run.start, run.end) if is_trial else None,
            "tags": {k: v for k, v in tags.items() if v != name and k != "ablate.config_digest"},
            "row": row and {**row, "study": ""},
            "params": run.params,
            "curves": curves,
            "files": files,
        }
    return result


def test_nothing_is_written_where_the_driver_stands(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    tracker = track(client, story := eventful("elsewhere", tmp_path))
    story.sync(tracker)
    tracker.close()
    assert not list(elsewhere.iterdir())


def test_what_a_finished_trial_leaves(client: Client, tmp_path: Path) -> None:
    story = eventful("leaves", tmp_path)
    tracker = track(client, story)
    story.sync(tracker)
    tracker.close()
    found = all_runs(client, "leaves")
    parent = next(run for run in found if run.tags["ablate.kind"] == "study")
    cell = next(run for run in found if run.tags["ablate.kind"] == "cell")
    assert parent.status == cell.status == "FINISHED"
    assert cell.metrics == {"mean": 0.4, "n": 1.0, "num_failed": 1.0}
    assert cell.params["freeze"] == "a+b"
    trials = trial_runs(client, story)
    assert all(run.tags["mlflow.parentRunId"] == parent.id for run in [cell, *trials.values()])
    good = trials[spec(1).id]
    assert (good.name, good.status) == ("LoRA r=8 · seed 1", "FINISHED")
    assert good.params["rank"] == "8"
    assert good.params["recipe.learning_rate"] == "0.002"
    assert good.params["recipe.schedule.name"] == "linear"
    assert "recipe.steps" not in good.params
    assert good.metrics["validation/accuracy"] == 0.75
    assert good.metrics["adapter_parameters"] == 1024
    assert good.metrics["method/rank/encoder.0"] == 8
    assert good.tags["ablate.data_digest"] == "d" * 64
    assert good.tags["environment.torch"] == "2.9"
    journaled = story.state.trials[spec(1).id]
    assert (good.start, good.end) == (
        round((journaled.started_at or 0) * 1000), round((journaled.finished_at or 0) * 1000),
    )  # fmt: skip
    assert history(client, good, "search/mcc") == [
        (10, 0.5, good.start + 1000), (20, 0.5, good.start + 2000),
    ]  # fmt: skip
    bad = trials[spec(2).id]
    assert (bad.status, bad.tags["ablate.reason"]) == ("FAILED", "a wheel came off")
    assert not any(key.startswith("validation/") for key in bad.metrics)
    pruned = trials[spec(0, "search").id]
    assert (pruned.name, pruned.status) == ("LoRA r=8 · ask 0 · seed 0", "FINISHED")
    assert pruned.tags["ablate.status"] == "pruned"
    assert [f.path for f in client._mlflow.list_artifacts(bad.id)] == ["logs"]
    assert [f.path for f in client._mlflow.list_artifacts(parent.id)] == ["study.json"]


def test_the_ledger_goes_along(client: Client, tmp_path: Path) -> None:
    """Each look once more as a file of the study's run, sent again only when there is a new one."""
    story = Story("raced", tmp_path)
    tracker = track(client, story)
    story.sync(tracker)
    test = {"question": "q", "num_seeds": 5, "p_value": 0.5, "decision": "open"}
    story.tell(journal.looked("d", 10, [test], at=1.0, batch=1))
    story.sync(tracker)
    tracker.close()
    (parent,) = all_runs(client, "raced")[:1]
    assert parent.tags["ablate.kind"] == "study"
    assert parent.tags["ablate.looks"] == "1"
    text = client._mlflow.download_artifacts(parent.id, "ledger.json", str(tmp_path))
    assert json.loads(Path(text).read_text()) == [
        {"trials": "d", "num_trials": 10, "tests": [test], "at": 1.0, "batch": 1}
    ]


def test_killed_or_refused_after_any_request(client: Client, tmp_path: Path) -> None:
    """A new tracker, or the same one after an error, comes to the same end."""
    whole = eventful("whole", tmp_path)
    steady = counted(client, lambda *_: None)
    tracker = track(steady, whole)
    whole.sync(tracker)
    tracker.close()
    expected = snapshot(client, "whole")
    for at in range(1, steady.num + 1):
        for error in (Killed(), StoreError("lost answer"))[: 1 + at % 2]:
            story = eventful(f"at-{at}-{type(error).__name__}", tmp_path)

            def strike(num: int, _: str, at: int = at, error: BaseException = error) -> None:
                if num == at:
                    raise error

            flaky = counted(client, strike)
            with contextlib.suppress(Killed, StoreError):
                tracker = track(flaky, story)
                story.sync(tracker)
                tracker.close()
            if isinstance(error, Killed) or at <= 2:
                tracker = track(client, story)
            story.sync(tracker)
            tracker.close()
            assert snapshot(client, story.info.name) == expected, f"request {at}, {error!r}"


def test_synchronising_again_changes_nothing_and_asks_nothing(
    client: Client, tmp_path: Path
) -> None:
    story = eventful("again", tmp_path)
    tracker = track(client, story)
    story.sync(tracker)
    before = snapshot(client, "again")
    requests = counted(client, lambda *_: None)
    tracker.client = requests
    story.sync(tracker)
    assert requests.num == 0
    second = track(requests, story)
    story.sync(second)
    assert requests.names == {"experiment": 1, "runs": 1}
    assert snapshot(client, "again") == before


_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from ablate.tracking.client import Client
from tracked_stories import long_story, track
story = long_story(Path(sys.argv[2]))
tracker = track(Client(sys.argv[1]), story)
print("go", flush=True)
story.sync(tracker)
print("done", flush=True)
"""


def test_kill_9_in_the_middle(client: Client, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(frame.__file__).parents[1])}
    command = [sys.executable, "-c", _CHILD, client.uri, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        time.sleep(0.4)
        child.send_signal(signal.SIGKILL)
        assert child.stdout.read() == "", "it was killed too late to prove anything"
    story = long_story(tmp_path)
    partial = trial_runs(client, story)
    assert 0 < len(partial) < len(story.ids)
    tracker = track(client, story)
    story.sync(tracker)
    tracker.close()
    found = trial_runs(client, story)
    assert set(found) == set(story.ids)
    assert all(found[i].id == run.id for i, run in partial.items())
    assert {run.status for run in all_runs(client, "killed")} == {"FINISHED"}
    for run in list(found.values())[: len(partial) + 1]:
        assert [p[0] for p in history(client, run, "search/mcc")] == [10, 20, 30]
        assert len(history(client, run, "validation/mcc")) == 1
