"""The trial that a command means, wherever in the store it is."""

import argparse

from ablate.commands.common import machine
from trials.errors import UserError


def owner(given: argparse.Namespace, trial: str) -> str:
    """Name of the study whose trial's id starts so.

    Raises:
        UserError: none or several studies of the store have such a trial.
    """
    from pathlib import Path

    from ablate import journal, store

    if given.study is not None:
        return str(given.study)
    root = Path(machine(given).store)
    owners = [
        folder.name
        for folder in store.studies(root)
        if any(t.startswith(trial) for t in journal.load(folder.journal).trials)
    ]
    if len(owners) == 1:
        return owners[0]
    if not owners:
        raise UserError(f"no study in {root} has a trial whose id starts with '{trial}'")
    raise UserError(f"studies {', '.join(owners)} have such a trial; say which with --study")
