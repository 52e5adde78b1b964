"""A finding whose seeds were added in looks: what each look showed, and what all of them prove."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from ablate.stats.bootstrap import Resamples
from ablate.stats.comparison import Comparison
from ablate.stats.draft import Draft, draft
from ablate.stats.finding import Finding
from ablate.stats.pairing import Aligned, sample
from ablate.stats.sequential import SKEWED_FROM, look_level, reached, sequential_p, weights_of
from ablate.stats.status import gravest


class Look(NamedTuple):
    """A planned look: how many seeds, and the share of the level that it spends."""

    num_seeds: int
    share: float


class Terms(Protocol):
    """What an analysis holds for all of its findings; `questions.Questions` is one."""

    @property
    def level(self) -> float:
        """Of the study."""

    @property
    def margin(self) -> float | None:
        """Largest difference that does not matter, where a comparison declares none."""

    @property
    def generators(self) -> Callable[[str], np.random.Generator]:
        """A generator of its own for each name."""

    @property
    def resamples(self) -> Resamples:
        """Resamples of seeds that all findings share."""


def take(
    terms: Terms,
    base: Finding,
    parts: Sequence[Aligned],
    comparison: Comparison,
    seeds: frozenset[int],
    look: Look,
) -> Draft:
    """What one look shows, from the seeds that it uses.

    Nothing is tested where the look spends nothing, nor where differences are skewed and few.
    """
    made = draft(
        base,
        sample(parts, seeds=seeds),
        comparison,
        level=look_level(terms.level, look.share),
        margin=terms.margin,
        rng=terms.generators(f"{base.id}/{look.num_seeds}"),
        resamples=terms.resamples,
    )
    early = made.finding.details.get("skewed", False) and look.num_seeds < SKEWED_FROM
    return _untested(made) if look.share == 0 or early else made


def at_looks(
    terms: Terms,
    base: Finding,
    parts: Sequence[Aligned],
    comparison: Comparison,
    looks: Sequence[int],
) -> Draft:
    """The last planned look that was taken; p values are paid for over all looks so far.

    Before the first look nothing is tested.
    """
    seen = _seen(parts, looks) if comparison.seen is None else comparison.seen
    weights = weights_of(comparison.kind, looks)
    planned = [Look(n, share) for n, share in zip(looks, weights, strict=True)]
    made = [
        take(terms, base, parts, comparison, frozenset(seeds), look)
        for seeds, look in zip(seen, planned, strict=False)
    ]
    if not made:
        every = frozenset(seed for part in parts for seed in (*part.seeds, *part.dropped))
        made = [take(terms, base, parts, comparison, every, Look(0, 0.0))]
        weights = (0.0,)
    last = made[-1]
    level = 2 * terms.level - 1 if comparison.kind == "equivalence" else terms.level
    told = _told(made[: len(seen)], planned)
    dropped = last.finding.n_dropped
    if comparison.seen:
        dropped = looks[len(seen) - 1] - len(seen[-1])
    finding = replace(
        last.finding,
        n_dropped=dropped,
        level=level,
        sequential=True,
        p_value=sequential_p([one.finding.p_value for one in made], weights),
        details={**last.finding.details, "looks_planned": tuple(looks), "looks_done": len(told),
                 "looks": told, "stopped": comparison.stopped},
    )  # fmt: skip
    return replace(
        last,
        finding=finding,
        p_difference=sequential_p([one.p_difference for one in made], weights),
        p_beyond=sequential_p([one.p_beyond for one in made], weights),
    )


def _untested(made: Draft) -> Draft:
    status = gravest(made.finding.status, "insufficient_n")
    finding = replace(
        made.finding, p_value=None, ci_low=None, ci_high=None, test=None, status=status
    )
    return replace(made, finding=finding, p_difference=None, p_beyond=None)


def _seen(parts: Sequence[Aligned], looks: Sequence[int]) -> list[tuple[int, ...]]:
    """Seeds of each look that has been reached: those tried on both sides, in ascending order.

    A side that stopped early holds the other back: a seed that it lacks was not looked at.
    """
    sides = [side for part in parts for side in (part.treatment, part.control)]
    tried = sorted(set.intersection(*(set(side.scores) | side.failed for side in sides)))
    return [tuple(tried[:n]) for n in reached(looks, len(tried))]


def _told(made: Sequence[Draft], looks: Sequence[Look]) -> list[Mapping[str, Any]]:
    """What each look showed, for a reader."""
    found = [one.finding for one in made]
    shares = [look.share for look in looks]
    return [
        {"num_seeds": look.num_seeds, "n": one.n, "estimate": one.estimate, "ci_low": one.ci_low,
         "ci_high": one.ci_high, "p_value": one.p_value,
         "p_sequential": sequential_p([f.p_value for f in found[: k + 1]], shares)}
        for k, (look, one) in enumerate(zip(looks, found, strict=False))
    ]  # fmt: skip
