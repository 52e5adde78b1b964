"""Tables, JSON, the summary and the live view: what people read."""

import io
import json
import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ablate.commands import common, live
from ablate.commands.summary import summary
from ablate.tally import Standing


def test_a_table_is_aligned() -> None:
    text = common.table(("name", "n", "score"), [("a", 1000, 0.123456), ("longer", 2, None)])
    assert text.splitlines() == [
        "name        n   score",
        "──────  ─────  ──────",
        "a       1,000  0.1235",
        "longer      2       –",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert common.table(("a", "bc"), []).splitlines() == ["a  bc", "─  ──"]


def test_what_is_missing_is_a_dash_and_truth_a_word() -> None:
    last = common.table(("a", "b", "c"), [(math.nan, True, "x")]).splitlines()[-1]
    assert last.split() == ["–", "yes", "x"]


def test_json_holds_nothing_that_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    common.out_json({"a": math.nan, "b": [np.float64(1.5), math.inf], 3: (np.int64(2), "é")})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "3": [2, "é"]}


def document(**changes: Any) -> dict[str, Any]:
    cell = {
        "task": "t", "label": "LoRA", "mean": 0.5, "sd": 0.1, "ci_low": 0.4, "ci_high": 0.6,
        "n": 3, "trainable_parameters": 1234, "best_values": {"learning_rate": 1e-3},
    }  # fmt: skip
    better = {**cell, "label": "Other", "mean": 0.7}
    nothing = {**cell, "label": "None", "mean": None, "ci_low": None, "ci_high": None, "n": 0}
    finding = {"id": "f", "estimate": 0.2, "ci_low": 0.1, "ci_high": 0.3, "n": 3}
    claim = {"id": "c", "verdict": "supported", "sentence": "Other beats LoRA", "findings": ["f"]}
    return {
        "cells": [nothing, cell, better], "level": 0.95, "missing": [], "claims": [claim],
        "findings": [finding], **changes,
    }  # fmt: skip


def test_the_summary_ranks_cells_and_rules_on_claims() -> None:
    text = summary(document())
    order = [text.index(name) for name in ("Other", "LoRA", "None")]
    assert order == sorted(order)
    assert "95 % interval" in text
    assert "[0.4, 0.6]" in text
    assert "learning_rate 0.001" in text
    assert "SUPPORTED    Other beats LoRA (difference +0.2 [0.1, 0.3], 3 seeds)" in text


def test_of_a_lower_metric_the_lowest_is_first() -> None:
    cells = [{**c, "direction": "lower"} for c in document()["cells"]]
    text = summary(document(cells=cells, claims=[]))
    assert text.index("LoRA") < text.index("Other") < text.index("None")


def test_what_has_no_score_is_counted() -> None:
    assert "2 trials have no score" in summary(document(missing=[{}, {}]))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3723, "1:02:03")]
)
def test_a_clock(seconds: float, text: str) -> None:
    assert live.clock(seconds) == text


def standing(best: float | None, label: str, done: int = 1) -> Standing:
    cell: Any = SimpleNamespace(arm=SimpleNamespace(label=label), task="t")
    return Standing(cell, (done, 4), (0, 2), 1, 0, 0, (), best)


def resolved(direction: str) -> Any:
    return SimpleNamespace(facts={"t": SimpleNamespace(direction=direction)})


def test_the_headline_says_how_far_it_is() -> None:
    two = [standing(None, "LoRA"), standing(0.25, "Other")]
    text = live.Live()._headline(two, resolved("higher"))
    assert "2/12 done · 2 running · 0 failed · – left" in text
    assert text.endswith("best so far 0.25 (Other)")


@pytest.mark.parametrize(("direction", "ahead"), [("higher", "High"), ("lower", "Low")])
def test_what_is_ahead_depends_on_the_direction(direction: str, ahead: str) -> None:
    two = [standing(0.9, "High"), standing(0.1, "Low")]
    assert f"({ahead})" in live.Live()._headline(two, resolved(direction))


def test_the_table_on_a_terminal_reads_no_markup() -> None:
    from rich.console import Console

    made = live._table([standing(0.5, "[red]x[/red] [/oops]")], "headline")
    console = Console(file=io.StringIO(), width=120)
    console.print(made)
    assert "[red]x[/red] [/oops]" in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_takes_long_to_show_is_shown_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large study may not spend its driver's time on lines."""
    from ablate import tally

    clock, shown = [100.0], []

    def slow(*given: Any) -> list[Any]:
        shown.append(clock[0])
        clock[0] += 3.0
        return []

    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(tally, "standings", slow)
    view = live.Live()
    study: Any = SimpleNamespace(plan=None, facts={})
    for _ in range(400):
        view.watch(study, SimpleNamespace(ended=None))  # type: ignore[arg-type]
        clock[0] += 1.0
    assert len(shown) == 1 + int(400 * live.SHARE / 3.0)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], ran: Any) -> None:
    from ablate import api

    study = api.load(ran.file, store=str(ran.store), device="cpu")
    assert not sys.stdout.isatty()
    with live.Live() as view:
        view.watch(study.resolved, study.state)
        view.watch(study.resolved, study.state)
    assert "8/8 done" in capsys.readouterr().out
