"""Texts as words, for the metrics that bring no tokeniser of their own.

`runs`: lower-cased runs of letters and digits. On English as `rouge-score` splits it, which would
drop every other script.
`words`: after the Penn Treebank as the COCO captions scorer applies it (lower case, `don't` as
`do n't`, no punctuation), by rules of our own in place of Stanford's. It keeps hyphens, full stops
and slashes within a word.

In both a combining mark belongs to its letter, and Han characters and kana, which are written
without spaces, count one by one. Other scripts without spaces, such as Thai, count by the run.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

_ONE_BY_ONE = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))$|(?<=^can)(not)$")
_KEPT = "£$€¥%&#@+=*°"
"""Signs that are words of their own; all others are dropped."""


def runs(text: str) -> list[str]:
    """The lower-cased runs of letters and digits of a text."""
    return _patterns()[0].findall(text.lower())


def words(text: str) -> list[str]:
    """The lower-cased words of a text, clitics by themselves, without punctuation."""
    found: list[str] = []
    for word in _patterns()[1].findall(text.lower().replace("\u2019", "'")):
        clitic = _CLITIC.search(word)
        found += [word[: clitic.start()], clitic.group()] if clitic else [word]
    return found


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The patterns of `runs` and of `words`."""
    marks = "".join(
        c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M"
    )
    run = rf"(?:[^\W_{_ONE_BY_ONE}]|[{marks}])+"
    single = f"[{_ONE_BY_ONE}]"
    within = rf"{run}(?:[-'./_]+{run}|(?<=\d)[,:](?=\d){run})*"
    return re.compile(f"{single}|{run}"), re.compile(f"{single}|{within}|[{_KEPT}]")
