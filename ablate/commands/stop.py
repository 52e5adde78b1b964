"""`ablate stop`: stop a run from another terminal or another machine."""

import argparse
from pathlib import Path

from ablate.commands import remote
from ablate.commands.common import machine, out


def run(given: argparse.Namespace) -> int:
    """Ask the run to stop; it drains, and a second request ends it at once."""
    from ablate import stops, store

    name = remote.study_name(given.study)
    if given.address is not None:
        return _elsewhere(given, name)
    asked = stops.ask(store.find(Path(machine(given).store), name))
    if asked == 1:
        out(
            f"study '{name}' stops when its running trials are evaluated next; ablate run "
            f"continues it. To end it at once: ablate stop {name}"
        )
    else:
        out(f"study '{name}' is being ended; ablate run continues from the last checkpoints")
    return 0


def _elsewhere(given: argparse.Namespace, name: str) -> int:
    """On the head; a job that has not begun is taken back."""
    from ablate.sweep.jobs import Jobs

    client = Jobs(given.address)
    job = client.of_study(name)
    if job is not None and client.status(job) == "PENDING":
        client.stop(job)
        out(f"job {job} had not begun and will not")
        return 0
    return remote.relay(given, ["stop", name])
