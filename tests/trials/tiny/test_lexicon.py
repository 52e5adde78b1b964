"""The words of the artificial English."""

import pytest

from trials.tiny import lexicon

TABLES = (
    "NOUNS",
    "VERBS",
    "ADJECTIVES",
    "MANNERS",
    "FREQUENCIES",
    "TIMES",
    "PREPOSITIONS",
    "LINKS",
)


@pytest.mark.parametrize("name", TABLES)
def test_synonyms_and_antonyms_are_mutual(name: str) -> None:
    table: dict[str, lexicon.Word] = getattr(lexicon, name)
    for lemma, word in table.items():
        for other in word.synonyms:
            assert lemma in table[other].synonyms
            assert table[other].subjects == word.subjects
        for other in word.antonyms:
            assert lemma in table[other].antonyms


@pytest.mark.parametrize(
    ("table", "lemma", "forms"),
    [
        ("NOUNS", "child", ("child", "children")),
        ("NOUNS", "lorry", ("lorry", "lorries")),
        ("NOUNS", "key", ("key", "keys")),
        ("VERBS", "carry", ("carry", "carries", "carried", "carried")),
        ("VERBS", "buy", ("buy", "buys", "bought", "bought")),
        ("VERBS", "write", ("write", "writes", "wrote", "written")),
    ],
)
def test_inflections(table: str, lemma: str, forms: tuple[str, ...]) -> None:
    assert getattr(lexicon, table)[lemma].forms == forms


def test_verbs_take_kinds_that_exist() -> None:
    kinds = {word.subjects[0] for word in lexicon.NOUNS.values()}
    for verb in lexicon.VERBS.values():
        assert {*verb.subjects, *verb.objects, *verb.recipients} <= kinds | {"clause"}


def test_the_vocabulary_is_sorted_and_has_no_double() -> None:
    words = lexicon.vocabulary()
    assert list(words) == sorted(set(words))
    assert 600 < len(words) < 1000


def test_a_word_is_confused_with_words_of_the_language_but_not_with_itself() -> None:
    known = set(lexicon.vocabulary())
    for word, others in lexicon.confusions().items():
        assert word not in others
        assert {word, *others} <= known
    assert "dogs" in lexicon.confusions()["dog"]
