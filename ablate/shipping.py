"""A study as it travels to a cluster: the package and every file that it names, by content.

What a study names by a relative path goes along and keeps its place beside the study's file, so
that no text of the study changes. An absolute path or a name is looked up on the cluster.

<folder>/ablate, trials, search_spaces, ablate_peft.py    the package
         shipped/                                         the study's file and what it names
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ablate.sources import is_path
from ablate.store import StudyFolder
from ablate.study import Study
from trials.errors import UserError

MOST_BYTES = 400_000_000
"""Ray takes no more than 512 MiB to a cluster in one piece."""

FILES = "shipped"
_PACKAGES = ("ablate", "trials", "search_spaces", "ablate_peft.py")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")


def pack_package(to: Path) -> None:
    """Copy this package's sources into a folder."""
    home = Path(__file__).resolve().parents[1]
    for name in _PACKAGES:
        _copy(home / name, to / name)


def pack_study(study: Study, to: Path) -> Path:
    """Copy a study's file and what it names by relative paths.

    Args:
        study: a study that was read from a file.
        to: the folder that travels.

    Returns:
        The study's file, relative to `to`.

    Raises:
        UserError: the study has no file, or is too large to travel.
    """
    if study.file is None:
        raise UserError("a study from Python has no file to send; write it to one first")
    file = Path(study.file).resolve()
    places = [file, *sorted({p.resolve() for p in _named(study)} - {file})]
    _require_small(places)
    root = Path(os.path.commonpath([place.parent for place in places]))
    for place in places:
        _copy(place, to / FILES / place.relative_to(root))
    return Path(FILES) / file.relative_to(root)


def settle(file: Path, folder: StudyFolder) -> Path:
    """Put a study's files that came with a job where they stay: in the store, by digest.

    Args:
        file: the study's file below a folder `shipped`.
        folder: the study's folder in the store, which every node sees.

    Returns:
        The study's file in the store.
    """
    root = next(parent for parent in file.resolve().parents if parent.name == FILES)
    place = folder.shipped / digest_of(root)[:16]
    if not place.is_dir():
        made = place.with_name(f".{place.name}.{os.getpid()}")
        shutil.copytree(root, made, dirs_exist_ok=True)
        with suppress(OSError):  # Another driver was there first, with the same files.
            made.rename(place)
        shutil.rmtree(made, ignore_errors=True)
    return place / file.resolve().relative_to(root)


def digest_of(folder: Path) -> str:
    """SHA-256 (hex) of the names and contents of a folder's files."""
    made = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        made.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return made.hexdigest()


def _named(study: Study) -> Iterator[Path]:
    """The files and folders that a study names by a relative path."""
    yield from (Path(d.file) for d in study.source.documents if d.file)
    texts = [
        *study.keys.use,
        *(t.text for t in study.tasks if is_path(t.text, "tasks")),
        *(b.text for b in study.backbones if is_path(b.text, "backbones")),
    ]
    for text in texts:
        if not (text.startswith("~") or Path(text).is_absolute()):
            yield study.folder / text


def _require_small(places: list[Path]) -> None:
    sizes = {place: _size(place) for place in places}
    if sum(sizes.values()) > MOST_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise UserError(
            f"the study's files are {sum(sizes.values()) / 1e6:,.0f} MB, and a job takes "
            f"{MOST_BYTES / 1e6:,.0f} MB at most; put {largest} on a file system that every node "
            "sees and name it by its absolute path, or by its name under --data or --models"
        )


def _size(place: Path) -> int:
    files = [place] if place.is_file() else place.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _copy(place: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.copytree(place, to, ignore=_LEFT_OUT, dirs_exist_ok=True)
    else:
        shutil.copyfile(place, to)
