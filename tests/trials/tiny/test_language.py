"""Sampling and spelling of the artificial English."""

from dataclasses import replace
from random import Random

import pytest

from trials.tiny.language import Clause, Phrase, Relative, Sentence, sample_sentence, spell, words
from trials.tiny.lexicon import vocabulary

DOGS = Phrase(head="dog", plural=True, determiner="the")
CAT = Phrase(head="cat", determiner="a")


def text(clause: Clause) -> str:
    return spell(words(Sentence(first=clause)))


def test_a_seed_gives_the_same_sentences() -> None:
    first, second = Random(3), Random(3)
    assert [sample_sentence(first) for _ in range(50)] == [
        sample_sentence(second) for _ in range(50)
    ]


def test_sentences_keep_to_the_vocabulary_and_to_their_length() -> None:
    rng, known = Random(0), set(vocabulary())
    for _ in range(500):
        tokens = words(sample_sentence(rng, max_words=15))
        assert set(tokens) <= known
        assert len(tokens) <= 15


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tense": "present"}, "The dogs chase a cat."),
        ({"tense": "present", "mismatched": True}, "The dogs chases a cat."),
        ({"tense": "present", "negated": True}, "The dogs do not chase a cat."),
        ({"tense": "past"}, "The dogs chased a cat."),
        ({"tense": "future"}, "The dogs will chase a cat."),
        ({"tense": "perfect", "frequency": "often"}, "The dogs have often chased a cat."),
        ({"tense": "past", "passive": True}, "A cat was chased by the dogs."),
        ({"tense": "past", "time": "yesterday", "fronted": True},
         "Yesterday, the dogs chased a cat."),
        ({"tense": "future", "misformed": True}, "The dogs will chases a cat."),
    ],
)  # fmt: skip
def test_verbs_agree_in_tense_number_and_voice(changes: dict[str, object], expected: str) -> None:
    clause = Clause(subject=DOGS, verb="chase", tense="present", object=CAT)
    assert text(replace(clause, **changes)) == expected  # type: ignore[arg-type]


def test_a_verb_agrees_with_the_head_across_a_relative_clause() -> None:
    relative = Relative(relativiser="which", verb="see", gap="object", tense="present", other=CAT)
    clause = Clause(subject=replace(DOGS, relative=relative), verb="sleep", tense="present")
    assert text(clause) == "The dogs which a cat sees sleep."


def test_pronouns_have_case_and_reflexives() -> None:
    she = Phrase(head="she")
    herself = Phrase(head="she", reflexive=True)
    assert text(Clause(subject=she, verb="see", tense="past", object=herself)) == "She saw herself."
    passive = Clause(subject=she, verb="see", tense="past", object=CAT, passive=True)
    assert text(passive) == "A cat was seen by her."


def test_givers_have_two_word_orders() -> None:
    clause = Clause(
        subject=Phrase(head="mary"), verb="give", tense="past",
        object=Phrase(head="egg", determiner="a"), recipient=Phrase(head="paul"),
    )  # fmt: skip
    assert text(clause) == "Mary gave an egg to Paul."
    assert text(replace(clause, dative=True)) == "Mary gave Paul an egg."
