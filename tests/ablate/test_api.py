"""The Python front door: load, read, export, reproduce."""

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mini_study import Ran, keys, run_mini, write

from ablate import api
from ablate.api import Ablation
from trials.errors import UserError


def opened(ran: Ran, **more: Any) -> Ablation:
    return api.load(ran.file, store=str(ran.store), device="cpu", **more)


@pytest.fixture
def trial(ran: Ran) -> str:
    """A confirming trial of LoRA."""
    return next(
        t.id for t in ran.state().trials.values() if t.rank == 1 and t.spec_json["method"] == "lora"
    )


def test_a_study_by_path_name_package_or_mapping(ran: Ran, tmp_path: Path) -> None:
    by_path = opened(ran)
    assert api.load(str(ran.file), store=str(ran.store)).study == by_path.study
    assert api.load("mini", store=str(ran.store)).study == by_path.study
    assert api.load(keys(), store=str(ran.store)).plan().cells == by_path.plan().cells
    assert api.load("demo", store=str(tmp_path)).study.name == "demo"
    assert {"demo", "mtlora_glue"} <= set(api.packaged_studies())


def test_a_name_finds_the_settings_of_the_last_run(tmp_path: Path) -> None:
    from ablate.runner import Options

    file = write(tmp_path / "mini.yaml", tune=None)
    given = api.load(file, settings=["confirm.seeds=1"], store=str(tmp_path / "s"), device="cpu")
    given.run(Options(in_process=True, tracking=False))
    again = api.load("mini", store=str(tmp_path / "s"))
    assert again.study.confirm_seeds == (0,)
    more = api.load("mini", settings=["confirm.seeds=2"], store=str(tmp_path / "s"))
    assert more.study.confirm_seeds == (0, 1), "what is said now counts more"


def test_a_study_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no study file"):
        api.load("a/b.yaml")
    with pytest.raises(UserError, match="demoo.*demo"):
        api.load("demoo", store=str(tmp_path))


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises((TypeError, UserError)):
        api.load("demo", stor="x")


def test_results_are_the_frame(ran: Ran) -> None:
    found = opened(ran).results()
    pd.testing.assert_frame_equal(found, opened(ran).results())
    assert set(found["status"]) == {"finished"}
    assert found["trial_id"].nunique() == 8
    confirm = found[found["stage"] == "confirm"]
    assert set(confirm["split"]) == {"validation", "test"}
    assert set(found[found["stage"] == "search"]["split"]) == {"validation"}
    written = pd.read_parquet(ran.folder / "frame.parquet")
    assert len(written) == len(found)


def test_standings_and_findings(ran: Ran, tmp_path: Path) -> None:
    copy = ran.copy(tmp_path)
    study = opened(copy)
    assert [(s.search, s.confirm, s.failed) for s in study.standings()] == [((2, 2), (2, 2), 0)] * 2
    document = study.findings()
    assert len(document["claims"]) == 1
    page = study.report(tmp_path / "page")
    assert json.loads((page.parent / "findings.json").read_text()) == json.loads(
        json.dumps(document)
    )


def test_a_study_that_has_not_run_has_no_report(tmp_path: Path) -> None:
    fresh = api.load(keys(), store=str(tmp_path / "none"))
    with pytest.raises(UserError, match="run it first"):
        fresh.report()
    assert not (tmp_path / "none").exists()
    assert all(s.search == (0, 2) for s in fresh.standings())


def predictions(ran: Ran, trial: str) -> dict[str, list[float]]:
    path = ran.folder / "trials" / trial / "predictions_test.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {row["id"]: row["outputs"] for row in rows}


def texts(ran: Ran, trial: str) -> tuple[list[str], list[str]]:
    """Ids and sentences of the test split, as the trial read them."""
    study = opened(ran)
    loaded = study.resolved.tasks["tiny_acceptability"]
    rows = loaded.rows("test", study.plan().cells[0].template.splits)
    return list(rows.ids), list(rows.texts[0])


def test_an_exported_adapter_gives_the_same_logits(ran: Ran, trial: str, tmp_path: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import peft
        import transformers

        from trials import backbones

        folder = opened(ran).export(trial[:12], tmp_path / "lora")
        place = backbones.find("tiny", (), None)
        assert place is not None
        base = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(place), num_labels=2
        )
        model = peft.PeftModel.from_pretrained(base, str(folder)).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(place))
        merged_folder = opened(ran).export(trial, tmp_path / "merged", merged=True)
        merged = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(merged_folder)
        ).eval()
    ids, sentences = texts(ran, trial)
    batch = tokenizer(
        sentences[:16], padding=True, truncation=True, max_length=24, return_tensors="pt"
    )
    recorded = predictions(ran, trial)
    expected = torch.tensor([recorded[i] for i in ids[:16]])
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, expected, rtol=0, atol=2e-5)
        torch.testing.assert_close(merged(**batch).logits, expected, rtol=0, atol=2e-5)


def test_only_what_finished_and_was_kept_is_exported(ran: Ran, trial: str, tmp_path: Path) -> None:
    copy = ran.copy(tmp_path)
    (copy.folder / "trials" / trial / "adapter.safetensors").unlink()
    with pytest.raises(UserError):
        opened(copy).export(trial, tmp_path / "out")
    with pytest.raises(UserError, match="no trial's id"):
        opened(ran).export("nothing", tmp_path / "out")


def test_a_trial_again_is_identical(ran: Ran, trial: str, tmp_path: Path) -> None:
    recorded, again = opened(ran).reproduce(trial[:10], tmp_path)
    assert (again.status, again.scores) == (recorded.status, recorded.scores)
    assert again.selected_step == recorded.selected_step
    before = ran.folder / "trials" / trial
    assert (tmp_path / trial / "adapter.safetensors").read_bytes() == (
        before / "adapter.safetensors"
    ).read_bytes()


def test_a_table_from_elsewhere(tmp_path: Path) -> None:
    lines = ["method,seed,score"]
    lines += [
        f"{m},{s},{0.5 + 0.1 * (m == 'new') + 0.01 * s}" for m in ("old", "new") for s in (1, 2, 3)
    ]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    page = api.report_table(path, tmp_path / "out", baselines=[{"method": "old"}])
    (found,) = [
        f for f in json.loads((page.parent / "findings.json").read_text())["findings"]
        if f["kind"] == "mean"
    ]  # fmt: skip
    assert found["estimate"] == pytest.approx(0.1)
    with pytest.raises(UserError):
        api.report_table(path, tmp_path / "out", baselines=[{"method": "none"}])
    for level in (0.5, 1.0):
        with pytest.raises(UserError, match="--level"):
            api.report_table(path, tmp_path / "out", baselines=[], level=level)


METRIC = """
def cost(predictions, labels):
    return float((predictions != labels).sum())

cost.direction = "lower"
"""


def test_a_task_of_ones_own_with_a_metric_of_ones_own(tmp_path: Path) -> None:
    """From files to the frame: labels that are numbers, a metric that is better when lower."""
    folder = tmp_path / "stars"
    folder.mkdir()
    own = "own_of_test_api.py"
    (tmp_path / own).write_text(METRIC)
    (folder / "task.yaml").write_text(
        "task: stars\nkind: classification\ntext: review\nlabel: stars\nlabels: [1, 3, 5]\n"
        f"metrics: [accuracy, '{own}:cost']\nprimary: {own}:cost\ngroup: product\n"
    )
    for split, number in (("train", 48), ("validation", 12)):
        rows = [{"review": f"{'good' if i % 3 else 'bad'} {split} {i}", "stars": (1, 3, 5)[i % 3],
                 "product": i // 2} for i in range(number)]  # fmt: skip
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text("\ufeff" + text, encoding="utf-8")
    changes = {"tasks": ["./stars"], "use": [own], "tune": None, "claims": []}
    ran = run_mini(tmp_path, **changes)
    study = api.load(ran.file, store=str(ran.store), device="cpu")
    table = study.results()
    costs = table[table["metric"] == f"{own}:cost"]
    assert set(costs["direction"]) == {"lower"}
    assert costs["primary"].all()
    for trial, rows in table[table["split"] == "validation"].groupby("trial_id"):
        said = study.predictions(str(trial), "validation")
        by_metric = rows.set_index("metric")["score"]
        assert by_metric[f"{own}:cost"] == (said["prediction"] != said["label"]).sum()
        assert set(said["label"]) == {"1", "3", "5"}
    digests = [trial.spec_json["code"] for trial in ran.state().trials.values()]
    assert all(set(code) == {own} for code in digests)
    assert all(f["unit"] for f in study.findings()["findings"])
