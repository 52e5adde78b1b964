"""The search: asks and stops depend on the scores alone, never on what finished first."""

import importlib.util
import json
import logging
import math
import random
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate import search
from ablate.samplers import PRUNERS, SAMPLERS, build_pruner
from ablate.search import (
    EXHAUSTIVE,
    Ask,
    Complete,
    Failed,
    Outcome,
    Pruned,
    Tuner,
)
from trials.errors import UserError

MIXED: dict[str, dict[str, Any]] = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "warmup": {"low": 0.0, "high": 0.5},
    "rank": {"low": 2, "high": 16, "step": 2},
    "targets": {"choices": ["qv", ["query", "value"], None]},
}
FINITE: dict[str, dict[str, Any]] = {
    "alpha": {"choices": [8, 16, 32]},
    "dropout": {"low": 0.1, "high": 0.3, "step": 0.1},
    "layers": {"low": 1, "high": 2},
}
PRUNERS_IN_USE: dict[str, dict[str, Any]] = {
    "median": {"name": "median", "n_startup_trials": 1},
    "percentile": {"name": "percentile", "percentile": 50.0, "n_startup_trials": 2},
    "successive_halving": {"name": "successive_halving", "min_resource": 1, "reduction_factor": 2},
    "hyperband": {"name": "hyperband", "max_resource": 6, "reduction_factor": 2},
    "hyperband_auto": {"name": "hyperband", "reduction_factor": 2},
    "threshold": {"name": "threshold", "lower": 0.3},
    "patient": {
        "name": "patient",
        "patience": 1,
        "wrapped_pruner": {"name": "median", "n_startup_trials": 1},
    },
    "wilcoxon": {"name": "wilcoxon", "p_threshold": 0.4},
}
STEPS = range(1, 7)


def tuner(
    space: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    sampler: str | dict[str, Any] = "tpe",
    pruner: dict[str, Any] | None = None,
    direction: Any = "higher",
    parallel: int = 3,
    budget: int = 20,
    cell: str = "lora/cola",
) -> Tuner:
    options: dict[str, Any] = {"name": sampler} if isinstance(sampler, str) else sampler
    if options.get("name") == "tpe":
        options = {"n_startup_trials": 4, "n_ei_candidates": 8, **options}
    return Tuner(
        "demo",
        cell,
        MIXED if space is None else space,
        sampler=options,
        pruner=pruner,
        direction=direction,
        parallel=parallel,
        budget=budget,
    )


def curve(ask: Ask) -> dict[int, float]:
    """What a trial would report, from its values alone."""
    noise = random.Random(json.dumps(ask.values, sort_keys=True))
    level = noise.random()
    return {step: level * step / 6 + 0.2 * noise.random() for step in STEPS}


def verdict(made: Tuner, ask: Ask, *, late: int = 0) -> Outcome:
    """Train until the pruner says stop, noticed some steps too late."""
    values = curve(ask)
    if ask.number % 7 == 5:
        return Failed("crashed", {1: values[1]})
    if ask.number % 11 == 6:
        return Complete(math.nan, {1: values[1]})
    for step in STEPS:
        if made.should_prune(ask.number, {s: values[s] for s in STEPS if s <= step}):
            return Pruned({s: values[s] for s in STEPS if s <= step + late})
    return Complete(values[6], values)


def run(made: Tuner, order: random.Random | None = None, stop: int = 10**6) -> Tuner:
    """A scheduler in which running asks end in any order."""
    running: list[Ask] = []
    while (not made.spent() or running) and stop > 0:
        stop -= 1
        if made.ready() and (order is None or not running or order.random() < 0.6):
            running.append(made.ask())
        else:
            ask = running.pop(0 if order is None else order.randrange(len(running)))
            made.record(ask.number, verdict(made, ask, late=order.randrange(3) if order else 0))
    return made


# ---------------------------------------------------------------- determinism


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_asks_and_outcomes_do_not_depend_on_what_finished_first(parallel: int, pruner: str) -> None:
    options: dict[str, Any] = {"parallel": parallel, "pruner": PRUNERS_IN_USE[pruner], "budget": 16}
    expected = run(tuner(**options))

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=8, deadline=None, database=None)
    def check(seed: int) -> None:
        made = run(tuner(**options), random.Random(seed))
        assert made.asks == expected.asks
        assert repr(sorted(made.outcomes.items())) == repr(sorted(expected.outcomes.items()))

    check()
    kinds = {type(outcome) for outcome in expected.outcomes.values()}
    assert kinds == {Complete, Pruned, Failed}


@given(stop=st.integers(0, 40), seed=st.integers(0, 2**32), later=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_a_search_cut_anywhere_and_replayed_ends_the_same(stop: int, seed: int, later: int) -> None:
    options: dict[str, Any] = {"pruner": PRUNERS_IN_USE["hyperband"], "budget": 14}
    cut = run(tuner(**options), random.Random(seed), stop)
    asks, outcomes = json.loads(json.dumps([vars(a) for a in cut.asks])), dict(cut.outcomes)
    again = tuner(**options)
    again.replay([Ask(a["number"], a["values"]) for a in asks], outcomes)
    assert again.asks == cut.asks
    for ask in again.asks:
        if ask.number not in outcomes:
            again.record(ask.number, verdict(again, ask))
    run(again, random.Random(later))
    assert again.asks == UNINTERRUPTED.asks
    assert repr(sorted(again.outcomes.items())) == repr(sorted(UNINTERRUPTED.outcomes.items()))
    assert again.best(3) == UNINTERRUPTED.best(3)


UNINTERRUPTED = run(tuner(pruner=PRUNERS_IN_USE["hyperband"], budget=14))


def test_a_replay_that_would_ask_something_else_is_refused() -> None:
    past = run(tuner(budget=8))
    narrower = {**MIXED, "warmup": {"low": 0.0, "high": 0.4}}
    with pytest.raises(UserError, match=r"would now ask 0: .*; the journal says 0: .*space"):
        tuner(narrower, budget=8).replay(past.asks, past.outcomes)
    with pytest.raises(UserError, match="would now wait for ask 0; the journal says ask 1 was"):
        tuner(budget=8, parallel=1).replay(past.asks, {})
    with pytest.raises(ValueError, match="asked before"):
        past.replay(past.asks, past.outcomes)


def test_a_replay_keeps_asks_beyond_a_budget_that_was_lowered() -> None:
    past = run(tuner(budget=8))
    fewer = tuner(budget=5)
    fewer.replay(past.asks, past.outcomes)
    assert fewer.asks == past.asks
    assert fewer.spent()


def test_the_order_of_the_space_in_the_file_means_nothing() -> None:
    backwards = dict(reversed(MIXED.items()))
    assert run(tuner(budget=8)).asks == run(tuner(backwards, budget=8)).asks


def test_cells_draw_differently() -> None:
    assert tuner().ask().values != tuner(cell="lora/rte").ask().values


def test_asking_leaves_global_generators_alone() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    run(tuner(budget=6))
    assert random.random() == expected


# ---------------------------------------------------------------- what Optuna is told


def test_outcomes_are_told_in_ask_order_and_no_further_than_the_rule() -> None:
    made = tuner(parallel=3, budget=10)
    for _ in range(3):
        made.ask()
    assert not made.ready()
    made.record(2, Complete(0.3))
    made.record(1, Failed("crashed", {1: 0.1}))
    assert not made.ready()
    with pytest.raises(ValueError, match="not ready"):
        made.ask()
    made.record(0, Pruned({1: 0.1, 2: None}))
    made.ask()
    states = [t.state.name for t in made._optuna.trials]
    assert states == ["PRUNED", "RUNNING", "RUNNING", "RUNNING"]
    made.ask()
    made.record(3, Complete(math.nan, {1: math.inf}))
    made.record(4, Complete(0.5, {1: 0.4}))
    made.ask()
    made.ask()
    trials = made._optuna.trials
    assert [t.state.name for t in trials][:4] == ["PRUNED", "FAIL", "COMPLETE", "FAIL"]
    assert trials[1].intermediate_values == {1: 0.1}
    assert trials[2].value == 0.3
    assert made.outcomes[3].reports.keys() == {1}
    assert isinstance(made.outcomes[3], Failed)


def test_an_outcome_is_recorded_once_and_for_an_ask_that_exists() -> None:
    made = tuner()
    with pytest.raises(ValueError, match="ask 0 awaits no outcome"):
        made.record(0, Complete(1.0))
    with pytest.raises(ValueError, match="ask 0 is not running"):
        made.should_prune(0, {1: 1.0})
    made.ask()
    made.record(0, Complete(1.0))
    with pytest.raises(ValueError, match="ask 0 awaits no outcome"):
        made.record(0, Complete(2.0))
    with pytest.raises(ValueError, match="ask 0 is not running"):
        made.should_prune(0, {1: 1.0})


@pytest.mark.parametrize(("direction", "expected"), [("higher", [1, 2, 3]), ("lower", [0, 3, 1])])
def test_the_best_ties_go_to_the_lower_number(direction: str, expected: list[int]) -> None:
    made = tuner(direction=direction, parallel=9)
    for score in (0.1, 0.9, 0.9, 0.5):
        made.record(made.ask().number, Complete(score))
    made.record(made.ask().number, Failed("crashed"))
    made.record(made.ask().number, Complete(math.nan))
    assert [ask.number for ask in made.best(3)] == expected
    assert len(made.best(99)) == 4
    assert made.best(0) == []


def test_the_search_finds_the_better_side() -> None:
    made = tuner({"x": {"low": 0.0, "high": 1.0}}, parallel=1, budget=30)
    while made.ready():
        ask = made.ask()
        made.record(ask.number, Complete(-abs(ask.values["x"] - 0.8)))
    late = [ask.values["x"] for ask in made.asks[15:]]
    assert sum(abs(x - 0.8) < 0.25 for x in late) > 10


# ---------------------------------------------------------------- pruners


@pytest.mark.parametrize("name", PRUNERS_IN_USE)
def test_a_stop_is_judged_by_what_its_ask_saw(name: str) -> None:
    """The same question before and after others finish has the same answer."""

    def decisions(made: Tuner, number: int) -> list[bool]:
        values = curve(made.asks[number])
        return [
            made.should_prune(number, {s: values[s] for s in STEPS if s <= step}) for step in STEPS
        ]

    options: dict[str, Any] = {"pruner": PRUNERS_IN_USE[name], "parallel": 4, "budget": 30}
    early, late = tuner(**options), tuner(**options)
    for made in (early, late):
        while len(made.asks) < 16:
            while made.ready() and len(made.asks) < 16:
                made.ask()
            if len(made.asks) < 16:
                first = len(made.outcomes)
                made.record(first, verdict(made, made.asks[first]))
    before = decisions(early, 15)
    for number in range(12, 15):
        late.record(number, Complete(99.0, dict.fromkeys(STEPS, 99.0)))
    assert decisions(late, 15) == before
    assert decisions(early, 15) == before
    assert before == sorted(before)
    stopped = sum(isinstance(outcome, Pruned) for outcome in early.outcomes.values())
    assert stopped > 0


@pytest.mark.parametrize("name", PRUNERS_IN_USE)
def test_one_at_a_time_stops_are_optunas_own(name: str) -> None:
    """With nothing in parallel the rule is Optuna's own loop, so the stops must agree."""
    made = run(tuner(pruner=PRUNERS_IN_USE[name], parallel=1, budget=16, sampler="random"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            study_name="demo/lora/cola",
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=build_pruner(PRUNERS_IN_USE[name]),
        )
        for ask in made.asks:
            trial = study.ask()
            outcome = made.outcomes[ask.number]
            stopped = False
            for step, value in outcome.reports.items():
                assert not stopped
                assert value is not None
                trial.report(value, step)
                stopped = trial.should_prune()
            score = outcome.score if isinstance(outcome, Complete) else None
            if isinstance(outcome, Failed):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            assert stopped == isinstance(outcome, Pruned)
            state = optuna.trial.TrialState.PRUNED if stopped else None
            study.tell(trial, score, state=state)


def test_reports_at_once_and_one_by_one_decide_the_same() -> None:
    options: dict[str, Any] = {"pruner": PRUNERS_IN_USE["successive_halving"], "parallel": 1}
    bit, whole = tuner(**options), tuner(**options)
    for _ in range(12):
        ask = bit.ask()
        assert whole.ask() == ask
        values = curve(ask)
        bits = [
            bit.should_prune(ask.number, {s: values[s] for s in STEPS if s <= n}) for n in STEPS
        ]
        assert whole.should_prune(ask.number, values) == bits[-1]
        outcome = Pruned(values) if bits[-1] else Complete(values[6], values)
        bit.record(ask.number, outcome)
        whole.record(ask.number, outcome)
    assert bit.outcomes == whole.outcomes


def test_reports_that_a_resumed_trial_changes_are_judged_anew() -> None:
    made = tuner(pruner={"name": "threshold", "lower": 0.5})
    made.ask()
    assert made.should_prune(0, {1: 0.9, 2: 0.4})
    assert not made.should_prune(0, {1: 0.9})
    assert not made.should_prune(0, {1: 0.9, 2: 0.6})
    assert made.should_prune(0, {1: 0.9, 2: 0.6, 3: None})
    assert not made.should_prune(0, {})


def test_without_a_pruner_nothing_stops() -> None:
    for pruner in (None, {"name": "none"}):
        made = tuner(pruner=pruner)
        made.ask()
        assert not made.should_prune(0, {1: -1e9})


# ---------------------------------------------------------------- samplers and spaces


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_asks_plain_values_of_its_space(name: str) -> None:
    missing = [n for n in SAMPLERS[name].needs if importlib.util.find_spec(n) is None]
    if missing:
        with pytest.raises(UserError, match=f"sampler '{name}' needs the package '{missing[0]}'"):
            tuner(sampler=name)
        return
    space = FINITE if name in EXHAUSTIVE else MIXED
    # Its fits are slow, so let it begin early and end early.
    options: dict[str, Any] = (
        {"name": name, "n_startup_trials": 0} if name == "gp" else {"name": name}
    )
    budget = 3 if name == "gp" else 12
    made = run(tuner(space, sampler=options, budget=budget), random.Random(1))
    assert len(made.asks) == budget
    again = run(tuner(space, sampler=options, budget=budget))
    assert again.asks == made.asks
    for ask in made.asks:
        assert json.loads(json.dumps(ask.values)) == ask.values
        assert ask.values.keys() == space.keys()
        for nuisance, value in ask.values.items():
            entry = space[nuisance]
            if "choices" in entry:
                assert value in entry["choices"]
            else:
                assert entry["low"] <= value <= entry["high"]
                assert type(value) is type(entry["low"])


@pytest.mark.parametrize("name", sorted(EXHAUSTIVE))
def test_a_finite_space_is_asked_once_each_and_ends(name: str) -> None:
    made = run(tuner(FINITE, sampler=name, budget=99), random.Random(2))
    assert len(made.asks) == 18
    assert made.spent()
    assert not made.ready()
    assert len({json.dumps(ask.values) for ask in made.asks}) == 18
    assert all(ask.repeat_of is None for ask in made.asks)
    assert {ask.values["dropout"] for ask in made.asks} == {0.1, 0.2, 0.3}
    assert {type(ask.values["alpha"]) for ask in made.asks} == {int}


def test_the_budget_is_equal_for_every_cell() -> None:
    for cell in ("a", "b"):
        assert len(run(tuner(budget=9, cell=cell), random.Random(0)).asks) == 9


def test_a_repeated_combination_is_asked_and_flagged_and_chosen_once() -> None:
    made = run(tuner({"alpha": {"choices": [8, 16]}}, sampler="random", budget=9))
    firsts: dict[int, int] = {}
    for ask in made.asks:
        first = firsts.setdefault(ask.values["alpha"], ask.number)
        assert ask.repeat_of == (None if first == ask.number else first)
    assert len(made.best(9)) == len(firsts) == 2


def test_an_empty_space_has_one_ask() -> None:
    made = run(tuner({}, budget=9))
    assert [ask.values for ask in made.asks] == [{}]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"low": 1, "hihg": 2}, "unknown key 'hihg'; did you mean 'high'"),
        ({"low": 1}, "high must be a number"),
        ({"low": True, "high": 2}, "low must be a number"),
        ({"low": 0.0, "high": math.inf}, "high must be finite"),
        ({"low": 2, "high": 1}, "nuisance: "),
        ({"low": 0.0, "high": 1.0, "log": True}, "nuisance: "),
        ({"low": 0.1, "high": 1.0, "log": True, "step": 0.1}, "nuisance: "),
        ({"low": 1, "high": 4, "step": 0}, "nuisance: "),
        ({"choices": []}, "not empty"),
        ({"choices": "abc"}, "must be a list"),
        ({"choices": [1, 1]}, "the same value twice"),
        ({"choices": [1], "low": 1}, "unknown key 'low'"),
    ],
)
def test_a_space_that_makes_no_sense_is_the_users_mistake(
    entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        tuner({"nuisance": entry, "also": {}})
    assert {problem.key for problem in caught.value.problems} == {"nuisance", "also"}


@pytest.mark.parametrize(
    ("sampler", "pruner", "message"),
    [
        ({"name": "tpee"}, None, "no sampler called 'tpee'; did you mean 'tpe'"),
        ({}, None, "no sampler called 'None'"),
        (
            {"name": "random"},
            {"name": "medain"},
            "no pruner called 'medain'; did you mean 'median'",
        ),
        ({"name": "qmc", "scrambled": 1}, None, "no option 'scrambled'; did you mean 'scramble'"),
        ({"name": "random", "seed": 1}, None, r"no option 'seed' \(options: none\)"),
        ({"name": "random"}, {"name": "percentile"}, "pruner 'percentile': .*percentile"),
        ({"name": "random"}, {"name": "median", "interval_steps": 0}, "must be at least 1"),
        ({"name": "random"}, {"name": "median", "warmup": 1}, "options: n_startup_trials, n_warm"),
        (
            {"name": "random"},
            {"name": "patient", "patience": 1, "wrapped_pruner": {"name": "x"}},
            "no pruner called 'x'",
        ),
        ({"name": "grid"}, None, "learning_rate: sampler 'grid' needs choices or a step"),
    ],
)
def test_unknown_names_and_options_are_the_users_mistake(
    sampler: dict[str, Any], pruner: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        tuner(sampler=sampler, pruner=pruner)


def test_a_grid_too_large_to_write_out_is_refused() -> None:
    with pytest.raises(UserError, match="at most 100000"):
        tuner({"x": {"low": 1, "high": 10**9}}, sampler="grid")


def test_every_listed_option_is_one_that_optuna_takes() -> None:
    for table in (SAMPLERS, PRUNERS):
        for name, factory in table.items():
            assert factory.name == name
            assert "seed" not in factory.options()
    assert "constant_liar" in SAMPLERS["tpe"].options()
    assert SAMPLERS["tpe"].build({}, seed=1)._constant_liar is False
    assert PRUNERS["patient"].options() == ("wrapped_pruner", "patience", "min_delta")


# ---------------------------------------------------------------- manners


def test_optuna_is_silent_here_and_only_here(caplog: pytest.LogCaptureFixture) -> None:
    level = optuna.logging.get_verbosity()
    filters = list(warnings.filters)
    with caplog.at_level(logging.DEBUG):
        run(tuner(pruner=PRUNERS_IN_USE["wilcoxon"], budget=6))
    assert caplog.records == []
    assert optuna.logging.get_verbosity() == level
    assert list(warnings.filters) == filters


def test_importing_the_search_imports_no_optuna() -> None:
    code = "import sys, ablate.search; sys.exit('optuna' in sys.modules)"
    root = Path(search.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
