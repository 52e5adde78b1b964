"""Runs of 20 steps on the embedded backbone, evaluated every 5."""

import dataclasses
import gzip
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import assignment_of, small_task
from torch import Tensor

from trials import catalogue
from trials.errors import UserError
from trials.places import Assignment
from trials.spec import Evaluate, Progress, Splits, TrialResult
from trials.tasks.base import Task
from trials.training import checkpoint, run
from trials.training.engine import train
from trials.training.pack import Pack
from trials.training.run import Run, crashed

METHODS = {"lora": {"rank": 4}, "triadaptlora": {"rank": 4, "interval": 3, "threshold": "fixed"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_task(tmp_path_factory.mktemp("data"))


def finish(assignment: Assignment) -> tuple[list[Progress], TrialResult]:
    *reports, last = train(assignment)
    return [event.progress for event in reports if event.progress is not None], last.result


def adapter_of(folder: Path) -> dict[str, Tensor]:
    found = checkpoint.read(folder / run.ADAPTER)
    assert found is not None
    return found[0]


def timeless(reports: list[Any]) -> list[Any]:
    return [dataclasses.replace(r, seconds=0.0) for r in reports]


def assert_same_end(one: TrialResult, other: TrialResult, folders: tuple[Path, Path]) -> None:
    assert one.status == other.status == "finished"
    assert one.scores == other.scores
    assert one.selected_step == other.selected_step
    first, second = (adapter_of(folder) for folder in folders)
    assert set(first) == set(second)
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_a_run_reports_each_evaluation_and_then_its_result(root: Path, tmp_path: Path) -> None:
    reports, result = finish(assignment_of(tmp_path, root))
    assert [r.step for r in reports] == [5, 10, 15, 20]
    assert all(set(r.scores) == {"mcc", "accuracy"} for r in reports)
    assert all(math.isfinite(r.train_loss) and r.num_steps == 20 for r in reports)
    assert [r.epoch for r in reports] == pytest.approx([5 / 12, 10 / 12, 15 / 12, 20 / 12])
    best = max(range(4), key=lambda i: reports[i].primary)
    assert result.status == "finished"
    assert result.reason is None
    assert result.selected_step == reports[best].step
    assert result.scores["validation"] == reports[best].scores
    assert set(result.scores) == {"validation", "test"}
    assert result.num_examples == {"validation": 32, "test": 32}
    assert result.adapter_parameters == 8 * 8 * 256
    assert result.head_parameters == 2 * 128 + 2
    assert result.device == "cpu"
    assert result.num_truncated == {"train": 0, "validation": 0, "test": 0}
    assert TrialResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_rows_that_lose_tokens_are_counted(root: Path, tmp_path: Path) -> None:
    assignment = assignment_of(tmp_path, root, steps=5, max_length=8)
    _, result = finish(assignment)
    task, backbone = run.load_parts(assignment)
    for part in ("train", "validation", "test"):
        rows = task.rows(part, assignment.spec.splits)
        whole = backbone.tokenizer(list(rows.texts[0]))["input_ids"]
        assert result.num_truncated[part] == sum(len(ids) > 8 for ids in whole)
    assert result.num_truncated["train"] > 0


def test_predictions_have_one_row_for_each_example(root: Path, tmp_path: Path) -> None:
    _, result = finish(assignment_of(tmp_path, root))
    for part in ("validation", "test"):
        with gzip.open(tmp_path / result.files[f"predictions_{part}"], "rt") as file:
            rows = [json.loads(line) for line in file]
        assert len(rows) == len({row["id"] for row in rows}) == 32
        named = {0: "unacceptable", 1: "acceptable"}
        right = [row["prediction"] == row["label"] for row in rows]
        assert sum(right) / 32 == pytest.approx(result.scores[part]["accuracy"])
        for row in rows:
            assert row["prediction"] == named[max((0, 1), key=lambda i: row["outputs"][i])]


def test_the_last_state_is_kept_where_that_is_asked_for(root: Path, tmp_path: Path) -> None:
    reports, result = finish(
        assignment_of(tmp_path, root, evaluate=Evaluate(every="epoch", select="last"))
    )
    assert [r.step for r in reports] == [12, 20]
    assert result.selected_step == 20
    assert result.selected_epoch == pytest.approx(20 / 12)


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_after_every_report_it_ends_bit_equal(
    root: Path, tmp_path: Path, method: str
) -> None:
    folders = tmp_path / "whole", tmp_path / "parts"
    given = METHODS[method]
    whole, expected = finish(assignment_of(folders[0], root, method=method, given=given))
    assignment = assignment_of(folders[1], root, method=method, given=given)
    made: list[Progress] = []
    for heard in range(5):
        training = train(assignment)
        again = [next(training).progress for _ in range(heard)]
        assert timeless(again) == timeless(made), "what was reported before is reported again"
        last = next(training)
        training.close()
        if last.progress is not None:
            made.append(last.progress)
    assert last.progress is None
    assert timeless(made) == timeless(whole)
    assert_same_end(expected, last.result, folders)


CHILD = """
import json, sys, time
from trials.places import Assignment
from trials.training.engine import train
from trials.training.member import Member

advance = Member.advance

def hang_at_step_13(self):
    advance(self)
    if self.step == 13:
        print("in mid-training", flush=True)
        time.sleep(100)

Member.advance = hang_at_step_13
list(train(Assignment.from_json(json.loads(sys.argv[1]))))
"""


def test_killed_in_mid_training_it_continues_to_the_same_scores(root: Path, tmp_path: Path) -> None:
    folders = tmp_path / "whole", tmp_path / "killed"
    whole, expected = finish(assignment_of(folders[0], root))
    assignment = assignment_of(folders[1], root)
    command = [sys.executable, "-c", CHILD, json.dumps(assignment.to_json())]
    checkout = Path(run.__file__).parents[2]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=checkout)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "in mid-training\n"
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    found = checkpoint.read(folders[1] / run.CHECKPOINT)
    assert found is not None
    assert found[1]["step"] == 10
    reports, result = finish(assignment)
    assert timeless(reports) == timeless(whole)
    assert_same_end(expected, result, folders)


def test_a_checkpoint_of_another_trial_or_of_half_a_file_is_passed_over(
    root: Path, tmp_path: Path
) -> None:
    whole, _ = finish(assignment_of(tmp_path, root))
    other = assignment_of(tmp_path, root, seed=4)
    assert finish(other)[0] != whole
    path = tmp_path / run.CHECKPOINT
    path.write_bytes(path.read_bytes()[:-9])
    assert timeless(finish(assignment_of(tmp_path, root))[0]) == timeless(whole)


def test_an_absurd_learning_rate_diverges_with_a_reason(root: Path, tmp_path: Path) -> None:
    reports, result = finish(assignment_of(tmp_path, root, learning_rate=1e30, clip=None))
    assert result.status == "diverged"
    assert "at step" in str(result.reason)
    assert str(result.reason).startswith(("loss nan", "loss inf", "gradient norm"))
    assert result.scores == {}
    assert len(reports) < 4


def test_an_undefined_score_is_no_result(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undefined = {"mcc": math.nan, "accuracy": 0.5}
    monkeypatch.setattr(Task, "scores", lambda self, outputs, labels: undefined)
    reports, result = finish(assignment_of(tmp_path, root))
    assert len(reports) == 4
    assert result.status == "diverged"
    assert result.reason == "mcc is undefined for these predictions"


def test_the_search_stage_never_reads_the_report_split(tmp_path: Path) -> None:
    """There is no report split here, so reading it would fail, as the confirm stage does."""
    root = small_task(tmp_path / "data", splits=("train", "validation"))
    _, result = finish(assignment_of(tmp_path / "search", root, stage="search"))
    assert result.status == "finished"
    assert set(result.scores) == {"validation"}
    reports, result = finish(assignment_of(tmp_path / "confirm", root, stage="confirm"))
    assert len(reports) == 4
    assert result.status == "crashed"
    assert "has no test split" in str(result.reason)


def test_splits_shown_beside_are_scored_when_confirming_and_choose_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MNLI's mismatched validation split is. The same training with and without one."""
    _, plain = finish(assignment_of(tmp_path / "plain", root))
    both = tmp_path / "data"
    shutil.copytree(root, both)
    folder = both / "tiny_acceptability"
    lines = (folder / "test.jsonl").read_text().splitlines(keepends=True)
    (folder / "hard.jsonl").write_text("".join(lines[:9]))
    benchmark = catalogue.lookup("task", "tiny_acceptability")
    beside = dataclasses.replace(benchmark.definition, beside=("hard",))
    monkeypatch.setattr(benchmark, "definition", beside)
    _, result = finish(assignment_of(tmp_path / "confirm", both))
    assert list(result.scores) == ["validation", "test", "hard"]
    assert {part: result.scores[part] for part in plain.scores} == plain.scores
    assert result.num_examples["hard"] == 9
    assert (tmp_path / "confirm" / result.files["predictions_hard"]).is_file()
    _, result = finish(assignment_of(tmp_path / "search", both, stage="search"))
    assert list(result.scores) == ["validation"]


def test_what_is_held_out_of_train_chooses(root: Path, tmp_path: Path) -> None:
    splits = Splits(search="held_out", report="validation")
    training = Run(assignment_of(tmp_path, root, splits=splits))
    held_out = set(run.encoded(training.assignment, "held_out").ids)
    assert held_out
    assert not held_out & set(training.member.train.ids)
    assert len(held_out) + len(training.member.train) == 96


def test_data_and_backbone_must_be_those_of_the_plan(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the data have changed since the trial was planned"):
        Run(assignment_of(tmp_path, root, data_digest="0" * 64))
    with pytest.raises(UserError, match="the files have changed since the trial was planned"):
        Run(assignment_of(tmp_path, root, backbone_digest="0" * 64))


def test_a_missing_task_or_backbone_is_the_users_mistake(root: Path, tmp_path: Path) -> None:
    assignment = assignment_of(tmp_path, root)
    with pytest.raises(UserError, match="no task called 'tiny_aceptability'; did you mean"):
        Run(dataclasses.replace(assignment, task="tiny_aceptability"))
    with pytest.raises(UserError, match="no config.json in"):
        Run(dataclasses.replace(assignment, backbone="./nowhere"))


def test_a_crash_is_a_result_with_a_traceback(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pack, "step", None)
    _, result = finish(assignment_of(tmp_path, root))
    assert result.status == "crashed"
    assert str(result.reason).startswith("TypeError: 'NoneType' object is not callable")
    assert "Traceback" in (tmp_path / result.files["traceback"]).read_text()


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (MemoryError(), "out_of_memory", "MemoryError: "),
        (RuntimeError("can't allocate memory: 9 bytes"), "out_of_memory", "RuntimeError: can't"),
        (ValueError("two\nlines"), "crashed", "ValueError: two lines"),
        (UserError("no such thing"), "crashed", "no such thing"),
    ],
)
def test_a_trial_that_could_not_start_has_a_result(
    root: Path, tmp_path: Path, error: Exception, status: str, reason: str
) -> None:
    result = crashed(error, assignment_of(tmp_path / "trial", root))
    assert result.status == status
    assert str(result.reason).startswith(reason)
    assert (tmp_path / "trial" / run.TRACEBACK).is_file()
