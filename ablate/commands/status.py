"""`ablate status`: where each cell of a study stands."""

import argparse
from typing import TYPE_CHECKING, Any

from ablate.commands.common import load, out, out_json, table

if TYPE_CHECKING:
    from ablate.tally import Standing


def run(given: argparse.Namespace) -> int:
    """Print done, running, waiting and failed trials of each cell, and why they failed."""
    study = load(given)
    standings = study.standings()
    state, cost = study.state, study.spent()
    if given.json:
        out_json(
            {
                "study": study.study.name,
                "revision": len(state.revisions),
                "ended": state.ended,
                "why": state.why,
                "spent": cost.to_json(),
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
                    for s in standings
                ],
            }
        )
        return 0
    rows = [
        (s.cell.task, s.cell.arm.label, f"{s.search[0]}/{s.search[1]}",
         f"{s.confirm[0]}/{s.confirm[1]}", s.running, s.failed, s.best)
        for s in standings
    ]  # fmt: skip
    out(table(("task", "arm", "asks", "seeds", "running", "failed", "best by search"), rows))
    if state.why is not None:
        out(f"stopped: {state.why}; ablate run continues")
    reused = [s for s in standings if s.reused]
    for s in reused:
        out(f"reused: {s.cell.name}: {s.reused} trials that other studies had trained")
    for s in standings:
        for reason in s.reasons:
            out(f"failed: {s.cell.name}: {reason}")
    for s in standings:
        if s.variance[1]:
            out(f"variance: {s.cell.name}: {s.variance[0]}/{s.variance[1]} trials")
    out(f"\nspent    {cost}")
    return 0


def _of_variance(standing: "Standing") -> dict[str, Any]:
    """The variance stage of a cell that has one."""
    done, planned = standing.variance
    return {"variance": {"done": done, "planned": planned}} if planned else {}
