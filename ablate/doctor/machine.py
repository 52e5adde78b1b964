"""The installation, the device or cluster, the store and the tracking server."""

import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from ablate import devices, store
from ablate.doctor.finding import Finding, Status, count, some
from ablate.profile import Profile
from trials.errors import UserError

PACKAGE = "ablate-peft"
LEAST_BYTES = 1_000_000_000
"""Free space below which a store is likely to fill up during a study."""


def machine(profile: Profile, uri: str) -> Iterator[Finding]:
    """Everything that is not of one study.

    Args:
        profile: where things are on this machine.
        uri: of the tracking store.
    """
    yield from _installation()
    yield _device(profile)
    yield _store(Path(profile.store))
    yield _tracking(uri)


def _installation() -> Iterator[Finding]:
    python = f"Python {platform.python_version()}"
    try:
        known = [Requirement(text) for text in metadata.requires(PACKAGE) or ()]
    except metadata.PackageNotFoundError:
        text = f"{python}; {PACKAGE} runs without being installed"
        yield Finding("installation", "warning", text, f"pip install '{PACKAGE}[train]'")
        return
    extras: tuple[tuple[str | None, Status], ...] = ((None, "broken"), ("train", "warning"))
    for extra, status in extras:
        wanted = [r for r in known if _belongs(r, extra)]
        wrong = [said for r in wanted if (said := _wrong(r)) is not None]
        name = "installation" if extra is None else f"installation, {extra}"
        if wrong:
            package = PACKAGE if extra is None else f"{PACKAGE}[{extra}]"
            yield Finding(name, status, some(wrong), f"pip install '{package}'")
        else:
            libraries = count(len(wanted), "library", "libraries")
            yield Finding(name, "ok", f"{python}; {libraries} as needed")


def _belongs(requirement: Requirement, extra: str | None) -> bool:
    if requirement.marker is None:
        return extra is None
    alone = requirement.marker.evaluate({"extra": ""})
    return not alone and extra is not None and requirement.marker.evaluate({"extra": extra})


def _wrong(requirement: Requirement) -> str | None:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return f"{requirement.name} {found} is there, and {requirement.specifier} is needed"


def _device(profile: Profile) -> Finding:
    try:
        devices.require(profile)
    except UserError as error:
        return Finding("device", "broken", str(error))
    if profile.address is not None:
        return Finding("cluster", "ok", f"something answers at {profile.address}")
    return Finding("device", "ok", profile.device)


def _store(root: Path) -> Finding:
    try:
        store.require_writable(root)
        free = shutil.disk_usage(root).free
    except UserError as error:
        return Finding("store", "broken", str(error), "make room, or name another with --store")
    studies = count(len(store.studies(root)), "study", "studies")
    text = f"{root}: {studies}, {free / 1e9:.1f} GB free"
    if free < LEAST_BYTES:
        return Finding("store", "warning", text, "make room: a run stops when it cannot write")
    return Finding("store", "ok", text)


def _tracking(uri: str) -> Finding:
    from ablate.tracking import check, redact

    try:
        check(uri)
    except UserError as error:
        return Finding("MLflow", "broken", str(error))
    return Finding("MLflow", "ok", f"{redact(uri)} answers")
