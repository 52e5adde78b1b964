"""A small study with a search and a race, run in this process: its files, and what is left."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mini_study import Ran, keys, run_mini, write

from ablate import api, cli, journal
from ablate.commands.prediction import prediction
from ablate.runner import Options
from ablate.stats.document import schema

LOOKS = [2, 4]
CHANGES: dict[str, Any] = {"confirm": None, "race": {"looks": LOOKS}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_mini(tmp_path_factory.mktemp("raced"), **CHANGES)


def load(ran: Ran, **changes: Any) -> Any:
    return api.load(keys(**{**CHANGES, **changes}), store=str(ran.store), device="cpu")


def test_findings_have_the_looks_and_the_search(ran: Ran) -> None:
    document = json.loads((ran.folder / "report" / "findings.json").read_text())
    jsonschema.validate(document, schema("findings"))
    (claim,) = [f for f in document["findings"] if f["claim_id"] == "c"]
    assert [look["num_seeds"] for look in claim["looks"]] == LOOKS[: len(claim["looks"])]
    assert claim["stopped"] in ("decided", "futile", "undecided")
    assert [cell["asks"] for cell in document["search"]["cells"]] == [2, 2]
    trained = {cell["n"] for cell in document["cells"]}
    assert {cell["chosen"][0]["n"] for cell in document["search"]["cells"]} == trained


def test_the_page_has_the_looks_and_the_search(ran: Ran) -> None:
    page = (ran.folder / "report" / "report.html").read_text()
    assert '<section id="looks">' in page
    assert '<section id="tuning">' in page


def test_a_race_that_is_over_has_nothing_left(ran: Ran) -> None:
    assert ran.outcome == "done"
    for item in load(ran).forecast():
        assert (item.trials, item.seconds) == (0, 0.0)


def test_before_it_begins_the_most_and_what_is_likely_are_priced(ran: Ran) -> None:
    """Of another study of the same store, whose trials were measured in this one."""
    study = api.load(
        keys(**CHANGES, study="next", tune=None), store=str(ran.store), device="cpu",
        price_per_gpu_hour=3600.0,
    )  # fmt: skip
    told = prediction(study)
    found = told.to_json()
    assert found["trials"] == 2 * LOOKS[-1]
    assert found["device_seconds"] == pytest.approx(sum(4 * c.each for c in told.cells))  # type: ignore[operator]
    assert [item["case"] for item in found["expected"]] == ["no_difference", "one_sd"]
    for item in found["expected"]:
        assert 2 * LOOKS[0] <= item["trials"] <= found["trials"]
        assert item["device_seconds"] <= found["device_seconds"]
        assert item["cost"] == pytest.approx(item["device_seconds"])
        assert f"about {item['trials']} confirm where" in "\n".join(told.lines())
        assert f"cost {item['cost']:.2f})" in "\n".join(told.lines())


def test_what_starts_from_another_cell_is_expected_with_its_source(ran: Ran) -> None:
    first, second = "tiny_acceptability", "tiny_paraphrase"
    claim = {**keys()["claims"][0], "task": second}
    start = [{"when": {"task": second}, "train": {"start_from": {"task": first}}}]
    study = load(
        ran, study="linked", tune=None, tasks=[second, first], overrides=start, claims=[claim]
    )
    told = prediction(study)
    seeds = {cell.task: cell.key for cell in study.plan().cells}
    for found in told.rehearsed.values():
        assert found[seeds[first]] == found[seeds[second]]
    assert told.to_json()["trials"] == 4 * LOOKS[-1]


@pytest.mark.slow
def test_another_study_of_the_store_takes_the_race_over(ran: Ran, tmp_path: Path) -> None:
    """Its trials are ended seeds: the same looks, and nothing is trained."""
    copied = ran.copy(tmp_path)
    fixed = {"tune": None, "race": None, "study": "fixed"}
    first = load(copied, **fixed, confirm={"seeds": 4})
    assert first.run(Options(in_process=True, tracking=False)) == "done"
    again = load(copied, tune=None, study="again")
    assert again.run(Options(in_process=True, tracking=False)) == "done"
    kinds = [event.kind for event in journal.read(again.folder.journal)]
    assert "started" not in kinds
    assert kinds.count("reused") == kinds.count("finished") == len(again.state.trials)
    tests = [test for look in again.state.looks for test in look.tests if look.batch == 1]
    assert [test["num_seeds"] for test in tests] == LOOKS[: len(tests)]
    assert tests[-1]["decision"] != "open"


def test_a_run_that_stops_within_a_round_takes_no_look(ran: Ran, tmp_path: Path) -> None:
    """And goes on without the limit to the same end."""
    place = {"store": str(tmp_path / "store"), "device": "cpu"}
    given = keys(**CHANGES, tune=None)
    tight = api.load(given, **place, price_per_gpu_hour=3600.0, max_cost=0.01)  # type: ignore[arg-type]
    alone = Options(in_process=True, tracking=False)
    assert tight.run(alone) == "stopped"
    assert str(tight.state.why).startswith("max_cost 0.01 is reached: ")
    assert not [look for look in tight.state.looks if look.batch is not None]
    free = api.load(given, **place)  # type: ignore[arg-type]
    assert free.run(alone) == "done"
    assert [look.batch for look in free.state.looks].count(1) >= 1
    assert free.state.why is None


def test_a_smoke_run_tries_every_cell_and_begins_no_race(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "mini.yaml", **CHANGES, tune=None)
    place = ["--store", str(tmp_path / "store"), "--device", "cpu"]
    assert cli.main(["run", str(file), "--smoke", *place]) == 0
    assert "2 of 2 cells come through two steps" in capsys.readouterr().out
    study = api.load(file, store=str(tmp_path / "store"), device="cpu")
    assert not study.folder.journal.exists()
    assert all(item.seconds is not None for item in study.forecast())
