"""What is known of one study's runs, and how it changes with what is read anew. Pure.

A trial may have two runs, where a request was sent twice; the older one stands for it, as it does
for whoever writes. The other is remembered, should the first be deleted.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablate import frame
from ablate.tracking.contents import Content

Fetch = Callable[[Sequence[str]], Iterable[Content]]
RUNS = ("run", "start", "digest", "trial", "shown", "read")


@dataclass(frozen=True)
class Known:
    """The runs of one study as they were last read, and its table.

    Attributes:
        runs: one row a run: its id, its start, the digest of its content, its trial (missing
            where no table shows it), whether it stands for the trial, and when it was read.
        table: of the runs that are shown, checked; oldest run first.
    """

    runs: pd.DataFrame
    table: pd.DataFrame

    @property
    def digest(self) -> str:
        """Of all that was read."""
        return listed(dict(zip(self.runs["run"], self.runs["digest"], strict=True)))


def nothing() -> Known:
    """Before anything was read."""
    return Known(_runs([]), pd.DataFrame(columns=list(frame.FIXED_COLUMNS)))


def listed(digests: Mapping[str, int]) -> str:
    """A digest of runs, by the digest of each."""
    text = "\n".join(f"{run} {digests[run]}" for run in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest()


def updated(
    known: Known,
    contents: Mapping[str, Content],
    gone: Iterable[str],
    fetch: Fetch,
    *,
    now: int,
    source: str,
) -> Known:
    """What is known after some runs were read anew.

    Args:
        known: before.
        contents: what was read, by run; all of it may be as it was.
        gone: runs that are not there any more.
        fetch: reads runs, for those whose turn it is now to stand for their trial.
        now: unix milliseconds.
        source: what to call the store in messages.

    Raises:
        UserError: the rows do not make a table.
    """
    left = set(gone) | set(contents)
    rows = {row["run"]: row for row in known.runs.to_dict("records")}
    made: dict[str, list[dict[str, Any]]] = {}
    for run in gone:
        rows.pop(run, None)
    for run, content in contents.items():
        if run in rows and rows[run]["digest"] == content.digest:
            rows[run]["read"] = now
            left.discard(run)
        else:
            made[run] = content.rows()
            rows[run] = _row(content, made[run], now)
    shown = _standing(rows.values())
    # `sorted`, since a set's order is another one in every process.
    due = sorted(run for run in shown - set(made) if not rows[run]["shown"])
    made |= {content.run: content.rows() for content in fetch(due)}
    for run, row in rows.items():
        row["shown"] = run in shown
    stood = known.runs["shown"] & known.runs["run"].isin(shown)
    kept = known.runs[stood & ~known.runs["run"].isin(left)]
    fresh = [row for run in shown & set(made) for row in made[run]]
    return Known(_runs(rows.values()), _table(known.table, set(kept["trial"]), fresh, rows, source))


def _row(content: Content, made: Sequence[Mapping[str, Any]], now: int) -> dict[str, Any]:
    trial = made[0]["trial_id"] if made else None
    return {
        "run": content.run, "start": content.start, "digest": content.digest, "trial": trial,
        "shown": False, "read": now,
    }  # fmt: skip


def _standing(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The runs that stand for their trials: of several the oldest."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        trial = row["trial"]
        if not isinstance(trial, str):
            continue
        other = first.setdefault(trial, row)
        if (row["start"], row["run"]) < (other["start"], other["run"]):
            first[trial] = row
    return {row["run"] for row in first.values()}


def _runs(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    order = sorted(rows, key=lambda row: (row["start"], row["run"]))
    table = pd.DataFrame(order, columns=list(RUNS))
    whole = dict.fromkeys(("start", "digest", "read"), "int64")
    return table.astype({"run": object, "trial": object, "shown": bool, **whole})


def _table(
    before: pd.DataFrame,
    kept: set[str],
    fresh: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
    source: str,
) -> pd.DataFrame:
    """The rows of trials that are kept and those made anew, oldest run first."""
    parts = [before[before["trial_id"].isin(kept)], pd.DataFrame(list(fresh))]
    parts = [part for part in parts if len(part)]
    if not parts:
        return nothing().table
    whole = pd.concat(parts, ignore_index=True)
    place = {row["trial"]: (row["start"], row["run"]) for row in rows.values() if row["shown"]}
    ranks = {trial: rank for rank, trial in enumerate(sorted(place, key=place.__getitem__))}
    order = whole["trial_id"].map(ranks).sort_values(kind="stable").index
    return frame.check(whole.loc[order], source=source)
