"""What is known after any course of readings is what one reading of all would say."""

from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.tracking import records
from ablate.tracking.contents import Content
from ablate.tracking.known import Known, listed, nothing, updated

SCORES = st.sampled_from([0.25, 0.5, 0.75])


def content(run: str, start: int, trial: str, score: float, *, stale: bool = False) -> Content:
    row: dict[str, Any] = {
        "study": "one", "revision": 1, "late": False, "stage": "confirm", "seed": int(trial),
        "split": "validation", "task": "cola", "backbone": "tiny", "arm": "lora", "label": "lora",
        "method": "lora", "factors": {}, "nuisances": {}, "primary": "mcc", "direction": "higher",
        "directions": {}, "grid": [], "status": "finished", "reason": None, "selected_epoch": 1.0,
        "trainable_parameters": 1, "seconds": 2.0, "peak_memory_bytes": 10, "device": "cpu",
        "environment": None, "scores": {"validation": {"mcc": score}},
        "num_examples": {"validation": 100},
    }  # fmt: skip
    tags = {
        records.KIND: "trial", records.TRIAL: trial, records.STALE: str(stale).lower(),
        **records.row_tags(row),
    }  # fmt: skip
    return Content(run, start, tags, {})


RUNS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.integers(0, 2), st.sampled_from("123"), SCORES, st.booleans()),
)


def store(runs: dict[str, tuple[int, str, float, bool]]) -> dict[str, Content]:
    return {
        run: content(run, start, trial, score, stale=stale)
        for run, (start, trial, score, stale) in runs.items()
    }


def read(known: Known, now: dict[str, Content], some: set[str]) -> Known:
    """Read `some` of the runs that there are, and hear of those that are gone."""
    gone = set(known.runs["run"]) - set(now)
    unknown = set(now) - set(known.runs["run"])
    changed = {
        run
        for run, digest in zip(known.runs["run"], known.runs["digest"], strict=True)
        if run in now and now[run].digest != digest
    }
    wanted = {run: now[run] for run in sorted((some & set(now)) | unknown | changed)}
    return updated(
        known, wanted, gone, lambda runs: [now[run] for run in runs], now=1, source="here"
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(RUNS, st.sets(st.sampled_from("abcdef"))), min_size=1, max_size=4))
def test_the_course_does_not_matter(
    course: list[tuple[dict[str, tuple[int, str, float, bool]], set[str]]],
) -> None:
    known = nothing()
    for runs, some in course:
        now = store(runs)
        known = read(known, now, some)
        anew = read(nothing(), now, set(now))
        pd.testing.assert_frame_equal(
            known.table.reset_index(drop=True), anew.table, check_dtype=False
        )
        assert known.digest == anew.digest == listed({r: c.digest for r, c in now.items()})
        columns = ["run", "start", "digest", "trial", "shown"]
        pd.testing.assert_frame_equal(known.runs[columns], anew.runs[columns], check_dtype=False)


def test_a_metric_that_was_logged_later_is_the_score() -> None:
    told = content("a", 1, "1", 0.5)
    shown = Content("a", 1, told.tags, {"validation/mcc": 0.75, "validation/f1": 0.25})
    assert [(row["metric"], row["score"]) for row in shown.rows()] == [("mcc", 0.75), ("f1", 0.25)]
    assert shown.digest != told.digest
    assert Content("a", 1, told.tags, {"test/mcc": 0.75}).rows() == told.rows(), "another split"
