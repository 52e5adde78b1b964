"""What is looked after while a run goes on."""

import warnings
from types import SimpleNamespace
from typing import Any, cast

import pytest

with warnings.catch_warnings():
    # Ray's own, at its import.
    warnings.simplefilter("ignore")
    from ablate.sweep import keeper
    from ablate.sweep.keeper import Gauges, Keeper

from ablate.pulse import EngineState, Pulse


class FakeGauge:
    """Remembers what was set, by name and tags."""

    values: dict[tuple[str, ...], float] = {}  # noqa: RUF012

    def __init__(self, name: str, help_text: str, keys: tuple[str, ...]) -> None:
        self.name, self.keys = name, keys
        assert help_text

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert tuple(tags) == self.keys
        self.values[(self.name, *tags.values())] = value


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], float]:
    monkeypatch.setattr(keeper, "Gauge", FakeGauge)
    FakeGauge.values = {}
    return FakeGauge.values


def test_a_pulse_is_exported(gauges: dict[tuple[str, ...], float]) -> None:
    engine = EngineState(name="e1", trials=3, places=8, steps_per_second=2.5)
    made = Gauges("mine")
    made.tell(Pulse(0.0, 7, 3, (engine,)))
    assert gauges == {
        ("ablate_trials_waiting", "mine"): 7,
        ("ablate_trials_running", "mine"): 3,
        ("ablate_engines", "mine"): 1,
        ("ablate_engine_trials", "mine", "e1"): 3,
        ("ablate_engine_places", "mine", "e1"): 8,
        ("ablate_engine_steps_per_second", "mine", "e1"): 2.5,
    }
    made.tell(Pulse(1.0, 0, 0, ()))
    assert {value for key, value in gauges.items() if "e1" in key} == {0.0}


class Nodes:
    """A cluster where things happen."""

    def __init__(self, *looks: tuple[list[str], list[str]]) -> None:
        self.looks = list(looks)

    def look(self) -> tuple[list[str], list[str]]:
        return self.looks.pop(0) if self.looks else ([], [])


def test_it_shows_now_and_then_and_stops_for_a_node_that_differs(
    gauges: dict[tuple[str, ...], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(
        keeper, "time", SimpleNamespace(monotonic=lambda: clock[0], time=lambda: 5.0)
    )
    looked, shown, said = list[int](), list[Pulse](), list[tuple[str, str]]()
    conductor: Any = SimpleNamespace(
        num_waiting=4, running={"a"}, halted=None,
        plan=SimpleNamespace(study=SimpleNamespace(name="mine")),
    )  # fmt: skip
    engines: Any = SimpleNamespace(look=looked.append, states=(EngineState(name="e"),))
    nodes: Any = Nodes(([], []), (["n2"], []), ([], ["node n2: torch 0.1 (here 2.0)"]))

    def say(event: str, level: str = "info", **fields: Any) -> None:
        said.append((event, level))

    made = Keeper(conductor, engines, nodes, shown.append, cast("Any", say))
    for _ in range(5):
        made.look()
        clock[0] += keeper.EVERY_SECONDS / 2
    assert looked == [4] * 5, "engines are looked at whenever there is time"
    assert shown == [Pulse(5.0, 4, 1, (EngineState(name="e"),))] * 3
    assert said == [("node_joined", "info"), ("node_differs", "error")]
    assert conductor.halted == "node n2: torch 0.1 (here 2.0)"
    alone = Keeper(conductor, engines, None, shown.append, cast("Any", say))
    alone.look()
    assert len(shown) == 4
