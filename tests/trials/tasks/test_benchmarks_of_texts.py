"""How rows of the published sets become prompts and references."""

import pytest

from trials.tasks import dart, e2e, webnlg, wmt
from trials.tasks.locate import definition_of


def test_slots_and_values() -> None:
    row = {"meaning_representation": "name[The Wok], customer rating[5 out of 5], near[Café B]"}
    assert e2e.slots(row) == {
        "slots": "name : The Wok | customer rating : 5 out of 5 | near : Café B"
    }
    assert definition_of("e2e").template is not None


def test_triples_of_dart_without_texts_that_are_null() -> None:
    row = {
        "tripleset": [["A", "IS", "b"], ["A", "HAS", "c: d"]],
        "annotations": {"text": ["A is b.", None]},
    }
    assert dart.triples(row) == {"triples": "A : IS : b | A : HAS : c: d", "texts": ["A is b."]}


def test_triples_of_webnlg() -> None:
    row = {
        "modified_triple_sets": {
            "mtriple_set": [["Aarhus_Airport | city | Aarhus", "A | b | 2.0"]]
        },
        "lex": {"text": ["One.", "Two."]},
    }
    made = webnlg.triples(row)
    assert made == {"triples": "Aarhus Airport : city : Aarhus | A : b : 2.0",
                    "texts": ["One.", "Two."]}  # fmt: skip


def test_its_parts_are_of_the_test_split() -> None:
    fixed = definition_of("webnlg")
    assert fixed.splits == ("train", "validation", "test", "test_seen", "test_unseen")
    portion = fixed.portion("test_unseen")
    assert portion is not None
    assert (portion.of, portion.column, portion.value) == ("test", "test_category", "unseen")
    assert fixed.portion("test") is None


@pytest.mark.parametrize(("code", "name"), [("ro", "Romanian"), ("de", "German")])
def test_a_sentence_is_asked_for_as_t5_was_trained_to(code: str, name: str) -> None:
    template = definition_of(f"wmt16_en_{code}").template
    assert template is not None
    row = wmt.sides({"translation": {"en": "Yes.", code: "Ja."}})
    assert template.source(row) == f"translate English to {name}: Yes."
    assert template.references(row) == ("Ja.",)
