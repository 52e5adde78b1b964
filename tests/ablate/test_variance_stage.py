"""The variance stage of a study, from its keys to the frame and the findings."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fake_training import FACTS, Training, conductor, disturbed, drive, ends, planned, undisturbed
from mini_study import run_mini

from ablate import tally
from ablate.answers import _spending
from ablate.frame import VARIANCE_STAGE
from ablate.journal import Journal, State
from ablate.plan import Plan
from ablate.stats.luck import lucks
from ablate.study import Study
from ablate.tracking import records
from trials.errors import UserError
from trials.spec import TrialSpec

STAGE = {"initialisations": 3, "orders": 4, "repeats": 2}


def of_stage(state: State) -> list[TrialSpec]:
    return [t.spec for t in state.trials.values() if t.spec_json["stage"] == VARIANCE_STAGE]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, State]:
    made = planned(variance=STAGE)
    return made, undisturbed(made, tmp_path_factory.mktemp("journal"))


def test_every_initialisation_meets_every_order(ended: tuple[Plan, State]) -> None:
    plan, state = ended
    for cell in plan.cells:
        specs = [s for s in of_stage(state) if s.method == cell.arm.method]
        numbers = [(s.seed, s.order_seed, s.repeat) for s in specs]
        assert sorted(numbers) == [
            (i, j, k) for i in range(3) for j in range(4) for k in range(2)
        ]  # fmt: skip
        values = state.chosen[cell.key][1].values
        assert {s.recipe.learning_rate for s in specs} == {values["learning_rate"]}
        assert len({s.id for s in specs}) == 24
    assert plan.counts.variance == 48
    assert plan.to_json()["num_trials"]["variance"] == 48


def test_the_rest_of_the_study_is_what_it_was(ended: tuple[Plan, State], tmp_path: Path) -> None:
    without = planned()
    plan, state = ended
    assert [cell.key for cell in without.cells] == [cell.key for cell in plan.cells]
    before = undisturbed(without, tmp_path / "journal")
    assert ends(before).items() <= ends(state).items()
    assert "variance" not in without.study.to_json()
    assert "variance" not in without.to_json()["num_trials"]


def test_it_comes_after_what_confirms(tmp_path: Path) -> None:
    made = planned(variance=STAGE, tune=None)
    with Journal.open(tmp_path / "journal") as record:
        order = drive(conductor(made, record), random.Random(0), 1)
        stages = [record.state.trials[t].spec_json["stage"] for t in order]
    assert stages == ["confirm"] * 6 + [VARIANCE_STAGE] * 48


def test_a_killed_driver_comes_to_the_same_end(ended: tuple[Plan, State], tmp_path: Path) -> None:
    plan, state = ended
    assert ends(disturbed(plan, tmp_path / "j", 5, 3, [40, 90, 60])) == ends(state)


def test_a_race_has_one_as_well(tmp_path: Path) -> None:
    made = planned(variance=STAGE, race={"looks": [2, 4]}, confirm=None,
                   baselines=[{"method": "lora"}])  # fmt: skip
    assert len(of_stage(undisturbed(made, tmp_path / "j"))) == 48


def test_the_frame_has_both_seeds_and_no_look_reads_them(ended: tuple[Plan, State]) -> None:
    plan, state = ended
    frame = tally.frame(plan, state, FACTS)
    rows = frame[(frame["stage"] == VARIANCE_STAGE) & (frame["split"] == "validation")]
    assert len(rows.drop_duplicates(["arm", "seed", "order_seed", "repeat"])) == len(rows) == 48
    others = frame[frame["stage"] != VARIANCE_STAGE]
    assert others["order_seed"].isna().all()
    assert others["repeat"].isna().all()
    (first, second) = lucks(frame, level=0.95, spending=_spending(plan))
    assert first.arm != second.arm
    for found in (first, second):
        assert found.n + found.n_dropped + found.num_failed == 24
        assert found.status == "insufficient_n", "four orders tell intervals alone"


def test_what_has_not_run_is_missing() -> None:
    made = planned(variance=STAGE, tune=None)
    frame = tally.frame(made, State(), FACTS)
    rows = frame[frame["stage"] == VARIANCE_STAGE]
    assert len(rows) == 48
    assert set(rows["status"]) == {"missing"}
    assert rows["order_seed"].nunique() == 4
    standings = tally.standings(made, State(), FACTS)
    assert [one.variance for one in standings] == [(0, 24), (0, 24)]


def test_tracking_gives_the_same_rows(ended: tuple[Plan, State]) -> None:
    _, state = ended
    trial = next(t for t in state.trials.values() if t.spec_json.get("repeat") == 1)
    streams = records._streams(trial.spec_json)
    assert streams == {"order_seed": trial.spec.order_seed, "repeat": 1}
    assert tally.streams(trial.spec_json) == streams
    plain = next(t for t in state.trials.values() if t.spec_json["stage"] == "confirm")
    assert records._streams(plain.spec_json) == {}


def test_a_condition_says_which_cells() -> None:
    made = planned(variance={**STAGE, "when": {"method": "tlora"}})
    assert [bool(made.luck(cell)) for cell in made.cells] == [False, True]
    assert made.counts.variance == 24
    assert planned(variance={**STAGE, "when": {"task": "tiny_acceptability"}}).counts.variance == 48


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"initialisations": 1}, "variance.initialisations"),
        ({"repeats": 0}, "variance.repeats"),
        ({"error": 0.0}, "variance.error"),
        ({"costs": {"run": 1}}, "variance.costs.run"),
        ({"when": {"method": "lorra"}}, "variance.when.method: no method called 'lorra'"),
    ],
)
def test_mistakes_are_told_by_key(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told.replace(".", r"\.")):
        planned(variance=keys)


def test_what_is_asked_of_the_runs() -> None:
    costs = {"initialisation": 2.0}
    made = planned(variance={**STAGE, "error": 0.3, "costs": costs}, confirm={"seeds": 7})
    spending = _spending(made)
    assert spending is not None
    assert (spending.error, spending.seeds) == (0.3, 7)
    assert (spending.initialisation_cost, spending.order_cost) == (2.0, 0.0)
    assert _spending(planned()) is None


def test_a_stage_is_part_of_the_studys_digest_only_where_it_is() -> None:
    keys = planned().study.to_json()
    assert Study.from_dict({k: v for k, v in keys.items() if v is not None}).digest
    assert planned(variance=STAGE).study.digest != planned().study.digest


def test_a_trial_of_it_trains_like_any(ended: tuple[Plan, State]) -> None:
    spec = of_stage(ended[1])[0]
    assert TrialSpec.from_json(spec.to_json()) == spec
    assert Training(spec, lambda _: None).spec.stage == VARIANCE_STAGE


def test_a_study_that_is_really_trained(tmp_path: Path) -> None:
    """On a CPU nothing but its seeds decides a run, so repeats agree to the last bit."""
    stage = {"initialisations": 2, "orders": 2, "repeats": 2, "when": {"method": "lora"}}
    ran = run_mini(tmp_path, tune=None, claims=[], confirm={"seeds": 1}, variance=stage)
    assert ran.outcome == "done"
    trials = [t for t in ran.state().trials.values() if t.spec_json["stage"] == VARIANCE_STAGE]
    assert len(trials) == 8
    by_seeds: dict[tuple[int, int], list[object]] = {}
    for trial in trials:
        result = trial.result_json or {}
        losses = [trial.reports[step]["train_loss"] for step in sorted(trial.reports)]
        key = (trial.spec.seed, trial.spec_json["order_seed"])
        by_seeds.setdefault(key, []).append((result["scores"], losses))
    assert all(first == second for first, second in by_seeds.values())
    assert len({repr(found[0][1]) for found in by_seeds.values()}) == 4, "both seeds matter"
    document = json.loads((ran.folder / "report" / "findings.json").read_text())
    (found,) = document["luck"]
    assert (found["n"], found["identical_repeats"]) == (8, True)
    assert found["split"] == "test"
    page = (ran.folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "agree to the last bit" in page
