"""An artificial English: meanings as trees, a sampler of trees, and their spelling as sentences.

Verbs agree with the head of their subject, however far away it stands; determiners agree with
their noun, pronouns with the subject of the main clause, time adverbs with the tense; verbs and
adjectives choose the kinds of noun they go with. All randomness comes from the caller's generator.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from trials.tiny.lexicon import (
    ADJECTIVES,
    FREQUENCIES,
    LINKS,
    MANNERS,
    MEN,
    NOUNS,
    PLURAL_DETERMINERS,
    PREPOSITIONS,
    PRONOUNS,
    SINGULAR_DETERMINERS,
    TIMES,
    VERBS,
    WOMEN,
    Word,
)

TENSES = ("present", "present", "past", "future", "perfect")
NAMES = frozenset(MEN + WOMEN)


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A noun phrase: a noun, a name, or a pronoun (then `head` is its subject form).

    Attributes:
        modifier: a preposition and what follows it.
        relative: a relative clause.
        reflexive: spell the pronoun as himself, herself and so on.
    """

    head: str
    plural: bool = False
    determiner: str = ""
    adjectives: tuple[str, ...] = ()
    modifier: "tuple[str, Phrase] | None" = None
    relative: "Relative | None" = None
    reflexive: bool = False


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A relative clause; its head is the verb's subject, or with `gap` "object" its object.

    Attributes:
        other: the verb's other argument.
        mismatched: break the agreement of the verb.
    """

    relativiser: str
    verb: str
    gap: str
    tense: str
    other: Phrase | None = None
    mismatched: bool = False


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A clause; with the verb "be" it says that the subject has the adjective `state`.

    Attributes:
        link: what joins it to the clause before: a conjunction, or "that".
        dative: spell the recipient before the object.
        fronted: spell time and place at the start.
        mismatched: break the agreement of the verb.
        misformed: give an auxiliary the wrong form of the verb.
    """

    subject: Phrase
    verb: str
    tense: str
    object: Phrase | None = None
    recipient: Phrase | None = None
    state: str = ""
    negated: bool = False
    manner: str = ""
    frequency: str = ""
    time: str = ""
    place: tuple[str, Phrase] | None = None
    link: str = ""
    passive: bool = False
    dative: bool = False
    fronted: bool = False
    mismatched: bool = False
    misformed: bool = False


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One clause or two; `fronted` spells the second first."""

    first: Clause
    second: Clause | None = None
    fronted: bool = False


# ---------------------------------------------------------------- sampling


def kind_of(phrase: Phrase) -> str:
    """The kind of thing a phrase speaks of."""
    if phrase.head in PRONOUNS or phrase.head in NAMES:
        return "person"
    return NOUNS[phrase.head].subjects[0]


def pronoun_for(phrase: Phrase) -> str | None:
    """The pronoun that agrees with a phrase, None where the language leaves it open."""
    if phrase.plural:
        return "they"
    if phrase.head in NAMES:
        return "he" if phrase.head in MEN else "she"
    gender = NOUNS[phrase.head].gender if phrase.head in NOUNS else ""
    return {"man": "he", "woman": "she", "thing": "it"}.get(gender)


def describing(table: dict[str, Word], kind: str) -> tuple[str, ...]:
    """The lemmas of a table that go with a kind of noun, as its subjects."""
    return tuple(lemma for lemma, word in table.items() if kind in word.subjects)


def nouns_of(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The nouns of some kinds."""
    return tuple(lemma for lemma, word in NOUNS.items() if word.subjects[0] in kinds)


def sample_phrase(rng: Random, kinds: tuple[str, ...], *, depth: int = 1) -> Phrase:
    """A noun phrase of one of the kinds; `depth` bounds modifiers inside modifiers."""
    kind = rng.choice(kinds)
    if kind == "person" and rng.random() < 0.25:
        return Phrase(head=rng.choice(MEN + WOMEN))
    head = rng.choice(nouns_of((kind,)))
    plural = rng.random() < 0.45
    usual = rng.random() < 0.5
    determiners = PLURAL_DETERMINERS if plural else SINGULAR_DETERMINERS
    modifier, relative, draw = None, None, rng.random()
    if depth and draw < 0.3:
        modifier = (rng.choice(tuple(PREPOSITIONS)), sample_phrase(rng, _PLACES, depth=0))
    elif depth and draw < 0.6:
        relative = _sample_relative(rng, kind)
    has_adjective = rng.random() < (0.3 if depth else 0.15)
    return Phrase(
        head=head,
        plural=plural,
        determiner="the" if usual else rng.choice(determiners),
        adjectives=(rng.choice(describing(ADJECTIVES, kind)),) if has_adjective else (),
        modifier=modifier,
        relative=relative,
    )


_PLACES = ("place", "place", "furniture", "vehicle")


def _sample_relative(rng: Random, kind: str) -> Relative | None:
    who = "who" if kind == "person" else "which"
    relativiser = who if rng.random() < 0.6 else "that"
    tense = rng.choice(("present", "present", "past", "perfect"))
    if rng.random() < 0.5:
        verbs = [v for v in describing(VERBS, kind) if "clause" not in VERBS[v].objects]
        verbs = [verb for verb in verbs if not VERBS[verb].recipients]
        if verbs:
            verb = rng.choice(verbs)
            objects = VERBS[verb].objects
            other = sample_phrase(rng, objects, depth=0) if objects else None
            return Relative(
                relativiser=relativiser, verb=verb, gap="subject", tense=tense, other=other
            )
    verbs = [v for v, word in VERBS.items() if kind in word.objects and not word.recipients]
    verb = rng.choice(verbs)
    other = sample_phrase(rng, VERBS[verb].subjects, depth=0)
    return Relative(relativiser=relativiser, verb=verb, gap="object", tense=tense, other=other)


def sample_clause(rng: Random, *, tense: str, subject: Phrase | None = None) -> Clause:
    """A clause in a tense, about a given subject or a new one."""
    if subject is None:
        kind = rng.choice(("person", "person", "person", "animal", "vehicle"))
        subject = sample_phrase(rng, (kind,))
    kind = _kind_of_subject(rng, subject)
    time = rng.choice(describing(TIMES, tense)) if rng.random() < 0.3 else ""
    if tense != "perfect" and rng.random() < 0.15:
        state = rng.choice(describing(ADJECTIVES, kind))
        return Clause(
            subject=subject, verb="be", tense=tense, state=state, time=time,
            negated=rng.random() < 0.3, fronted=rng.random() < 0.4,
        )  # fmt: skip
    verbs = [v for v in describing(VERBS, kind) if "clause" not in VERBS[v].objects]
    verb = rng.choice(verbs)
    word = VERBS[verb]
    target = _sample_object(rng, subject, word)
    depth = rng.randrange(2) if target is None else 0
    return Clause(
        subject=subject, verb=verb, tense=tense, time=time, object=target,
        recipient=sample_phrase(rng, word.recipients, depth=0) if word.recipients else None,
        negated=rng.random() < 0.15,
        manner=rng.choice(tuple(MANNERS)) if rng.random() < 0.25 else "",
        frequency=rng.choice(tuple(FREQUENCIES)) if rng.random() < 0.2 and not time else "",
        place=_sample_place(rng, depth) if rng.random() < 0.2 else None,
        dative=bool(word.recipients) and rng.random() < 0.5,
        passive=_can_be_passive(target, word) and rng.random() < 0.25,
        fronted=rng.random() < 0.4,
    )  # fmt: skip


def _can_be_passive(target: Phrase | None, word: Word) -> bool:
    return target is not None and not target.reflexive and not word.recipients


def _sample_place(rng: Random, depth: int) -> tuple[str, Phrase]:
    return rng.choice(tuple(PREPOSITIONS)), sample_phrase(rng, _PLACES, depth=depth)


def _kind_of_subject(rng: Random, subject: Phrase) -> str:
    if subject.head == "it":
        return rng.choice(("animal", "vehicle"))
    return kind_of(subject)


def _sample_object(rng: Random, subject: Phrase, word: Word) -> Phrase | None:
    """An object; now and then a reflexive, or one with a possessive of the subject."""
    if not word.objects:
        return None
    pronoun = subject.head if subject.head in PRONOUNS else pronoun_for(subject)
    draw = rng.random()
    if pronoun and draw < 0.12 and kind_of(subject) in word.objects:
        return Phrase(head=pronoun, plural=pronoun == "they", reflexive=True)
    target = sample_phrase(rng, word.objects, depth=int(draw > 0.7))
    if pronoun and draw < 0.3 and target.head in NOUNS:
        target = Phrase(
            head=target.head, plural=target.plural, adjectives=target.adjectives,
            determiner=PRONOUNS[pronoun][2],
        )  # fmt: skip
    return target


def sample_sentence(rng: Random, *, max_words: int = 20) -> Sentence:
    """A sentence of at most `max_words` words, punctuation included."""
    while True:
        sentence = _sample_any_sentence(rng)
        if len(words(sentence)) <= max_words:
            return sentence


def _sample_any_sentence(rng: Random) -> Sentence:
    tense, draw = rng.choice(TENSES), rng.random()
    if draw < 0.12:
        verb = rng.choice([v for v, word in VERBS.items() if "clause" in word.objects])
        first = Clause(subject=sample_phrase(rng, ("person",)), verb=verb, tense=tense)
        pronoun = pronoun_for(first.subject)
        second = _sample_second(rng, pronoun, rng.choice(TENSES), "that")
        return Sentence(first=first, second=second)
    first = sample_clause(rng, tense=tense)
    if draw < 0.7:
        return Sentence(first=first)
    link = rng.choice((*LINKS, "and"))
    second = _sample_second(rng, pronoun_for(first.subject), tense, link)
    return Sentence(first=first, second=second, fronted=link != "and" and rng.random() < 0.4)


def _sample_second(rng: Random, pronoun: str | None, tense: str, link: str) -> Clause:
    subject = None
    if pronoun and pronoun != "it" and rng.random() < 0.6:
        subject = Phrase(head=pronoun, plural=pronoun == "they")
    clause = sample_clause(rng, tense=tense, subject=subject)
    return replace(clause, link=link, fronted=False)


# ---------------------------------------------------------------- spelling


def words(sentence: Sentence) -> list[str]:
    """The words of a sentence in order, lower case, punctuation as words."""
    first = list(_clause(sentence.first))
    if sentence.second is None:
        return [*first, "."]
    second = [sentence.second.link, *_clause(sentence.second)]
    return [*second, ",", *first, "."] if sentence.fronted else [*first, *second, "."]


def spell(tokens: list[str]) -> str:
    """Words as text: capitals at the start and in names, no blank before punctuation."""
    shown = [word.capitalize() if word in NAMES else word for word in tokens]
    text = " ".join(shown).replace(" .", ".").replace(" ,", ",")
    return text[:1].upper() + text[1:]


def _phrase(phrase: Phrase, case: int) -> Iterator[str]:
    """`case` 0 is the subject's form of a pronoun, 1 the object's."""
    if phrase.head in PRONOUNS:
        yield PRONOUNS[phrase.head][3 if phrase.reflexive else case]
        return
    noun = NOUNS[phrase.head].forms[phrase.plural] if phrase.head in NOUNS else phrase.head
    rest = [*phrase.adjectives, noun]
    if phrase.determiner:
        vowel = phrase.determiner == "a" and rest[0][0] in "aeiou"
        yield "an" if vowel else phrase.determiner
    yield from rest
    if phrase.modifier:
        yield phrase.modifier[0]
        yield from _phrase(phrase.modifier[1], 1)
    if phrase.relative:
        yield from _relative(phrase.relative, phrase.plural)


def _relative(relative: Relative, plural: bool) -> Iterator[str]:
    yield relative.relativiser
    other = relative.other
    if relative.gap == "object" and other:
        yield from _phrase(other, 0)
        plural = other.plural
    yield from _finite(relative.verb, relative.tense, plural ^ relative.mismatched)
    if relative.gap == "subject" and other:
        yield from _phrase(other, 1)


def _finite(verb: str, tense: str, plural: bool, *, negated: bool = False) -> list[str]:
    """The verb group of an active clause."""
    base, third, past, participle = VERBS[verb].forms
    if tense == "future":
        return ["will", *["not"] * negated, base]
    if tense == "perfect":
        return ["have" if plural else "has", *["not"] * negated, participle]
    if negated:
        return ["did" if tense == "past" else "do" if plural else "does", "not", base]
    return [past if tense == "past" else base if plural else third]


def _be(tense: str, plural: bool, *, negated: bool) -> list[str]:
    """The forms of "be"."""
    no = ["not"] * negated
    if tense == "future":
        return ["will", *no, "be"]
    if tense == "perfect":
        return ["have" if plural else "has", *no, "been"]
    return [("were" if plural else "was") if tense == "past" else "are" if plural else "is", *no]


def _verb_group(clause: Clause, plural: bool) -> list[str]:
    if clause.verb == "be":
        group = [*_be(clause.tense, plural, negated=clause.negated), clause.state]
    elif clause.passive:
        group = _be(clause.tense, plural, negated=clause.negated) + [VERBS[clause.verb].forms[3]]
    else:
        group = _finite(clause.verb, clause.tense, plural, negated=clause.negated)
    if clause.misformed and len(group) > 1 and clause.verb != "be":
        forms = VERBS[clause.verb].forms
        group[-1] = forms[1] if group[-1] == forms[0] or clause.passive else forms[0]
    place = 1 if len(group) > 1 else 0
    return [*group[:place], *[clause.frequency] * bool(clause.frequency), *group[place:]]


def _clause(clause: Clause) -> Iterator[str]:
    subject, target = clause.subject, clause.object
    if clause.passive and target:
        subject, target = target, None
    settings = [clause.time] if clause.time else []
    if clause.place:
        settings += [clause.place[0], *_phrase(clause.place[1], 1)]
    if clause.fronted and settings:
        yield from [*settings, ","]
    yield from _phrase(subject, 0)
    yield from _verb_group(clause, subject.plural ^ clause.mismatched)
    if clause.recipient and clause.dative:
        yield from _phrase(clause.recipient, 1)
    if target:
        yield from _phrase(target, 1)
    if clause.recipient and not clause.dative:
        yield from ["to", *_phrase(clause.recipient, 1)]
    if clause.passive:
        yield from ["by", *_phrase(clause.subject, 1)]
    yield from [clause.manner] * bool(clause.manner)
    if not clause.fronted:
        yield from settings
