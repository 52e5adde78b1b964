"""A study as a job of a Ray head: shipped, looked at, stopped, resumed, from other processes."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import SECONDS, end_all, free_port, until

import ablate
from ablate import api, journal, log
from ablate.journal import State
from ablate.runner import Options

pytestmark = pytest.mark.slow  # Minutes of Ray's job server.
pytest.importorskip("aiohttp_cors", reason="Ray's job server needs ray[default]")

ROOT = Path(ablate.__file__).parents[1]

MINE = '''
"""LoRA that takes its time, so that a test can come in between."""
import time
from dataclasses import dataclass

from ablate import Method, Site, Update, hyper, kaiming_uniform, register, zeros


@register("slow")
@dataclass(frozen=True, kw_only=True)
class Slow(Method):
    rank: int = hyper(4, low=1, help="inner dimension")

    def init(self, site: Site, generator):
        return {
            "a": kaiming_uniform(self.rank, site.inputs, generator=generator),
            "b": zeros(site.outputs, self.rank),
        }

    def update(self, p):
        return Update(left=p["b"], core=None, right=p["a"], scale=2.0)

    def after_step(self, groups, step, num_steps):
        time.sleep(0.1)
'''

STUDY: dict[str, Any] = {
    "study": "sent",
    "use": ["../code/slow.py"],
    "tasks": ["../rows"],
    "backbones": ["tiny"],
    "targets": ["query", "value"],
    "arms": [{"method": "slow"}, {"method": "lora", "rank": 4}],
    "train": {"steps": 8, "batch_size": 4, "max_length": 24, "evaluate": {"every": 2}},
    "confirm": {"seeds": 4},
}


@dataclass(frozen=True)
class Head:
    """A Ray head on this machine's loopback, behind a token.

    Attributes:
        place: its folder.
        address: of its job server.
        metrics: port of its exporter.
        environment: of every process of the test.
    """

    place: Path
    address: str
    metrics: int
    environment: dict[str, str]

    def ablate(self, *arguments: object, cwd: Path | None = None) -> Any:
        line = [sys.executable, str(ROOT / "ablate_peft.py"), *map(str, arguments)]
        return subprocess.run(
            line, capture_output=True, text=True, timeout=SECONDS, check=False,
            env=self.environment, cwd=cwd or self.place,
        )  # fmt: skip

    def python(self, text: str) -> Any:
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", text], capture_output=True, text=True,
            timeout=SECONDS, check=False, env=self.environment, cwd=self.place,
        )  # fmt: skip


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    place = Path(tempfile.mkdtemp(prefix="e2e-"))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT), "TMPDIR": str(place), "HOME": str(place),
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_metrics_report_interval_ms": "1000", "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        environment.pop(name, None)
    try:
        yield started(place, environment)
    finally:
        end_all(place)
        shutil.rmtree(place, ignore_errors=True)


def started(place: Path, environment: dict[str, str]) -> Head:
    """Ray gives itself 30 seconds to come up, which a busy machine may not have."""
    for attempt in range(4):
        port, metrics = free_port(), free_port()
        made = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--num-cpus=2",
             f"--port={free_port()}", "--node-ip-address=127.0.0.1",
             f"--temp-dir={place / f'ray{attempt}'}", "--include-dashboard=true",
             f"--dashboard-port={port}", "--dashboard-host=127.0.0.1",
             f"--metrics-export-port={metrics}"],
            capture_output=True, text=True, timeout=SECONDS, check=False, env=environment,
            cwd=place,
        )  # fmt: skip
        if made.returncode == 0:
            return Head(place, f"http://127.0.0.1:{port}", metrics, environment)
        end_all(place)
    raise AssertionError(made.stdout + made.stderr)


def write(place: Path) -> Path:
    """The study, its code and its rows: three folders beside one another."""
    (place / "code").mkdir(parents=True)
    (place / "code" / "slow.py").write_text(MINE)
    rows = ROOT / "ablate" / "templates" / "task"
    (place / "rows").mkdir()
    for path in rows.iterdir():
        text = path.read_text(encoding="utf-8").replace("{name}", "rows")
        (place / "rows" / path.name).write_text(text)
    (place / "studies").mkdir()
    file = place / "studies" / "sent.yaml"
    file.write_text(json.dumps(STUDY))
    return file


def state(store: Path) -> State:
    return journal.fold(journal.stream(store / "sent" / "journal"))


def num_reports(store: Path) -> int:
    return sum(len(t.reports) for t in state(store).trials.values())


def scores(found: State) -> dict[str, Any]:
    return {t.id: (t.status, (t.result_json or {}).get("scores")) for t in found.trials.values()}


def is_over(store: Path) -> bool:
    from ablate.stops import is_run
    from ablate.store import StudyFolder

    return state(store).ended is not None and not is_run(StudyFolder(store / "sent"))


def test_a_job_outlives_its_terminal_and_is_stopped_and_resumed(head: Head, tmp_path: Path) -> None:
    file, store = write(tmp_path / "mine"), head.place / "store"
    flags = ("--store", store, "--device", "cpu", "--address", head.address)

    sent = head.ablate("run", file, "--detach", *flags)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    job = sent.stdout.split()[1]
    until(lambda: num_reports(store) >= 1, "a report")
    # Whatever it needs came along, and stays in the store.
    shutil.rmtree(tmp_path / "mine")
    (shipped,) = (store / "sent" / "shipped").iterdir()
    inside = {p.relative_to(shipped).as_posix() for p in shipped.rglob("*") if p.is_file()}
    assert inside >= {"studies/sent.yaml", "code/slow.py", "rows/task.yaml", "rows/train.jsonl"}

    asked = head.ablate("stop", "sent", "--store", store)
    assert asked.returncode == 0, asked.stderr
    until(lambda: is_over(store), "the end of the run")
    found = state(store)
    assert found.ended == "stopped"
    assert "asked" in str(found.why)
    assert any(not trial.final for trial in found.trials.values()), "stopped before its end"
    before = {t.id: t.finished_at for t in found.trials.values() if t.final}

    again = head.ablate("run", "sent", "--detach", *flags)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.split()[1] != job
    metrics = f"http://127.0.0.1:{head.metrics}/metrics"
    until(lambda: b"ray_ablate_trials_running" in urllib.request.urlopen(metrics).read(), "metrics")
    until(lambda: is_over(store) and state(store).ended == "done", "the end of the study")
    done = state(store)
    assert all(t.finished_at == before[t.id] for t in done.trials.values() if t.id in before)

    alone = api.load(write(tmp_path / "alone"), store=str(tmp_path / "store"), device="cpu")
    assert alone.run(Options(in_process=True, tracking=False)) == "done"
    assert scores(alone.state) == scores(done)
    look_from_afar(head, store)


def look_from_afar(head: Head, store: Path) -> None:
    """As from a machine that does not see the store."""
    shown = head.ablate("status", "sent", "--json", "--address", head.address, "--store", store)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    told = json.loads(shown.stdout)
    assert (told["study"], told["ended"]) == ("sent", "done")
    assert [cell["confirm"]["done"] for cell in told["cells"]] == [4, 4]

    said = head.ablate("logs", "sent", "--address", head.address)
    assert said.returncode == 0, said.stderr
    assert "8/8 done" in said.stdout
    assert "Running entrypoint" not in said.stdout, "only what the command itself printed"
    followed = head.ablate("logs", "sent", "--address", head.address, "--follow")
    assert followed.stdout == said.stdout

    late = head.ablate("stop", "sent", "--address", head.address, "--store", store)
    assert late.returncode == 2
    assert "study 'sent' is not being run" in late.stdout

    events = [line["event"] for line in log.read(store / "sent" / "log.jsonl")]
    assert events.count("run_began") == 2
    assert events.count("run_ended") == 2
    assert events.count("trial_ended") == 8


def test_a_study_that_is_wrong_there_says_so_in_its_output(head: Head, tmp_path: Path) -> None:
    file = write(tmp_path / "mine")
    relative = head.ablate("run", file, "--detach", "--store", "here", "--address", head.address)
    assert relative.returncode == 2
    assert "must be an absolute path" in relative.stderr
    open_to_all = head.ablate(
        "run", file, "--detach", "--address", head.address, "--store", head.place / "other",
        "--tracking-uri", "https://me:secret@tracking.example",
    )  # fmt: skip
    assert open_to_all.returncode == 2
    assert "secret" not in open_to_all.stderr + open_to_all.stdout
    nowhere = head.ablate("logs", "unheard_of", "--address", head.address)
    assert nowhere.returncode == 2
    assert "no job at" in nowhere.stderr
    sent = head.ablate("run", file, "--detach", "--address", head.address)
    assert sent.returncode == 0, sent.stderr
    said = head.ablate("logs", "sent", "--address", head.address, "--follow")
    assert "--detach needs a --store" in said.stdout


NODES = """
import ray
ray.init(address="auto", log_to_driver=False)
from ablate.sweep.versions import Nodes
from trials.errors import UserError

same = Nodes()
same.require()
assert same.look() == ([], [])
other = Nodes()
other._here = {**other._here, "torch": "0.1", "python": "2.7"}
try:
    other.require()
except UserError as error:
    for problem in error.problems:
        print(problem)
"""


def test_versions_are_asked_of_every_node(head: Head) -> None:
    said = head.python(NODES)
    assert said.returncode == 0, said.stderr
    first, second = said.stdout.splitlines()
    assert first.startswith("the cluster does not run what this process runs")
    assert re.match(r"node \S+ \([0-9a-f]{8}\): ", second)
    assert "(here 0.1)" in second
    assert "(here 2.7)" in second
    assert "ablate" not in second.partition("):")[2], "that one is the same"
