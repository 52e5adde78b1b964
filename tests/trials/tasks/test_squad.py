"""Both versions of SQuAD fit their data."""

import json
from pathlib import Path

import pytest

from trials import catalogue
from trials.spec import Splits
from trials.tasks.locate import load
from trials.tasks.metrics import ANSWERS
from trials.tasks.squad import SQUAD, SQUAD_V2


@pytest.mark.parametrize("definition", [SQUAD, SQUAD_V2], ids=["squad", "squad_v2"])
def test_a_definition_agrees_with_itself(definition: catalogue.Any) -> None:
    assert definition.name in catalogue.tasks()
    assert definition.primary in definition.metrics
    assert set(definition.metrics) <= set(ANSWERS)
    assert definition.head.reads == "tokens"
    assert len(definition.hub.revision) == 40


def test_only_the_second_version_has_questions_without_an_answer(tmp_path: Path) -> None:
    row = {
        "title": "t",
        "question": "q",
        "context": "c",
        "answers": {"text": [], "answer_start": []},
    }
    for name in ("squad", "squad_v2"):
        (tmp_path / name).mkdir()
        for split in ("train", "validation"):
            (tmp_path / name / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    assert load("squad_v2", roots=[tmp_path]).num_examples == {"train": 1, "validation": 1}
    with pytest.raises(catalogue.UserError, match="squad/train.jsonl:1: answers: holds no answer"):
        load("squad", roots=[tmp_path])


def test_the_shared_rows_load_and_divide_by_article(shared_data: Path) -> None:
    task = load("squad_v2", roots=[shared_data])
    splits = task.resolve_splits()
    assert splits == Splits(search="held_out", report="validation")
    assert task.num_examples == {"train": 4719, "validation": 4716}
    train, held = task.rows("train", splits), task.rows("held_out", splits)
    assert len(train) + len(held) == 4719
    assert not set(train.groups[0]) & set(held.groups[0])
    assert len(held) > 200
    lacking = sum(not answers for answers in task.splits["validation"].labels)
    assert 0.4 < lacking / 4716 < 0.6
