"""`ablate doctor`: what is wrong with an installation, a store or a study."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.commands.common import load, machine, out, out_json
from trials.errors import UserError

if TYPE_CHECKING:
    from ablate.doctor import Finding
    from ablate.profile import Profile
    from ablate.store import StudyFolder

_MARKS = {"ok": "ok  ", "mended": "done", "warning": "note", "broken": "FAIL"}


def run(given: argparse.Namespace) -> int:
    """Print what was looked at; exit status 2 where something is broken."""
    found = []
    for finding in findings(given):
        found.append(finding)
        if not given.json:
            out(f"{_MARKS[finding.status]} {finding.part}: {finding.text}")
            if finding.remedy is not None:
                out(f"       {finding.remedy}")
    broken = sum(finding.status == "broken" for finding in found)
    if given.json:
        out_json([asdict(finding) for finding in found])
    else:
        out("nothing is broken" if not broken else f"broken: {broken}")
    return 2 if broken else 0


def findings(given: argparse.Namespace) -> "Iterator[Finding]":
    """The machine's first, then the study's."""
    from ablate import doctor, runner

    profile = machine(given)
    uri = runner.tracking_uri(profile)
    yield from doctor.machine(profile, uri)
    if given.study is not None:
        yield from _study(given, profile, uri)


def _study(given: argparse.Namespace, profile: "Profile", uri: str) -> "Iterator[Finding]":
    from ablate import doctor
    from ablate.doctor.record import is_running

    try:
        study = load(given)
        folder: StudyFolder = study.folder
    except UserError as error:
        yield doctor.Finding("study", "broken", str(error))
        folder, study = _folder(given.study, profile), None
    if not folder.journal.is_dir():
        yield doctor.Finding("journal", "ok", "none yet: the study has not been run")
        return
    running = is_running(folder)
    mend = given.mend and running is None
    state, found = doctor.journal_of(folder, mend=mend)
    yield from found
    if state is None:
        return
    if running is not None:
        text = "files and MLflow change while a study runs; they were not looked at"
        yield doctor.Finding("files", "ok", text)
        return
    keep = None if study is None else study.study.keep
    yield from doctor.trial_files(folder, state, keep=keep, mend=mend)
    if study is not None:
        from ablate import quarantine
        from ablate.tracked import describe

        cells, info = describe(study.resolved, folder, state)
        awaited = quarantine.salvaged(folder.journal).keys()
        yield doctor.tracked(uri, state, cells, info, awaited=awaited, mend=mend)


def _folder(name: str, profile: "Profile") -> "StudyFolder":
    """A study that cannot be read has a journal all the same."""
    from ablate import store

    return store.find(Path(profile.store), name)
