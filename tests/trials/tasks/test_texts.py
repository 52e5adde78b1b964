"""Prompts and completions as tokens: what is learned, what is cut, what is read off and scored."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials.errors import UserError
from trials.spec import Splits
from trials.tasks.base import Encoded, Rows
from trials.tasks.definition import Definition
from trials.tasks.generation import Generation, Template
from trials.tasks.kinds import task_of as made_of
from trials.tasks.texts import Speller, TextTask, merged

BEGIN, END, PAD = 1, 2, 0


class Letters:
    """A tokenizer of letters, which begins a text and, where it reads whole texts, ends it."""

    bos_token_id, eos_token_id, unk_token_id = BEGIN, END, None
    chat_template: str | None = None

    def __init__(self, *, ends: bool = False) -> None:
        self.ends = ends

    def __call__(self, texts: list[str], *, add_special_tokens: bool, **_: Any) -> Any:
        rows = [[ord(letter) for letter in text] for text in texts]
        if add_special_tokens:
            rows = [[BEGIN, *ids, *([END] if self.ends else [])] for ids in rows]
        return {"input_ids": rows}

    def apply_chat_template(
        self, turns: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        told = "".join(f"<{turn['role']}>{turn['content']}{chr(END)}\n" for turn in turns)
        return told + ("<assistant>" if add_generation_prompt else "")


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def task_of(**given: Any) -> TextTask:
    template = given.pop("template", Template(prompt="{q}", completion="{a}"))
    train = Rows(("train-0", "train-1"), (("ask", "why"),), (("yes", "no"), ("so",)))
    definition = Definition(
        name="t", kind="text_to_text", metrics=("exact_match", "rouge_l"), primary="rouge_l",
        template=template, generation=Generation(**given),
    )  # fmt: skip
    task = made_of(definition, {"train": train, "validation": train})
    assert isinstance(task, TextTask)
    return task


def test_each_reference_is_learned_with_its_end() -> None:
    task = task_of()
    made = task.encode(Letters(), task.splits["train"], 99, learned=True)
    assert made.input_ids == [
        [BEGIN, *ids("askyes"), END],
        [BEGIN, *ids("askno"), END],
        [BEGIN, *ids("whyso"), END],
    ]
    assert made.targets == [[*ids("yes"), END], [*ids("no"), END], [*ids("so"), END]]
    assert (made.num_truncated, made.num_cut, made.num_terms([0, 2])) == (0, 0, 7)


def test_an_encoder_reads_the_prompt_and_a_decoder_learns_the_rest() -> None:
    task = task_of()
    made = task.encode(Letters(ends=True), task.splits["train"], 99, learned=True, start_id=PAD)
    assert made.input_ids[0] == [BEGIN, *ids("ask"), END]
    assert (made.targets or [])[0] == [*ids("yes"), END]
    asked = task.encode(Letters(ends=True), task.splits["train"], 99)
    assert asked.input_ids[0] == [BEGIN, *ids("ask")], "a text that is gone on with has no end"


def test_all_tokens_are_learned_where_the_file_says_so() -> None:
    task = task_of(template=Template(prompt="{q}", completion="{a}", loss_on="all"))
    made = task.encode(Letters(), task.splits["train"], 99, learned=True)
    assert (made.targets or [])[2] == [*ids("whyso"), END]
    with pytest.raises(UserError, match="loss_on: all"):
        task.encode(Letters(), task.splits["train"], 99, learned=True, start_id=PAD)


@given(st.text("ab", max_size=9), st.text("cd", max_size=9), st.integers(2, 14))
def test_a_prompt_gives_way_before_its_completion(prompt: str, answer: str, limit: int) -> None:
    speller = Speller(Letters(), Template(prompt="{q}", completion="{a}"), None)
    whole, learned = [BEGIN, *ids(prompt)], [*ids(answer), END]
    read, target, lost, cut = speller.fit(whole, learned, limit)
    assert len(read) <= limit
    assert read[len(read) - len(target) :] == target
    assert lost is (len(whole) + len(learned) > limit)
    assert cut is (len(learned) > limit - 1)
    assert target == learned[: limit - 1]
    left = read[: len(read) - len(target)]
    assert left
    assert whole[-len(left) :] == left or (left[0] == BEGIN and whole[1 - len(left) :] == left[1:])


def test_what_is_cut_is_counted() -> None:
    task = task_of()
    made = task.encode(Letters(), task.splits["train"], 5, learned=True)
    assert (made.num_truncated, made.num_cut) == (3, 0)
    made = task.encode(Letters(), task.splits["train"], 4, learned=True)
    assert (made.num_truncated, made.num_cut) == (3, 1)
    assert made.input_ids[0] == ids("kyes"), "a completion loses its end, never its start"


def test_a_prompt_leaves_room_for_what_is_written() -> None:
    task = task_of(max_new_tokens=6)
    rows = task.splits["train"]
    made = task.encode(Letters(), rows, 99, context=9)
    assert made.input_ids == [[BEGIN, *ids("sk")], [BEGIN, *ids("hy")]]
    assert (made.num_truncated, made.generation) == (2, task.generation)
    assert task.encode(Letters(ends=True), rows, 99, context=9, start_id=PAD).num_truncated == 0
    with pytest.raises(UserError, match="max_new_tokens of 6 leaves no room .* context of 6"):
        task.encode(Letters(), rows, 99, context=6)


def test_rows_with_one_prompt_are_one_example_where_they_are_scored() -> None:
    rows = Rows(tuple("abc"), (("p", "q", "p"),), (("1",), ("2",), ("3", "4")))
    assert merged(rows) == Rows(("a", "b"), (("p", "q"),), (("1", "3", "4"), ("2",)))
    hidden = Rows(tuple("abc"), (("p", "q", "p"),), ())
    assert merged(hidden).ids == ("a", "b")
    template = Template(prompt="{q}", completion="{a}", merge=True)
    task = task_of(template=template)
    assert task.encode(Letters(), rows, 9).labels == [("1", "3", "4"), ("2",)]
    assert len(task.encode(Letters(), rows, 9, learned=True)) == 4


def test_a_prompt_without_tokens_is_refused() -> None:
    class Plain(Letters):
        def __call__(self, texts: list[str], **_: Any) -> Any:
            return {"input_ids": [ids(text) for text in texts]}

    rows = Rows(("test-0", "test-1"), (("x", ""),), (("y",), ("z",)))
    for learned in (True, False):
        with pytest.raises(UserError, match="prompts of 1 rows give no token, the first test-1"):
            task_of().encode(Plain(), rows, 9, learned=learned)


TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


def test_a_conversation_goes_through_the_tokenizers_template() -> None:
    template = Template(messages="turns")
    source, references = template.source({"turns": TURNS}), template.references({"turns": TURNS})
    assert (json.loads(source), references) == (TURNS[:1], ("ho",))
    rows = Rows(("train-0",), ((source,),), (references,))
    task, talks = task_of(template=template), Letters()
    with pytest.raises(UserError, match="no template for conversations"):
        task.encode(talks, rows, 99)
    talks.chat_template = "there is one"
    made = task.encode(talks, rows, 99, learned=True)
    assert (made.targets or [])[0] == [*ids("ho"), END], "what follows the end is left out"
    asked = task.encode(talks, rows, 99).input_ids[0]
    assert asked == ids(f"<user>hi{chr(END)}\n<assistant>")
    assert made.input_ids[0] == asked + [*ids("ho"), END]


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    class Rewriting(Letters):
        chat_template = "x"

        def apply_chat_template(self, turns: Any, **_: Any) -> str:
            return f"{len(turns)} turns"

    rows = Rows(("train-0",), ((json.dumps(TURNS[:1]),),), (("ho",),))
    with pytest.raises(UserError, match="changes earlier turns"):
        task_of(template=Template(messages="turns")).encode(Rewriting(), rows, 99, learned=True)


def test_answers_are_read_off_and_scored() -> None:
    task = task_of(stop=("\n",), extract=r"#(\d+)")
    outputs = ["so #4\n#5", "none", ""]
    assert task.predictions(outputs) == ["4", "", ""]
    scores = task.scores(outputs, [(" 4", "x"), ("",), ("y",)])
    assert scores["exact_match"] == pytest.approx(2 / 3)
    data = Encoded([[1]] * 3, None, [("4",), ("",), ("y",)], ["a", "b", "c"], 0)
    rows = list(task.records(outputs, data))
    assert rows[0] == {"id": "a", "label": ["4"], "prediction": "4", "score": 1.0}
    assert [row["score"] for row in rows] == [1.0, 0.0, 0.0]


def test_a_library_signs_its_scores() -> None:
    pytest.importorskip("sacrebleu")
    definition = Definition(
        name="t", kind="text_to_text", metrics=("bleu", "rouge_l"), primary="bleu",
        template=Template(prompt="{q}", completion="{a}"), generation=Generation(),
    )  # fmt: skip
    task = made_of(definition, {})
    found = task.signatures(["a b c d"], [("a b c d",)])
    assert list(found) == ["bleu"]
    assert "version:" in found["bleu"]
    assert task.scores(["a b c d"], [("a b c d",)])["bleu"] == pytest.approx(100.0)


def test_templates_are_part_of_the_digest() -> None:
    plain = task_of()
    assert plain.digest == task_of().digest
    others = [task_of(beams=4), task_of(template=Template(prompt="{q}", completion=" {a}"))]
    assert len({plain.digest, *(task.digest for task in others)}) == 3


def test_a_part_is_held_out_by_prompt() -> None:
    prompts = tuple(f"p{i // 2}" for i in range(40))
    rows = Rows(tuple(map(str, range(40))), (prompts,), (("x",),) * 40)
    task = made_of(task_of().definition, {"train": rows, "validation": rows})
    splits = Splits(search="held_out", report="validation")
    train, held = task.rows("train", splits), task.rows("held_out", splits)
    assert (len(train), len(held)) == (32, 8)
    assert not set(train.texts[0]) & set(held.texts[0])


@pytest.mark.parametrize(
    ("name", "folder", "sizes"),
    [
        ("e2e", "e2e_nlg", {"test": 630}),
        ("webnlg", "web_nlg", {"test": 1862, "test_seen": 971, "test_unseen": 891}),
        ("dart", "dart", {"test": 5097}),
        ("wmt16_en_ro", "wmt16_ro_en", {"test": 1999}),
        ("wmt16_en_de", "wmt16_de_en", {"validation": 2169}),
    ],
)
def test_the_benchmarks_are_read(
    name: str, folder: str, sizes: dict[str, int], shared_data: Path, tmp_path: Path
) -> None:
    from trials.tasks.locate import load

    assert (shared_data / folder).is_dir()
    cut = tmp_path / folder
    cut.mkdir()
    for path in (shared_data / folder).glob("*.jsonl*"):
        split = path.name.partition(".")[0]
        if split in sizes:
            (cut / path.name).write_bytes(path.read_bytes())
            continue
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            (cut / f"{split}.jsonl").write_text("".join(next(lines) for _ in range(20)))
    task = load(name, roots=[tmp_path])
    for split, size in sizes.items():
        rows = task.splits[split]
        assert len(task.encode(Letters(), rows, 10**6).labels) == size
        assert all(prompt.strip() for prompt in rows.texts[0])
