"""Predictions beside references."""

from functools import partial

import pytest

from trials.tasks.text import bleu, cider, meteor, nist, rouge
from trials.tasks.text.answers import exact_match, token_f1
from trials.tasks.text.pairs import Metric, Part, by_part, pair
from trials.tasks.text.squad import squad_exact, squad_f1

ALL: dict[str, Metric] = {
    "bleu": lambda said, gold: bleu.bleu(said, gold).value,
    "ter": lambda said, gold: bleu.ter(said, gold).value,
    "nist": nist.nist,
    "rouge_l": rouge.rouge_l,
    "rouge_l_coco": rouge.rouge_l_coco,
    "meteor": meteor.meteor,
    "cider_d": cider.cider_d,
    "exact_match": exact_match,
    "token_f1": token_f1,
    "squad_exact": squad_exact,
    "squad_f1": squad_f1,
}
BY_TEXT = {
    "bleu": bleu.bleu_by_text,
    "ter": bleu.ter_by_text,
    "nist": nist.nist_by_text,
    "rouge_l": rouge.rouge_l_by_text,
    "rouge_l_coco": rouge.rouge_l_coco_by_text,
    "meteor": meteor.meteor_by_text,
    "cider_d": cider.cider_d_by_text,
}
SAID = ["the big cat sat on a mat", "one word follows another here", "третий текст про кошку"]
GOLD = [[text, "quite another reference"] for text in SAID]
PERFECT = {"bleu": 100.0, "ter": 0.0, "nist": None, "cider_d": None}
every = pytest.mark.parametrize("name", ALL)


@every
def test_a_prediction_that_equals_a_reference_is_perfect(name: str) -> None:
    perfect = PERFECT.get(name, 1.0)
    own = [[text] for text in SAID]
    best = ALL[name](SAID, own)
    if perfect is not None:
        assert best == pytest.approx(perfect)
    worse = ALL[name](["the big cat sat", "one word", "третий"], own)
    assert worse > best if name == "ter" else worse < best


@every
def test_blank_references_beside_others_change_nothing(name: str) -> None:
    """Tables fill up with them where texts have unequal numbers of references."""
    said = ["the cat sat", "a dog", "third"]
    gold = [["the cat sat on a mat", "cat"], ["the dog ran"], ["the third", "a third text", "3"]]
    padded = [[*texts, "", " "] for texts in gold]
    assert ALL[name](said, padded) == ALL[name](said, gold)


@every
def test_empty_predictions_have_a_score(name: str) -> None:
    nothing = ALL[name](["", ""], [["a text"], ["another"]])
    assert nothing == (100.0 if name == "ter" else 0.0)
    agreed = {"ter": 0.0, "exact_match": 1.0, "token_f1": 1.0, "squad_exact": 1.0, "squad_f1": 1.0}
    assert ALL[name](["", ""], [[""], ["", ""]]) == agreed.get(name, 0.0)


@every
def test_a_reference_may_be_empty(name: str) -> None:
    score = ALL[name](["said", "said"], [[""], [""]])
    assert score == (100.0 if name == "ter" else 0.0)


@pytest.mark.parametrize("name", [name for name in ALL if name != "bleu"])  # see test_bleu.py
@pytest.mark.parametrize(
    "text", ["東京は日本の首都です", "ประเทศไทย", "مرحبا بالعالم", "हिन्दी भाषा", "Ωμέγα"]
)
def test_other_scripts_score(name: str, text: str) -> None:
    right, wrong = ALL[name]([text, "x"], [[text], ["y"]]), ALL[name]([text, "x"], [["z"], ["y"]])
    assert right < wrong if name == "ter" else right > wrong


@every
def test_a_score_does_not_depend_on_the_order_of_references(name: str) -> None:
    said, backwards = ["the cat", "one word", "третий"], [[*reversed(texts)] for texts in GOLD]
    assert ALL[name](said, GOLD) == pytest.approx(ALL[name](said, backwards))


@pytest.mark.parametrize("name", BY_TEXT)
def test_each_text_has_its_score(name: str) -> None:
    one = [texts[:1] for texts in GOLD]
    scores = BY_TEXT[name](["", *SAID[1:]], one)
    assert scores[0] == (100.0 if name == "ter" else 0.0)
    assert scores[1:] == pytest.approx(BY_TEXT[name](SAID, one)[1:])
    assert len(scores) == 3


@every
def test_what_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="2 predictions do not fit 1 references"):
        ALL[name](["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="0 predictions"):
        ALL[name]([], [])
    with pytest.raises(ValueError, match="not a text"):
        ALL[name](["a"], ["a"])


def test_a_text_needs_a_reference() -> None:
    with pytest.raises(ValueError, match="text 1 has no reference"):
        pair(["a", "b"], [["a"], []])


def test_references_are_kept_in_order_without_blank_ones() -> None:
    assert pair(["x", "y"], [["b", " ", "a"], ["", " "]]) == [("x", ("b", "a")), ("y", ("",))]


def test_seen_unseen_and_all_come_from_one_table() -> None:
    said, gold = ["a", "b", "c", "d"], [["a"], ["x"], ["c"], ["d"]]
    parts = ["unseen", "seen", "unseen", "unseen"]
    assert by_part(exact_match, said, gold, parts) == {
        "unseen": Part(1.0, 3),
        "seen": Part(0.0, 1),
        "all": Part(0.75, 4),
    }


def test_a_corpus_metric_of_all_is_not_the_mean_of_its_parts() -> None:
    corpus = by_part(ALL["bleu"], SAID[::-1], GOLD, ["a", "b", "a"])
    assert corpus["all"].value == ALL["bleu"](SAID[::-1], GOLD)
    assert [part.num_texts for part in corpus.values()] == [2, 1, 3]


def test_parts_must_fit() -> None:
    refused = partial(by_part, exact_match, ["a"], [["a"]])
    with pytest.raises(ValueError, match="none called 'all'"):
        refused(["all"])
    with pytest.raises(ValueError, match="as many parts"):
        refused([])
