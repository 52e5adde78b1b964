"""What a trial costs the driver: CPU of the whole path with a job that trains nothing.

Study file -> plan -> conductor -> journal -> Ray Tune, with the product's own parts and a job in
the place of `ablate.sweep.job.Job` that reports at once. Counted is the driver's CPU alone (user
and system, all its threads, Ray's included), from the plan to the last event: no imports, no start
of Ray, no schema of a new MLflow store, no report. Each row is a process of its own.

    python benchmarks/orchestration.py --trials 200 1000 --reports 1 20

prints a table and, for each row, one line of JSON. `--profile` writes where the time of a row's
main thread went. CPU, not wall time, is measured, so other work on the machine disturbs little.
"""

import argparse
import cProfile
import importlib.metadata
import json
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

MODES = ("tune", "study", "tracked")
"""Tune alone (the floor); a study as `ablate run` runs it, without MLflow; and with it."""

SEEDS = 20


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        mode: one of `MODES`.
        search: whether each cell has a tuner, and every trial is an ask of it.
        cpu_ms: of the driver, for each trial.
        system_ms: the kernel's part of it.
        main_ms: the main thread's part of it; the rest are Ray's threads and MLflow's writer.
        seconds: of the whole run, on the wall.
        peak_mb: the driver's largest memory.
    """

    mode: str
    trials: int
    reports: int
    search: bool
    cpu_ms: float
    system_ms: float
    main_ms: float
    seconds: float
    peak_mb: float


def study_keys(trials: int, *, search: bool) -> dict[str, Any]:
    """A grid of arms and seeds with so many trials; with `search`, asks instead of seeds.

    Raises:
        ValueError: the number cannot be made.
    """
    if trials % SEEDS:
        raise ValueError(f"--trials must be a multiple of {SEEDS}, but got {trials}")
    arms = trials // SEEDS
    keys: dict[str, Any] = {
        "study": "orchestration",
        "question": "What does a trial cost the driver?",
        "tasks": ["tiny_acceptability"],
        "backbones": ["tiny"],
        "targets": ["query", "value"],
        "arms": [{"method": "lora", "rank": {"each": list(range(1, arms + 1))}}],
        "train": {"steps": 20, "learning_rate": 1e-3},
        "confirm": {"seeds": SEEDS},
    }
    if search:
        keys["tune"] = {
            "budget": {"trials": SEEDS - 5},
            "parallel": 2,
            "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
        }
        keys["confirm"] = {"seeds": 5}
    return keys


def job_class(reports: int) -> type:
    """A Tune job that reports so many times and ends; as `Job`, one report a step."""
    from ray import tune

    from ablate.sweep.job import PROGRESS, RESULT

    class NoJob(tune.Trainable):  # type: ignore[misc]
        """Trains nothing."""

        def setup(self, config: dict[str, Any]) -> None:
            splits = json.loads(config["assignment"])["spec"]["splits"]
            self._splits = (splits["search"], splits["report"])
            self._done = 0

        def step(self) -> dict[str, Any]:
            self._done += 1
            score = self._done / (reports + 1)
            result = {
                "status": "finished" if self._done > reports else "pruned",
                "scores": {s: {"accuracy": score, "mcc": score} for s in self._splits},
                "num_examples": dict.fromkeys(self._splits, 500),
                "selected_step": 20, "selected_epoch": 1.0, "adapter_parameters": 16384,
                "head_parameters": 514, "seconds": 1.5, "peak_memory_bytes": 10**9,
                "device": "cpu", "files": {},
                "environment": {"torch": "2.7.0", "threads": "1", "node": "0123456789ab"},
            }  # fmt: skip
            if self._done > reports:
                return {RESULT: json.dumps(result), "done": True}
            progress = {
                "step": self._done, "num_steps": reports + 1, "epoch": score,
                "train_loss": 0.5, "scores": {"accuracy": score, "mcc": score},
                "primary": score, "seconds": 1.0, "extra": {},
            }  # fmt: skip
            return {PROGRESS: json.dumps(progress), RESULT: json.dumps(result), "done": False}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            pass

        def load_checkpoint(self, checkpoint: Any) -> None:
            pass

    return NoJob


def run_tune(trials: int, reports: int, folder: str) -> None:
    """The floor: the same job under Tune alone, with its own generator of variants."""
    from ray import tune

    # A bridge to a searcher asks for as many pending trials as there may be; Tune itself does not.
    os.environ.pop("TUNE_MAX_PENDING_TRIALS_PG", None)
    splits = {"search": "validation", "report": "test"}
    config = {"assignment": json.dumps({"spec": {"splits": splits}})}
    tune.Tuner(
        tune.with_resources(job_class(reports), {"cpu": 1.0}),
        param_space=config,
        tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=True),
        run_config=tune.RunConfig(name="tune", storage_path=folder, verbose=0),
    ).fit()


def run_study(
    trials: int, reports: int, scratch: str, store: Path, given: Mapping[str, Any]
) -> None:
    """A study as `ablate run` conducts it, but for the job and the report at the end.

    Raises:
        RuntimeError: the study did not come to its end.
    """
    from ablate import journal, resolve, runner
    from ablate.commands.live import Live
    from ablate.store import StudyFolder
    from ablate.study import Study
    from ablate.sweep import cluster, tune_bridge
    from ablate.tracked import tracked

    profile = given["profile"]
    file = store / "orchestration.yaml"
    file.write_text(json.dumps(study_keys(trials, search=given["search"])), encoding="utf-8")
    resolved = resolve.resolve(Study.read(file), profile, hub=False)
    folder = StudyFolder(store / resolved.plan.study.name)
    uri = runner.tracking_uri(profile) if given["mode"] == "tracked" else None
    with Live() as live, journal.Journal.open(folder.journal) as record:
        runner.revise(resolved, record)
        with tracked(resolved, uri, folder, record.state) as notify:
            course = runner.conductor(resolved, profile, folder, record, notify, live.watch)
            tune_bridge.run(
                course,
                engines=cluster.engines(profile),
                folder=scratch,
                job=job_class(reports),
            )
            record.append(journal.ended("done" if course.done else "stopped"))
            notify()
        finished = sum(t.status == "finished" for t in record.state.trials.values())
    if not course.done or finished != trials:
        raise RuntimeError(f"{finished} of {trials} trials finished")


def measure(given: argparse.Namespace) -> Row:
    """One row, in this process."""
    from ablate import resolve, runner
    from ablate.profile import Profile
    from ablate.study import Study
    from ablate.sweep import cluster

    trials, reports, mode = given.trials[0], given.reports[0], given.modes[0]
    with tempfile.TemporaryDirectory(prefix="orchestration-") as place:
        profile = Profile(store=place, device="cpu", cpus=2)
        resolve.resolve(Study.from_dict(study_keys(SEEDS, search=True)), profile, hub=False)
        if mode == "tracked":
            # Imports mlflow and makes the store's schema.
            from ablate.tracking import Tracker

            Tracker(runner.tracking_uri(profile), "warm-up", artifacts=None)
        with cluster.connected(profile) as connection:
            from ablate.sweep import tune_bridge  # noqa: F401

            scratch = connection.wait()
            work: Callable[[], None] = partial(run_tune, trials, reports, scratch)
            if mode != "tune":
                settings = {"mode": mode, "search": given.search, "profile": profile}
                work = partial(run_study, trials, reports, scratch, Path(place), settings)
            return _timed(work, trials, reports, mode, given)


def _timed(
    work: Callable[[], None], trials: int, reports: int, mode: str, given: argparse.Namespace
) -> Row:
    profiler = cProfile.Profile() if given.profile else nullcontext()
    before, wall, main = resource.getrusage(resource.RUSAGE_SELF), time.time(), time.thread_time()
    with profiler:
        work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    main = time.thread_time() - main
    system = after.ru_stime - before.ru_stime
    if given.profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats(given.profile).print_stats(70)
    return Row(
        mode=mode,
        trials=trials,
        reports=reports,
        search=given.search,
        cpu_ms=round((after.ru_utime - before.ru_utime + system) / trials * 1e3, 2),
        system_ms=round(system / trials * 1e3, 2),
        main_ms=round(main / trials * 1e3, 2),
        seconds=round(time.time() - wall, 1),
        peak_mb=round(after.ru_maxrss / 1e3, 0),
    )


def measured_apart(mode: str, trials: int, reports: int, given: argparse.Namespace) -> Row:
    """The median row of as many fresh processes as `--repeat` says.

    Raises:
        RuntimeError: a process failed; with the end of what it said.
    """
    command = [
        sys.executable, __file__, "--one", "--modes", mode, "--trials", str(trials), "--reports",
        str(reports), *(["--search"] if given.search else []),
        *(["--profile", given.profile] if given.profile else []),
    ]  # fmt: skip
    rows = []
    for _ in range(given.repeat):
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        if given.profile:
            sys.stderr.write(done.stderr)
        rows.append(Row(**json.loads(done.stdout.splitlines()[-1])))
    rows.sort(key=lambda row: row.cpu_ms)
    return rows[(len(rows) - 1) // 2]


def show(rows: list[Row]) -> None:
    """The table: a line for each mode and number of reports, with growth from few to many."""
    versions = {n: importlib.metadata.version(n) for n in ("ray", "mlflow", "optuna")}
    says = " ".join(f"{name} {version}" for name, version in versions.items())
    python = ".".join(map(str, sys.version_info[:3]))
    out(f"{os.cpu_count()} CPU cores, Python {python}, {says}")
    out("mode     reports  trials  CPU ms/trial  system  main thread  wall s  peak MB  growth")
    for row in rows:
        same = [r for r in rows if (r.mode, r.reports) == (row.mode, row.reports)]
        fewest = min(same, key=lambda r: r.trials)
        growth = "" if row is fewest else f"{row.cpu_ms / fewest.cpu_ms - 1:+.1%}"
        out(
            f"{row.mode:8} {row.reports:7} {row.trials:7} {row.cpu_ms:13.1f} {row.system_ms:7.1f} "
            f"{row.main_ms:12.1f} {row.seconds:7.0f} {row.peak_mb:8.0f}  {growth}"
        )


def out(text: str) -> None:
    """A line on the standard output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--reports", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--search", action="store_true", help="a tuner for each cell")
    parser.add_argument("--repeat", type=int, default=1, help="take the median of so many")
    parser.add_argument("--profile", metavar="ORDER", help="cProfile, sorted as pstats says")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        out(json.dumps(asdict(measure(given))))
        return
    rows = []
    for mode in given.modes:
        for reports in given.reports:
            for trials in given.trials:
                rows.append(measured_apart(mode, trials, reports, given))
                out(json.dumps(asdict(rows[-1])))
    rows.sort(key=lambda r: (MODES.index(r.mode), r.reports, r.trials))
    show(rows)
    many = given.repeat
    out(f"each row the median of {many}" if many > 1 else "each row measured once")


if __name__ == "__main__":
    main()
