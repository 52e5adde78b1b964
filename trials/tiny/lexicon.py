"""The words of the artificial English: kinds, inflections, synonyms and antonyms.

A table row is `kinds: group group ...`. A group is `a/b<>c/d`: a and b are synonyms, c and d are
synonyms, and the two sides are antonyms. A verb's kinds are `subjects > objects`; no objects means
intransitive, `clause` a that-clause, and `objects > recipients` a verb of giving.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_NOUNS = """
person: doctor/physician lawyer/attorney teacher/instructor student/pupil writer/author cook/chef
person: child/kid thief/robber boss/manager tourist/traveller farmer judge nurse painter guard baker
man: king uncle prince actor waiter man boy/lad father/dad
woman: queen aunt princess actress waitress woman girl/lass mother/mum
animal: rabbit/bunny dog/hound pig/hog snake/serpent cat horse wolf bear fox mouse goose bird
food: biscuit/cookie cake apple pie carrot sandwich egg potato
tool: rope/cord lamp/lantern cup/mug bucket/pail present/gift stone/rock bag/sack hammer knife key
vehicle: car/automobile bicycle/bike truck/lorry boat train wagon/cart
text: story/tale book letter poem map report
place: shop/store road/street harbour/port field/meadow castle/fortress garden school market tower
furniture: sofa/couch table bed door window shelf
clothing: coat/jacket hat/cap dress/gown shirt shoe scarf
"""

_VERBS = """
person > person animal: help/assist praise/commend<>criticise/condemn love/adore<>hate/detest
person > person animal: follow/pursue greet/welcome trust visit<>avoid admire<>despise
person animal > person animal: see/notice chase frighten/scare<>calm/soothe watch/observe hear
animal > person animal: bite lick
person animal > food: eat/devour smell
person > food: bake taste cook
person > tool text clothing vehicle: buy/purchase<>sell lose/misplace<>find/discover
person > tool text clothing: hide/conceal<>reveal carry drop<>lift steal
person > tool vehicle furniture: break/smash<>fix/repair clean/wash
person > text: read write/compose study
person > vehicle: drive/steer park
person > clothing: wear fold sew/stitch
person > furniture place: build/construct<>destroy/demolish paint
person animal > place: enter<>leave guard/protect
person > clause: think/believe<>doubt know say/state<>deny
person > food tool text clothing > person: give send lend offer show
person animal: arrive<>depart/withdraw sleep/doze<>wake run/dash fall/tumble<>rise wait swim
person: laugh/giggle<>weep/cry smile<>frown sing dance
animal: growl
vehicle: stop/halt<>start crash
"""

_ADJECTIVES = """
person animal: quick/fast<>slow strong<>weak angry/furious hungry quiet/silent<>loud/noisy
person: kind<>cruel clever/smart<>foolish/stupid happy/glad<>sad/unhappy rich/wealthy<>poor
person: brave/bold<>timid/fearful polite/courteous<>rude lazy<>busy young
food: fresh<>stale sweet<>sour delicious/tasty<>disgusting
tool vehicle clothing furniture: heavy<>light expensive/costly<>cheap clean<>dirty/filthy
tool vehicle clothing furniture: red blue green yellow black white
text: long/lengthy<>short/brief boring/dull<>interesting famous
place: dark<>bright safe/secure<>dangerous/risky wide/broad<>narrow
animal food tool vehicle clothing furniture place: big/large<>small/little
tool vehicle clothing furniture place text person: old<>new beautiful/pretty<>ugly
"""

_MANNERS = """
action: quickly/rapidly<>slowly carefully/cautiously<>carelessly quietly/silently<>loudly/noisily
action: happily/gladly<>sadly secretly<>openly gently/softly<>roughly
"""
_FREQUENCIES = "habit: often/frequently<>rarely/seldom always/constantly sometimes/occasionally"
_TIMES = """
past: yesterday formerly/previously
future: tomorrow soon/shortly
present: today/nowadays
perfect: recently/lately already
"""
_PREPOSITIONS = "place: near/beside behind inside/within<>outside above/over<>below/under"
_LINKS = "clause: because/since although/though while before<>after"

MEN = ("john", "peter", "paul", "adam", "henry", "oscar", "simon", "victor")
WOMEN = ("mary", "anna", "emma", "julia", "laura", "nina", "rosa", "clara")

_PLURALS = {
    "child": "children", "thief": "thieves", "man": "men", "woman": "women", "wolf": "wolves",
    "fox": "foxes", "mouse": "mice", "goose": "geese", "potato": "potatoes", "knife": "knives",
    "shelf": "shelves", "scarf": "scarves", "boss": "bosses",
}  # fmt: skip
_PASTS = """see saw seen, hear heard heard, bite bit bitten, eat ate eaten, buy bought bought,
sell sold sold, lose lost lost, find found found, hide hid hidden, steal stole stolen,
break broke broken, read read read, write wrote written, drive drove driven, wear wore worn,
sew sewed sewn, build built built, leave left left, think thought thought, know knew known,
say said said, give gave given, send sent sent, lend lent lent, show showed shown,
sleep slept slept, wake woke woken, run ran run, fall fell fallen, rise rose risen,
withdraw withdrew withdrawn, swim swam swum, weep wept wept, sing sang sung,
drop dropped dropped, stop stopped stopped"""


@dataclass(frozen=True, kw_only=True)
class Word:
    """One dictionary entry.

    Attributes:
        lemma: the dictionary form.
        forms: a noun's (singular, plural); a verb's (base, third person, past, participle).
        subjects: kinds of noun that a verb takes as subject, or that a word is or describes.
        objects: kinds a verb takes as object; empty when intransitive.
        recipients: kinds a verb of giving gives to.
        gender: `man`, `woman`, `thing`, or empty where unknown.
        synonyms, antonyms: lemmas of the same part of speech.
    """

    lemma: str
    forms: tuple[str, ...]
    subjects: tuple[str, ...]
    objects: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    gender: str = ""
    synonyms: tuple[str, ...] = ()
    antonyms: tuple[str, ...] = ()


def _with_s(word: str) -> str:
    if word.endswith(("s", "sh", "ch", "x")):
        return word + "es"
    return word[:-1] + "ies" if word[-1] == "y" and word[-2] not in "aeou" else word + "s"


def _with_ed(word: str) -> str:
    if word.endswith("e"):
        return word + "d"
    return word[:-1] + "ied" if word[-1] == "y" and word[-2] not in "aeou" else word + "ed"


def _groups(table: str) -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    for row in table.strip().splitlines():
        kinds, groups = row.split(": ")
        for group in groups.split():
            sides = [tuple(side.split("/")) for side in group.split("<>")]
            for side, other in zip(sides, [*sides[1:], *sides[:1]], strict=True):
                for lemma in side:
                    synonyms = tuple(word for word in side if word != lemma)
                    yield kinds, lemma, synonyms, other if len(sides) == 2 else ()


def _noun(kind: str, lemma: str, synonyms: tuple[str, ...], antonyms: tuple[str, ...]) -> Word:
    gender = {"man": "man", "woman": "woman", "person": ""}.get(kind, "thing")
    return Word(
        lemma=lemma, forms=(lemma, _PLURALS.get(lemma) or _with_s(lemma)), gender=gender,
        subjects=("person" if gender in {"man", "woman"} else kind,),
        synonyms=synonyms, antonyms=antonyms,
    )  # fmt: skip


def _verb(kinds: str, lemma: str, synonyms: tuple[str, ...], antonyms: tuple[str, ...]) -> Word:
    pasts = {row.split()[0]: tuple(row.split()[1:]) for row in _PASTS.split(",")}
    roles = [tuple(role.split()) for role in kinds.split(">")] + [(), ()]
    past = pasts.get(lemma, (_with_ed(lemma),) * 2)
    return Word(
        lemma=lemma, forms=(lemma, _with_s(lemma), *past), synonyms=synonyms, antonyms=antonyms,
        subjects=roles[0], objects=roles[1], recipients=roles[2],
    )  # fmt: skip


def _plain(table: str) -> dict[str, Word]:
    return {
        lemma: Word(
            lemma=lemma, forms=(lemma,), subjects=tuple(kinds.split()),
            synonyms=synonyms, antonyms=antonyms,
        )
        for kinds, lemma, synonyms, antonyms in _groups(table)
    }  # fmt: skip


NOUNS = {row[1]: _noun(*row) for row in _groups(_NOUNS)}
VERBS = {row[1]: _verb(*row) for row in _groups(_VERBS)}
ADJECTIVES = _plain(_ADJECTIVES)
MANNERS = _plain(_MANNERS)
FREQUENCIES = _plain(_FREQUENCIES)
TIMES = _plain(_TIMES)
PREPOSITIONS = _plain(_PREPOSITIONS)
LINKS = _plain(_LINKS)

SINGULAR_DETERMINERS = ("the", "a", "this", "that", "every", "each", "no")
PLURAL_DETERMINERS = ("the", "these", "those", "many", "some", "several", "two", "most", "few")
PRONOUNS = {
    "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "her", "herself"),
    "it": ("it", "it", "its", "itself"),
    "they": ("they", "them", "their", "themselves"),
}
_FUNCTION_WORDS = (
    "a", "an", "by", "to", "with", "who", "that", "which", "not", "do", "does", "did", "will",
    "has", "have", "is", "are", "was", "were", "be", "been", "and", ".", ",",
)  # fmt: skip


def confusions() -> dict[str, tuple[str, ...]]:
    """The words that a word may be mistaken for: other inflections, other function words."""
    sets = [word.forms for table in (NOUNS, VERBS) for word in table.values()]
    sets += [*zip(*PRONOUNS.values(), strict=True), *_CONFUSED]
    sets.append(SINGULAR_DETERMINERS[1:] + PLURAL_DETERMINERS[1:])
    found: dict[str, set[str]] = {}
    for confused in sets:
        for word in confused:
            found.setdefault(word, set()).update({*confused} - {word})
    return {word: tuple(sorted(others)) for word, others in found.items() if others}


_CONFUSED = (
    ("is", "are"), ("was", "were"), ("has", "have"), ("do", "does"), ("did", "will", "has"),
    ("who", "which"), tuple(TIMES),
)  # fmt: skip


def alternatives() -> dict[str, tuple[str, ...]]:
    """The words that fit where a word stands and mean something else, its antonyms included."""
    found: dict[str, tuple[str, ...]] = {}
    for table in (FREQUENCIES, MANNERS, PREPOSITIONS, ADJECTIVES, NOUNS, VERBS):
        for word in table.values():
            others = [
                other for other in table.values()
                if (other.subjects, other.objects, other.recipients, other.gender)
                == (word.subjects, word.objects, word.recipients, word.gender)
                and other.lemma not in {word.lemma, *word.synonyms}
            ]  # fmt: skip
            for place, form in enumerate(word.forms):
                found[form] = tuple(other.forms[place] for other in others)
    return {form: others for form, others in found.items() if others}


def vocabulary() -> tuple[str, ...]:
    """Every word form of the language, sorted."""
    tables = (
        NOUNS, VERBS, ADJECTIVES, MANNERS, FREQUENCIES, TIMES, PREPOSITIONS, LINKS,
    )  # fmt: skip
    words = {form for table in tables for word in table.values() for form in word.forms}
    words |= {*MEN, *WOMEN, *SINGULAR_DETERMINERS, *PLURAL_DETERMINERS, *_FUNCTION_WORDS}
    words |= {form for forms in PRONOUNS.values() for form in forms}
    return tuple(sorted(words))
