"""What a study confirmed, written as PEFT's comparison and read back."""

import json
from pathlib import Path

import pytest
from fake_training import FACTS, planned, some_crash, undisturbed

from ablate import contribution, tally
from ablate.exchange import peft_comparison, read
from ablate.journal import State
from ablate.plan import Plan
from trials.errors import UserError


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, State]:
    made = planned(confirm={"seeds": 8})
    return made, undisturbed(made, tmp_path_factory.mktemp("journal"), some_crash)


def test_what_is_written_reads_back_as_the_same_results(
    ended: tuple[Plan, State], tmp_path: Path
) -> None:
    plan, state = ended
    files = contribution.write(plan, state, FACTS, tmp_path, tmp_path / "out")
    assert {file.parent for file in files} == {tmp_path / "out" / "tiny_acceptability"}
    found = read(tmp_path / "out" / "tiny_acceptability")
    assert found.origin == peft_comparison.ORIGIN
    own = tally.frame(plan, state, FACTS)
    own = own[(own["stage"] == "confirm") & (own["split"] == "validation")]
    columns = ["method", "rank", "seed", "split", "metric", "score", "direction", "status",
               "num_examples", "grid_step", "trainable_parameters", "seconds", "trial_id",
               "tune.learning_rate", "backbone", "task"]  # fmt: skip

    def told(table: object) -> list[dict[str, object]]:
        rows = table[columns].sort_values(["method", "seed"])  # type: ignore[index]
        return rows.astype(object).where(rows.notna(), None).to_dict("records")  # type: ignore[no-any-return]

    assert set(own["status"]) == {"finished", "crashed"}
    finished = own[own["status"] == "finished"]
    again = found.frame[found.frame["status"] == "finished"]
    assert told(again) == told(finished)
    failed = found.frame[found.frame["status"] == "crashed"]
    expected = own.loc[own["status"] == "crashed", ["method", "seed"]]
    assert failed[["method", "seed"]].to_dict("records") == expected.to_dict("records")
    assert set(failed["reason"]) == {"bad luck"}


def test_what_was_not_measured_is_null(ended: tuple[Plan, State], tmp_path: Path) -> None:
    plan, state = ended
    file = contribution.write(plan, state, FACTS, tmp_path, tmp_path / "out")[0]
    document = json.loads(file.read_text())
    for key in contribution.UNMEASURED:
        part = document
        for step in key.replace("[-1]", "").split("."):
            part = part[-1] if isinstance(part, list) else part
            part = part[step]
        assert part is None, key
    run, train = document["run_info"], document["train_info"]
    assert file.name == f"{run['experiment_name'].replace('/', '--')}-seed0.json"
    assert run["peft_config"]["peft_type"] in ("LORA", "TLORA")
    assert run["peft_config"]["r"] in (4, 16)
    assert [m["step"] for m in train["metrics"]] == [2, 4, 6, 8, 8]
    assert "valid accuracy" in train["metrics"][0]
    assert train["file_size"] is None, "no adapter was kept"


def test_files_that_are_there_and_a_study_without_results(
    ended: tuple[Plan, State], tmp_path: Path
) -> None:
    plan, state = ended
    files = contribution.write(plan, state, FACTS, tmp_path, tmp_path)
    before = files[0].read_text()
    with pytest.raises(UserError, match="exists; name a new folder"):
        contribution.write(plan, state, FACTS, tmp_path, tmp_path)
    assert files[0].read_text() == before
    with pytest.raises(UserError, match="has confirmed nothing"):
        contribution.write(plan, State(), FACTS, tmp_path, tmp_path / "none")


def test_an_experiment_is_named_after_its_method_backbone_and_fields() -> None:
    assert [contribution.experiment(cell) for cell in planned().cells] == [
        "lora/tiny-rank4", "tlora/tiny-rank16",
    ]  # fmt: skip
