import importlib.metadata
import re
import subprocess

import pytest
import torch

from trials.training import environment
from trials.training.environment import device_name, peak_memory_bytes


@pytest.fixture(autouse=True)
def _read_anew() -> None:
    environment._versions.cache_clear()


def test_it_names_versions_device_and_threads_as_text() -> None:
    found = environment.environment("cpu")
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["device"] == "cpu"
    assert found["threads"] == str(torch.get_num_threads())
    assert {"python", "machine", "numpy", "transformers"} <= set(found)
    assert all(isinstance(v, str) and v for v in found.values())


def test_threads_are_those_of_now() -> None:
    before = torch.get_num_threads()
    environment.environment("cpu")
    try:
        torch.set_num_threads(before + 1)
        assert environment.environment("cpu")["threads"] == str(before + 1)
    finally:
        torch.set_num_threads(before)


def test_the_commit_of_a_checkout_is_named() -> None:
    commit = environment._commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{12,}", commit)


@pytest.mark.parametrize("error", [OSError("no git"), subprocess.TimeoutExpired("git", 5)])
def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fails)
    assert environment._commit() is None
    assert "commit" not in environment.environment("cpu")


def test_memory_of_the_process_is_in_bytes() -> None:
    assert 50e6 < peak_memory_bytes("cpu") < 64e9
    assert device_name("cpu") == "cpu"
