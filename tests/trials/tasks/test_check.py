"""What `ablate check` tells of a task's data."""

from collections.abc import Callable
from pathlib import Path

from trials.tasks.check import describe
from trials.tasks.folder import load_folder
from trials.tasks.overlap import Overlap
from trials.tokenizer import reading

WriteFolder = Callable[..., Path]
ROW = {"premise": "It is day.", "hypothesis": "It rains.", "label": 0}
OTHER = {"premise": "It is night.", "hypothesis": "It rains a lot.", "label": "yes"}


def test_counts_balance_duplicates_and_lengths(write_folder: WriteFolder) -> None:
    unlabelled = {"premise": "One", "hypothesis": "two"}
    folder = write_folder(train=[ROW, ROW, OTHER], validation=[ROW], test=[unlabelled])
    report = describe(load_folder(folder))
    train, validation, test = report.splits
    assert (train.num_rows, train.labels, train.num_repeated) == (3, {"no": 2, "yes": 1}, 1)
    assert (train.words, test.words) == ((5, 5, 7), (2, 2, 2))
    assert (validation.num_repeated, test.labels, test.absent) == (0, {}, ())
    assert report.overlaps[0] == Overlap(
        first="train", second="validation", num_rows=1, equal=1, related=None
    )
    assert [overlap.equal for overlap in report.overlaps] == [1, 0, 0]
    assert report.held_out == 1
    assert list(report.lines()) == [
        f"task weather, digest {report.digest[:12]}",
        "train: 3 rows; no 2, yes 1; 1 repeated; 5 to 7 words, 5 in the median",
        "validation: 1 rows; no 1, yes 0; 0 repeated; 5 to 5 words, 5 in the median",
        "test: 1 rows; no public labels; 0 repeated; 2 to 2 words, 2 in the median",
        "by default held_out chooses and validation shows",
        "a part held out of train would have 1 rows",
        "warning: no row of validation has the label yes",
        "warning: of 1 rows of validation 1 also stand in train",
    ]


def test_what_weakens_the_data_is_a_warning(write_folder: WriteFolder) -> None:
    blank = {"premise": " ", "hypothesis": "", "label": 0}
    group = "group: premise\n"
    folder = write_folder(
        DEFINITION + group, [ROW, {**ROW, "label": 1}, blank, OTHER], [{**OTHER, "label": 0}, ROW]
    )
    train, validation, *rest = describe(load_folder(folder)).warnings()
    assert train == "1 rows of train repeat an earlier row with another label"
    assert validation == "1 rows of train have an empty text"
    assert rest == [
        "no row of validation has the label yes",
        "of 2 rows of validation 2 also stand in train and 2 share a group's value with train",
    ]


def test_a_regression_tells_its_range(write_folder: WriteFolder) -> None:
    definition = (
        "task: warmth\nkind: regression\ntext: [a]\nlabel: d\nmetrics: [mse]\nprimary: mse\n"
    )
    rows = [{"a": "one", "d": 0}, {"a": "one", "d": 4}]
    report = describe(load_folder(write_folder(definition, rows, rows)))
    assert report.splits[0].labels == {"lowest": 0.0, "mean": 2.0, "highest": 4.0}
    assert report.splits[0].absent == ()
    assert report.held_out == 0
    assert "a part held out of train would have no rows" in report.lines()


def test_tokens_of_a_backbone_are_counted_and_rows_shown_as_it_sees_them(
    write_folder: WriteFolder,
) -> None:
    long = {"premise": "day " * 40, "hypothesis": "東京は雨です", "label": 1}
    folder = write_folder(train=[ROW, OTHER, long])
    tiny = reading("tiny")
    report = describe(load_folder(folder), tiny.tokenizer, backbone="tiny", max_length=16)
    tokens = report.splits[0].tokens
    assert tokens is not None
    plain = [tiny.tokenizer(r["premise"], r["hypothesis"])["input_ids"] for r in (ROW, OTHER, long)]
    lengths = sorted(map(len, plain))
    assert tokens.lengths == (lengths[0], lengths[1], lengths[2])
    assert tokens.num_cut == sum(length > 16 for length in lengths)
    unknown = sum(ids.count(tiny.tokenizer.unk_token_id) for ids in plain)
    assert tokens.unknown == unknown / sum(lengths)
    assert unknown > 0
    assert [e.id for e in report.examples] == ["train-0", "train-1", "train-2"]
    assert [e.label for e in report.examples] == ["no", "yes", "yes"]
    assert report.examples[0].seen.startswith("[CLS] it is day. [SEP] it ")
    assert report.examples[2].seen.count("day") < 40
    text = "\n".join(report.lines())
    assert "tokens of tiny, cut to 16:" in text
    assert "as the model sees them:\n  train-0, label no: [CLS] it is day. [SEP]" in text
    assert "lose what is beyond 16 tokens" in text


def test_a_script_that_the_tokenizer_does_not_know_is_a_warning(write_folder: WriteFolder) -> None:
    row = {"premise": "東京は雨です", "hypothesis": "дождь идёт", "label": 1}
    rows = [{**row, "premise": f"東京は雨です {i}", "label": i % 2} for i in range(4)]
    report = describe(load_folder(write_folder(train=rows)), reading("tiny").tokenizer)
    assert any("does not know" in text and "of train" in text for text in report.warnings())
    five = describe(load_folder(write_folder(name="more")), reading("tiny").tokenizer)
    assert [example.id for example in five.examples] == [f"train-{i}" for i in (0, 9, 19, 29, 39)]


DEFINITION = """\
task: weather
kind: classification
text: [premise, hypothesis]
label: label
labels: [no, yes]
metrics: [accuracy, f1]
primary: accuracy
"""


def test_a_span_tells_its_windows_and_what_no_training_can_pass(write_folder: WriteFolder) -> None:
    definition = (
        "task: finding\nkind: span\ntext: [question, context]\nlabel: answers\n"
        "metrics: [exact_match, f1]\nprimary: f1\nspan: {no_answer: 0.0, max_answer: 3}\n"
    )
    text = "The small dog chased two cats in the garden, and Anna bought a new coat. " * 2

    def row(*pieces: str) -> dict[str, object]:
        starts = [text.index(piece) for piece in pieces]
        gold = {"text": list(pieces), "answer_start": starts}
        return {"question": "What?", "context": text, "answers": gold}

    rows = [row("Anna"), row("chased two cats in the garden"), row(), row("The"), row("cats")]
    folder = write_folder(definition, rows, [row("Anna")], name="finding")
    report = describe(
        load_folder(folder), reading("tiny").tokenizer, backbone="tiny", max_length=20
    )
    train = report.splits[0]
    assert train.labels == {"answered": 4, "unanswered": 1}
    assert train.num_bare == 1
    assert train.tokens is not None
    assert train.tokens.num_windows is not None
    assert train.tokens.num_windows > 2 * 5
    assert train.tokens.reach == 0.8
    assert "1 answers of train are articles and punctuation, and not scored" in report.warnings()
    assert {example.label for example in report.examples} >= {"no answer", "cats"}
    assert all(line.isprintable() for line in report.lines())
