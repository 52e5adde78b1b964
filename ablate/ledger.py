"""The ledger: each look that was taken at a study's results, and each test that was made on them.

A look is a set of finished trials of the stage that feeds significance: reading the same ones
twice is one look. Who writes the journal writes looks there; who only reads leaves them in
`looks.jsonl` beside it, until the next writer takes them over.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ablate import frame as table
from ablate import journal
from ablate.journal import Journal, State
from ablate.state import Look
from ablate.store import StudyFolder, write_text
from trials.errors import Problem, UserError
from trials.spec import Json, digest

_TESTED = ("id", "n", "estimate", "p_value", "p_adjusted", "verdict")


class Ledger:
    """The looks at one study.

    Attributes:
        folder: of the study.
        looks: oldest first, those of the journal before those beside it.
    """

    def __init__(self, folder: StudyFolder, state: State, record: Journal | None = None) -> None:
        """Read the ledger.

        Args:
            folder: the study's folder.
            state: the journal's.
            record: the journal, where this process writes it.
        """
        self.folder, self._record = folder, record
        self.looks = [*state.looks, *pending(folder)]

    def count(self, data: pd.DataFrame) -> int:
        """How many different results have been seen, with these; at least 1."""
        trials, num_trials = seen(data)
        found = {look.trials for look in self.looks} | ({trials} if num_trials else set())
        return max(1, len(found))

    def note(self, data: pd.DataFrame, findings: Sequence[Mapping[str, Any]], at: float) -> None:
        """Add a look, unless the same tests were made on the same results before.

        Args:
            data: the frame.
            findings: of the document that shows it.
            at: unix seconds.
        """
        trials, num_trials = seen(data)
        tests = [{name: finding[name] for name in _TESTED} for finding in findings]
        known = {(look.trials, _names(look.tests)) for look in self.looks if look.batch is None}
        if not num_trials or (trials, _names(tests)) in known:
            return
        self.looks.append(Look(trials, num_trials, tests, at, None))
        if self._record is not None:
            self._record.append(journal.looked(trials, num_trials, tests, at=at))
        else:
            _write(self.folder, [*pending(self.folder), self.looks[-1]])


def seen(data: pd.DataFrame) -> tuple[str, int]:
    """Digest and number of the finished trials of the stage that feeds significance."""
    shown = data[(data["status"] == "finished") & data["stage"].isin(table.CONFIRM_STAGES)]
    trials = sorted(set(shown["trial_id"]))
    return digest(trials), len(trials)


def pending(folder: StudyFolder) -> list[Look]:
    """Looks of readers that no writer has taken over yet."""
    return list(_read(folder.ledger))


def take_over(folder: StudyFolder, record: Journal) -> None:
    """Bring the looks of readers into the journal.

    A writer that dies in between leaves both: what the journal has is not written again.
    """
    there = {(look.trials, look.at) for look in record.state.looks}
    for look in pending(folder):
        if (look.trials, look.at) not in there:
            record.append(journal.looked(look.trials, look.num_trials, look.tests, at=look.at))
    folder.ledger.unlink(missing_ok=True)


def _names(tests: Sequence[Mapping[str, Json]]) -> tuple[Json, ...]:
    return tuple(test["id"] for test in tests)


def _read(path: Path) -> Iterator[Look]:
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
            yield Look(value["trials"], value["num_trials"], value["tests"], value["at"], None)
        except (ValueError, KeyError, TypeError):
            message = "damaged: the line holds no look at results; mend or remove it"
            raise UserError(Problem(message, str(path), number)) from None


def _write(folder: StudyFolder, looks: Sequence[Look]) -> None:
    names = ("at", "num_trials", "trials", "tests")
    lines = [json.dumps({name: getattr(look, name) for name in names}) for look in looks]
    write_text(folder.ledger, "".join(f"{line}\n" for line in lines))
