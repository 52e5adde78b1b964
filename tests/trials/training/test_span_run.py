"""A trial whose answers stand in a text, from its folder to predictions, resumed and exported."""

import dataclasses
import gzip
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from cases import assignment_of
from peft import PeftModel

from trials.places import Assignment
from trials.spec import Splits
from trials.training import export, run
from trials.training.engine import train
from trials.training.run import Run, load_parts

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
THINGS = ("coat", "house", "dog", "garden", "book", "horse")
NAMES = ("Anna", "Peter", "Mary", "Laura")
DEFINITION = """\
task: finding
kind: span
text: [question, context]
label: answers
span: {stride: 4, no_answer: %s}
metrics: [exact_match, f1, has_answer_f1, no_answer_exact_match]
primary: f1
group: title
"""


def row_of(number: int) -> dict[str, Any]:
    """Who bought the thing that is asked for, in a text of three sentences or four."""
    stream = random.Random(number)
    things, names = stream.sample(THINGS, 4), stream.sample(NAMES, 4)
    size = stream.randint(3, 4)
    pairs = list(zip(names, things, strict=True))[:size]
    context = " ".join(f"{name} bought a {thing} today." for name, thing in pairs)
    if number % 4 == 0:
        absent = next(thing for thing in THINGS if thing not in things[:size])
        gold: dict[str, list[Any]] = {"text": [], "answer_start": []}
        return {"title": str(number), "question": f"Who bought a {absent}?", "context": context,
                "answers": gold}  # fmt: skip
    name, thing = stream.choice(pairs)
    gold = {"text": [name], "answer_start": [context.index(name)]}
    return {"title": str(number), "question": f"Who bought a {thing}?", "context": context,
            "answers": gold}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tasks") / "finding"
    made.mkdir()
    (made / "task.yaml").write_text(DEFINITION % "search")
    parts = (("train", range(120)), ("validation", range(120, 144)), ("test", range(144, 168)))
    for split, numbers in parts:
        lines = "".join(json.dumps(row_of(number)) + "\n" for number in numbers)
        (made / f"{split}.jsonl").write_text(lines)
    return made


def assigned(folder: Path, out: Path, **more: Any) -> Assignment:
    fixed = {"max_length": 24, "splits": Splits(search="validation", report="test")}
    made = assignment_of(out, folder, **{**fixed, **more})
    spec = dataclasses.replace(made.spec, task="finding")
    return dataclasses.replace(made, spec=spec, task=str(folder), reads="tokens")


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Assignment, Any]:
    assignment = assigned(folder, tmp_path_factory.mktemp("trial"))
    *_, last = train(assignment)
    return assignment, last.result


def rows_of(assignment: Assignment, split: str) -> list[dict[str, Any]]:
    path = Path(assignment.folder) / f"predictions_{split}.jsonl.gz"
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def test_a_trial_ends_with_scores_and_a_prediction_of_each_question(finished: Any) -> None:
    assignment, result = finished
    assert result.status == "finished", result.reason
    assert result.num_examples == {"validation": 24, "test": 24}
    assert result.num_truncated == {"train": 0, "validation": 0, "test": 0}
    assert result.head_parameters == 2 * 128 + 2
    for split, scores in result.scores.items():
        rows = rows_of(assignment, split)
        assert [row["id"] for row in rows] == [f"{split}-{i}" for i in range(24)]
        for name in ("exact_match", "f1"):
            mean = math.fsum(row["scores"][name] for row in rows) / 24
            assert scores[name] == pytest.approx(mean)
        lead = [row["outputs"][1] - row["outputs"][0] for row in rows]
        answered = [bool(row["prediction"]) for row in rows]
        said = [x for x, is_said in zip(lead, answered, strict=True) if is_said]
        silent = [x for x, is_said in zip(lead, answered, strict=True) if not is_said]
        assert not said or not silent or max(said) < min(silent), "one threshold for all"


def test_it_reads_more_windows_than_questions(finished: Any) -> None:
    made = Run(finished[0])
    assert len(made.member.train) > 120 == len(made.member.train.gold)


def test_a_trial_that_was_interrupted_comes_to_the_same_end(folder: Path, tmp_path: Path) -> None:
    whole = assigned(folder, tmp_path / "whole", steps=6)
    *_, expected = train(whole)
    cut = assigned(folder, tmp_path / "cut", steps=6)
    first = Run(cut)
    with run_pack(first) as pack:
        for _ in range(5):
            pack.step([first.member])
        outputs = pack.outputs(first.member, first.data("validation"))
        assert first.take("validation", outputs) is not None
    first.save()
    *_, made = train(cut)
    assert made.result.scores == expected.result.scores
    assert rows_of(cut, "test") == rows_of(whole, "test")


def run_pack(made: Run) -> Any:
    from trials.training.pack import Pack

    return Pack(made.backbone)


@torch.no_grad()
def test_an_export_answers_as_the_trial_does(finished: Any, tmp_path: Path) -> None:
    assignment, _ = finished
    task, backbone = load_parts(assignment)
    name = run.ADAPTER
    member = export.load_member(Path(assignment.folder), assignment.spec, backbone, name)
    data = run.encoded(assignment, "test")
    with run_pack(Run(assignment)) as pack:
        expected = pack.outputs(member, data)[: len(data.input_ids[0])]
    ids = torch.tensor([data.input_ids[0]])
    merged = export.to_merged(member, backbone, task, tmp_path / "merged")
    loader = transformers.AutoModelForQuestionAnswering
    plain = loader.from_pretrained(export_base())
    adapter = export.to_peft(member, backbone, "tiny", tmp_path / "adapter")
    # The library's wrapper for answers drops token types; the model within takes them.
    adapted = PeftModel.from_pretrained(plain, adapter).get_base_model()
    for model in (loader.from_pretrained(merged), adapted):
        made = model.eval()(input_ids=ids, token_type_ids=torch.tensor([data.token_type_ids[0]]))
        outputs = torch.stack([made.start_logits[0], made.end_logits[0]], dim=-1)
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)
    assert float(expected.std()) > 0.01, "nothing to compare"


def export_base() -> Any:
    from trials.backbones import find

    return find("tiny")
