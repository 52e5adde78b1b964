"""What a reader must know before trusting the page: gaps, additions, splits, open questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ablate.frame import CONFIRM_STAGES
from ablate.report import rows, scope, words
from ablate.report.scope import Record

LINKS = {
    "missing": "See the runs",
    "cells": "See the cells",
    "comparisons": "See the comparisons",
    "history": "See what and when",
    "environment": "See the environment",
    "methods": "See the methods",
}


class Caveat(NamedTuple):
    """One thing to know: how grave it is (`warn` or `info`), what, and where the page has more."""

    tone: str
    text: str
    anchor: str

    @property
    def link(self) -> str:
        """The words of the link to the section with more."""
        return LINKS.get(self.anchor, "")


def caveats(frame: pd.DataFrame, findings: Record, about: Record) -> list[Caveat]:
    """Everything that weakens the page's statements, the gravest first."""
    found = [
        *_failures(frame, findings),
        *_one_seed(findings),
        *_few_seeds(findings),
        *_undecided(findings),
        *_late(findings, about),
        *_environments(frame),
        *_same_split(findings, about),
        *(Caveat("warn", str(text), "") for text in about.get("caveats") or []),
        *_splits(frame, findings, about),
        *_looks(findings),
    ]
    return sorted(found, key=lambda caveat: caveat.tone != "warn")


def _failures(frame: pd.DataFrame, findings: Record) -> Iterator[Caveat]:
    lost = rows.failures(frame, findings)
    if not lost:
        return
    states = Counter(row["state"] for row in lost)
    kinds = words.listed(f"{number} {state}" for state, number in states.most_common())
    runs = words.plural(len(lost), "run")
    yield Caveat(
        "warn",
        f"{runs} gave no result ({kinds}). Nothing was filled in: means use finished runs only.",
        "missing",
    )


def _one_seed(findings: Record) -> Iterator[Caveat]:
    """What cannot be said where every configuration ran once, and what examples alone allow."""
    if not _is_one_seed(findings):
        return
    yield Caveat(
        "warn",
        "Every configuration ran at one seed. What cannot be said: whether any arm is better than "
        "another, how much of a difference is luck of the seed, and which arm is steadier. No test "
        "is possible, and none is made.",
        "comparisons",
    )
    found = [f for f in rows.mean_findings(findings) if f.get("example_noise")]
    if found:
        inside = [f for f in found if _holds_zero(f["example_noise"])]
        numbers = sorted({f["example_noise"]["num_examples"] for f in found})
        yield Caveat(
            "warn",
            f"{len(inside)} of {words.plural(len(found), 'difference')} are no larger than the "
            f"{words.listed(words.count(n) for n in numbers)} examples of the evaluation set alone "
            "allow; luck of the seed comes on top, for all of them.",
            "comparisons",
        )


def _is_one_seed(findings: Record) -> bool:
    return {_seeds(cell) for cell in findings.get("cells") or []} - {0} == {1}


def _holds_zero(noise: Record) -> bool:
    return bool(noise["low"] <= 0 <= noise["high"])


def _few_seeds(findings: Record) -> Iterator[Caveat]:
    thin = [cell for cell in findings.get("cells") or [] if _seeds(cell) < 2]
    if thin and not _is_one_seed(findings):
        names = words.listed(dict.fromkeys(scope.arm_key(cell).label for cell in thin))
        cells = words.plural(len(thin), "cell has", "cells have")
        yield Caveat(
            "warn", f"{cells} fewer than two seeds ({names}): no spread, no interval.", "cells"
        )
    weak = [
        f for f in rows.all_findings(findings) if f.get("status") not in (None, "ok", "not_robust")
    ]
    if weak:
        reasons = words.listed(dict.fromkeys(words.status(f.get("status")) for f in weak))
        number = words.plural(len(weak), "comparison carries", "comparisons carry")
        yield Caveat("warn", f"{number} a warning: {reasons}.", "comparisons")


def _seeds(cell: Record) -> float:
    return words.finite(cell.get("n")) or 0


def _undecided(findings: Record) -> Iterator[Caveat]:
    found = [f for f in rows.mean_findings(findings) if f.get("kind") != "interaction"]
    still_open = [finding for finding in found if finding.get("verdict") == "undecided"]
    if still_open:
        yield Caveat(
            "info",
            f"{len(still_open)} of {words.plural(len(found), 'comparison')} "
            f"{'is' if len(still_open) == 1 else 'are'} undecided. That is not evidence of "
            "equality; the table says how many seeds would settle each.",
            "comparisons",
        )


def _late(findings: Record, about: Record) -> Iterator[Caveat]:
    late = [revision for revision in about.get("revisions") or [] if revision.get("after_results")]
    cells = [cell for cell in findings.get("cells") or [] if cell.get("late")]
    if late or cells:
        names = words.listed(dict.fromkeys(scope.arm_key(cell).label for cell in cells))
        what = f" ({names})" if names else ""
        yield Caveat(
            "warn",
            f"Parts of the study{what} were added after results were seen. They are marked "
            "“added late” and are exploratory.",
            "history",
        )


def _environments(frame: pd.DataFrame) -> Iterator[Caveat]:
    for column, name in (("device", "kinds of device"), ("environment", "environments")):
        if column in frame.columns:
            finished = frame[frame["status"] == "finished"]
            kinds = sorted(finished[column].dropna().astype(str).unique())
            if len(kinds) > 1:
                yield Caveat("warn", f"Runs mix {len(kinds)} {name}.", "environment")


def split_pairs(findings: Record, about: Record, tasks: Sequence[str]) -> dict[str, Any]:
    """For each task the pair (split that chose, split that reports), unknown ones empty."""
    return {
        task: tuple(scope.split_of(findings, about, task, role) for role in ("search", "report"))
        for task in tasks
    }


def tasks_of(frame: pd.DataFrame) -> list[str]:
    """The tasks of a frame in order of appearance."""
    return [str(task) for task in frame["task"].dropna().unique()]


def _same_split(findings: Record, about: Record) -> Iterator[Caveat]:
    tasks = dict.fromkeys(scope.text(c.get("task")) for c in findings.get("cells") or [])
    pairs = split_pairs(findings, about, list(tasks))
    same = [task for task, (chose, shows) in pairs.items() if chose and chose == shows]
    if same:
        yield Caveat(
            "warn",
            f"On {words.listed(same)} the split that chose the configuration also reports its "
            "score, so scores read too high.",
            "methods",
        )


def _splits(frame: pd.DataFrame, findings: Record, about: Record) -> Iterator[Caveat]:
    groups: dict[tuple[str, str], list[str]] = {}
    for task, pair in split_pairs(findings, about, tasks_of(frame)).items():
        groups.setdefault(pair, []).append(task)
    for (chose, shows), tasks in groups.items():
        where = f" on {words.listed(tasks)}" if len(groups) > 1 else ""
        if chose and shows and chose != shows:
            text = (
                f"Configurations{where} were chosen on “{chose}”; every score shown is “{shows}”."
            )
            yield Caveat("info", text, "methods")
        elif shows:
            yield Caveat("info", f"Every score shown{where} is from “{shows}”.", "methods")


def _looks(findings: Record) -> Iterator[Caveat]:
    looks = words.finite(findings.get("looks")) or 0
    if looks > 1:
        yield Caveat("info", f"The results were looked at {words.count(looks)} times.", "methods")


def confirm_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per confirm trial."""
    runs = frame[frame["stage"].isin(CONFIRM_STAGES)]
    return runs.drop_duplicates("trial_id") if "trial_id" in runs.columns else runs
