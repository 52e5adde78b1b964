"""Predictions beside their references, checked once for all metrics.

A blank reference fills a table up where texts have unequal numbers of references; it is left out
wherever a text has another one, for a metric that takes the reference closest in length would
else take an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Texts = Sequence[str]
References = Sequence[Sequence[str]]
Metric = Callable[[Texts, References], float]
Pairs = list[tuple[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Part:
    """A metric over some of the texts.

    Attributes:
        value: in the metric's own unit.
        num_texts: how many texts it rests on.
    """

    value: float
    num_texts: int


def pair(predictions: Texts, references: References) -> Pairs:
    """Each prediction with its references.

    Args:
        predictions: (texts,), one each.
        references: (texts, any number of them), of which blank ones are left out where there are
            others.

    Returns:
        (prediction, its references) of each text; one reference `""` where all are blank.

    Raises:
        ValueError: no texts, unequal numbers, a text without references, or a plain text in place
            of a list of them.
    """
    check(predictions, references)
    for place, texts in enumerate(references):
        if not texts:
            raise ValueError(f"text {place} has no reference; an empty text is one")
    return [
        (said, tuple(text for text in texts if text.strip()) or ("",))
        for said, texts in zip(predictions, references, strict=True)
    ]


def check(predictions: Texts, references: References) -> None:
    """Refuse predictions and references that do not fit; a text may have no reference.

    Raises:
        ValueError: as for `pair`.
    """
    if not len(predictions) or len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions do not fit {len(references)} references")
    if isinstance(predictions, str) or any(isinstance(texts, str) for texts in references):
        raise ValueError("each prediction is a text and has a list of references, not a text")


def by_part(
    metric: Metric, predictions: Texts, references: References, parts: Sequence[str]
) -> Mapping[str, Part]:
    """A metric over each part of the texts and over all, such as WebNLG's seen and unseen.

    A corpus metric of all is no mean of its parts.

    Args:
        metric: as those of this folder.
        predictions: (texts,).
        references: (texts, any number).
        parts: (texts,) the part of each.

    Returns:
        Part -> value and number of texts; parts in the order of their first text, then `all`.

    Raises:
        ValueError: a part is called `all`, or lengths differ.
    """
    check(predictions, references)
    if "all" in parts or len(parts) != len(predictions):
        raise ValueError(f"{len(predictions)} texts need as many parts, none called 'all'")
    places = {name: [i for i, part in enumerate(parts) if part == name] for name in parts}
    places["all"] = list(range(len(predictions)))
    return {
        name: Part(metric([predictions[i] for i in some], [references[i] for i in some]), len(some))
        for name, some in places.items()
    }
