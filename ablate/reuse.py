"""Trials that another study of the same store has finished: they need no second training."""

import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate import journal
from ablate.store import StudyFolder, studies
from trials.errors import UserError
from trials.spec import Progress, TrialResult


@dataclass(frozen=True)
class Finished:
    """A trial as the study that trained it left it.

    Attributes:
        study: its name.
        reports: in step order.
        result: its files are those that are in this study's folder of the trial now.
    """

    study: str
    reports: Sequence[Progress]
    result: TrialResult


class Library:
    """The finished trials of the other studies of a store.

    A study is read when it has the folder of a trial that is looked for, and once.
    """

    def __init__(self, own: StudyFolder) -> None:
        self._own = own
        self._read: dict[str, Mapping[str, journal.Trial]] = {}

    def take(self, identity: str, needed: Collection[str] = ()) -> Finished | None:
        """A trial that another study trained, its files in this study's folder as well.

        Files are linked where the file system can, so that they take no room and stay when the
        other study goes. What the other study has not kept is not there.

        Args:
            identity: the trial's id.
            needed: artifacts without which it is of no use.

        Returns:
            None where no other study has finished it and still has what is needed.
        """
        for folder in studies(self._own.path.parent):
            if folder.name == self._own.name or not folder.trial(identity).is_dir():
                continue
            trial = self._finished(folder).get(identity)
            if trial is None or trial.result is None:
                continue
            source = folder.trial(identity)
            files = {n: p for n, p in trial.result.files.items() if (source / p).is_file()}
            if files.keys() >= set(needed):
                _link(files.values(), source, self._own.trial(identity))
                result = replace(trial.result, files=files)
                return Finished(trial.reused_from or folder.name, trial.progress, result)
        return None

    def _finished(self, folder: StudyFolder) -> Mapping[str, journal.Trial]:
        if folder.name not in self._read:
            try:
                state = journal.fold(journal.stream(folder.journal))
            except (UserError, ValueError):
                # Another study's damage is no reason to stop this one: it trains by itself.
                self._read[folder.name] = {}
                return {}
            self._read[folder.name] = {
                t.id: t for t in state.trials.values() if t.status == "finished"
            }
        return self._read[folder.name]


def _link(paths: Iterable[str], source: Path, target: Path) -> None:
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).unlink(missing_ok=True)
        try:
            os.link(source / path, target / path)
        except OSError:
            shutil.copy2(source / path, target / path)
