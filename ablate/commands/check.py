"""`ablate check`: the contract suite on a method of one's own, a task's folder, or a study."""

import argparse
from pathlib import Path

from ablate.commands.common import out, out_json
from trials.errors import UserError


def run(given: argparse.Namespace) -> int:
    """Check the file; exit status 2 when something does not hold."""
    path = Path(given.file)
    if path.is_dir():
        return _task(path, given.json)
    if not path.is_file():
        raise UserError(f"there is no file or folder {path}")
    if path.suffix == ".py":
        return _method(path, given.json)
    if path.suffix in (".yaml", ".yml"):
        return _study(path, given.json)
    raise UserError(f"{path}: expected a method's .py, a task's folder, or a study's .yaml")


def _task(path: Path, as_json: bool) -> int:
    from dataclasses import asdict

    from trials.tasks.check import check_folder

    report = check_folder(path)
    if as_json:
        out_json(asdict(report))
    else:
        for line in report.lines():
            out(line)
    return 0


def _study(path: Path, as_json: bool) -> int:
    from ablate.plan import plan
    from ablate.study import Study

    made = plan(Study.read(path))
    if as_json:
        out_json({"study": made.study.name, "cells": len(made.cells), "trials": made.num_trials})
    else:
        out(f"{path}: {len(made.cells)} cells, {made.num_trials} trials; no mistakes")
    return 0


def _method(path: Path, as_json: bool) -> int:
    from trials import catalogue
    from trials.catalogue import LocalCode

    names = [n for n in LocalCode.read(path).load() if n in catalogue.methods()]
    if not names:
        raise UserError(f"{path} registers no method; decorate its class with @register('name')")
    from trials.contract import contract

    results = {name: list(contract(name).outcomes()) for name in names}
    failed = sum(o.problem is not None for outcomes in results.values() for o in outcomes)
    if as_json:
        out_json(
            {
                name: [{"check": o.check, "problem": o.problem} for o in outcomes]
                for name, outcomes in results.items()
            }
        )
        return 2 if failed else 0
    for name, outcomes in results.items():
        out(f"{name}, small encoder with random weights:")
        for outcome in outcomes:
            mark = "ok  " if outcome.problem is None else "FAIL"
            out(f"  {mark} {outcome.check}")
            if outcome.problem is not None:
                out(f"       {outcome.problem}")
    out("every check holds" if not failed else f"{failed} checks do not hold")
    return 2 if failed else 0
