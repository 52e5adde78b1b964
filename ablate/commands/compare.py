"""`ablate compare`: one side of a study against another, on shared seeds."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.commands.common import machine, out, out_json, table

_HEADER = ("", "task", "difference", "interval", "p", "seeds", "effect", "verdict")


def run(given: argparse.Namespace) -> int:
    """Print the comparison of two arm patterns, and what could not be paired."""
    from ablate import queries

    found = queries.compare(
        given.study,
        given.treatment,
        given.control,
        machine(given),
        level=0.95 if given.level is None else given.level,
        margin=given.margin,
        refresh=given.refresh,
    )
    if given.json:
        out_json(found)
        return 0
    for pair in found["pairs"]:
        sides = (" & ".join(pair[side]) for side in ("treatment", "control"))
        out(" against ".join(sides) + f" on {pair['task']}, {pair['backbone']}")
    rows = [
        (item["kind"], pair["task"], item["estimate"], _interval(item), item["p_value"], item["n"],
         item["effect_size"], item["verdict"] or item["status"])
        for pair in found["pairs"]
        for item in pair["findings"]
    ]  # fmt: skip
    out("\n" + table(_HEADER, rows))
    for text in _unpaired(found["pairs"], found["unpaired"]):
        out(text)
    out(f"\n{found['metric']} on {found['split']}; positive favours {given.treatment}; exploratory")
    return 0


def _interval(finding: Mapping[str, Any]) -> str:
    low, high = finding["ci_low"], finding["ci_high"]
    return "–" if low is None or high is None else f"[{low:.4g}, {high:.4g}]"


def _unpaired(pairs: Sequence[Mapping[str, Any]], arms: Sequence[Mapping[str, Any]]) -> list[str]:
    seeds = [
        f"not paired: seed {lost['seed']} of {lost['arm']} on {pair['task']} ({lost['reason']})"
        for pair in pairs
        for lost in pair["dropped"]
    ]
    return seeds + [
        f"not paired: {arm['label']} on {arm['task']} ({arm['reason']})" for arm in arms
    ]
