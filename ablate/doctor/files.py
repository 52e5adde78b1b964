"""The files of trials: those that the journal names are there, and no others are needed."""

import re
from collections.abc import Iterator
from pathlib import Path

from ablate import quarantine
from ablate.doctor.finding import Finding, count, some
from ablate.journal import State, Trial
from ablate.keeping import ADAPTER, CHECKPOINT
from ablate.store import StudyFolder
from trials.spec import FAILED

_TEMPORARY = re.compile(r"\..+\.(new|\d+)")
_FOREIGN = frozenset({".pt", ".pth", ".pkl", ".pickle", ".bin", ".joblib", ".ckpt", ".py", ".pyc"})


def trial_files(
    folder: StudyFolder, state: State, *, keep: str | None, mend: bool
) -> Iterator[Finding]:
    """Compare the folders of trials with the journal.

    Args:
        folder: the study's.
        state: of its journal; nobody may be writing it.
        keep: which adapters the study keeps; None where that is not known.
        mend: whether what is of no use is removed.
    """
    missing: list[str] = []
    unreadable: list[str] = []
    useless: list[Path] = []
    for trial in state.trials.values():
        place = folder.trial(trial.id)
        missing += _missing(place, trial, keep)
        for path in place.glob("*.safetensors"):
            needed = path.name != CHECKPOINT or trial.status in (*FAILED, "waiting", "running")
            if not needed or (path.name == CHECKPOINT and not is_whole(path)):
                useless.append(path)
            elif not is_whole(path):
                unreadable.append(f"{trial.id[:12]}/{path.name}")
    useless += [p for p in folder.path.rglob(".*") if _TEMPORARY.fullmatch(p.name) and p.is_file()]
    if missing or unreadable:
        text = "; ".join(
            f"{word}: {some(things)}"
            for word, things in (("missing", missing), ("not readable", unreadable))
            if things
        )
        yield Finding("files", "broken", f"{text}; this cannot be mended: reports do without them")
    yield from _useless(useless, mend)
    yield from _strangers(folder, state)
    if not missing and not unreadable:
        text = f"files of {count(len(state.trials), 'trial')} are those that the journal names"
        yield Finding("files", "ok", text)


def is_whole(path: Path) -> bool:
    """Whether a file is safetensors from its first byte to its last; reads its header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            return True
    except (SafetensorError, OSError):
        return False


def _missing(place: Path, trial: Trial, keep: str | None) -> Iterator[str]:
    files = (trial.result_json or {}).get("files") or {}
    for name, path in files.items():
        # Which adapters stay is decided when a run ends, and a reused trial has what there was.
        if name == ADAPTER and (keep != "all" or trial.reused_from is not None):
            continue
        if not (place / path).is_file():
            yield f"{trial.id[:12]}/{path}"


def _useless(paths: list[Path], mend: bool) -> Iterator[Finding]:
    """Checkpoints of no use (damaged, or of ended trials) and what a killed process left."""
    if not paths:
        return
    names = some([f"{path.parent.name[:12]}/{path.name}" for path in paths])
    if mend:
        for path in paths:
            path.unlink(missing_ok=True)
        yield Finding("files", "mended", f"{count(len(paths), 'file')} of no use removed: {names}")
    else:
        text = f"{count(len(paths), 'file')} of no use: {names}"
        yield Finding("files", "warning", text, "--mend removes them")


def _strangers(folder: StudyFolder, state: State) -> Iterator[Finding]:
    place = folder.path / "trials"
    unknown = [p.name for p in sorted(place.iterdir())] if place.is_dir() else []
    awaited = quarantine.salvaged(folder.journal).keys()
    unknown = [n[:12] for n in unknown if n not in state.trials and n not in awaited]
    if unknown:
        text = f"folders of trials that the journal does not know: {some(unknown)}"
        remedy = "remove them by hand, unless a later version of the study asks for them again"
        yield Finding("files", "warning", text, remedy)
    foreign = [p.name for p in sorted(folder.path.rglob("*")) if p.suffix.lower() in _FOREIGN]
    if foreign:
        text = f"files that ablate does not write, and never reads: {some(foreign)}"
        yield Finding(
            "files", "warning", text, "look what they are: a pickle that is loaded is run"
        )
