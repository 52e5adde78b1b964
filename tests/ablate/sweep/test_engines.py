"""How the driver spreads trials over engines, with actors that only answer."""

import dataclasses
import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from fake_training import planned

with warnings.catch_warnings():
    # Ray's own, at its import.
    warnings.simplefilter("ignore")
    from ray.exceptions import RayActorError

    from ablate.sweep import engines
    from ablate.sweep.engines import OwnEngines, SharedEngines, count_places

from trials.places import Assignment, Places


@pytest.mark.parametrize(
    ("available", "each", "places"),
    [
        ({"CPU": 4.0}, {"CPU": 1.0}, 4),
        ({"CPU": 4.0}, {"CPU": 3.0}, 1),
        ({"CPU": 16.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}, 2),
        ({"CPU": 16.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.5}, 4),
        ({"CPU": 1.0, "GPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}, 1),
        ({}, {"CPU": 1.0, "GPU": 1.0}, 1),
        ({"CPU": 4.0}, {"CPU": 1.0, "GPU": 0.0}, 4),
        ({"CPU": 4.0}, {}, 1),
    ],
)
def test_places_are_what_the_scarcest_resource_holds(
    available: dict[str, float], each: dict[str, float], places: int
) -> None:
    assert count_places(available, each) == places


class Actor:
    """An engine's process: what it was told, and what it answers."""

    def __init__(self, pack: int | None, options: Mapping[str, Any]) -> None:
        self.pack = pack
        self.options = options
        self.left: list[str] = []
        self.told: int | None = pack
        self.answers = True
        self.is_dead = False
        self.never_was = False
        self.leave = SimpleNamespace(remote=self.left.append)
        self.capacity = SimpleNamespace(remote=lambda: self)


class FakeRay:
    """As much of Ray as the engines ask of it."""

    exceptions = SimpleNamespace(RayActorError=RayActorError)

    def __init__(self, resources: dict[str, float]) -> None:
        self.resources = resources
        self.actors: list[Actor] = []
        self.killed: list[Actor] = []

    def cluster_resources(self) -> dict[str, float]:
        return dict(self.resources)

    def remote(self, kind: type) -> Any:
        def start(options: Mapping[str, Any], pack: int | None) -> Actor:
            self.actors.append(Actor(pack, options))
            return self.actors[-1]

        return SimpleNamespace(
            options=lambda **options: SimpleNamespace(remote=lambda pack: start(options, pack))
        )

    def wait(self, answers: list[Actor], timeout: float) -> tuple[list[Actor], list[Actor]]:
        assert timeout == 0, "the driver waits for no engine"
        return [a for a in answers if a.answers], [a for a in answers if not a.answers]

    def get(self, answer: Actor) -> int | None:
        if answer.is_dead:
            raise RayActorError(actor_init_failed=answer.never_was)
        return answer.told

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(engines, "time", made)
    return made


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> FakeRay:
    made = FakeRay({"CPU": 8.0, "GPU": 2.0})
    monkeypatch.setattr(engines, "ray", made)
    return made


PLAN = planned(tune=None, confirm={"seeds": 40}, arms=[{"method": "lora"}])
SPECS = list(PLAN.specs(PLAN.cells[0], {}, "confirm"))


def trial(number: int, *, backbone: str = "tiny", precision: str = "fp32") -> Assignment:
    spec = SPECS[number]
    recipe = dataclasses.replace(spec.recipe, precision=precision)
    return Assignment(
        spec=dataclasses.replace(spec, backbone=backbone, recipe=recipe),
        task=spec.task, backbone=backbone, places=Places(), folder="nowhere",
    )  # fmt: skip


def shared(pack: int | None = 2, at_most: int | None = None, **each: float) -> SharedEngines:
    return SharedEngines(pack, {"CPU": 1.0, "GPU": 1.0, **each}, at_most)


def go(trainers: SharedEngines, *assignments: Assignment) -> list[str | None]:
    """Where trials go; None for one that waits."""
    placed = [trainers.place(assignment) for assignment in assignments]
    return [None if p is None else p.engine for p in placed]


def test_trials_spread_over_the_devices_and_then_fill_them(ray: FakeRay) -> None:
    trainers = shared()
    assert trainers.num_places == 4
    went = go(trainers, *(trial(n) for n in range(5)))
    first, second = (actor.options["name"] for actor in ray.actors)
    assert went == [first, second, first, second, None]
    assert trainers.num_places == 4
    trainers.ended(trial(1).spec.id)
    assert go(trainers, trial(4), trial(5)) == [second, None]


def test_trials_of_one_seed_meet_where_no_engine_is_much_emptier(ray: FakeRay) -> None:
    """They see the same batches; but no device idles for that."""
    trainers = shared(pack=3)
    other = dataclasses.replace
    pairs = [
        other(a, spec=other(a.spec, hyperparameters={**a.spec.hyperparameters, "rank": rank}))
        for a in (trial(0), trial(1), trial(2))
        for rank in (4, 8)
    ]
    went = go(trainers, *pairs)
    first, second = (actor.options["name"] for actor in ray.actors)
    assert went == [first, second, first, first, second, second]


def test_an_engine_takes_its_devices_and_leaves_room_for_the_light_jobs(ray: FakeRay) -> None:
    """Engines that took every CPU would wait for ever for the trials that no job can bring."""
    trainers = shared(CPU=4.0, GPU=1.0, fast=1.0)
    ray.resources["fast"] = 9.0
    go(trainers, trial(0), trial(1))
    first, _ = ray.actors
    assert first.pack == 2
    assert first.options["num_gpus"] == 1.0
    assert first.options["resources"] == {"fast": 1.0}
    assert first.options["max_restarts"] == -1
    taken = sum(actor.options["num_cpus"] for actor in ray.actors)
    jobs = 4 * trainers.job_resources["CPU"]
    assert 7.0 < taken <= ray.resources["CPU"] - jobs


def test_no_more_devices_are_used_than_a_run_may(ray: FakeRay) -> None:
    ray.resources |= {"CPU": 64.0, "GPU": 8.0}
    trainers = shared(at_most=3)
    assert trainers.num_places == 6
    assert len(set(go(trainers, *(trial(n) for n in range(7))))) == 4, "three engines, and None"
    assert len(ray.actors) == 3


def test_a_node_that_joins_makes_places(ray: FakeRay, clock: Clock) -> None:
    trainers, own = shared(), OwnEngines({"CPU": 1.0})
    assert (trainers.num_places, own.num_places) == (4, 9)
    ray.resources |= {"CPU": 12.0, "GPU": 4.0}
    assert (trainers.num_places, own.num_places) == (4, 9), "it was read a moment ago"
    clock.now += 60
    assert (trainers.num_places, own.num_places) == (8, 13)


def test_own_engines_let_none_wait_where_no_more_may_be_used(ray: FakeRay) -> None:
    own = OwnEngines({"CPU": 1.0}, 3)
    assert own.num_places == 3
    assert OwnEngines({"CPU": 1.0}, 9).num_places == 9, "the ninth is a demand"


def test_incompatible_trials_get_an_engine_of_their_own_or_wait(ray: FakeRay) -> None:
    trainers = shared()
    plain, other, rough = trial(0), trial(1, backbone="big"), trial(2, precision="bf16")
    first, second, third = go(trainers, plain, other, rough)
    assert first != second
    assert third is None
    assert go(trainers, trial(3), trial(4, backbone="big")) == [first, second]
    trainers.ended(plain.spec.id)
    assert go(trainers, rough) == [None], "one of the first kind is still there"
    trainers.ended(trial(3).spec.id)
    assert go(trainers, rough) == [first]
    assert go(trainers, trial(5)) == [None], "the engine is of another kind now"
    assert len(ray.actors) == 2


def test_what_engines_answer_raises_and_lowers_their_places(ray: FakeRay, clock: Clock) -> None:
    trainers = shared(None, at_most=1)
    assert trainers.num_places == 4, "before it has seen a trial"
    (engine,) = set(go(trainers, *(trial(n) for n in range(4))))
    assert go(trainers, trial(4)) == [None]
    (actor,) = ray.actors
    actor.answers = False
    trainers.look()
    clock.now += 60
    trainers.look()
    assert trainers.num_places == 4
    actor.answers, actor.told = True, 16
    trainers.look()
    assert trainers.num_places == 16
    assert go(trainers, *(trial(n) for n in range(4, 17))) == [engine] * 12 + [None]
    clock.now += 60
    trainers.look()
    actor.told = 8
    trainers.look()
    assert trainers.num_places == 8
    trainers.ended(trial(0).spec.id)
    assert go(trainers, trial(17)) == [None], "fifteen are there still"


def test_an_engine_that_does_not_know_or_is_dead_keeps_its_places(
    ray: FakeRay, clock: Clock
) -> None:
    trainers = shared(None, at_most=1)
    go(trainers, trial(0))
    (actor,) = ray.actors
    for _ in range(3):
        clock.now += 60
        trainers.look()
    assert trainers.num_places == 4, "it answered None"
    actor.is_dead = True
    for _ in range(3):
        clock.now += 60
        trainers.look()
    assert trainers.num_places == 4
    assert not ray.killed, "Ray starts it again"
    actor.is_dead, actor.told = False, 6
    for _ in range(3):
        clock.now += 60
        trainers.look()
    assert trainers.num_places == 6


def test_an_engine_that_cannot_start_gets_no_more_trials(ray: FakeRay, clock: Clock) -> None:
    trainers = shared(at_most=1)
    (first,) = go(trainers, trial(0))
    ray.actors[0].is_dead = ray.actors[0].never_was = True
    for _ in range(2):
        clock.now += 60
        trainers.look()
    assert ray.killed == ray.actors[:1]
    assert go(trainers, trial(1)) not in ([None], [first]), "another is tried in its stead"
    trainers.ended(trial(0).spec.id)
    assert len(ray.actors) == 2


def test_engines_without_trials_are_let_go_after_a_while(ray: FakeRay, clock: Clock) -> None:
    trainers = shared()
    go(trainers, trial(0), trial(1))
    first, second = ray.actors
    clock.now += 60
    trainers.look()
    assert not ray.killed, "both have something to train"
    trainers.ended(trial(0).spec.id)
    clock.now += engines.IDLE_SECONDS / 2
    trainers.look()
    assert not ray.killed, "its backbone is warm, and more may come"
    clock.now += engines.IDLE_SECONDS
    trainers.look()
    assert ray.killed == [first]
    assert trainers.num_places == 4, "another may be started in its place"
    assert go(trainers, trial(2)) == [ray.actors[2].options["name"]]
    trainers.close()
    assert set(ray.killed) == {first, second, ray.actors[2]}


def test_a_trial_that_is_stopped_frees_its_place_at_once(ray: FakeRay) -> None:
    trainers = shared(at_most=1)
    (engine,) = set(go(trainers, trial(0), trial(1)))
    trainers.stop(trial(0).spec.id)
    assert ray.actors[0].left == [trial(0).spec.id]
    assert go(trainers, trial(2), trial(3)) == [engine, None]
    trainers.ended(trial(0).spec.id)
    assert go(trainers, trial(3)) == [None], "its end frees no second place"
    trainers.stop("unheard of")
    assert ray.actors[0].left == [trial(0).spec.id]
