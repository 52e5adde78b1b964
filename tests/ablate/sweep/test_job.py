"""What a Tune job adds to a trial, without a cluster."""

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_engine import FakeEngine
from fake_training import planned

with warnings.catch_warnings():
    # Ray's own, at its import.
    warnings.simplefilter("ignore")
    from ablate.sweep import stay, visit
    from ablate.sweep.job import PROGRESS, RESULT, Job

from trials.forkserver import Died
from trials.places import Assignment, Places
from trials.spec import TrialResult
from trials.training import engine
from trials.training.engine import Event


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The GPUs that Ray gave this job."""
    found: list[str] = []
    context = SimpleNamespace(
        get_accelerator_ids=lambda: {"GPU": list(found)}, get_node_id=lambda: "0123456789abcdef"
    )
    monkeypatch.setattr(visit.ray, "get_runtime_context", lambda: context)
    return found


def assignment(folder: Path, number: int = 0, **changes: Any) -> Assignment:
    plan = planned(tune=None)
    spec = plan.spec(plan.cells[0], {}, number, "confirm")
    made = Assignment(
        spec=spec, task=spec.task, backbone=spec.backbone, places=Places(), folder=str(folder)
    )
    return dataclasses.replace(made, **changes)


def test_where_a_trial_ran_is_recorded(gpus: list[str]) -> None:
    made = Event("t", None, TrialResult(status="finished", environment={"torch": "2"}))
    told = stay.message(made)
    assert told["progress"] is None
    assert told["result"]["environment"] == {"torch": "2", "node": "0123456789ab"}
    gpus += ["1", "3"]
    assert stay.message(made)["result"]["environment"]["gpu"] == "1,3"
    assert made.result.environment == {"torch": "2"}


@pytest.mark.parametrize(
    ("wanted", "given", "torch_has", "device"),
    [
        ("auto", [], True, "cpu"),
        ("auto", ["0"], True, "cuda"),
        ("auto", ["0"], False, "cpu"),
        ("cpu", ["0"], True, "cpu"),
        ("cuda", ["0"], True, "cuda"),
    ],
)
def test_the_device_is_what_ray_gave(
    gpus: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wanted: str,
    given: list[str],
    torch_has: bool,
    device: str,
) -> None:
    import torch

    gpus += given
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_has)
    assert stay.on_given_device(assignment(tmp_path, device=wanted)).device == device


def told(job: Job, given: Assignment) -> None:
    job.setup({"assignment": json.loads(json.dumps(given.to_json()))})


def test_a_job_trains_one_trial_and_takes_another(
    gpus: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "Engine", FakeEngine)
    monkeypatch.setattr(FakeEngine, "joined", [])
    monkeypatch.setattr(FakeEngine, "open", 0)
    first, second = assignment(tmp_path / "1", 1), assignment(tmp_path / "2", 2)
    process: Job = object.__new__(Job)
    told(process, first)
    assert not FakeEngine.joined, "loading is left to the first step, where a failure is a result"
    steps = [process.step() for _ in range(5)]
    assert [s["done"] for s in steps] == [False] * 4 + [True]
    assert [json.loads(s[PROGRESS])["step"] for s in steps[:4]] == [2, 4, 6, 8]
    stopped = TrialResult.from_json(json.loads(steps[1][RESULT]))
    assert (stopped.status, stopped.reason) == ("pruned", "stopped at step 4")
    whole = TrialResult.from_json(json.loads(steps[4][RESULT]))
    assert whole.status == "finished"
    assert whole.environment["node"] == "0123456789ab"
    assert FakeEngine.open == 0

    assert process.reset_config({"assignment": second.to_json()})
    process.step()
    assert FakeEngine.open == 1
    process.cleanup()
    assert FakeEngine.open == 0
    assert FakeEngine.joined == [first.spec.id, second.spec.id]


def test_a_trial_with_an_engine_goes_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the job trains nothing itself."""
    made: list[tuple[str, str]] = []
    heard = [{"progress": {"step": 2}, "result": {"status": "pruned"}},
             {"progress": None, "result": {"status": "finished"}}]  # fmt: skip

    class Visit:
        def __init__(self, given: Assignment, engine: str) -> None:
            made.append((given.spec.id, engine))

        def next(self) -> Any:
            return heard.pop(0)

    monkeypatch.setattr(visit, "SharedStay", Visit)
    given = assignment(tmp_path)
    process: Job = object.__new__(Job)
    process.setup({"assignment": given.to_json(), "engine": "engine-7"})
    first, last = process.step(), process.step()
    assert made == [(given.spec.id, "engine-7")]
    assert not first["done"]
    assert json.loads(first[PROGRESS]) == {"step": 2}
    assert last["done"]
    assert PROGRESS not in last
    assert json.loads(last[RESULT]) == {"status": "finished"}


def test_a_trial_goes_to_a_process_that_was_forked_for_the_job(
    gpus: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same one for all trials of the job."""
    made: list[tuple[str, Any]] = []

    class Process:
        def __init__(self, address: str) -> None:
            made.append(("come", address))

        def begin(self, given: Assignment, *, has_gpu: bool) -> None:
            made.append((given.spec.id, has_gpu))

        def next(self) -> Any:
            return {"progress": None, "result": {"status": "finished", "environment": {"a": "b"}}}

        def leave(self) -> None:
            made.append(("left", None))
            raise Died

    monkeypatch.setattr(visit, "Visitor", Process)
    visit._visitor.cache_clear()
    first, second = assignment(tmp_path, 1), assignment(tmp_path, 2)
    process: Job = object.__new__(Job)
    process.setup({"assignment": first.to_json(), "engine": None, "forks": "/place"})
    assert not made
    step = process.step()
    assert step["done"]
    environment = json.loads(step[RESULT])["environment"]
    assert environment == {"a": "b", "node": "0123456789ab"}
    gpus += ["0"]
    process.reset_config({"assignment": second.to_json(), "engine": None, "forks": "/place"})
    process._stay = process._begin()
    process.cleanup()
    visit._visitor.cache_clear()
    assert made == [("come", "/place"), (first.spec.id, False), (second.spec.id, True),
                    ("left", None)]  # fmt: skip


def test_a_job_trains_itself_where_no_server_answers(
    gpus: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "Engine", FakeEngine)
    monkeypatch.setattr(FakeEngine, "joined", [])
    visit._visitor.cache_clear()
    given = assignment(tmp_path)
    process: Job = object.__new__(Job)
    process.setup({"assignment": given.to_json(), "forks": str(tmp_path / "nobody")})
    assert not process.step()["done"]
    assert FakeEngine.joined == [given.spec.id]
    process.cleanup()


def test_what_cannot_start_is_a_result(gpus: list[str], tmp_path: Path) -> None:
    process: Job = object.__new__(Job)
    told(process, assignment(tmp_path, task="./not_there"))
    made = process.step()
    assert made["done"]
    result = TrialResult.from_json(json.loads(made[RESULT]))
    assert result.status == "crashed"
    assert "not_there" in str(result.reason)
    assert (tmp_path / result.files["traceback"]).is_file()


def test_a_job_of_a_shared_engine_imports_no_torch() -> None:
    """It would take three seconds of a core and the memory of it, for every trial of a pack."""
    modules = "ablate.sweep.job, ablate.sweep.visit, ablate.sweep.engine_actor"
    code = f"import sys, {modules}; print({{'torch', 'transformers'}} & set(sys.modules))"
    line = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "set()\n"
