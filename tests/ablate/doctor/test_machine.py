"""Installation, device, store and tracking server."""

import errno
import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ablate.doctor.finding import Finding, count, some
from ablate.doctor.machine import machine
from ablate.profile import Profile


@pytest.fixture
def place(tmp_path: Path) -> Profile:
    return Profile(store=str(tmp_path / "store"))


def found(place: Profile, part: str, uri: str | None = None) -> Finding:
    everything = machine(place, uri or f"sqlite:///{place.store}/mlflow.db")
    (one,) = (finding for finding in everything if finding.part == part)
    return one


def installed(monkeypatch: pytest.MonkeyPatch, requires: list[str], **versions: str) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "requires", lambda name: requires)
    monkeypatch.setattr(metadata, "version", version)


REQUIRES = ["numpy>=2.0", "pandas>=2.2", 'torch>=2.7; extra == "train"']


def test_a_whole_installation(place: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, REQUIRES, numpy="2.1", pandas="3.0.0rc1", torch="2.9.0+cpu")
    one = found(place, "installation")
    assert (one.status, one.remedy) == ("ok", None)
    assert one.text.endswith("; 2 libraries as needed")
    assert found(place, "installation, train").text.endswith("; 1 library as needed")


def test_what_is_missing_or_too_old_is_named(
    place: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, REQUIRES, numpy="1.26")
    one = found(place, "installation")
    assert one.status == "broken"
    assert one.text == "numpy 1.26 is there, and >=2.0 is needed, pandas is not installed"
    assert one.remedy == "pip install 'ablate-peft'"
    training = found(place, "installation, train")
    assert (training.status, training.text) == ("warning", "torch is not installed")
    assert training.remedy == "pip install 'ablate-peft[train]'"


def test_a_checkout_that_is_not_installed(place: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", nowhere)
    assert found(place, "installation").status == "warning"


def test_a_store_that_can_be_written(place: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(5_500_000_000))
    one = found(place, "store")
    assert (one.status, one.text) == ("ok", f"{place.store}: 0 studies, 5.5 GB free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10_000_000))
    assert found(place, "store").status == "warning"


def test_a_store_that_cannot_be_written(place: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    one = found(place, "store")
    assert one.status == "broken"
    assert one.text == f"store {place.store} cannot be written: No space left on device"


def test_a_tracking_server_that_is_away_is_named_without_its_password(place: Profile) -> None:
    one = found(place, "MLflow", "http://me:geheim@127.0.0.1:9")
    assert one.status == "broken"
    assert "does not answer" in one.text
    assert "geheim" not in one.text


def test_a_cluster_that_does_not_answer(place: Profile) -> None:
    away = Profile(store=place.store, address="127.0.0.1:9")
    assert found(away, "device").status == "broken"


def test_words() -> None:
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert some(["a"]) == "a"
    assert (count(1, "trial"), count(2000, "trial")) == ("1 trial", "2,000 trials")
