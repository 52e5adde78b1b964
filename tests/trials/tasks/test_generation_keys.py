"""The keys of a text-to-text `task.yaml`: read as they are meant, or refused all at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trials import yaml
from trials.errors import UserError
from trials.tasks.folder import load_folder, read_definition
from trials.tasks.generation import Generation, Template
from trials.tasks.generation_keys import read_generation, read_template

DEFINITION = """\
task: sums
kind: text_to_text
prompt: "Question: {question}\\nAnswer:"
completion: " {answer}"
generation: {max_new_tokens: 16, beams: 2, stop: "\\n", extract: "(-?[0-9]+)"}
metrics: [exact_match, rouge_l]
primary: exact_match
"""
ROWS = [{"question": f"{i} + {i}?", "answer": f"{2 * i}"} for i in range(12)]


def problems_of(values: dict[str, Any]) -> list[str]:
    found: list[str] = []

    def refuse(path: Sequence[yaml.Key], message: str) -> None:
        found.append(f"{'.'.join(map(str, path))}: {message}")

    read_template(values, refuse)
    read_generation(values, refuse)
    return found


def test_a_file_says_how_texts_are_asked_for_and_written(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(DEFINITION)
    made = read_definition(path)
    assert made.template == Template(prompt="Question: {question}\nAnswer:", completion=" {answer}")
    assert made.generation == Generation(
        max_new_tokens=16, beams=2, stop=("\n",), extract="(-?[0-9]+)"
    )
    assert (made.head.outputs, made.head.reads, made.direction) == (0, "words", "higher")
    assert made.columns == ("question", "answer")


WRONG = [
    ({}, "prompt: is missing"),
    ({"prompt": "{q}"}, "completion: is missing"),
    ({"prompt": "no column", "completion": "{a}"}, "prompt: names no column"),
    ({"prompt": "{q.x}", "completion": "{a}"}, "prompt: '{q.x}' must be a column's name"),
    ({"prompt": 3, "completion": "{a}"}, "prompt: must be text, but got 3"),
    ({"messages": "m", "prompt": "{q}"}, "prompt: goes with no messages"),
    ({"messages": ["m"]}, "messages: must be text"),
    ({"messages": "m", "loss_on": "prompt"}, "loss_on: must be completion or all"),
    ({"messages": "m", "merge": 1}, "merge: must be true or false"),
    ({"messages": "m", "generation": 3}, "generation: must hold keys"),
]
WRONG_GENERATION = [
    ({"beam": 4}, "generation.beam: no such key; did you mean 'beams'?"),
    ({"beams": 0}, "generation.beams: must be at least 1, but got 0"),
    ({"beams": 2.5}, "generation.beams: must be a whole number"),
    ({"max_new_tokens": True}, "generation.max_new_tokens: must be a whole number"),
    ({"sample": True, "top_p": 0}, "generation.top_p: must be above 0 and at most 1"),
    ({"sample": True, "top_p": 2}, "generation.top_p: must be above 0 and at most 1"),
    ({"sample": True, "temperature": 0}, "generation.temperature: must be above 0"),
    ({"sample": "yes"}, "generation.sample: must be true or false"),
    ({"sample": True, "beams": 2}, "generation.sample: goes with beams: 1, not 2"),
    ({"top_k": 3}, "generation.top_k: says how tokens are drawn; add sample: true"),
    ({"stop": ["a", ""]}, "generation.stop: must be a text or a list of texts"),
    ({"extract": "("}, "generation.extract: must be a regular expression"),
    ({"extract": 3}, "generation.extract: must be a regular expression"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_a_wrong_template_is_refused(values: dict[str, Any], message: str) -> None:
    assert any(problem.startswith(message) for problem in problems_of(values)), problems_of(values)


@pytest.mark.parametrize(("values", "message"), WRONG_GENERATION)
def test_a_wrong_way_of_writing_is_refused(values: dict[str, Any], message: str) -> None:
    problems = problems_of({"messages": "m", "generation": values})
    assert len(problems) == 1
    assert problems[0].startswith(message), problems


def test_numbers_are_held_in_one_way() -> None:
    """So that 1 and 1.0 are one digest."""
    given = {"length_penalty": 1, "sample": True, "temperature": 2, "top_p": 1}
    made = read_generation({"generation": given}, lambda *_: pytest.fail("it is right"))
    assert made == Generation(sample=True, temperature=2.0)
    assert isinstance(made.length_penalty, float)


def test_a_folder_is_read_and_its_mistakes_are_told_at_once(write_folder: Any) -> None:
    task = load_folder(write_folder(DEFINITION, ROWS, ROWS[:3], name="sums"))
    assert task.splits["train"].texts == (
        tuple(f"Question: {i} + {i}?\nAnswer:" for i in range(12)),
    )
    assert task.splits["train"].labels[3] == (" 6",)
    wrong = DEFINITION.replace("exact_match, rouge_l", "exact_match, accuracy").replace(
        "beams: 2", "beam: 2"
    )
    rows = [
        {"question": "1?"},
        {"question": ["x"], "answer": "y"},
        {"question": "2?", "answer": []},
    ]
    with pytest.raises(UserError) as caught:
        load_folder(write_folder(wrong + "text: x\n", rows, ROWS, name="wrong"), shown="./wrong")
    told = "\n".join(map(str, caught.value.problems))
    for part in (
        "./wrong/task.yaml:5: generation.beam: no such key",
        "text: no such key",
        "'accuracy' is for classification; a text_to_text takes exact_match",
        "./wrong/train.jsonl:1: no column 'answer'",
        "./wrong/train.jsonl:2: question: must be a text or a number, but got list",
        "./wrong/train.jsonl:3: answer: must be a text or a list of at least one text",
    ):
        assert part in told, told


def test_references_of_a_test_split_may_be_hidden(write_folder: Any) -> None:
    hidden = [{"question": "1?"}, {"question": "2?", "answer": None}]
    task = load_folder(write_folder(DEFINITION, ROWS, ROWS[:3], hidden, name="sums"))
    assert not task.splits["test"].labelled
    assert task.resolve_splits().report == "validation"
    half = [{"question": "1?"}, {"question": "2?", "answer": "4"}]
    with pytest.raises(UserError, match="1 of 2 rows have no label"):
        load_folder(write_folder(DEFINITION, ROWS, ROWS[:3], half, name="half"))
