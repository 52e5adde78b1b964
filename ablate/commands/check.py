"""`ablate check`: the contract suite on a method of one's own, a task's data, or a study."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.commands.common import machine, out, out_json
from trials.catalogue import LocalCode
from trials.errors import UserError, nearest

if TYPE_CHECKING:
    from trials.tasks.base import Task


def run(given: argparse.Namespace) -> int:
    """Check the file; exit status 2 when something does not hold."""
    for text in given.use:
        LocalCode.read(Path(text)).load()
    path = Path(given.file)
    if path.name == "task.yaml":
        path = path.parent
    if path.is_dir():
        from trials.tasks.folder import load_folder

        return _task(load_folder(path), given)
    if not path.is_file():
        return _registered(given)
    if path.suffix == ".py":
        return _method(path, given.json)
    if path.suffix in (".yaml", ".yml"):
        return _study(path, given.json)
    raise UserError(f"{path}: expected a method's .py, a task's folder, or a study's .yaml")


def _registered(given: argparse.Namespace) -> int:
    """A task by its name."""
    from trials import catalogue

    known = catalogue.tasks()
    if given.file not in known:
        hint = nearest(given.file, known)
        raise UserError(f"there is no file, folder or task called {given.file}{hint}")
    from trials.tasks.locate import load

    return _task(load(given.file, roots=[Path(root) for root in machine(given).data]), given)


def _task(task: "Task", given: argparse.Namespace) -> int:
    from dataclasses import asdict

    from trials.tasks.check import describe
    from trials.tokenizer import reading

    if given.max_length < 1:
        raise UserError(f"--max-length must be at least 1, but got {given.max_length}")
    roots = [Path(root) for root in machine(given).models]
    seen = reading(given.backbone, roots, Path())
    limit = min(given.max_length, seen.context)
    report = describe(
        task, seen.tokenizer, backbone=seen.backbone, max_length=limit, start_id=seen.start_id
    )
    if given.json:
        out_json({**asdict(report), "warnings": list(report.warnings())})
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
    out(
        "every check holds"
        if not failed
        else f"{failed} check{'s do' if failed > 1 else ' does'} not hold"
    )
    return 2 if failed else 0
