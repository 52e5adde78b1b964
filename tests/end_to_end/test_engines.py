"""Packs on shared engines through Ray Tune: in peace, and with an engine killed in mid-pack."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import end_all

import ablate
from ablate import api, journal
from ablate.journal import State
from ablate.runner import Options
from trials.training import checkpoint, run

ROOT = Path(ablate.__file__).parents[1]
STEPS = 12

MARKED = '''
"""LoRA that writes down which process trains it, and kills that process when it is told to."""
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ablate import Method, Site, Update, hyper, kaiming_uniform, register, zeros

PLACE = Path("{place}")


@register("marked")
@dataclass(frozen=True, kw_only=True)
class Marked(Method):
    rank: int = hyper(3, low=1, help="inner dimension")

    def init(self, site: Site, generator):
        return {{
            "a": kaiming_uniform(self.rank, site.inputs, generator=generator),
            "b": zeros(site.outputs, self.rank),
        }}

    def update(self, p):
        return Update(left=p["b"], core=None, right=p["a"], scale=2.0)

    def after_step(self, groups, step, num_steps):
        (PLACE / str(os.getpid())).touch()
        if step == 7:
            with suppress(FileNotFoundError):
                (PLACE / "kill").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
'''

DRIVER = """
import json, sys, time, warnings
from pathlib import Path

warnings.simplefilter("ignore")
from ablate import api
from ablate.profile import Profile
from ablate.runner import Options
from ablate.sweep import cluster

file, place, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def until(so):
    limit = time.monotonic() + 60
    while not so() and time.monotonic() < limit:
        time.sleep(0.1)
    return so()

def pids():
    return {path.name for path in place.glob("[0-9]*")}

def train():
    import ray

    whole, before = ray.cluster_resources(), pids()
    study = api.load(file, store=str(place.parent / name), device="cpu", pack="4")
    outcome = study.run(Options(tracking=False))
    engines = pids() - before
    return {
        "outcome": outcome,
        "engines": sorted(engines),
        "gone": until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in engines)),
        "free": until(lambda: ray.available_resources().get("CPU") == whole["CPU"]),
    }

with cluster.connected(Profile(cpus=2, pack="4")) as connection:
    connection.wait()
    if name == "killed":
        (place / "kill").touch()
    told = train()
(place / "told.json").write_text(json.dumps(told))
"""


@dataclass(frozen=True)
class Ran:
    """What came of one study, run alone and on engines.

    Attributes:
        place: its stores: `alone` and the one that has the run's name.
        name: of the run on engines: `killed`, where one of them is in mid-pack, or `quiet`.
        told: what the driver saw of it.
    """

    place: Path
    name: str
    told: dict[str, Any]

    def state(self, name: str) -> State:
        return journal.fold(journal.read(self.place / name / "packed" / "journal"))

    def adapter(self, name: str, trial: str) -> dict[str, Any]:
        folder = self.place / name / "packed" / "trials" / trial
        found = checkpoint.read(folder / run.ADAPTER)
        assert found is not None
        return found[0]


@pytest.fixture(scope="module", params=["killed", pytest.param("quiet", marks=pytest.mark.slow)])
def ran(request: pytest.FixtureRequest) -> Iterator[Ran]:
    """The study alone in this process, and on the engines of one Ray."""
    scratch = Path(tempfile.mkdtemp(prefix="e2e-"))
    try:
        yield run_both(scratch, request.param)
    finally:
        end_all(scratch)
        shutil.rmtree(scratch, ignore_errors=True)


def run_both(scratch: Path, name: str) -> Ran:
    place = scratch / "pids"
    place.mkdir()
    (scratch / "marked.py").write_text(MARKED.format(place=place))
    file = scratch / "packed.yaml"
    keys = {
        "study": "packed",
        "use": ["marked.py"],
        "tasks": ["tiny_acceptability"],
        "backbones": ["tiny"],
        "targets": ["query", "value"],
        "arms": [{"method": "marked"}, {"method": "lora", "rank": 4}],
        "baselines": [{"method": "lora"}],
        "train": {
            "steps": STEPS, "batch_size": 8, "max_length": 24, "learning_rate": 5e-3,
            "evaluate": {"every": 4, "select": "last"},
        },
        "confirm": {"seeds": 3},
        "keep": "all",
    }  # fmt: skip
    file.write_text(json.dumps(keys))
    study = api.load(file, store=str(scratch / "alone"), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "done"
    (place / str(os.getpid())).unlink()
    places = {"PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), "HOME": str(scratch)}
    environment = {**os.environ, **places}
    for variable in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        environment.pop(variable, None)
    line = [sys.executable, "-c", DRIVER, file, place, name]
    done = subprocess.run(
        list(map(str, line)), env=environment, cwd=scratch, capture_output=True, text=True,
        timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return Ran(scratch, name, json.loads((place / "told.json").read_text()))


def test_a_study_in_packs_is_the_study_of_single_trials(ran: Ran) -> None:
    """Though one of the engines was killed."""
    assert not (ran.place / "pids" / "kill").exists(), "nobody was killed: this proves nothing"
    assert ran.told["outcome"] == "done"
    alone, packed = ran.state("alone"), ran.state(ran.name)
    assert set(alone.trials) == set(packed.trials)
    assert len(alone.trials) == 6
    for identity, trial in packed.trials.items():
        before = alone.trials[identity]
        assert trial.status == before.status == "finished"
        assert trial.result is not None
        assert before.result is not None
        assert set(trial.reports) == set(before.reports) == {4, 8, 12}
        assert trial.result.selected_step == STEPS
        assert trial.result.environment["pack"] == "4"
        assert "node" in trial.result.environment
        for split, scores in before.result.scores.items():
            found = trial.result.scores[split]["accuracy"]
            step = 1 / before.result.num_examples[split]
            assert found == pytest.approx(scores["accuracy"], abs=1.01 * step)
        one, other = ran.adapter("alone", identity), ran.adapter(ran.name, identity)
        assert set(one) == set(other)
        assert max(float((one[k] - other[k]).abs().max()) for k in one) < 5e-5


def test_trials_spread_over_the_engines(ran: Ran) -> None:
    """Two, and one in place of a killed one."""
    assert len(ran.told["engines"]) == (3 if ran.name == "killed" else 2)


def test_every_device_is_given_back(ran: Ran) -> None:
    assert ran.told["gone"], "an engine's process outlived the run"
    assert ran.told["free"]
