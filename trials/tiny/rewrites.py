"""Edits of a meaning: retellings that keep it, contrasts that change it, faults that break it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

from trials.tiny.language import Clause, Phrase, Relative, Sentence, kind_of, nouns_of, words
from trials.tiny.lexicon import (
    ADJECTIVES,
    FREQUENCIES,
    LINKS,
    MANNERS,
    NOUNS,
    PLURAL_DETERMINERS,
    PREPOSITIONS,
    PRONOUNS,
    SINGULAR_DETERMINERS,
    TIMES,
    VERBS,
    Word,
)

PhraseEdit = Callable[[Phrase], Phrase | None]
ClauseEdit = Callable[[Clause], Clause | None]
SentenceEdit = Callable[[Random, Sentence], Sentence | None]
_POSSESSIVES = frozenset(forms[2] for forms in PRONOUNS.values())


# ---------------------------------------------------------------- walking a tree


def _map_phrase(phrase: Phrase, edit: Callable[[Phrase], Phrase]) -> Phrase:
    if phrase.modifier:
        inner = _map_phrase(phrase.modifier[1], edit)
        phrase = replace(phrase, modifier=(phrase.modifier[0], inner))
    if phrase.relative and phrase.relative.other:
        other = _map_phrase(phrase.relative.other, edit)
        phrase = replace(phrase, relative=replace(phrase.relative, other=other))
    return edit(phrase)


def _map_clause(clause: Clause, edit: Callable[[Phrase], Phrase]) -> Clause:
    def under(phrase: Phrase | None) -> Phrase | None:
        return _map_phrase(phrase, edit) if phrase else None

    place = (clause.place[0], _map_phrase(clause.place[1], edit)) if clause.place else None
    return replace(
        clause, subject=_map_phrase(clause.subject, edit), object=under(clause.object),
        recipient=under(clause.recipient), place=place,
    )  # fmt: skip


def _map_sentence(sentence: Sentence, edit: Callable[[Phrase], Phrase]) -> Sentence:
    second = _map_clause(sentence.second, edit) if sentence.second else None
    return replace(sentence, first=_map_clause(sentence.first, edit), second=second)


def edit_one_phrase(rng: Random, sentence: Sentence, edit: PhraseEdit) -> Sentence | None:
    """Apply an edit to one of the phrases that it accepts; None where it accepts none."""
    edits: list[Phrase] = []
    accepted: list[int] = []

    def survey(phrase: Phrase) -> Phrase:
        edited = edit(phrase)
        if edited is not None:
            accepted.append(len(edits))
        edits.append(phrase if edited is None else edited)
        return phrase

    _map_sentence(sentence, survey)
    if not accepted:
        return None
    chosen, counter = rng.choice(accepted), iter(range(len(edits)))
    return _map_sentence(sentence, lambda old: edits[chosen] if next(counter) == chosen else old)


def edit_one_clause(rng: Random, sentence: Sentence, edit: ClauseEdit) -> Sentence | None:
    """Apply an edit to the first or the second clause; None where it accepts neither."""
    first = edit(sentence.first)
    second = edit(sentence.second) if sentence.second else None
    options = [replace(sentence, first=first)] if first else []
    options += [replace(sentence, second=second)] if second else []
    return rng.choice(options) if options else None


# ---------------------------------------------------------------- retellings


def _synonym(rng: Random, table: dict[str, Word], lemma: str, rate: float) -> str:
    synonyms = table[lemma].synonyms if lemma in table else ()
    return rng.choice(synonyms) if synonyms and rng.random() < rate else lemma


def _retell_phrase(phrase: Phrase, *, rng: Random, rate: float) -> Phrase:
    relative, modifier = phrase.relative, phrase.modifier
    if relative:
        relative = replace(relative, verb=_synonym(rng, VERBS, relative.verb, rate))
    if modifier:
        modifier = (_synonym(rng, PREPOSITIONS, modifier[0], rate), modifier[1])
    return replace(
        phrase, head=_synonym(rng, NOUNS, phrase.head, rate), relative=relative, modifier=modifier,
        adjectives=tuple(_synonym(rng, ADJECTIVES, word, rate) for word in phrase.adjectives),
    )  # fmt: skip


def _retell_clause(rng: Random, clause: Clause, rate: float) -> Clause:
    voice = clause.object and not clause.object.reflexive and not clause.recipient
    place = clause.place
    if place:
        place = (_synonym(rng, PREPOSITIONS, place[0], rate), place[1])
    return replace(
        clause,
        verb=_synonym(rng, VERBS, clause.verb, rate),
        state=_synonym(rng, ADJECTIVES, clause.state, rate),
        manner=_synonym(rng, MANNERS, clause.manner, rate),
        frequency=_synonym(rng, FREQUENCIES, clause.frequency, rate),
        time=_synonym(rng, TIMES, clause.time, rate),
        link=_synonym(rng, LINKS, clause.link, rate),
        place=place,
        passive=clause.passive ^ (bool(voice) and rng.random() < rate),
        dative=clause.dative ^ (rng.random() < rate),
        fronted=clause.fronted ^ (not clause.link and rng.random() < rate),
    )


def retell(rng: Random, sentence: Sentence, *, rate: float = 0.5) -> Sentence:
    """The same meaning in other words: synonyms, voice, order of clauses and settings.

    Args:
        rng: the generator.
        sentence: what to retell.
        rate: the probability of each possible change.
    """
    told = _map_sentence(sentence, partial(_retell_phrase, rng=rng, rate=rate))
    first = _retell_clause(rng, told.first, rate)
    if told.second is None:
        return Sentence(first=first)
    second = _retell_clause(rng, told.second, rate)
    movable = second.link not in {"and", "that"} and rng.random() < rate
    told = Sentence(first=first, second=second, fronted=told.fronted ^ movable)
    inverted = _swap_clauses(rng, told) if rng.random() < rate else None
    if inverted and inverted.second and second.link in {"before", "after"}:
        link = "after" if second.link == "before" else "before"
        return replace(inverted, second=replace(inverted.second, link=link))
    return told


# ---------------------------------------------------------------- contrasts


def _swap_clauses(rng: Random, sentence: Sentence) -> Sentence | None:
    """The second event first: another meaning, unless before and after change places too."""
    first, second = sentence.first, sentence.second
    if not second or second.link not in {"before", "after"} or second.subject.head in PRONOUNS:
        return None
    return replace(
        sentence, first=replace(second, link=""), second=replace(first, link=second.link),
    )  # fmt: skip


def _swap_roles(rng: Random, sentence: Sentence) -> Sentence | None:
    if sentence.second and sentence.second.subject.head in PRONOUNS:
        return None

    def edit(clause: Clause) -> Clause | None:
        agent, target = clause.subject, clause.recipient or clause.object
        if target is None or not _can_swap(agent, target, clause.verb, bool(clause.recipient)):
            return None
        if clause.recipient:
            return replace(clause, subject=target, recipient=agent)
        return replace(clause, subject=target, object=agent)

    return edit_one_clause(rng, sentence, edit)


def _can_swap(agent: Phrase, target: Phrase, verb: str, gives: bool) -> bool:
    if PRONOUNS.keys() & {agent.head, target.head} or target.determiner in _POSSESSIVES:
        return False
    word = VERBS[verb]
    objects = word.recipients if gives else word.objects
    return kind_of(target) in word.subjects and kind_of(agent) in objects


def _swap_gap(rng: Random, sentence: Sentence) -> Sentence | None:
    """`who chased the dog` against `who the dog chased`."""

    def edit(phrase: Phrase) -> Phrase | None:
        relative = phrase.relative
        if not relative or not relative.other:
            return None
        if not _can_swap(phrase, relative.other, relative.verb, False):
            return None
        if not _can_swap(relative.other, phrase, relative.verb, False):
            return None
        gap = "object" if relative.gap == "subject" else "subject"
        return replace(phrase, relative=replace(relative, gap=gap))

    return edit_one_phrase(rng, sentence, edit)


def _antonym(rng: Random, table: dict[str, Word], lemma: str) -> str | None:
    antonyms = table[lemma].antonyms if lemma in table else ()
    return rng.choice(antonyms) if antonyms else None


def _oppose_clause(rng: Random, sentence: Sentence) -> Sentence | None:
    def edit(clause: Clause) -> Clause | None:
        options = [
            replace(clause, **{field: word})  # type: ignore[arg-type]
            for field, table in _CLAUSE_WORDS.items()
            if (word := _antonym(rng, table, getattr(clause, field)))
        ]
        return rng.choice(options) if options else None

    return edit_one_clause(rng, sentence, edit)


_CLAUSE_WORDS = {
    "verb": VERBS, "state": ADJECTIVES, "manner": MANNERS, "frequency": FREQUENCIES, "link": LINKS,
}  # fmt: skip


def _oppose_phrase(rng: Random, sentence: Sentence) -> Sentence | None:
    def edit(phrase: Phrase) -> Phrase | None:
        if phrase.adjectives and (word := _antonym(rng, ADJECTIVES, phrase.adjectives[0])):
            return replace(phrase, adjectives=(word,))
        if phrase.modifier and (word := _antonym(rng, PREPOSITIONS, phrase.modifier[0])):
            return replace(phrase, modifier=(word, phrase.modifier[1]))
        relative = phrase.relative
        if relative and (word := _antonym(rng, VERBS, relative.verb)):
            return replace(phrase, relative=replace(relative, verb=word))
        return None

    return edit_one_phrase(rng, sentence, edit)


def _negate(rng: Random, sentence: Sentence) -> Sentence | None:
    return edit_one_clause(rng, sentence, lambda c: replace(c, negated=not c.negated))


def _other_noun(rng: Random, sentence: Sentence) -> Sentence | None:
    """Another noun of the same kind and gender."""

    def edit(phrase: Phrase) -> Phrase | None:
        word = NOUNS.get(phrase.head)
        if word is None:
            return None
        others = [
            noun for noun in nouns_of(word.subjects)
            if NOUNS[noun].gender == word.gender and noun not in {phrase.head, *word.synonyms}
        ]  # fmt: skip
        return replace(phrase, head=rng.choice(others))

    return edit_one_phrase(rng, sentence, edit)


CONTRASTS: dict[str, SentenceEdit] = {
    "roles": _swap_roles,
    "gap": _swap_gap,
    "order": _swap_clauses,
    "antonym": _oppose_clause,
    "opposite_phrase": _oppose_phrase,
    "negation": _negate,
    "noun": _other_noun,
}


# ---------------------------------------------------------------- faults


def _break_agreement(rng: Random, sentence: Sentence) -> Sentence | None:
    def edit(clause: Clause) -> Clause | None:
        return replace(clause, mismatched=True)

    return edit_one_clause(rng, sentence, edit)


def _break_relative(rng: Random, sentence: Sentence) -> Sentence | None:
    return _edit_relative(rng, sentence, lambda r: replace(r, mismatched=True))


def _break_relativiser(rng: Random, sentence: Sentence) -> Sentence | None:
    swapped = {"who": "which", "which": "who", "that": "that"}
    return _edit_relative(
        rng, sentence, lambda r: replace(r, relativiser=swapped[r.relativiser])
    )  # fmt: skip


def _edit_relative(
    rng: Random, sentence: Sentence, edit: Callable[[Relative], Relative]
) -> Sentence | None:
    return edit_one_phrase(
        rng, sentence, lambda p: replace(p, relative=edit(p.relative)) if p.relative else None
    )


def _break_determiner(rng: Random, sentence: Sentence) -> Sentence | None:
    def edit(phrase: Phrase) -> Phrase | None:
        if phrase.determiner in {"", "the"} | _POSSESSIVES:
            return None
        if phrase.plural:
            return replace(phrase, determiner=rng.choice(("a", "this", "that", "every", "each")))
        return replace(phrase, determiner=rng.choice(("these", "those", "many", "several", "two")))

    return edit_one_phrase(rng, sentence, edit)


def _break_pronoun(rng: Random, sentence: Sentence) -> Sentence | None:
    """A pronoun, reflexive or possessive that disagrees with the subject it stands for."""

    def edit(phrase: Phrase) -> Phrase | None:
        if phrase.head in PRONOUNS:
            head = rng.choice([word for word in PRONOUNS if word not in {phrase.head, "it"}])
            return replace(phrase, head=head, plural=head == "they")
        if phrase.determiner in _POSSESSIVES:
            others = sorted(_POSSESSIVES - {phrase.determiner, "its"})
            return replace(phrase, determiner=rng.choice(others))
        return None

    return edit_one_phrase(rng, sentence, edit)


def _break_selection(rng: Random, sentence: Sentence) -> Sentence | None:
    """An object of a kind that the verb does not take."""

    def edit(clause: Clause) -> Clause | None:
        target = clause.object
        if target is None or target.head not in NOUNS:
            return None
        kinds = {word.subjects[0] for word in NOUNS.values()} - {*VERBS[clause.verb].objects}
        noun = rng.choice(nouns_of(tuple(sorted(kinds))))
        return replace(clause, object=replace(target, head=noun, adjectives=(), relative=None))

    return edit_one_clause(rng, sentence, edit)


def _break_frame(rng: Random, sentence: Sentence) -> Sentence | None:
    """A transitive verb without its object, or an intransitive one with an object."""
    target = Phrase(head=rng.choice(tuple(NOUNS)), determiner="the")

    def edit(clause: Clause) -> Clause | None:
        if clause.verb == "be" or clause.recipient or "clause" in VERBS[clause.verb].objects:
            return None
        return replace(clause, object=None if clause.object else target, passive=False)

    return edit_one_clause(rng, sentence, edit)


def _break_tense(rng: Random, sentence: Sentence) -> Sentence | None:
    """A time adverb against the tense."""

    def edit(clause: Clause) -> Clause | None:
        if not clause.time:
            return None
        wrong = "past" if clause.tense == "future" else "future"
        times = [time for time, word in TIMES.items() if wrong in word.subjects]
        return replace(clause, time=rng.choice(times))

    return edit_one_clause(rng, sentence, edit)


def _break_form(rng: Random, sentence: Sentence) -> Sentence | None:
    return edit_one_clause(rng, sentence, lambda c: replace(c, misformed=True))


FAULTS: dict[str, SentenceEdit] = {
    "agreement": _break_agreement,
    "relative": _break_relative,
    "relativiser": _break_relativiser,
    "determiner": _break_determiner,
    "pronoun": _break_pronoun,
    "selection": _break_selection,
    "frame": _break_frame,
    "tense": _break_tense,
    "form": _break_form,
}


def change(rng: Random, sentence: Sentence, edit: SentenceEdit) -> Sentence | None:
    """Apply an edit; None where it does not apply or leaves the words as they were."""
    edited = edit(rng, sentence)
    return edited if edited and words(edited) != words(sentence) else None


def misorder(rng: Random, tokens: list[str]) -> list[str]:
    """Move one determiner, preposition or relativiser behind the word after it."""
    openers = {*SINGULAR_DETERMINERS, *PLURAL_DETERMINERS, *PREPOSITIONS, "who", "which", "an"}
    places = [i for i, word in enumerate(tokens[:-2]) if word in openers]
    if not places:
        return tokens
    i = rng.choice(places)
    return [*tokens[:i], tokens[i + 1], tokens[i], *tokens[i + 2 :]]
