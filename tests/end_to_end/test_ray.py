"""Whole studies through Ray Tune, as a user starts them: killed, grown wrong, on two GPUs."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from processes import end_all
from raced import RACED

import ablate
from ablate import api, cli, journal
from ablate.journal import Event, State
from ablate.runner import Options

ROOT = Path(ablate.__file__).parents[1]

MINI: dict[str, Any] = {
    "study": "mini",
    "tasks": ["tiny_acceptability"],
    "backbones": ["tiny"],
    "targets": ["query", "value"],
    "arms": [{"method": "lora", "rank": 4}, {"method": "tlora", "rank": 4}],
    "baselines": [{"method": "lora"}],
    "train": {"steps": 4, "batch_size": 8, "max_length": 24, "evaluate": {"every": 2}},
    "tune": {
        "budget": {"trials": 4},
        "parallel": 2,
        "space": {"learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}},
        "pruner": {"name": "median", "n_startup_trials": 1},
    },
    "confirm": {"seeds": 2},
}

MINE = '''
"""A method of one's own."""
from dataclasses import dataclass

from ablate import Method, Site, Update, hyper, kaiming_uniform, register, zeros


@register("gated")
@dataclass(frozen=True, kw_only=True)
class Gated(Method):
    """`ΔW = s · B diag(g) A` with a trained gate."""

    rank: int = hyper(4, low=1, help="inner dimension")
    scale: float = hyper(2.0, low=0.0, help="what the update is multiplied with")

    def init(self, site: Site, generator):
        return {
            "a": kaiming_uniform(self.rank, site.inputs, generator=generator),
            "g": zeros(self.rank) + 1.0,
            "b": zeros(site.outputs, self.rank),
        }

    def update(self, p):
        return Update(left=p["b"] * p["g"].unsqueeze(-2), core=None, right=p["a"], scale=self.scale)
'''

BAD = """
from dataclasses import dataclass

from ablate import Method, Site, Update, hyper, kaiming_uniform, register, zeros


class Bad(Method):
    def init(self, site: Site, generator):
        return {
            "a": kaiming_uniform(4, site.inputs, generator=generator),
            "b": zeros(site.outputs, 4),
        }

    def update(self, p):
        return Update(left=p["b"], core=None, right=p["a"], scale=1.0)


@register("crashing")
@dataclass(frozen=True, kw_only=True)
class Crashing(Bad):
    def update(self, p):
        if float(p["b"].detach().abs().max()) > 0:
            raise RuntimeError("no second step")
        return super().update(p)


@register("diverging")
@dataclass(frozen=True, kw_only=True)
class Diverging(Bad):
    def update(self, p):
        return Update(left=p["b"], core=None, right=p["a"], scale=1e30)


@register("hungry")
@dataclass(frozen=True, kw_only=True)
class Hungry(Bad):
    def update(self, p):
        raise MemoryError("all of it")
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A short folder for Ray's sockets; nothing that names it may outlive the test."""
    place = Path(tempfile.mkdtemp(prefix="e2e-"))
    yield place
    end_all(place)
    shutil.rmtree(place, ignore_errors=True)


def command(scratch: Path, *arguments: object) -> tuple[list[str], dict[str, Any]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(scratch),
        "HOME": str(scratch),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    line = [sys.executable, str(ROOT / "ablate_peft.py"), *map(str, arguments)]
    return line, {"env": environment, "cwd": scratch, "text": True}


def ablate_command(scratch: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    line, options = command(scratch, *arguments)
    return subprocess.run(line, capture_output=True, timeout=400, check=False, **options)


def killed_in_mid_run(scratch: Path, record: Path, lines: int, *arguments: object) -> None:
    """Start, and kill the driver and all that it started once the journal has so many lines."""
    line, options = command(scratch, *arguments)
    with (scratch / "first.txt").open("w") as log:
        driver = subprocess.Popen(
            line, stdout=log, stderr=log, start_new_session=True, **options
        )  # fmt: skip
        try:
            limit = time.monotonic() + 300
            while num_lines(record) < lines:
                assert driver.poll() is None, (scratch / "first.txt").read_text()
                assert time.monotonic() < limit, (scratch / "first.txt").read_text()
                time.sleep(0.02)
        finally:
            with suppress(ProcessLookupError):
                os.kill(driver.pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
    end_all(scratch)


def num_lines(record: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in record.glob("*.jsonl"))


def state(record: Path) -> State:
    return journal.fold(journal.read(record))


def answers(found: State) -> Any:
    """What must be the same however a study was run."""
    asks = {
        cell: [(a.number, dict(a.values), a.trials) for a in asks]
        for cell, asks in found.asks.items()
    }
    scores = {t.id: (t.status, (t.result_json or {})["scores"]) for t in found.trials.values()}
    chosen = {
        c: {r: (x.ask, dict(x.values)) for r, x in k.items()} for c, k in found.chosen.items()
    }
    return asks, chosen, scores


def events(record: Path, kind: str) -> list[Event]:
    return [event for event in journal.read(record) if event.kind == kind]


def tracked_runs(file: Path) -> list[tuple[str, dict[str, str]]]:
    """(status, tags) of every run that MLflow has not deleted."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as base:
        query = "select run_uuid, status from runs where lifecycle_stage = 'active'"
        found = base.execute(query).fetchall()
        return [
            (status, dict(base.execute("select key, value from tags where run_uuid=?", (run,))))
            for run, status in found
        ]


def test_killed_and_started_again_it_is_the_study_that_was_never_killed(scratch: Path) -> None:
    file = scratch / "mini.yaml"
    file.write_text(json.dumps(MINI))
    store, other = scratch / "store", scratch / "other"
    run = ("run", file, "--store", store, "--cpus", 2)
    killed_in_mid_run(scratch, store / "mini" / "journal", 14, *run)
    cut = state(store / "mini" / "journal")
    assert cut.ended is None
    assert sum(t.final for t in cut.trials.values()) > 0 or cut.open_trials()

    again = ablate_command(scratch, *run)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Traceback" not in again.stderr

    study = api.load(file, store=str(other), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "done"

    record = store / "mini" / "journal"
    ended = [event.data["trial"] for event in events(record, "finished")]
    assert len(ended) == len(set(ended)) == len(state(record).trials)
    assert answers(state(record)) == answers(state(other / "mini" / "journal"))
    check_mlflow(store / "mlflow.db", state(record))


def check_mlflow(file: Path, found: State) -> None:
    """One parent, one run a cell, one a trial; none left running, none twice."""
    runs = tracked_runs(file)
    assert {status for status, _ in runs} == {"FINISHED"}
    kinds = [tags.get("ablate.kind") for _, tags in runs]
    assert kinds.count("study") == 1
    assert kinds.count("cell") == 2
    trials = [tags["ablate.trial"] for _, tags in runs if tags.get("ablate.kind") == "trial"]
    assert sorted(trials) == sorted(found.trials)
    assert {t.status for t in found.trials.values()} <= {"finished", "pruned"}


@pytest.mark.slow
def test_a_race_through_ray_takes_the_looks_of_a_race_in_this_process(scratch: Path) -> None:
    """Killed in its first round besides."""
    file = scratch / "raced.yaml"
    file.write_text(json.dumps(RACED))
    alone = api.load(file, store=str(scratch / "alone"), device="cpu")
    assert alone.run(Options(in_process=True, tracking=False)) == "done"
    run = ("run", file, "--store", scratch / "ray", "--device", "cpu", "--cpus", 2)
    record = scratch / "ray" / "raced" / "journal"
    killed_in_mid_run(scratch, record, 40, *run)
    again = ablate_command(scratch, *run)
    assert again.returncode == 0, again.stderr
    looks = [(look.batch, look.trials, look.tests) for look in state(record).looks]
    assert looks == [(look.batch, look.trials, look.tests) for look in alone.state.looks]
    assert answers(state(record)) == answers(alone.state)


# peft asks the model that it wraps for an attribute that transformers renames.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_methods_of_ones_own_on_two_gpus(scratch: Path) -> None:
    """A good one that travels to the workers, and three that fail each in a way of its own."""
    (scratch / "mine.py").write_text(MINE)
    (scratch / "bad.py").write_text(BAD)
    assert cli.main(["check", str(scratch / "mine.py")]) == 0
    methods = ["lora", "gated", "crashing", "diverging", "hungry"]
    keys = {
        **MINI,
        "study": "own",
        "use": ["mine.py", "bad.py"],
        "arms": [{"method": method} for method in methods],
        "tune": None,
    }
    file = scratch / "own.yaml"
    file.write_text(json.dumps(keys))

    store = scratch / "store"
    # `auto` on a machine without a GPU that torch can use: placed by Ray, trained on the CPU.
    ran = ablate_command(scratch, "run", file, "--store", store, "--cpus", 4, "--gpus", 2)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    record = store / "own" / "journal"
    found = state(record)
    by_method: dict[str, list[journal.Trial]] = {m: [] for m in methods}
    for trial in found.trials.values():
        by_method[trial.spec_json["method"]].append(trial)
    statuses = {method: {t.status for t in trials} for method, trials in by_method.items()}
    assert statuses == {
        "lora": {"finished"}, "gated": {"finished"}, "crashing": {"crashed"},
        "diverging": {"diverged"}, "hungry": {"out_of_memory"},
    }  # fmt: skip
    assert all(len(trials) == 2 for trials in by_method.values())

    check_reasons(scratch, store, file)
    check_places(found)
    check_digest(scratch, file, found)


def check_reasons(scratch: Path, store: Path, file: Path) -> None:
    shown = json.loads(ablate_command(scratch, "status", file, "--store", store, "--json").stdout)
    cells = {cell["arm"].split()[0]: cell for cell in shown["cells"]}
    assert {arm: cell["failed"] for arm, cell in cells.items()} == {
        "lora": 0, "gated": 0, "crashing": 2, "diverging": 2, "hungry": 2,
    }  # fmt: skip
    assert cells["crashing"]["reasons"] == ["RuntimeError: no second step"]
    assert cells["hungry"]["reasons"] == ["MemoryError: all of it"]
    assert cells["diverging"]["reasons"]
    document = json.loads((store / "own" / "report" / "findings.json").read_text())
    missing = json.dumps(document["missing"])
    assert len(document["missing"]) == 6
    assert "no second step" in missing
    assert "all of it" in missing


def check_places(found: State) -> None:
    """Both GPUs have work: an engine each."""
    results = [trial.result for trial in found.trials.values()]
    assert {r.environment.get("gpu") for r in results if r is not None} == {"0", "1"}


def check_digest(scratch: Path, file: Path, found: State) -> None:
    """A method that was changed is another: new trials of it, and the same of all others."""
    before = {t.id for t in found.trials.values() if t.spec_json["method"] == "gated"}
    (scratch / "mine.py").write_text(MINE.replace("hyper(2.0", "hyper(2.5"))
    made = json.loads(ablate_command(scratch, "plan", file, "--json").stdout)
    (gated,) = (cell["key"] for cell in made["cells"] if cell["arm"].startswith("gated"))
    after = {trial["id"] for trial in made["trials"] if trial["cell"] == gated}
    assert len(after) == len(before) == 2
    assert before.isdisjoint(after)
    assert {t["id"] for t in made["trials"]} - after == set(found.trials) - before
