"""PEFT's own results: every published run, every mistake of a file, and what a grid says."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from peft_run import document

from ablate.exchange import Columns, read
from ablate.exchange import peft_comparison as theirs
from ablate.frame import nuisances
from trials.errors import UserError

SHARED = Path(os.environ.get("ABLATE_SHARED", Path(__file__).parents[3].parent / "shared"))
PUBLISHED = SHARED / "data" / "peft_method_comparison"


def written(folder: Path, *documents: dict[str, Any]) -> Path:
    for place, one in enumerate(documents):
        (folder / f"{place}.json").write_text(json.dumps(one), encoding="utf-8")
    return folder


def mistakes(folder: Path, *documents: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        read(written(folder, *documents))
    return str(caught.value)


def test_a_run_is_a_row_for_each_test_metric(tmp_path: Path) -> None:
    found = read(written(tmp_path, document()))
    assert found.origin == theirs.ORIGIN
    accuracy, forgetting = found.frame.to_dict("records")
    assert accuracy["score"] == 631 / 1319
    assert (accuracy["metric"], accuracy["primary"], accuracy["direction"]) == (
        "accuracy", True, "higher",
    )  # fmt: skip
    assert (forgetting["metric"], forgetting["primary"], forgetting["direction"]) == (
        "forgetting", False, "lower",
    )  # fmt: skip
    assert (accuracy["method"], accuracy["rank"], accuracy["seed"]) == ("lora", 32, 0)
    assert (accuracy["task"], accuracy["split"]) == ("gsm8k+metamath", "test")
    assert (accuracy["device"], accuracy["seconds"]) == ("NVIDIA L40S", 1153.3)
    assert accuracy["environment"] == "peft-version=0.19.2.dev0"
    assert accuracy["tune.learning_rate"] == 1e-4
    assert set(nuisances(found.frame)) == {"tune.learning_rate", "tune.weight_decay"}


def test_full_finetuning_has_no_adapter_and_adalora_the_rank_that_it_ends_at(
    tmp_path: Path,
) -> None:
    full = document("full-finetuning/x", run_info__peft_config=None)
    adalora = document("adalora/x", run_info__peft_config={"peft_type": "ADALORA", "r": 8,
                                                          "target_r": 32})  # fmt: skip
    table = read(written(tmp_path, full, adalora)).frame.drop_duplicates("arm").set_index("arm")
    assert table.loc["full-finetuning/x", "method"] == "full"
    assert table.loc["adalora/x", "rank"] == 32


def test_one_file_is_enough_whatever_it_is_called(tmp_path: Path) -> None:
    file = tmp_path / "results.txt"
    file.write_text(json.dumps(document(), indent=2))
    assert read(file).origin == theirs.ORIGIN
    file.write_text(json.dumps([document(), document("c3a/default")]))
    assert read(file).frame["arm"].nunique() == 2


def test_the_number_of_examples_is_kept_only_where_the_scores_are_shares_of_it(
    tmp_path: Path,
) -> None:
    fits = read(written(tmp_path, document())).frame.iloc[0]
    assert (fits["num_examples"], fits["grid_step"]) == (1319, 1 / 1319)
    table = read(written(tmp_path, document(), document("c3a/default", 0.4321))).frame
    assert table["num_examples"].isna().all()
    assert table["grid_step"].isna().all()


def test_runs_that_did_not_end_well_have_no_score(tmp_path: Path) -> None:
    failed = document("a/b", train_info__status="failed", run_info__error_msg="CUDA out of memory")
    stopped = document("c/d", train_info__status="canceled")
    table = read(written(tmp_path, document(), failed, stopped)).frame.set_index("arm")
    assert table.loc["a/b", "status"] == "out_of_memory"
    assert table.loc["a/b", "reason"] == "CUDA out of memory"
    assert table.loc["c/d", "status"] == "missing"
    assert table.loc[["a/b", "c/d"], "score"].isna().all()


def test_every_mistake_of_every_file_is_told_with_its_key(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path,
        document(run_info__train_config={"model_id": "", "seed": "zero"}),
        document("x/y", train_info__status="sucess"),
        document("z/y", train_info__metrics=[{"step": 3}]),
        document("w/y", "high"),  # type: ignore[arg-type]
        {"run_info": {}, "train_info": {}},
    ).splitlines()
    assert told == [
        f"{tmp_path}/0.json: run_info.train_config.model_id: expected a name, but got ''",
        f"{tmp_path}/0.json: run_info.train_config.seed: expected a whole number, but got 'zero'",
        f"{tmp_path}/1.json: train_info.status: unknown value 'sucess'; did you mean 'success'?",
        f"{tmp_path}/2.json: train_info.metrics[-1]: a run that succeeded needs a 'test …' metric",
        f"{tmp_path}/3.json: train_info.metrics[-1].test accuracy: expected a number, but got "
        "'high'",
        f"{tmp_path}/4.json: meta_info: is missing",
    ]


def test_a_run_that_repeats_another_names_both_files(tmp_path: Path) -> None:
    told = mistakes(tmp_path, document(), document())
    assert f"{tmp_path}/1.json" in told
    assert f"repeats {tmp_path}/0.json" in told


def test_a_folder_without_results_and_a_file_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no .json file"):
        read(tmp_path)
    (tmp_path / "a.json").write_text('{"run_info": ')
    with pytest.raises(UserError, match=r"a\.json:1: is no JSON"):
        read(tmp_path)
    (tmp_path / "a.json").write_text('{"score": 1}')
    with pytest.raises(UserError, match="expected a list of rows"):
        read(tmp_path / "a.json")


def test_a_column_may_be_named_or_dropped(tmp_path: Path) -> None:
    said = Columns.parse([], ["task=math"], ["rank"])
    table = read(written(tmp_path, document()), said).frame
    assert set(table["task"]) == {"math"}
    assert "rank" not in table


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs ../shared (or ABLATE_SHARED) with data")
def test_all_published_runs_are_read(tmp_path: Path) -> None:
    found = read(PUBLISHED)
    primary = found.frame[found.frame["primary"]]
    assert len(primary) == 63
    assert set(primary["seed"]) == {0}
    assert primary["score"].notna().all()
    assert set(primary["num_examples"]) == {1319}
    assert primary["score"].max() == pytest.approx(694 / 1319)
    assert any("not tuned" in note for note in found.notes)
