"""The search: asks and stops depend on the scores alone, never on what finished first."""

import functools
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
from ablate.outcomes import Past
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
    **more: Any,
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
        directions=(direction,) if isinstance(direction, str) else direction,
        parallel=parallel,
        budget=budget,
        **more,
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


# ---------------------------------------------------------------- constraints


def small(values: Mapping[str, Any]) -> str | None:
    return None if values["learning_rate"] < 1e-3 else "learning_rate < 1e-3"


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsgaii"])
def test_values_that_break_a_constraint_are_drawn_again_and_are_no_ask(sampler: str) -> None:
    made = run(tuner(sampler=sampler, budget=12, violated=small), random.Random(4))
    assert len(made.asks) == 12
    assert all(ask.values["learning_rate"] < 1e-3 for ask in made.asks)
    again = run(tuner(sampler=sampler, budget=12, violated=small))
    assert again.asks == made.asks
    free = run(tuner(sampler=sampler, budget=12))
    assert any(ask.values["learning_rate"] >= 1e-3 for ask in free.asks)


def test_a_search_under_constraints_is_replayed() -> None:
    cut = run(tuner(budget=12, violated=small), random.Random(9), 13)
    again = tuner(budget=12, violated=small)
    again.replay(cut.asks, cut.outcomes)
    for ask in again.asks:
        if ask.number not in cut.outcomes:
            again.record(ask.number, verdict(again, ask))
    assert run(again).asks == run(tuner(budget=12, violated=small)).asks


@pytest.mark.parametrize("name", sorted(EXHAUSTIVE))
def test_a_finite_space_ends_with_the_combinations_that_hold(name: str) -> None:
    def violated(values: Mapping[str, Any]) -> str | None:
        return None if values["alpha"] <= 8 * values["layers"] else "alpha <= 8 * layers"

    made = run(tuner(FINITE, sampler=name, budget=99, violated=violated), random.Random(2))
    assert len(made.asks) == 9
    assert all(violated(ask.values) is None for ask in made.asks)
    assert made.spent()


def test_chance_draws_where_the_sampler_finds_nothing_that_holds() -> None:
    """Few values hold; whoever learns from the past alone may never meet them."""

    def narrow(values: Mapping[str, Any]) -> str | None:
        return None if 0.5 < values["x"] < 0.51 else "x is elsewhere"

    space = {"x": {"low": 0.0, "high": 1.0}}
    made = run(tuner(space, budget=4, violated=narrow))
    assert [narrow(ask.values) for ask in made.asks] == [None] * 4


def test_where_nothing_holds_a_finite_space_ends_and_an_endless_one_asks_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "MOST_DRAWS", 30)
    never = "nothing holds"
    assert run(tuner(FINITE, sampler="grid", violated=lambda values: never)).asks == ()
    made = run(tuner(budget=2, violated=lambda values: never))
    assert len(made.asks) == 2


# ---------------------------------------------------------------- several objectives


def costly(ask: Ask) -> Complete:
    x, y = ask.values["x"], ask.values["y"]
    return Complete(-((x - 0.7) ** 2) - (y - 0.7) ** 2, others=(x**2 + y**2,))


SQUARE = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}
MANY: tuple[Any, ...] = ("higher", "lower")


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsgaii", "nsgaiii"])
def test_several_objectives_do_not_depend_on_what_finished_first(sampler: str) -> None:
    def trained(order: random.Random | None) -> Tuner:
        options: dict[str, Any] = {"name": sampler}
        if "nsga" in sampler:
            options["population_size"] = 4
        made = tuner(SQUARE, sampler=options, direction=MANY, budget=16)
        running: list[Ask] = []
        while not made.spent() or running:
            if made.ready() and (order is None or not running or order.random() < 0.6):
                running.append(made.ask())
            else:
                ask = running.pop(0 if order is None else order.randrange(len(running)))
                made.record(ask.number, costly(ask))
        return made

    first, second = trained(None), trained(random.Random(3))
    assert first.asks == second.asks
    assert first.best(3) == second.best(3)
    scores = {n: o.scores for n, o in first.outcomes.items() if isinstance(o, Complete)}
    (best,) = first.best(1)
    assert scores[best.number][0] == max(score for score, _ in scores.values())


def test_the_best_of_several_objectives_come_from_the_front_first() -> None:
    made = tuner(SQUARE, direction=MANY, parallel=9, budget=9)
    for scores in ((0.8, 9.0), (0.9, 5.0), (0.85, 7.0), (0.1, 1.0)):
        made.record(made.ask().number, Complete(scores[0], others=scores[1:]))
    assert [ask.number for ask in made.best(4)] == [1, 3, 2, 0]


def test_a_score_of_any_objective_that_is_no_number_fails_the_ask() -> None:
    made = tuner(SQUARE, direction=MANY)
    made.ask()
    made.record(0, Complete(0.5, others=(math.inf,)))
    assert made.outcomes[0] == Failed("score is inf", {})


def test_what_does_not_fit_several_objectives_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="pruner: pruner 'median' compares one score"):
        tuner(direction=MANY, pruner=PRUNERS_IN_USE["median"])
    with pytest.raises(UserError, match=r"'cmaes' (takes one objective|needs the package)"):
        tuner(direction=MANY, sampler="cmaes")


# ---------------------------------------------------------------- budgets of seconds


def slow(made: Tuner, ask: Ask) -> Outcome:
    return Complete(curve(ask)[6], seconds=10.0)


def timed(made: Tuner, order: random.Random | None = None) -> Tuner:
    running: list[Ask] = []
    while not made.spent() or running:
        if made.ready() and (order is None or not running or order.random() < 0.6):
            running.append(made.ask())
        else:
            ask = running.pop(0 if order is None else order.randrange(len(running)))
            made.record(ask.number, slow(made, ask))
    return made


@pytest.mark.parametrize(("parallel", "asks"), [(1, 4), (3, 6)])
def test_seconds_end_a_search_by_what_the_next_ask_sees(parallel: int, asks: int) -> None:
    """35 seconds at 10 an ask: the fourth ask reaches them, and as many more were in flight."""
    made = timed(tuner(parallel=parallel, budget=99, seconds=35.0))
    assert len(made.asks) == asks
    other = timed(tuner(parallel=parallel, budget=99, seconds=35.0), random.Random(8))
    assert other.asks == made.asks
    again = tuner(parallel=parallel, budget=99, seconds=35.0)
    again.replay(made.asks, made.outcomes)
    assert again.spent()


def test_under_seconds_a_finite_space_ends_and_does_not_repeat_for_ever() -> None:
    made = timed(tuner({"alpha": {"choices": [8, 16, 32]}}, budget=99, seconds=1e9))
    assert {ask.values["alpha"] for ask in made.asks} == {8, 16, 32}
    assert made.spent()


def test_under_seconds_a_known_answer_takes_none() -> None:
    """45 seconds at 10 each are five of six values, however often those are asked again."""
    space = {"alpha": {"choices": [1, 2, 4, 8, 16, 32]}}
    options: dict[str, Any] = {"sampler": "random", "parallel": 1, "budget": 99, "seconds": 45.0}
    made = [timed(tuner(space, cell=cell, **options)) for cell in "abcd"]
    assert [len({ask.values["alpha"] for ask in one.asks}) for one in made] == [5] * 4
    assert any(len(one.asks) > 5 for one in made), "some were asked again"


def test_asks_that_take_no_time_end_with_their_number() -> None:
    made = tuner(budget=7, seconds=5.0)
    while made.ready():
        made.record(made.ask().number, Failed("crashed at once"))
    assert len(made.asks) == 7


# ---------------------------------------------------------------- starting from an earlier study


def near(x: float) -> float:
    return -abs(x - 0.8)


EARLIER = [Past({"x": x / 20}, (near(x / 20),)) for x in range(20)]


def test_what_an_earlier_study_learned_is_told_first_and_costs_no_ask() -> None:
    made = tuner({"x": {"low": 0.0, "high": 1.0}}, parallel=1, budget=10, past=EARLIER)
    while made.ready():
        ask = made.ask()
        made.record(ask.number, Complete(near(ask.values["x"])))
    assert len(made.asks) == 10
    assert sum(abs(ask.values["x"] - 0.8) < 0.2 for ask in made.asks) > 6
    assert all(0 <= ask.number < 10 for ask in made.best(5))
    cold = tuner({"x": {"low": 0.0, "high": 1.0}}, parallel=1, budget=10)
    assert cold.ask().values != made.asks[0].values


def test_a_search_that_learned_is_replayed_with_what_it_learned() -> None:
    made = run(tuner({"x": {"low": 0.0, "high": 1.0}}, budget=8, past=EARLIER))
    again = tuner({"x": {"low": 0.0, "high": 1.0}}, budget=8, past=EARLIER)
    again.replay(made.asks, made.outcomes)
    assert again.asks == made.asks
    with pytest.raises(UserError, match="would now ask 0"):
        tuner({"x": {"low": 0.0, "high": 1.0}}, budget=8).replay(made.asks, made.outcomes)


def test_what_does_not_fit_the_space_is_passed_over() -> None:
    space = {"x": {"low": 0.0, "high": 0.5}, "y": {"choices": [[1], None]}}
    past = [
        Past({"x": 0.25, "y": [1]}, (1.0,)),
        Past({"x": 0.75, "y": [1]}, (1.0,)),
        Past({"x": 0.25, "y": [2]}, (1.0,)),
        Past({"x": True, "y": None}, (1.0,)),
        Past({"x": 0.25}, (1.0,)),
    ]
    made = tuner(space, past=past)
    assert [t.params for t in made._optuna.trials] == [{"x": 0.25, "y": "[1]"}]


@pytest.mark.parametrize("name", ["random", "grid", "qmc", "nsgaii"])
def test_a_sampler_that_does_not_look_back_takes_no_earlier_study(name: str) -> None:
    with pytest.raises(UserError, match="learns nothing from an earlier study; cmaes, gp, tpe do"):
        tuner(FINITE, sampler=name, past=EARLIER)


# ---------------------------------------------------------------- equal budgets


@given(
    seed=st.integers(0, 2**32),
    kills=st.lists(st.integers(0, 120), min_size=2, max_size=2),
    cells=st.just(12),
)
@settings(max_examples=5, deadline=None)
def test_twelve_arms_have_ten_told_asks_each_whatever_ends_first_and_is_killed(
    seed: int, kills: list[int], cells: int
) -> None:
    """Trials of all arms end in any order, and the driver dies twice on the way."""
    order = random.Random(seed)
    past: dict[int, tuple[tuple[Ask, ...], dict[int, Outcome]]] = {c: ((), {}) for c in range(12)}
    for stop in [*kills, 10**6]:
        made = {c: tuner(cell=f"arm {c}", **TEN) for c in range(cells)}
        for c, (asks, outcomes) in past.items():
            made[c].replay(asks, outcomes)
        running = [
            (c, ask) for c, one in made.items() for ask in one.asks if ask.number not in past[c][1]
        ]
        while stop > 0 and (running or not all(one.spent() for one in made.values())):
            stop -= 1
            ready = [c for c, one in made.items() if one.ready()]
            if ready and (not running or order.random() < 0.5):
                c = order.choice(ready)
                running.append((c, made[c].ask()))
            else:
                c, ask = running.pop(order.randrange(len(running)))
                made[c].record(ask.number, verdict(made[c], ask, late=order.randrange(3)))
        past = {c: (one.asks, dict(one.outcomes)) for c, one in made.items()}
    for c, (asks, outcomes) in past.items():
        assert len(asks) == len(outcomes) == 10
        assert asks == undisturbed(c).asks
        assert repr(sorted(outcomes.items())) == repr(sorted(undisturbed(c).outcomes.items()))


TEN: dict[str, Any] = {"budget": 10, "pruner": PRUNERS_IN_USE["median"], "sampler": "tpe"}


@functools.cache
def undisturbed(cell: int) -> Tuner:
    """A tuner that was told everything in order."""
    return run(tuner(cell=f"arm {cell}", **TEN))


# ---------------------------------------------------------------- edges


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "qmc", "brute_force", "nsgaii"])
def test_a_nuisance_with_one_value_is_asked_and_trained_once(sampler: str) -> None:
    made = run(tuner({"alpha": {"choices": [8]}}, sampler=sampler, budget=5))
    assert {ask.values["alpha"] for ask in made.asks} == {8}
    assert sum(ask.repeat_of is None for ask in made.asks) == 1
    assert len(made.asks) == (1 if sampler in EXHAUSTIVE else 5)
    assert len(made.best(3)) == 1


def test_more_in_flight_than_asks() -> None:
    made = tuner(parallel=50, budget=3)
    for _ in range(3):
        made.ask()
    assert made.spent()
    assert not made.ready()


def test_a_search_whose_every_ask_fails_ends_and_has_no_best() -> None:
    made = tuner(budget=6)
    while made.ready():
        made.record(made.ask().number, Failed("out of memory"))
    assert len(made.outcomes) == 6
    assert made.best(2) == []
