"""`ablate logs`: what the runs of a study have to say."""

import argparse
import json
import sys
from pathlib import Path

from ablate.commands import remote
from ablate.commands.common import machine, out
from trials.errors import UserError


def run(given: argparse.Namespace) -> int:
    """Print the study's log, or the output of its job on a cluster."""
    from ablate import log, store

    name = remote.study_name(given.study)
    if given.address is not None:
        return _of_job(given, name)
    folder = store.find(Path(machine(given).store), name)
    for line in log.read(folder.log, follow=given.follow):
        if given.errors and line.get("level") == "info":
            continue
        out(json.dumps(line, ensure_ascii=False) if given.json else log.shown(line))
        sys.stdout.flush()
    return 0


def _of_job(given: argparse.Namespace, name: str) -> int:
    from ablate.sweep.jobs import Jobs

    client = Jobs(given.address)
    job = client.of_study(name)
    if job is None:
        raise UserError(f"no job at {given.address} runs a study called '{name}'")
    if not given.follow:
        sys.stdout.write(client.output(job))
        return 0
    for part in client.follow(job):
        sys.stdout.write(part)
        sys.stdout.flush()
    return 0
