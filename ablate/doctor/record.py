"""The journal of a study: whole, or mended where it was not."""

import os
from collections.abc import Iterator

from ablate import journal, quarantine
from ablate.doctor.finding import Finding, count
from ablate.journal import Damaged, Held, State
from ablate.store import StudyFolder
from trials.errors import UserError


def journal_of(folder: StudyFolder, *, mend: bool) -> tuple[State | None, list[Finding]]:
    """A study's state, as far as its journal can be read.

    Args:
        folder: the study's.
        mend: whether what is damaged is set aside.

    Returns:
        None for the state of a damaged journal that was not mended.
    """
    found = []
    if mend:
        mended = quarantine.set_aside(folder.journal)
        if mended is not None:
            kept = len(quarantine.salvaged(folder.journal))
            text = (
                f"{mended.segment}, line {mended.line}: {mended.reason}; "
                f"{count(mended.num_lines, 'line')} set aside in "
                f"{folder.journal / quarantine.FOLDER}, with {count(kept, 'trial')} that need no "
                "second training"
            )
            found.append(Finding("journal", "mended", text, "run the study: it goes on from there"))
    try:
        state = journal.load(folder.journal)
    except Damaged as error:
        problem, hint = (str(part) for part in error.problems)
        return None, [Finding("journal", "broken", problem, hint)]
    except UserError as error:
        return None, [Finding("journal", "broken", str(error))]
    return state, [*found, _whole(state), *_driver(folder, state)]


def is_running(folder: StudyFolder) -> str | None:
    """Who runs a study, in words; None where nobody does."""
    try:
        lease = journal.lock(folder.journal)
    except Held as error:
        return str(error)
    (folder.journal / "lease.json").unlink(missing_ok=True)
    os.close(lease)
    return None


def _whole(state: State) -> Finding:
    ended = sum(trial.final for trial in state.trials.values())
    text = f"{count(state.last_seq, 'event')}, every line as it was written: "
    return Finding("journal", "ok", f"{text}{ended} of {count(len(state.trials), 'trial')} ended")


def _driver(folder: StudyFolder, state: State) -> Iterator[Finding]:
    running = is_running(folder)
    cut = len(state.open_trials())
    if running is not None:
        yield Finding("driver", "ok", running)
    elif cut:
        text = f"{count(cut, 'trial')} cut off; the next run continues"
        yield Finding("driver", "ok", text)
