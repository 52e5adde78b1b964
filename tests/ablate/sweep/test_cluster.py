"""Connecting to Ray: what is decided before a cluster answers."""

import os
import sys
import warnings
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from ablate.profile import Profile
from ablate.sweep import cluster

with warnings.catch_warnings():
    # Ray's own, at its import.
    warnings.simplefilter("ignore")
    from ablate.sweep import engines

from trials.errors import UserError


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)


def test_a_local_ray_gets_a_token_of_its_own(
    nothing_set: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    cluster._make_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    first = os.environ.pop("RAY_AUTH_TOKEN")
    assert len(first) == 64
    del os.environ["RAY_AUTH_MODE"]
    cluster._make_token()
    assert os.environ["RAY_AUTH_TOKEN"] != first


def test_no_token_where_ray_has_read_its_settings(
    nothing_set: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())  # type: ignore[arg-type]
    cluster._make_token()
    assert "RAY_AUTH_MODE" not in os.environ
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_the_mode_that_a_user_set_stands(
    nothing_set: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster._make_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in os.environ


def found(monkeypatch: pytest.MonkeyPatch, resources: Mapping[str, float]) -> None:
    ray = SimpleNamespace(cluster_resources=lambda: dict(resources))
    monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "there", "each"),
    [
        ({}, {"CPU": 2.0}, {"CPU": 1.0}),
        ({}, {"CPU": 2.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}),
        ({"device": "cpu"}, {"CPU": 2.0, "GPU": 1.0}, {"CPU": 1.0}),
        ({"gpus_per_trial": 0.5}, {"CPU": 2.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 0.5}),
        ({"cpus_per_trial": 2.0}, {"CPU": 2.0}, {"CPU": 2.0}),
        # A cluster may grow what it does not have yet.
        ({"device": "cuda", "address": "ray://a:1"}, {"CPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}),
        ({"cpus_per_trial": 9.0, "address": "ray://a:1"}, {"CPU": 2.0}, {"CPU": 9.0}),
    ],
)
def test_what_a_trial_takes(
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, object],
    there: dict[str, float],
    each: dict[str, float],
) -> None:
    found(monkeypatch, there)
    assert cluster.resources(Profile(**given)) == each  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, {"CPU": 2.0})
    with pytest.raises(UserError, match="no GPU"):
        cluster.resources(Profile(device="cuda"))


def test_a_trial_larger_than_the_machine_would_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found(monkeypatch, {"CPU": 2.0})
    with pytest.raises(UserError, match="takes 4 CPUs"):
        cluster.resources(Profile(cpus_per_trial=4.0))
    found(monkeypatch, {"CPU": 2.0, "GPU": 1.0})
    with pytest.raises(UserError, match="takes 2 GPUs"):
        cluster.resources(Profile(gpus_per_trial=2.0))


@pytest.mark.parametrize(
    ("given", "there", "made", "places"),
    [
        # On a CPU each job trains its own trial, and one more waits.
        ({}, {"CPU": 2.0}, "OwnEngines", 3),
        ({"pack": "1"}, {"CPU": 2.0, "GPU": 2.0}, "OwnEngines", 3),
        ({"pack": "1", "max_gpus": 1}, {"CPU": 8.0, "GPU": 2.0}, "OwnEngines", 1),
        ({"pack": "4"}, {"CPU": 2.0}, "SharedEngines", 8),
        ({"max_gpus": 1, "pack": "4"}, {"CPU": 3.0}, "SharedEngines", 12),
        ({"pack": "4"}, {"CPU": 8.0, "GPU": 2.0}, "SharedEngines", 8),
        ({}, {"CPU": 8.0, "GPU": 2.0}, "SharedEngines", 2 * 4),
        ({"max_gpus": 3}, {"CPU": 8.0, "GPU": 8.0}, "SharedEngines", 3 * 4),
        ({"max_gpus": 3, "gpus_per_trial": 0.5}, {"CPU": 8.0, "GPU": 8.0}, "SharedEngines", 6 * 4),
        ({"max_gpus": 0.5}, {"CPU": 8.0, "GPU": 8.0}, "SharedEngines", 4),
    ],
)
def test_who_trains(
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, object],
    there: dict[str, float],
    made: str,
    places: int,
) -> None:
    found(monkeypatch, there)
    monkeypatch.setattr(engines, "ray", sys.modules["ray"])
    trainers = cluster.engines(Profile(**given))  # type: ignore[arg-type]
    assert type(trainers).__name__ == made
    assert trainers.num_places == places
