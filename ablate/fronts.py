"""Which of several scored things are best, by one objective or by many."""

from collections.abc import Mapping, Sequence


def dominates(left: Sequence[float], right: Sequence[float], higher: Sequence[bool]) -> bool:
    """Whether one is at least as good by every objective, and better by one.

    Args:
        left, right: (objectives,) scores.
        higher: of each objective, whether more is better.
    """
    gains = [a - b if up else b - a for a, b, up in zip(left, right, higher, strict=True)]
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)


def fronts(scores: Mapping[int, Sequence[float]], higher: Sequence[bool]) -> list[list[int]]:
    """Non-dominated sorting: those that nothing beats, those that only they beat, and so on.

    Args:
        scores: number -> (objectives,) finite scores.
        higher: of each objective, whether more is better.

    Source: Deb et al. 2002 (NSGA-II), section III A.
    """
    rest, found = dict(scores), []
    while rest:
        front = [
            n for n, own in rest.items()
            if not any(dominates(other, own, higher) for other in rest.values())
        ]  # fmt: skip
        found.append(front)
        rest = {n: own for n, own in rest.items() if n not in front}
    return found


def ranked(scores: Mapping[int, Sequence[float]], higher: Sequence[bool]) -> list[int]:
    """Best first: front by front, within a front by the objectives in order, ties to the lower."""
    signs = [-1 if up else 1 for up in higher]

    def key(number: int) -> tuple[list[float], int]:
        return [s * x for s, x in zip(signs, scores[number], strict=True)], number

    if len(higher) == 1:
        return sorted(scores, key=key)
    return [number for front in fronts(scores, higher) for number in sorted(front, key=key)]
