"""A grid of LoRA trials as people write it today, and the same grid through `ablate run`.

Both sides train ranks × seeds with the same steps, batch size, lengths, learning rate, schedule
and evaluation, on as many processes as there are cores, one thread each, and log to MLflow. Each
is timed as a whole, from the start of its process to its exit, in turn; the medians are compared.

    python benchmarks/sweep.py --practitioner SCRIPT [--repeats 3] [--seeds 32] [--pack 1]
    python benchmarks/sweep.py --practitioner SCRIPT --backbone FOLDER --task FOLDER ...

SCRIPT takes `--backbone --task --columns --targets --ranks --seeds --steps --batch
--learning-rate --concurrent [--reuse]` and prints one JSON line with `scores`. Without --backbone
the embedded backbone and task are exported as folders that it can read.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from common import keep, show

import trials

TINY = Path(trials.__file__).parent / "tiny"


def main() -> None:
    """Run both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--practitioner", required=True, type=Path)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--task", type=Path)
    parser.add_argument("--columns", nargs="+", default=["sentence"])
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--seeds", type=int, default=32, help="of each rank")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pack", default="1")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sides", nargs="+", default=["ablate", "reuse", "plain"])
    parser.add_argument("--name", default="sweep")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        backbone = given.backbone or shutil.copytree(TINY / "backbone", root / "backbone")
        task = given.task or shutil.copytree(
            TINY / "tasks" / "tiny_acceptability", root / "tiny_acceptability"
        )
        made: dict[str, list[tuple[float, dict[str, float]]]] = {s: [] for s in given.sides}
        for repeat in range(given.repeats):
            for side in given.sides:
                if side == "ablate":
                    timed = ours(given, backbone, task, root / f"store-{repeat}")
                else:
                    timed = theirs(given, backbone, task, reuse=side == "reuse")
                made[side].append(timed)
                print(side, repeat, timed, file=sys.stderr, flush=True)
    rows = [row(side, timings, given) for side, timings in made.items()]
    keep(given.name, rows)
    show(rows)


def row(side: str, timings: list[tuple[float, dict[str, float]]], given: Any) -> dict[str, Any]:
    """Median seconds and mean scores of one side."""
    seconds = statistics.median(seconds for seconds, _ in timings)
    trials_of = len(given.ranks) * given.seeds
    scores = timings[0][1]
    return {
        "side": side,
        "trials": trials_of,
        "seconds": round(seconds, 1),
        "seconds per trial": round(seconds / trials_of, 2),
        "runs": len(timings),
        **{f"accuracy {rank}": round(score, 4) for rank, score in sorted(scores.items())},
    }


def environment() -> dict[str, str]:
    """One thread for every process, no hub."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def theirs(
    given: Any, backbone: Path, task: Path, *, reuse: bool
) -> tuple[float, dict[str, float]]:
    """Seconds of the practitioner's script, and its mean accuracy for each rank."""
    command = [
        sys.executable, str(given.practitioner), "--backbone", str(backbone), "--task", str(task),
        "--columns", *given.columns, "--targets", "query", "value",
        "--ranks", *map(str, given.ranks), "--seeds", *map(str, range(given.seeds)),
        "--steps", str(given.steps), "--batch", str(given.batch), "--learning-rate", "1e-3",
        "--concurrent", str(given.processes), *(["--reuse"] if reuse else []),
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment())
    seconds = time.perf_counter() - start
    scores = json.loads(done.stdout.strip().splitlines()[-1])["scores"]
    return seconds, {rank: statistics.mean(values) for rank, values in scores.items()}


def ours(given: Any, backbone: Path, task: Path, store: Path) -> tuple[float, dict[str, float]]:
    """Seconds of `ablate run`, and its mean accuracy for each rank."""
    study = {
        "study": "grid",
        "tasks": [str(task) if given.task is None else task.name],
        "backbones": [str(backbone)],
        "targets": ["query", "value"],
        "arms": [{"method": "lora", "rank": {"each": given.ranks}}],
        "train": {
            "steps": given.steps, "batch_size": given.batch, "learning_rate": 1e-3,
            "schedule": {"name": "linear", "warmup": 0.06}, "evaluate": {"every": given.steps},
            "dropout": {"backbone": 0.1, "attention": 0.1},
        },
        "split": {"search": "validation", "report": "validation"},
        "confirm": {"seeds": list(range(given.seeds))},
    }  # fmt: skip
    store.mkdir()
    file = store / "grid.yaml"
    file.write_text(yaml.safe_dump(study))
    command = [
        sys.executable, "-m", "ablate_peft", "run", str(file), "--store", str(store),
        "--cpus", str(given.processes), "--pack", given.pack,
        *(["--data", str(task.parent)] if given.task is not None else []),
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
    seconds = time.perf_counter() - start
    import pandas as pd

    frame = pd.read_parquet(store / "grid" / "frame.parquet")
    shown = frame[(frame["metric"] == "accuracy") & (frame["split"] == "validation")]
    return seconds, {
        f"r{rank}": float(m) for rank, m in shown.groupby("rank")["score"].mean().items()
    }


if __name__ == "__main__":
    main()
