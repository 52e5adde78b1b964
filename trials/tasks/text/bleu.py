"""BLEU and TER, as sacrebleu computes them, with the signature that says how.

BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040; Post 2018, arXiv:1804.08771): tokens
of `mteval-v13a.pl`, or another of sacrebleu's tokenisers: `intl` or `char` for scripts that 13a
does not part, `zh` for Chinese. TER (Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25):
words between blanks, lower-cased, edits to the nearest reference over the references' mean length.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from trials.errors import UserError, nearest
from trials.tasks.text.needs import needs
from trials.tasks.text.pairs import Pairs, References, Texts, pair


@dataclass(frozen=True)
class Signed:
    """A score and how it was made.

    Attributes:
        value: in percent.
        signature: sacrebleu's, which names tokens, case, smoothing, numbers of references, version.
    """

    value: float
    signature: str


def bleu(
    predictions: Texts, references: References, *, lowercase: bool = False, tokenize: str = "13a"
) -> Signed:
    """BLEU of the corpus, 0 to 100, higher is better; length by the closest reference.

    Args:
        predictions: (texts,).
        references: (texts, any number).
        lowercase: whether case is ignored, as the scorers of E2E and WebNLG do.
        tokenize: one of sacrebleu's tokenisers.

    Raises:
        UserError: no such tokeniser, or sacrebleu is not installed.
    """
    scorer = _bleu(lowercase=lowercase, tokenize=tokenize)
    return _corpus(scorer, pair(predictions, references))


def bleu_by_text(
    predictions: Texts, references: References, *, lowercase: bool = False, tokenize: str = "13a"
) -> list[float]:
    """BLEU of each text, 0 to 100, smoothed and over no longer n-grams than the text has.

    Args and errors are those of `bleu`. Their mean is not the BLEU of the corpus.
    """
    scorer = _bleu(lowercase=lowercase, tokenize=tokenize, effective_order=True)
    return _by_text(scorer, pair(predictions, references))


def ter(predictions: Texts, references: References, *, normalized: bool = False) -> Signed:
    """Translation edit rate of the corpus in percent, from 0 up, lower is better.

    Args:
        predictions: (texts,).
        references: (texts, any number).
        normalized: whether punctuation is parted from words first.

    Raises:
        UserError: sacrebleu is not installed.
    """
    return _corpus(_ter(normalized), pair(predictions, references))


def ter_by_text(
    predictions: Texts, references: References, *, normalized: bool = False
) -> list[float]:
    """As `ter`, of each text."""
    return _by_text(_ter(normalized), pair(predictions, references))


def _bleu(*, tokenize: str, **options: bool) -> Any:
    scorer = needs("sacrebleu", metric="BLEU").BLEU
    if tokenize not in scorer.TOKENIZERS:
        raise UserError(
            f"sacrebleu has no tokeniser '{tokenize}'{nearest(tokenize, scorer.TOKENIZERS)}"
        )
    # `force` says that a text that ends in " ." is meant, as DART's are; it changes no number.
    return scorer(tokenize=tokenize, force=True, **options)


def _ter(normalized: bool) -> Any:
    return needs("sacrebleu", metric="TER").TER(normalized=normalized, asian_support=normalized)


def _corpus(scorer: Any, pairs: Pairs) -> Signed:
    said = [text for text, _ in pairs]
    streams = list(zip_longest(*(texts for _, texts in pairs)))  # sacrebleu leaves None out
    value = float(scorer.corpus_score(said, streams).score)
    return Signed(value, str(scorer.get_signature()))


def _by_text(scorer: Any, pairs: Pairs) -> list[float]:
    return [float(scorer.sentence_score(said, texts).score) for said, texts in pairs]
