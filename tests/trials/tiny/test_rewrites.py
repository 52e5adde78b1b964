"""Retellings, contrasts and faults."""

from collections import Counter
from random import Random

import pytest

from trials.tiny.language import Clause, Phrase, Sentence, sample_sentence, spell, words
from trials.tiny.lexicon import vocabulary
from trials.tiny.rewrites import CONTRASTS, FAULTS, SentenceEdit, change, misorder, retell

MARY_HELPED_PAUL = Sentence(
    first=Clause(
        subject=Phrase(head="mary"), verb="help", tense="present", object=Phrase(head="paul")
    )
)


@pytest.mark.parametrize("name", [*FAULTS, *CONTRASTS])
def test_every_edit_applies_to_some_sentences_and_changes_them(name: str) -> None:
    edit: SentenceEdit = {**FAULTS, **CONTRASTS}[name]
    rng, known, applied = Random(0), set(vocabulary()), 0
    for _ in range(300):
        sentence = sample_sentence(rng)
        before = words(sentence)
        edited = change(rng, sentence, edit)
        assert words(sentence) == before
        if edited:
            applied += 1
            assert words(edited) != before
            assert set(words(edited)) <= known
    assert applied >= 3


def test_a_retelling_at_rate_zero_is_the_sentence() -> None:
    rng = Random(0)
    for _ in range(50):
        sentence = sample_sentence(rng)
        assert words(retell(rng, sentence, rate=0.0)) == words(sentence)


def test_a_retelling_at_rate_one_uses_the_synonym_and_the_other_voice() -> None:
    told = retell(Random(0), MARY_HELPED_PAUL, rate=1.0)
    assert spell(words(told)) == "Paul is assisted by Mary."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roles", "Paul helps Mary."),
        ("negation", "Mary does not help Paul."),
        ("agreement", "Mary help Paul."),
        ("frame", "Mary helps."),
    ],
)
def test_named_edits(name: str, expected: str) -> None:
    edited = change(Random(0), MARY_HELPED_PAUL, {**FAULTS, **CONTRASTS}[name])
    assert edited is not None
    assert spell(words(edited)) == expected


def test_misorder_moves_one_word_by_one_place() -> None:
    tokens = ["the", "dog", "saw", "a", "cat", "."]
    moved = misorder(Random(0), tokens)
    assert moved != tokens
    assert Counter(moved) == Counter(tokens)
