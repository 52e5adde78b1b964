"""`ablate status`: where each cell of a study stands."""

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from ablate.commands import remote
from ablate.commands.common import load, out, out_json, table

if TYPE_CHECKING:
    from ablate.api import Ablation
    from ablate.pulse import Pulse
    from ablate.tally import Standing


def run(given: argparse.Namespace) -> int:
    """Print done, running, waiting and failed trials of each cell, and why they failed."""
    if given.address is not None:
        wishes = [f"--{name}" for name in ("json",) if getattr(given, name)]
        return remote.relay(given, ["status", remote.study_name(given.study), *wishes])
    study = load(given)
    if given.watch:
        return watch(study)
    return show_json(study) if given.json else show(study)


def watch(study: "Ablation") -> int:
    """Show a run of another process until it ends."""
    from ablate import stops
    from ablate.commands.live import TABLE_SECONDS, Live

    with Live(study.folder.pulse) as live:
        while True:
            live.watch(study.resolved, study.state)
            if not stops.is_run(study.folder):
                return 0
            time.sleep(TABLE_SECONDS)


def show_json(study: "Ablation") -> int:
    """For programs."""
    from dataclasses import asdict

    state, now = study.state, current(study)
    out_json(
        {
            "study": study.study.name,
            "revision": len(state.revisions),
            "ended": state.ended,
            "why": state.why,
            "job": job(study),
            "now": None if now is None else asdict(now),
            "spent": study.spent().to_json(),
            "cells": [
                {
                    "cell": s.cell.key,
                    "task": s.cell.task,
                    "backbone": s.cell.backbone,
                    "arm": s.cell.arm.id,
                    "label": s.cell.arm.label,
                    "search": {"done": s.search[0], "planned": s.search[1]},
                    "confirm": {"done": s.confirm[0], "planned": s.confirm[1]},
                    **_of_variance(s),
                    "running": s.running,
                    "failed": s.failed,
                    "reused": s.reused,
                    "reasons": list(s.reasons),
                    "best": s.best,
                }
                for s in study.standings()
            ],
        }
    )
    return 0


def show(study: "Ablation") -> int:
    """For people."""
    standings, state = study.standings(), study.state
    rows = [
        (s.cell.task, s.cell.arm.label, f"{s.search[0]}/{s.search[1]}",
         f"{s.confirm[0]}/{s.confirm[1]}", s.running, s.failed, s.best)
        for s in standings
    ]  # fmt: skip
    out(table(("task", "arm", "asks", "seeds", "running", "failed", "best by search"), rows))
    show_engines(study)
    if state.why is not None:
        out(f"stopped: {state.why}; ablate run continues")
    for s in standings:
        if s.reused:
            out(f"reused: {s.cell.name}: {s.reused} trials that other studies had trained")
    for s in standings:
        for reason in s.reasons:
            out(f"failed: {s.cell.name}: {reason}")
    if any(s.reasons for s in standings):
        out(f"each failed trial and its traceback: ablate logs {study.study.name} --errors")
    for s in standings:
        if s.variance[1]:
            out(f"variance: {s.cell.name}: {s.variance[0]}/{s.variance[1]} trials")
    out(f"\nspent    {study.spent()}")
    return 0


def show_engines(study: "Ablation") -> None:
    """What a run does now, and which job of a cluster it is."""
    from ablate.commands.live import ENGINE_COLUMNS, engine_row

    now, started_as = current(study), job(study)
    if now is not None:
        out(f"\n{now.running} running, {now.waiting} wait")
        if now.engines:
            out(table(ENGINE_COLUMNS, [engine_row(engine) for engine in now.engines]))
    if started_as is not None:
        out(f"job      {started_as['job']} on {started_as['host']} since {started_as['began']}")


def current(study: "Ablation") -> "Pulse | None":
    """What a run does now; None where none does anything."""
    from ablate import pulse

    now = pulse.read(study.folder.pulse)
    return None if now is None or time.time() - now.time > pulse.FRESH_SECONDS else now


def job(study: "Ablation") -> dict[str, Any] | None:
    """The job of a cluster that last ran the study; None where none did."""
    try:
        value = json.loads(study.folder.job.read_text(encoding="utf-8"))
        return {key: str(value[key]) for key in ("job", "host", "began")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_variance(standing: "Standing") -> dict[str, Any]:
    """The variance stage of a cell that has one."""
    done, planned = standing.variance
    return {"variance": {"done": done, "planned": planned}} if planned else {}
