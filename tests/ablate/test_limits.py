"""When a run is over though work is left."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.journal import State, Trial
from ablate.limits import Limits, device_seconds


def trial(
    name: str, begin: float, end: float | None, *, gpu: str = "0", reused: str | None = None
) -> Trial:
    made = Trial(name, {}, "cell", None, None, 1, False, started_at=begin, reused_from=reused)
    if end is not None:
        made.status, made.finished_at = "finished", end
        environment = {"node": "n", "gpu": gpu}
        made.result_json = {"seconds": end - begin, "environment": environment}
    return made


def state(*trials: Trial) -> State:
    return State(trials={t.id: t for t in trials})


@pytest.mark.parametrize(
    ("trials", "seconds"),
    [
        ([], 0.0),
        ([trial("a", 0, 10), trial("b", 10, 30)], 30.0),
        ([trial("a", 0, 10), trial("b", 0, 10)], 10.0),
        ([trial("a", 0, 10), trial("b", 5, 12)], 12.0),
        ([trial("a", 0, 10), trial("b", 0, 10, gpu="1")], 20.0),
        ([trial("a", 0, 10), trial("b", 0, 10, reused="other", gpu="1")], 10.0),
        ([trial("a", 0, None)], 0.0),
    ],
)
def test_trials_that_share_a_device_share_its_time(trials: list[Trial], seconds: float) -> None:
    assert device_seconds(state(*trials)) == pytest.approx(seconds)


def test_a_running_trial_counts_what_it_has_reported() -> None:
    running = trial("a", 100, None)
    running.status = "running"
    running.reports = {2: {"seconds": 4.0}, 4: {"seconds": 9.0}}
    assert device_seconds(state(running)) == pytest.approx(9.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 50)), max_size=8))
def test_time_on_a_device_lies_between_the_longest_trial_and_all_of_them(spans: Any) -> None:
    made = [trial(str(n), begin, begin + long) for n, (begin, long) in enumerate(spans)]
    found = device_seconds(state(*made))
    longest = max((long for _, long in spans), default=0.0)
    assert longest - 1e-6 <= found <= sum(long for _, long in spans) + 1e-6


def test_the_cost_stops_a_run_and_says_what_was_spent() -> None:
    hour = state(trial("a", 0, 3600))
    assert Limits(max_cost=5.0, price=4.0).reached(hour) is None
    reason = Limits(max_cost=4.0, price=4.0).reached(hour)
    assert reason == "max_cost 4 is reached: 4.00 at 4 per GPU-hour"
    assert Limits(price=4.0).reached(hour) is None


def test_the_deadline_stops_a_run() -> None:
    now = [1000.0]
    limits = Limits(until=1001.0, clock=lambda: now[0])
    assert limits.reached(State()) is None
    now[0] = 1001.0
    assert str(limits.reached(State())).startswith("the deadline 1970-01-01")
