"""A race that is really trained: what differs is found, and what does not costs few seeds."""

import json
from typing import Any

import pytest
from raced import RACED

from ablate import api
from ablate.api import Ablation
from ablate.runner import Options

FIXED = 4 * 10


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Ablation:
    place = tmp_path_factory.mktemp("raced")
    (place / "raced.yaml").write_text(json.dumps(RACED), encoding="utf-8")
    made = api.load(place / "raced.yaml", store=str(place / "store"), device="cpu")
    assert made.run(Options(in_process=True, tracking=False)) == "done"
    return made


def found(document: dict[str, Any], label: str) -> dict[str, Any]:
    (one,) = [
        f for f in document["findings"] if f["kind"] == "mean" and f["treatment"]["label"] == label
    ]
    return one


def test_the_better_arm_is_found_with_fewer_seeds_than_a_fixed_plan(study: Ablation) -> None:
    document = json.loads((study.folder.report / "findings.json").read_text(encoding="utf-8"))
    better = found(document, "better")
    assert (better["verdict"], better["stopped"], better["sequential"]) == (
        "better",
        "decided",
        True,
    )
    for label in ("same", "again"):
        same = found(document, label)
        assert (same["estimate"], same["verdict"], same["stopped"]) == (0, "undecided", "futile")
        assert same["n"] == 4
    assert len(study.state.trials) < FIXED
    assert {cell["label"]: cell["n"] for cell in document["cells"]} == {
        "base": better["n"], "same": 4, "again": 4, "better": better["n"],
    }  # fmt: skip
    # A seed that nobody asked for is not missing.
    assert document["missing"] == []


def test_the_ledger_shows_each_look(study: Ablation) -> None:
    state = study.state
    planned = [look for look in state.looks if look.batch is not None]
    better = [t for look in planned for t in look.tests if "learning_rate" in t["question"]]
    document = study.findings()
    told = found(document, "better")
    assert [t["num_seeds"] for t in better] == [one["num_seeds"] for one in told["looks"]]
    assert [t["p_value"] for t in better] == [one["p_value"] for one in told["looks"]]
    assert better[-1]["p_sequential"] == told["p_value"]
    assert better[-1]["p_adjusted"] == told["p_adjusted"]
    # The run's own report saw what the last look had seen; this one was no other.
    assert document["looks"] == len({look.trials for look in state.looks}) == len(planned)
    page = (study.folder.report / "report.html").read_text(encoding="utf-8")
    assert "Look by look" in page
    assert f"looked at {document['looks']} times" in page


def test_a_second_run_trains_nothing(study: Ablation) -> None:
    before = len(study.state.trials), len(study.state.looks)
    assert study.run(Options(in_process=True, tracking=False)) == "done"
    assert (len(study.state.trials), len(study.state.looks)) == before
