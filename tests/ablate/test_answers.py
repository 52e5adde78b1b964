"""Answers: frame, findings and page from the journal, and how often results were looked at."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mini_study import Ran, keys

from ablate import answers, api
from ablate.api import Ablation


@pytest.fixture
def study(ran: Ran, tmp_path: Path) -> Ablation:
    copy = ran.copy(tmp_path)
    return api.load(copy.file, store=str(copy.store), device="cpu")


def test_the_same_data_are_the_same_findings(study: Ablation) -> None:
    assert study.findings() == study.findings()
    document = study.findings()
    assert document["looks"] == 1
    assert document["split"] == "test"
    (claim,) = document["claims"]
    assert claim["id"] == "c"
    assert {cell["n"] for cell in document["cells"]} == {2}


def test_findings_are_those_of_the_scores(study: Ablation) -> None:
    """Means and the paired difference, by hand."""
    data = study.results()
    shown = data[(data["stage"] == "confirm") & (data["split"] == "test") & (data["primary"])]
    means = shown.groupby("method")["score"].mean()
    document = study.findings()
    found = {cell["label"].split()[0].lower(): cell["mean"] for cell in document["cells"]}
    assert sorted(found.values()) == pytest.approx(sorted(means))
    (served,) = [f for f in document["findings"] if f["claim_id"] == "c"]
    assert served["estimate"] == pytest.approx(means["lora"] - means["tlora"])
    assert served["n"] == 2
    assert served["paired"]


def test_a_claim_stated_after_results_were_seen_is_not_confirmatory(
    study: Ablation, ran: Ran
) -> None:
    from ablate import revision
    from ablate.journal import Journal
    from ablate.study import Study

    assert all(f["confirmatory"] for f in study.findings()["findings"] if f["claim_id"] == "c")
    late = {**keys()["claims"][0], "id": "late", "kind": "worse"}
    claims = [*keys()["claims"], late]
    grown = Ablation(Study.from_dict(keys(claims=claims)), study.profile)
    with Journal.open(grown.folder.journal) as record:
        entry = revision.next_revision(grown.plan(), record.state, 0)
        assert entry is not None
        record.append(entry)
    found = {f["claim_id"]: f for f in grown.findings()["findings"] if f["claim_id"]}
    assert found["c"]["confirmatory"]
    assert not found["late"]["confirmatory"]


def test_the_page_says_where_numbers_come_from(study: Ablation, tmp_path: Path) -> None:
    about = answers.about(study.resolved, study.state, "http://tracking")
    assert about["study"] == "mini"
    assert about["splits"] == {"tiny_acceptability": {"search": "validation", "report": "test"}}
    assert about["sampler"].startswith("tpe")
    assert about["budget"] == "2 asks for every cell"
    assert about["mlflow"] == "http://tracking"
    assert about["spent"].startswith(str(study.spent()).partition(",")[0])
    assert set(about["space"]) == set(study.study.tune.space)
    assert all(" to " in text or "one of " in text for text in about["space"].values())
    assert [r["revision"] for r in about["revisions"]] == [1]
    assert about["environment"]
    assert not any("node" in text for text in about["environment"])
    page = study.report(tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    assert (tmp_path / "out" / "findings.json").is_file()
    text = page.read_text(encoding="utf-8")
    assert "Is it more than noise?" in text


def test_stale_trials_are_said_and_not_shown(study: Ablation) -> None:
    fewer = api.load(keys(confirm={"seeds": 1}), store=study.profile.store, device="cpu")
    caveats = answers.about(fewer.resolved, fewer.state, None)["caveats"]
    assert any(text.startswith("2 ended trials belong to") for text in caveats)
    assert set(fewer.results().query("stage == 'confirm'")["seed"]) == {0}


def shared(study: Ablation, tmp_path: Path, *, known: int) -> Ablation:
    """The study on data of which so many rows of test stand in train as well."""
    folder = tmp_path / "data" / "tiny_acceptability"
    folder.mkdir(parents=True)
    rows = {split: [{"sentence": f"It is {split} {i}.", "label": i % 2} for i in range(number)]
            for split, number in (("train", 300), ("validation", 20), ("test", 100))}  # fmt: skip
    rows["test"][:known] = rows["train"][:known]
    for split, found in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in found)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return api.load(keys(), store=study.profile.store, device="cpu", data=[tmp_path / "data"])


@pytest.mark.parametrize("known", [0, 1])
def test_rows_of_train_among_those_shown_are_a_caveat(
    study: Ablation, tmp_path: Path, known: int
) -> None:
    place = tmp_path / "other"
    caveats = answers.about(
        (other := shared(study, place, known=known)).resolved, other.state, None
    )["caveats"]
    expected = "On tiny_acceptability, of 100 rows of test 1 also stand in train."
    assert (expected in caveats) is bool(known)


def test_rows_that_were_cut_are_a_caveat(study: Ablation) -> None:
    state = study.state
    trial = next(iter(state.trials.values()))
    assert trial.result_json is not None
    assert trial.result_json["num_truncated"] == {"train": 0, "validation": 0}
    assert not any(
        "lost their end" in c for c in answers.about(study.resolved, state, None)["caveats"]
    )
    rows = study.resolved.tasks["tiny_acceptability"].num_examples
    trial.result_json["num_truncated"] = {"train": rows["train"] // 4, "validation": 0, "gone": 9}
    found = answers.about(study.resolved, state, None)["caveats"]
    assert (
        "Rows are longer than what trials read of them (`max_length`, or the backbone's context) "
        "and lost their end: 25 % of tiny_acceptability's train." in found
    )


def test_the_page_names_the_commit_of_data_from_the_hub(study: Ablation) -> None:
    resolved = study.resolved
    task = replace(resolved.tasks["tiny_acceptability"], origin="me/data, at 0123")
    hub = replace(resolved, tasks={"tiny_acceptability": task})
    about = answers.about(hub, study.state, None)
    assert "data of tiny_acceptability: me/data, at 0123" in about["environment"]
    assert hub.to_json()["data"]["tiny_acceptability"]["origin"] == "me/data, at 0123"
