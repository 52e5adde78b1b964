"""A small study in which one task starts from another's adapter, run in this process."""

import json
from pathlib import Path
from typing import Any

import pytest
from mini_study import Ran, keys, run_mini, write

from ablate import api, cli
from ablate.runner import Options
from trials.errors import UserError
from trials.training import checkpoint

FIRST, SECOND = "tiny_acceptability", "tiny_paraphrase"
CHANGES: dict[str, Any] = {
    "tasks": [SECOND, FIRST],
    "arms": [{"method": "lora", "rank": 4}],
    "baselines": [],
    "claims": [],
    "tune": None,
    "keep": "none",
    "overrides": [{"when": {"task": SECOND}, "train": {"start_from": {"task": FIRST}}}],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_mini(tmp_path_factory.mktemp("starts"), **CHANGES)


def trials(ran: Ran, task: str) -> list[Any]:
    return [t for t in ran.state().trials.values() if t.spec_json["task"] == task]


def test_the_study_ends_with_scores_for_both(ran: Ran) -> None:
    assert ran.outcome == "done"
    assert len(trials(ran, FIRST)) == len(trials(ran, SECOND)) == 2
    starts = {t.spec.source: t.spec.seed for t in trials(ran, SECOND)}
    assert starts == {t.id: t.spec.seed for t in trials(ran, FIRST)}


def test_the_report_says_where_trials_started(ran: Ran) -> None:
    page = (ran.folder / "report" / "report.html").read_text()
    assert f"Trials on {SECOND} start from their arm&#39;s adapter on {FIRST}" in page


def test_what_others_start_from_is_kept_whatever_else_is_not(ran: Ran) -> None:
    for task, is_kept in ((FIRST, True), (SECOND, False)):
        for trial in trials(ran, task):
            file = ran.folder / "trials" / trial.id / trial.result.files["adapter"]
            assert file.is_file() == is_kept


def test_a_study_that_grows_starts_its_new_trials_from_what_there_is(
    ran: Ran, tmp_path: Path
) -> None:
    copied = ran.copy(tmp_path)
    write(copied.file, **CHANGES, confirm={"seeds": 3})
    study = api.load(copied.file, store=str(copied.store), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "done"
    assert len(trials(copied, SECOND)) == 3
    write(ran.file, **CHANGES)


def test_a_source_without_an_adapter_fails_what_starts_from_it(ran: Ran, tmp_path: Path) -> None:
    copied = ran.copy(tmp_path)
    for trial in trials(copied, FIRST):
        (copied.folder / "trials" / trial.id / trial.result.files["adapter"]).unlink()
    more = [*CHANGES["overrides"], {"when": {"task": SECOND}, "train": {"learning_rate": 2e-3}}]
    changed = write(tmp_path / "mini.yaml", **{**CHANGES, "overrides": more})
    study = api.load(changed, store=str(copied.store), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "failures"
    fallen = [t for t in trials(copied, SECOND) if t.status == "crashed"]
    assert len(fallen) == 2
    assert all("has no adapter in" in t.result.reason for t in fallen)


def test_it_is_reproduced_from_its_source(ran: Ran, tmp_path: Path) -> None:
    study = api.load(ran.file, store=str(ran.store), device="cpu")
    (trial, *_) = trials(ran, SECOND)
    recorded, again = study.reproduce(trial.id, tmp_path)
    assert recorded.scores == again.scores


def test_the_adapter_of_the_second_holds_the_first(ran: Ran, tmp_path: Path) -> None:
    """After steps that move nothing, it is the first's."""
    still = {"learning_rate": 1e-12}
    more = [*CHANGES["overrides"], {"when": {"task": SECOND}, "train": still}]
    copied = ran.copy(tmp_path)
    changed = write(tmp_path / "mini.yaml", **{**CHANGES, "overrides": more, "keep": "all"})
    study = api.load(changed, store=str(copied.store), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "done"
    new = {t.id: t for t in trials(copied, SECOND)}.keys() - {t.id for t in trials(ran, SECOND)}
    assert len(new) == 2
    for identity in new:
        trial = copied.state().trials[identity]
        folder = copied.folder / "trials"
        mine, source = (
            checkpoint.read(folder / i / "adapter.safetensors")
            for i in (identity, str(trial.spec.source))
        )
        assert mine is not None
        assert source is not None
        for name, tensor in source[0].items():
            if not name.startswith("head."):
                assert float((mine[0][name] - tensor).abs().max()) < 1e-9
        head = "head.classifier.weight"
        assert float((mine[0][head] - source[0][head]).abs().max()) > 1e-4, "it started anew"
        assert float(mine[0]["sites.0.b"].abs().max()) > 0


def test_the_plan_shows_the_order(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", str(ran.file), *ran.flags()]) == 0
    expected = f"{SECOND} after {FIRST}: trials of 1 cell start from its adapter of the same seed"
    assert expected in capsys.readouterr().out
    assert cli.main(["plan", str(ran.file), "--json", *ran.flags()]) == 0
    told = json.loads(capsys.readouterr().out)
    planned = {t["id"]: t["source"] for t in told["trials"]}
    assert planned == {t.id: t.spec.source for t in ran.state().trials.values()}
    sources = {cell["key"]: cell["source"] for cell in told["cells"]}
    assert sorted(map(bool, sources.values())) == [False, True]


def test_a_head_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    train = {**keys()["train"], "head": "freeze"}
    with pytest.raises(UserError) as error:
        run_mini(tmp_path, train=train)
    assert "train.head: freeze keeps the head of the backbone's checkpoint" in str(error.value)
    assert "tiny comes without one" in str(error.value)
    assert not (tmp_path / "store" / "mini" / "journal").exists()


def test_a_frozen_head_comes_from_the_source(tmp_path: Path) -> None:
    frozen = {"start_from": {"task": FIRST}, "head": "freeze"}
    changes = {**CHANGES, "overrides": [{"when": {"task": SECOND}, "train": frozen}]}
    made = run_mini(tmp_path, **changes)
    assert made.outcome == "done"
    heads = {t.result.head_parameters for t in trials(made, SECOND)}
    assert heads == {0}
    assert all(t.result.head_parameters > 0 for t in trials(made, FIRST))


@pytest.mark.parametrize(
    "train",
    [
        {"precision": "fp16", "gradient_checkpointing": True},
        {"base_precision": "nf4"},
        {"base_precision": "int8", "precision": "bf16"},
    ],
)
def test_a_study_trains_in_every_precision(train: dict[str, Any], tmp_path: Path) -> None:
    base = {**CHANGES, "tasks": [FIRST], "overrides": [], "confirm": {"seeds": 1}}
    made = run_mini(tmp_path, **{**base, "train": {**keys()["train"], **train}})
    assert made.outcome == "done"
    (trial,) = trials(made, FIRST)
    recipe = trial.spec_json["recipe"]
    assert {name: recipe[name] for name in train} == train
