"""Where a study keeps what: one folder a study, files that a person can open.

<store>/<study>/origin.json        the file it was last run from, with which settings
                plan.json          what it resolved to
                journal/           the truth
                log.jsonl          what the runs had to say: engines, nodes, tracking, failures
                pulse.json         what the engines do now
                stop.json          who asked the run to stop
                job.json           the cluster's job that runs it, if one does
                shipped/<digest>/  the study's own files, as they came to a cluster
                trials/<id>/       checkpoint, adapter, predictions
                smoke.json         what two steps of each cell took
                frame.parquet      results as one table
                looks.jsonl        looks at the results that are not in the journal yet
                report/            report.html, findings.json, tables
<store>/mlflow.db, mlartifacts/    tracking, unless it is elsewhere
        store.json                 the store's identity, by which a shared server knows its studies
"""

import json
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ablate.journal import State
from trials.errors import UserError, nearest


@dataclass(frozen=True)
class StudyFolder:
    """One study's folder in a store."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """Folder of the journal."""
        return self.path / "journal"

    @property
    def plan(self) -> Path:
        """The plan that was last run."""
        return self.path / "plan.json"

    @property
    def smoke(self) -> Path:
        """What the last smoke run measured."""
        return self.path / "smoke.json"

    @property
    def frame(self) -> Path:
        """Results as one table."""
        return self.path / "frame.parquet"

    @property
    def ledger(self) -> Path:
        """Looks at the results that are not in the journal yet."""
        return self.path / "looks.jsonl"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    @property
    def origin(self) -> Path:
        """Remembers which file the study was last run from, and with which settings."""
        return self.path / "origin.json"

    @property
    def log(self) -> Path:
        """What the runs had to say, as JSON lines."""
        return self.path / "log.jsonl"

    @property
    def pulse(self) -> Path:
        """What the engines of the run do now."""
        return self.path / "pulse.json"

    @property
    def stop(self) -> Path:
        """Requests to stop the run."""
        return self.path / "stop.json"

    @property
    def job(self) -> Path:
        """The job of a cluster that last ran it."""
        return self.path / "job.json"

    @property
    def shipped(self) -> Path:
        """The study's own files, by digest, where they came to a cluster with a job."""
        return self.path / "shipped"

    def trial(self, identity: str) -> Path:
        """Folder of one trial."""
        return self.path / "trials" / identity


def studies(store: Path) -> list[StudyFolder]:
    """The studies of a store, by name."""
    if not store.is_dir():
        return []
    return [StudyFolder(p) for p in sorted(store.iterdir()) if (p / "journal").is_dir()]


def find(store: Path, name: str) -> StudyFolder:
    """A study by name.

    Raises:
        UserError: the store has no such study.
    """
    known = {folder.name: folder for folder in studies(store)}
    if name not in known:
        raise UserError(f"no study called '{name}' in {store}{nearest(name, known)}")
    return known[name]


def require_writable(store: Path) -> None:
    """Make the store, and prove that a file can be written there.

    Raises:
        UserError: it cannot.
    """
    probe = store / f".probe-{os.getpid()}"
    try:
        store.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UserError(f"store {store} cannot be written: {error.strerror or error}") from None


def identity(store: Path) -> str:
    """A store's own name, which stays when it moves; made at the first call."""
    file = store / "store.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(file.read_text(encoding="utf-8"))["id"])
    made = uuid.uuid4().hex
    draft = store / f".store.json.{os.getpid()}.{made[:8]}"
    draft.write_text(json.dumps({"id": made}) + "\n", encoding="utf-8")
    try:
        os.link(draft, file)
    except FileExistsError:
        return str(json.loads(file.read_text(encoding="utf-8"))["id"])
    except OSError:  # A file system without links.
        draft.replace(file)
        return made
    finally:
        draft.unlink(missing_ok=True)
    return made


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def remember_origin(folder: StudyFolder, file: str, settings: list[str]) -> None:
    """Note where the study came from, so that its name alone finds it again."""
    content = {"file": str(Path(file).resolve()), "settings": settings}
    write_text(folder.origin, json.dumps(content, indent=2) + "\n")


def read_origin(folder: StudyFolder) -> tuple[Path, list[str]]:
    """The file and settings of `remember_origin`.

    Raises:
        UserError: there are none, or the file has gone.
    """
    try:
        content = json.loads(folder.origin.read_text(encoding="utf-8"))
        file, settings = Path(content["file"]), list(content["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"study '{folder.name}' does not say which file it came from") from error
    if not file.is_file():
        raise UserError(f"study '{folder.name}' came from {file}, which is not there any more")
    return file, settings


def trial_by_prefix(state: State, prefix: str) -> str:
    """The trial whose id starts with a prefix.

    Raises:
        UserError: none or several do.
    """
    found = [identity for identity in state.trials if identity.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"no trial's id starts with '{prefix}'")
    shown = ", ".join(identity[:16] for identity in found[:5])
    raise UserError(f"{len(found)} trials' ids start with '{prefix}': {shown}")
