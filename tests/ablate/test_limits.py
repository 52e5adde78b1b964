"""When a run is over though work is left."""

from ablate.journal import State, Trial
from ablate.limits import Limits


def state(*trials: Trial) -> State:
    return State(trials={t.id: t for t in trials})


def trial(name: str, seconds: float, reused: str | None = None) -> Trial:
    made = Trial(name, {}, "cell", None, None, 1, False, reused_from=reused)
    made.status, made.result_json = "finished", {"seconds": seconds}
    return made


def test_the_cost_stops_a_run_and_says_what_was_spent() -> None:
    hour = state(trial("a", 3600))
    assert Limits(max_cost=5.0, price=4.0).reached(hour) is None
    reason = Limits(max_cost=4.0, price=4.0).reached(hour)
    assert reason == "max_cost 4 is reached: 4.00 at 4 per GPU-hour"
    assert Limits(price=4.0).reached(hour) is None
    assert Limits(max_cost=4.0, price=4.0, devices=0.5).reached(hour) is None, "half a GPU each"


def test_trials_of_a_pack_and_those_that_run_cost_what_they_took() -> None:
    """Of a pack each trial was charged its share, so that all of them make up the pack's time."""
    limits = Limits(max_cost=1.0, price=1.0)
    pack = [trial(str(n), 900) for n in range(4)]
    for made in pack:
        made.started_at, made.finished_at = 0.0, 3600.0
    assert str(limits.reached(state(*pack))).startswith("max_cost 1 is reached: 1.00")
    for made in pack:
        made.status, made.finished_at, made.result_json = "running", None, None
        made.reports = {2: {"seconds": 100.0}, 4: {"seconds": 900.0}}
    assert Limits(max_cost=1.0, price=1.0).reached(state(*pack)) is not None


def test_what_another_study_trained_costs_nothing() -> None:
    assert Limits(max_cost=1e-9, price=4.0).reached(state(trial("a", 3600, "other"))) is None


def test_the_deadline_stops_a_run() -> None:
    now = [1000.0]
    limits = Limits(until=1001.0, clock=lambda: now[0])
    assert limits.reached(State()) is None
    now[0] = 1001.0
    assert str(limits.reached(State())).startswith("the deadline 1970-01-01")
