"""`run --detach`, `status`, `logs` and `stop` as typed, with a cluster that only answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mini_study import Ran, write

from ablate import cli, pulse, stops
from ablate.commands import remote
from ablate.journal import Journal
from ablate.pulse import EngineState, Pulse
from ablate.store import StudyFolder


class Jobs:
    """A cluster's jobs: what was submitted, and what they print."""

    submitted: list[dict[str, Any]]
    answer: tuple[str, str, int | None]

    def __init__(self, address: str) -> None:
        self.address = address

    def submit(self, arguments: Any, folder: Path, name: str, metadata: Any) -> str:
        inside = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))
        self.submitted.append({"arguments": list(arguments), "files": inside, "name": name,
                               "metadata": metadata, "address": self.address})  # fmt: skip
        return name

    def wait(self, job: str, *, until: frozenset[str], seconds: float) -> str:
        return self.answer[0]

    def status(self, job: str) -> str:
        return self.answer[0]

    def output(self, job: str) -> str:
        return self.answer[1]

    def follow(self, job: str) -> Any:
        yield from self.answer[1].splitlines(keepends=True)

    def exit_code(self, job: str) -> int | None:
        return self.answer[2]

    def why(self, job: str) -> str:
        return "no such file"

    def of_study(self, study: str) -> str | None:
        return "job-1" if study == "mini" else None


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Jobs]:
    module = pytest.importorskip("ablate.sweep.jobs")
    Jobs.submitted, Jobs.answer = [], ("RUNNING", "", None)
    monkeypatch.setattr(module, "Jobs", Jobs)
    monkeypatch.delenv("ABLATE_DATA", raising=False)  # which would be passed on
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "ABLATE_STORE"):
        monkeypatch.delenv(name, raising=False)
    return Jobs


HEAD = "http://head:8265"


def said(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    capsys.readouterr()
    found = cli.main([str(a) for a in arguments])
    output = capsys.readouterr()
    assert found == status, output.err
    return output.out + output.err


def test_a_study_is_sent_with_its_flags(
    jobs: type[Jobs], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = write(tmp_path / "home" / "mini.yaml")
    text = said(
        capsys, "run", file, "--detach", "--address", HEAD, "--store", "/mnt/store", "--set",
        "confirm.seeds=3", "--max-gpus", 2, "--data", "/mnt/data", "--spool",
    )  # fmt: skip
    (sent,) = jobs.submitted
    assert sent["address"] == HEAD
    assert sent["metadata"] == {"ablate_study": "mini"}
    assert sent["name"].startswith("ablate-mini-")
    assert {"ablate_peft.py", "trials/spec.py", "shipped/mini.yaml"} <= set(sent["files"])
    there = cli.parser().parse_args(sent["arguments"])
    assert (there.study, there.job, there.address) == ("shipped/mini.yaml", sent["name"], "auto")
    assert (there.store, there.data, there.max_gpus) == ("/mnt/store", ["/mnt/data"], 2.0)
    assert there.settings == ["confirm.seeds=3"]
    assert there.spool
    assert not there.detach
    for command in ("status", "logs", "stop"):
        assert f"ablate {command} mini --address {HEAD}" in text


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ([], "--address"),
        (["--address", HEAD, "--store", "here"], "must be an absolute path"),
        (["--address", HEAD, "--models", "../m"], "must be an absolute path"),
        (["--address", HEAD, "--tracking-uri", "http://me:secret@t"], "everybody who sees"),
        (["--address", HEAD, "--tracking-uri", "sqlite:///mlflow.db"], "a file of the cluster"),
        (["--address", HEAD, "--in-process"], "without Ray"),
    ],
)
def test_what_would_mean_something_else_there_is_refused(
    jobs: type[Jobs], capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: Any, why: str
) -> None:
    file = write(tmp_path / "mini.yaml")
    text = said(capsys, "run", file, "--detach", *flags, status=2)
    assert why in text
    assert "secret" not in text
    assert not jobs.submitted


def test_a_job_that_cannot_begin_says_why(
    jobs: type[Jobs], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    jobs.answer = ("FAILED", "last words\n", None)
    file = write(tmp_path / "mini.yaml")
    text = said(capsys, "run", file, "--detach", "--address", HEAD, status=2)
    assert "could not begin: no such file" in text
    assert "last words" in text


def test_a_command_is_passed_on_with_its_output_and_status(
    jobs: type[Jobs], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.answer = ("FAILED", "study 'mini' is not being run\n", 2)
    text = said(capsys, "stop", "mini", "--address", HEAD, "--store", "/mnt/store", status=2)
    assert text == "study 'mini' is not being run\n"
    assert jobs.submitted[0]["arguments"] == ["stop", "mini", "--store", "/mnt/store"]
    jobs.answer = ("SUCCEEDED", "{}\n", 0)
    assert said(capsys, "status", "mini", "--json", "--address", HEAD) == "{}\n"
    assert jobs.submitted[1]["arguments"] == ["status", "mini", "--json"]
    jobs.answer = ("RUNNING", "", None)
    assert "has not answered" in said(capsys, "status", "mini", "--address", HEAD, status=2)


def test_what_a_job_prints(jobs: type[Jobs], capsys: pytest.CaptureFixture[str]) -> None:
    jobs.answer = ("RUNNING", "one\ntwo\n", None)
    for flags in ([], ["--follow"]):
        assert said(capsys, "logs", "mini", "--address", HEAD, *flags) == "one\ntwo\n"
    assert "no job at" in said(capsys, "logs", "other", "--address", HEAD, status=2)


def test_the_name_of_a_study_given_as_a_file(tmp_path: Path) -> None:
    assert remote.study_name(str(write(tmp_path / "some.yaml"))) == "mini"
    assert remote.study_name("anything") == "anything"


# where the store is seen


def test_the_log_of_a_run(capsys: pytest.CaptureFixture[str], ran: Ran) -> None:
    text = said(capsys, "logs", "mini", *ran.flags())
    assert text.count("trial ended") == 8
    assert text.splitlines()[0].split("info")[1].strip().startswith("run began")
    lines = said(capsys, "logs", "mini", "--json", *ran.flags()).splitlines()
    last = json.loads(lines[-1])
    assert (last["event"], last["outcome"]) == ("run_ended", "done")
    assert said(capsys, "logs", "mini", "--errors", *ran.flags()) == ""


def test_a_run_is_asked_to_stop(
    capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path
) -> None:
    mine = ran.copy(tmp_path)
    assert "is not being run" in said(capsys, "stop", "mini", *mine.flags(), status=2)
    assert "no study called 'nimi'" in said(capsys, "stop", "nimi", *mine.flags(), status=2)
    with Journal.open(mine.folder / "journal"):
        assert "evaluated next" in said(capsys, "stop", "mini", *mine.flags())
        assert "being ended" in said(capsys, "stop", "mini", *mine.flags())
    shutil.rmtree(tmp_path / "store")


def test_status_shows_engines_while_a_run_says_so(
    capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    mine = ran.copy(tmp_path)
    folder = StudyFolder(mine.folder)
    engine = EngineState(name="engine-0123456789", node="10.0.0.7", device="gpu 1", trials=3,
                         places=8, steps_per_second=41.26, memory_bytes=3 << 30,
                         memory_total_bytes=140 << 30)  # fmt: skip
    waits = EngineState(name="engine-fedcba9876")
    pulse.write(folder.pulse, Pulse(time.time(), 17, 3, (engine, waits)))
    folder.job.write_text(json.dumps({"job": "ablate-mini-1", "host": "h", "began": "today"}))
    text = said(capsys, "status", "mini", *mine.flags())
    assert "3 running, 17 wait" in text
    row = next(line for line in text.splitlines() if line.startswith("01234567"))
    assert row.split() == ["01234567", "10.0.0.7", "gpu", "1", "3", "8", "41.3", "3.0/140", "GiB"]
    assert "waits for a device" in text
    assert "ablate-mini-1" in text
    told = json.loads(said(capsys, "status", "mini", "--json", *mine.flags()))
    assert told["now"]["engines"][0]["places"] == 8
    assert told["job"]["job"] == "ablate-mini-1"

    pulse.write(folder.pulse, Pulse(time.time() - 2 * pulse.FRESH_SECONDS, 17, 3, (engine,)))
    assert "17 wait" not in said(capsys, "status", "mini", *mine.flags()), "that run is gone"

    assert "8/8 done" in said(capsys, "status", "mini", "--watch", *mine.flags())
    assert not stops.is_run(folder)
