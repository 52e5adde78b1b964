"""`ablate show`: one trial whole."""

import argparse
import json
from typing import Any

from ablate.commands.common import machine, out, out_json
from ablate.commands.trial import owner


def run(given: argparse.Namespace) -> int:
    """Print a trial's spec, reports and result, and where its files are."""
    from pathlib import Path

    from ablate import journal, store

    folder = store.find(Path(machine(given).store), owner(given, given.trial))
    state = journal.load(folder.journal)
    trial = state.trials[store.trial_by_prefix(state, given.trial)]
    content: dict[str, Any] = {
        "trial": trial.id,
        "study": folder.name,
        "cell": trial.cell,
        "status": trial.status,
        "attempts": trial.attempts,
        "revision": trial.revision,
        "late": trial.late,
        "reused_from": trial.reused_from,
        "spec": trial.spec_json,
        "reports": [trial.reports[step] for step in sorted(trial.reports)],
        "result": trial.result_json,
        "folder": str(folder.trial(trial.id)),
    }
    if given.json:
        out_json(content)
        return 0
    for key in ("trial", "study", "status", "attempts", "folder"):
        out(f"{key:<9} {content[key]}")
    if trial.reused_from is not None:
        out(f"reused    from study {trial.reused_from}, which trained it")
    out("spec      " + json.dumps(trial.spec_json, ensure_ascii=False))
    for report in content["reports"]:
        scores = ", ".join(f"{k} {v}" for k, v in report["scores"].items())
        out(f"step {report['step']}/{report['num_steps']}: loss {report['train_loss']}, {scores}")
    if trial.result_json is not None:
        for key, value in trial.result_json.items():
            if value not in (None, {}, []):
                out(f"{key}: {value}")
    trace = folder.trial(trial.id) / "traceback.txt"
    if trace.is_file() and trial.status in ("crashed", "out_of_memory"):
        out(trace.read_text(encoding="utf-8"))
    return 0
