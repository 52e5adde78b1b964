"""The seeds of a study file: which ones confirm, and at how many of them a race looks."""

from collections import Counter
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

FIRST_SEARCH_SEED = 1_000_000
"""The search's seeds start here, out of reach of those that confirm."""


def _seeds(value: Any) -> int | tuple[int, ...]:
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("needs at least one seed")
        for seed in value:
            if isinstance(seed, bool) or not isinstance(seed, int):
                raise ValueError(f"a seed must be a whole number, but got {seed!r}")
            if not 0 <= seed < FIRST_SEARCH_SEED:
                raise ValueError(
                    f"a seed must be between 0 and {FIRST_SEARCH_SEED - 1}, since the search "
                    f"has the others, but got {seed}"
                )
        twice = sorted(seed for seed, times in Counter(value).items() if times > 1)
        if twice:
            raise ValueError(f"names seed {twice[0]} twice")
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a number of seeds or a list of them, but got {value!r}")
    if not 1 <= value <= FIRST_SEARCH_SEED:
        raise ValueError(f"needs at least one seed, but got {value}")
    return value


def _plain(value: int | tuple[int, ...]) -> Any:
    """Seeds as JSON has them."""
    return list(value) if isinstance(value, tuple) else value


def _ascending(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value:
        raise ValueError("needs at least one look")
    for before, after in pairwise(value):
        if after <= before:
            raise ValueError(f"must ascend, but {after} follows {before}")
    return value


Seeds = Annotated[
    int | tuple[int, ...],
    PlainValidator(_seeds),
    # Without it pydantic warns of its own list where a tuple was.
    PlainSerializer(_plain, return_type=Any, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer"}},
            ]
        }
    ),
]
"""A number of seeds, or the seeds themselves."""

Looks = Annotated[
    tuple[Annotated[int, Field(ge=2, le=FIRST_SEARCH_SEED)], ...],
    Field(strict=False),
    AfterValidator(_ascending),
]
"""Ascending numbers of seeds."""
