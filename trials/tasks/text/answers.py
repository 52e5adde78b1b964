"""Short answers: exact match, F1 of words, and the answer within a longer text.

For the answers to questions over a passage see `squad.py`, whose normalisation is another.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Literal

from trials.errors import Problem, UserError
from trials.tasks.text.pairs import References, Texts, check
from trials.tasks.text.words import runs


def exact_match(predictions: Texts, references: References) -> float:
    """Share of texts that equal one of their references, in [0, 1].

    Blanks at the ends, the kind and number of blanks within, and the way that Unicode composes
    a character do not count; case and punctuation do, so that -3.5 is not 35.

    Args:
        predictions: (texts,).
        references: (texts, any number); a text without any is right only if it is empty.
    """
    return fmean(exact_match_by_text(predictions, references))


def exact_match_by_text(predictions: Texts, references: References) -> list[float]:
    """As `exact_match`, of each text, 1 or 0."""
    return best_of(lambda said, text: float(_plain(said) == _plain(text)), predictions, references)


def token_f1(predictions: Texts, references: References) -> float:
    """Mean F1 of the words of each text and of the reference that suits it best, in [0, 1].

    Words: `words.runs`. Two texts without words agree.

    Args:
        predictions: (texts,).
        references: (texts, any number); a text without any is right only if it has no words.
    """
    return fmean(token_f1_by_text(predictions, references))


def token_f1_by_text(predictions: Texts, references: References) -> list[float]:
    """As `token_f1`, of each text."""
    return best_of(lambda said, text: bag_f1(runs(said), runs(text)), predictions, references)


def extract(texts: Texts, pattern: str, *, which: Literal["first", "last"] = "first") -> list[str]:
    """The answer within each text: what a pattern finds there.

    Args:
        texts: (texts,) as generated.
        pattern: a regular expression of Python. Its group called `answer` is the answer, else its
            first group that took part, else all that it matches. Empty answers are passed over.
        which: the match to take.

    Returns:
        (texts,) the answers without blanks at their ends; `""` where nothing is found.

    Raises:
        UserError: the pattern is none.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        message = f"{pattern!r} is no regular expression: {error}"
        raise UserError(Problem(message, key="extract")) from None
    place = 0 if which == "first" else -1
    answers = ([_answer(match) for match in compiled.finditer(text)] for text in texts)
    return [([*filter(None, found)] or [""])[place] for found in answers]


def bag_f1(said: Sequence[str], reference: Sequence[str], *, of_nothing: float = 1.0) -> float:
    """F1 of two bags of words.

    Args:
        said, reference: the words, in any order.
        of_nothing: what two empty bags score.
    """
    if not said and not reference:
        return of_nothing
    return 2 * (Counter(said) & Counter(reference)).total() / (len(said) + len(reference))


def best_of(
    score: Callable[[str, str], float], predictions: Texts, references: References
) -> list[float]:
    """The score of each text against the reference that suits it best.

    Args:
        score: of a prediction and a reference.
        predictions: (texts,).
        references: (texts, any number); none stands for an empty one.
    """
    check(predictions, references)
    return [
        max(score(said, text) for text in texts or ("",))
        for said, texts in zip(predictions, references, strict=True)
    ]


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _answer(match: re.Match[str]) -> str:
    """What the pattern took for the answer, which may be nothing."""
    if "answer" in match.re.groupindex:
        found = match["answer"]
    elif match.re.groups:
        found = next((group for group in match.groups() if group is not None), "")
    else:
        found = match[0]
    return (found or "").strip()
