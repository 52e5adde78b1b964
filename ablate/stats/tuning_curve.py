"""Expected performance of the best of n tries: what a smaller budget would have found."""

from collections.abc import Sequence

import numpy as np


def expected_best(
    scores: Sequence[float], unscored: int, *, most: int, higher: bool = True
) -> list[float | None]:
    """The mean of the best score among n tries, drawn with replacement from those made.

    Args:
        scores: of the tries that ended with one.
        unscored: tries that were stopped early or failed; the best is never one of them, and the
            mean is over draws that hold a score.
        most: curves go from 1 to this many tries.
        higher: whether more is better.

    Returns:
        (most,) means; None where no try has a score.

    Source: Dodge et al. 2019, Show Your Work, arXiv:1909.03004, equation 6.
    """
    if not scores:
        return [None] * most
    signed = np.sort(np.asarray(scores, dtype=np.float64) * (1 if higher else -1))
    total = len(signed) + unscored
    below = (unscored + np.arange(len(signed) + 1)) / total
    curve: list[float | None] = []
    for n in range(1, most + 1):
        # The best of n is at most the i-th score with probability (i / total) ** n.
        chance = np.diff(below**n) / (1 - below[0] ** n)
        curve.append(float(chance @ signed) * (1 if higher else -1))
    return curve
