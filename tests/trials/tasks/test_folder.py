"""A folder is a task, and all its mistakes are told at once with file and line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trials.catalogue import LocalCode
from trials.errors import UserError
from trials.families import Head
from trials.tasks.base import Span
from trials.tasks.folder import load_folder, read_definition

DEFINITION = """\
task: weather
kind: classification
text: [premise, hypothesis]
label: label
labels: [no, yes]
metrics: [accuracy, f1]
primary: accuracy
"""
REGRESSION = """\
task: warmth
kind: regression
text: sentence
label: degrees
metrics: [mae, pearson]
primary: mae
"""
WriteFolder = Callable[..., Path]


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(UserError) as caught:
        load_folder(folder, shown="./weather")
    return [str(problem) for problem in caught.value.problems]


def test_a_folder_is_a_task(write_folder: WriteFolder) -> None:
    task = load_folder(write_folder(DEFINITION + "group: premise\nsource: me\n"))
    definition = task.definition
    assert (definition.name, definition.kind, definition.labels) == (
        "weather",
        "classification",
        ("no", "yes"),
    )
    assert (definition.group, definition.direction, definition.source) == (
        ("premise",),
        "higher",
        "me",
    )
    assert task.num_examples == {"train": 40, "validation": 6}


def test_a_regression_takes_the_direction_of_its_metric(write_folder: WriteFolder) -> None:
    rows = [{"sentence": "It is warm.", "degrees": 20 + i} for i in range(9)]
    task = load_folder(write_folder(REGRESSION, rows, rows))
    assert (task.definition.text, task.definition.direction) == (("sentence",), "lower")
    assert task.splits["train"].labels[0] == 20.0


def test_gzipped_rows_have_the_same_digest(write_folder: WriteFolder) -> None:
    plain = load_folder(write_folder(name="plain"))
    packed = load_folder(write_folder(name="packed", suffix=".jsonl.gz"))
    assert plain.digest == packed.digest


def test_all_mistakes_are_told_at_once(write_folder: WriteFolder) -> None:
    definition = """\
task: my weather
kind: classification
text: [premise, hypothesis, more]
lable: label
labels: [rain]
metrics: [acuracy, mse, f1, accuracy]
primary: mcc
direction: up
group: 3
"""
    row = {"premise": "a", "hypothesis": "b", "label": 0}
    assert mistakes(write_folder(definition, [row, "{", row], None, [])) == [
        "./weather/task.yaml:4: lable: no such key; did you mean 'label'?",
        "./weather/task.yaml:1: label: is missing",
        "./weather/task.yaml:3: text: must be 1 to 2 names, but got 3",
        "./weather/task.yaml:5: labels: must be at least 2 names, but got 1",
        "./weather/task.yaml:9: group: must be a column, a list of columns, or a list of lists of "
        "columns, but got 3",
        "./weather/task.yaml:1: task: must be letters, digits, '_', '-' and '.', not 'my weather'",
        "./weather/task.yaml:6: metrics[0]: no metric called 'acuracy'; did you mean 'accuracy'?",
        "./weather/task.yaml:6: metrics[1]: 'mse' is for regression; a classification takes "
        "accuracy, f1, f1_macro, mcc",
        "./weather/task.yaml:7: primary: 'mcc' is not among metrics (acuracy, mse, f1, accuracy)",
        "./weather/task.yaml:8: direction: must be higher or lower, but got 'up'",
        "./weather/train.jsonl:2: not JSON: Expecting property name enclosed in double quotes "
        "at column 2",
        "./weather: holds neither validation.jsonl nor validation.jsonl.gz",
        "./weather/test.jsonl: holds no row",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "kind: classification",
            "kind: spam",
            "2: kind: must be classification or regression or span or text_to_text, but got 'spam'"
            "; did you mean 'span'?",
        ),
        (
            "kind: classification",
            "kind: clasification",
            "2: kind: must be classification or regression or span or text_to_text, but got "
            "'clasification'"
            "; did you mean 'classification'?",
        ),
        (
            "kind: classification",
            "kind: [a]",
            "2: kind: must be classification or regression or span or text_to_text",
        ),
        ("labels: [no, yes]", "labels: [[a], b]", "5: labels: must be a list of names, but got"),
        ("labels: [no, yes]", "labels: [1, '1']", "5: labels: names something twice: 1, 1"),
        ("labels: [no, yes]", "labels: yes", "5: labels: must be a list of names, but got 'yes'"),
        ("primary: accuracy", "primary: accuracy\ngroup: [[a, b], a]", "8: group: names something"),
        (
            "primary: accuracy",
            "primary: accuracy\ngroup: [[a, 3]]",
            "8: group: must be a column, a",
        ),
        ("primary: accuracy", "primary: accuracy\ngroup: [[]]", "8: group: holds an empty list"),
        ("primary: accuracy", "primary: mine.py:cost", "7: primary: 'mine.py:cost' is not among"),
        (
            "[accuracy, f1]",
            "[accuracy, nowhere.py:cost]",
            "6: metrics[1]: no file nowhere.py is loaded; a study names it in `use`, a check by "
            "--use",
        ),
        ("labels: [no, yes]", "labels: [no, no]", "5: labels: names something twice: no, no"),
        ("labels: [no, yes]", "labels: [a, b, c]", "6: metrics[1]: 'f1' needs two labels"),
        ("labels: [no, yes]\n", "", "1: labels: is missing"),
        ("label: label", "label: premise", "4: label: 'premise' is a text column as well"),
        ("label: label", "label: 5", "4: label: must be text, but got 5"),
        ("label: label", "label: ''", "4: label: must be text, but got ''"),
        ("primary: accuracy", "primary: [accuracy]", "7: primary: must be text, but got"),
        (
            "primary: accuracy",
            "primary: accuracy\ndirection: lower",
            "8: direction: of 'accuracy' higher is better, not lower",
        ),
        ("primary: accuracy", "primary: accuracy\nkind: x", "8: kind: given twice"),
        ("primary: accuracy", "primary: [", "8: not YAML: "),
    ],
)
def test_a_mistake_in_the_definition(
    write_folder: WriteFolder, old: str, new: str, problem: str
) -> None:
    found = mistakes(write_folder(DEFINITION.replace(old, new)))
    assert found[0].startswith(f"./weather/task.yaml:{problem}")


def test_columns_that_share_their_values_are_a_list_in_the_list(write_folder: WriteFolder) -> None:
    text = DEFINITION + "group: [[premise, hypothesis], topic]\n"
    rows = [{"premise": f"a {i}", "hypothesis": f"a {i + 1}", "topic": i, "label": 0}
            for i in range(0, 30, 2)]  # fmt: skip
    task = load_folder(write_folder(text, rows, rows))
    assert task.definition.group == (("premise", "hypothesis"), "topic")
    assert task.definition.links == (("premise", "hypothesis"), ("topic",))
    assert len(task.splits["train"].groups) == 3


def test_labels_may_be_numbers(write_folder: WriteFolder) -> None:
    text = DEFINITION.replace("labels: [no, yes]", "labels: [1, 2.5]")
    rows = [{"premise": "a", "hypothesis": f"b {i}", "label": (1, 2.5)[i % 2]} for i in range(9)]
    task = load_folder(write_folder(text, rows, rows))
    assert task.definition.labels == ("1", "2.5")
    assert task.splits["train"].labels[:2] == (0, 1)


METRIC = """
def cost(predictions, labels):
    return float(abs(predictions - labels).sum())

cost.direction = "lower"

def hits(predictions, labels):
    return (predictions == labels).mean()
"""


def test_a_metric_of_ones_own_scores_and_says_its_direction(write_folder: WriteFolder) -> None:
    LocalCode("own_of_test_folder.py", METRIC).load()
    own = "own_of_test_folder.py"
    text = DEFINITION.replace("[accuracy, f1]", f"[accuracy, '{own}:cost', '{own}:hits']")
    task = load_folder(write_folder(text.replace("primary: accuracy", f"primary: {own}:cost")))
    assert task.definition.direction == "lower"
    scores = task.scores(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), [1, 1, 1])
    assert scores == {"accuracy": 2 / 3, f"{own}:cost": 1.0, f"{own}:hits": 2 / 3}
    wrong = text.replace("primary: accuracy", f"primary: {own}:cost\ndirection: higher")
    assert mistakes(write_folder(wrong, name="wrong")) == [
        f"./weather/task.yaml:8: direction: of '{own}:cost' lower is better, not higher"
    ]
    unsaid = text.replace("primary: accuracy", f"primary: {own}:hits\ndirection: lower")
    assert load_folder(write_folder(unsaid, name="unsaid")).definition.direction == "lower"
    misspelt = text.replace(":cost", ":costs")
    assert mistakes(write_folder(misspelt, name="misspelt")) == [
        f"./weather/task.yaml:6: metrics[1]: {own} has no function 'costs'; did you mean 'cost'?"
    ]


def test_a_regression_has_no_labels(write_folder: WriteFolder) -> None:
    rows = [{"sentence": "It is warm.", "degrees": 20}]
    assert mistakes(write_folder(REGRESSION + "labels: [a, b]\n", rows, rows)) == [
        "./weather/task.yaml:7: labels: a regression has no labels; leave the key out"
    ]


def test_a_definition_that_is_a_list_is_refused_with_its_rows_checked(
    write_folder: WriteFolder,
) -> None:
    assert mistakes(write_folder("- task\n", ["5"])) == [
        "./weather/task.yaml:1: must hold keys and values, such as 'task: my_task'",
        "./weather/train.jsonl:1: a row must be an object, but got 5",
    ]
    assert mistakes(write_folder(None, None, name="empty"))[:2] == [
        "./weather/task.yaml: cannot be read: No such file or directory",
        "./weather: holds neither train.jsonl nor train.jsonl.gz",
    ]


def test_many_mistakes_are_cut(write_folder: WriteFolder) -> None:
    found = mistakes(write_folder(train=[{"premise": "a", "hypothesis": "b", "label": 9}] * 30))
    assert len(found) == 21
    assert found[0] == "./weather/train.jsonl:1: label: must be 0 to 1 (no, yes), but got 9"
    assert found[-1] == "and 10 more"


def test_a_definition_can_be_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(DEFINITION)
    assert read_definition(path).name == "weather"
    path.write_text("task: x\n")
    with pytest.raises(UserError, match="kind: is missing"):
        read_definition(path)


SPAN = """\
task: finding
kind: span
text: [question, context]
label: answers
metrics: [exact_match, f1]
primary: f1
"""
QUESTION = {
    "question": "Who?",
    "context": "Anna bought a coat.",
    "answers": {"text": ["Anna"], "answer_start": [0]},
}


def test_answers_in_a_text_are_read(write_folder: WriteFolder) -> None:
    none = {**QUESTION, "answers": {"text": [], "answer_start": []}}
    definition = SPAN + "span: {stride: 8, max_answer: 5, no_answer: search}\n"
    task = load_folder(write_folder(definition, [QUESTION, none], [QUESTION]))
    assert task.definition.span == Span(stride=8, max_answer=5, no_answer="search")
    assert task.splits["train"].labels == (((0, "Anna"),), ())
    assert task.head == Head(2, "tokens")
    other = load_folder(write_folder(SPAN, [QUESTION], [QUESTION], name="other"))
    assert other.definition.span == Span()
    assert other.digest != task.digest


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ("[question, context]", "context", ["3: text: must be 2 names, but got 1"]),
        ("f1]", "f1]\nlabels: [a, b]", ["6: labels: a span has no labels; leave the key out"]),
        (
            "f1]",
            "accuracy]",
            [
                "5: metrics[1]: 'accuracy' is for classification; a span takes exact_match, f1, "
                "has_answer_exact_match, has_answer_f1, no_answer_exact_match",
                "6: primary: 'f1' is not among metrics (exact_match, accuracy)",
            ],
        ),
        (
            "primary: f1",
            "primary: f1\nspan: {strde: 3, max_answer: 0, no_answer: maybe, stride: -1}",
            [
                "7: span.strde: no such key; did you mean 'stride'?",
                "7: span.max_answer: must be a whole number of tokens, at least 1, but got 0",
                "7: span.no_answer: must be a number, or search, but got 'maybe'",
                "7: span.stride: must be a whole number of tokens, at least 0, but got -1",
            ],
        ),
        ("primary: f1", "primary: f1\nspan: 3", ["7: span: must hold keys, such as"]),
        ("kind: span", "kind: regression\nspan: {}", ["3: span: is for tasks of kind span"]),
    ],
)
def test_every_mistake_of_a_span_is_told(
    old: str, new: str, problems: list[str], write_folder: WriteFolder
) -> None:
    folder = write_folder(SPAN.replace(old, new), [QUESTION], [QUESTION])
    with pytest.raises(UserError) as error:
        load_folder(folder, shown="finding")
    told = [str(problem) for problem in error.value.problems]
    for problem in problems:
        assert any(f"finding/task.yaml:{problem}" in text for text in told), told


def test_an_answer_outside_its_text_is_told_with_file_and_line(write_folder: WriteFolder) -> None:
    outside = {**QUESTION, "answers": {"text": ["Anna"], "answer_start": [3]}}
    none = {**QUESTION, "answers": {"text": [], "answer_start": []}}
    with pytest.raises(UserError) as error:
        load_folder(write_folder(SPAN, [QUESTION, outside], [none]), shown="finding")
    assert [str(problem) for problem in error.value.problems] == [
        'finding/train.jsonl:2: answers: "Anna" does not stand at character 3 of the text; '
        "it stands at 0",
        "finding/validation.jsonl:1: answers: holds no answer; span.no_answer says when there may "
        "be none",
    ]
