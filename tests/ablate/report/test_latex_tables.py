"""Tables for papers: best and not told apart as the findings say, notes explained, all escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tex import compile_with, engine_or_skip

from ablate import frame as table
from ablate.report import latex_tables
from ablate.report.latex import escaped
from ablate.stats.comparison import against_baselines
from ablate.stats.findings import analyse

LUCK = np.random.default_rng(2).normal(size=(3, 2, 8))
ARMS = ("lora", "shim", "a_b & <script>")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Three arms on two tasks: on cola the last leads, on rte nothing is told apart."""
    rows = [
        {"task": task, "method": arm, "seed": seed, "trainable_parameters": 1000 * (i + 1),
         "score": 50 + LUCK[i, t, seed] + (5 * i if task == "cola" else 0), "metric": "mcc",
         "status": "finished"}
        for i, arm in enumerate(ARMS) for t, task in enumerate(("cola", "rte"))
        for seed in range(8)
    ]  # fmt: skip
    rows[-1] |= {"status": "diverged", "score": np.nan, "reason": "NaN"}
    data = table.check(pd.DataFrame(rows))
    compared = against_baselines(data, [{"method": "lora"}])
    rng = np.random.default_rng(0)
    return analyse(data, comparisons=compared, claims=(), rng=rng).to_json()


def lines(text: str) -> dict[str, list[str]]:
    """Rows of a table by their first entry."""
    rows = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if "&" in line]
    return {row[0]: row[1:] for row in rows}


def test_scores_are_those_of_the_cells_in_the_study_s_order(document: dict[str, Any]) -> None:
    text = latex_tables.files(document, "My study")["scores"]
    escaped_last = escaped(ARMS[2])
    body = {k: v for k, v in lines(text.replace(escaped_last, "last")).items() if k}
    assert list(body) == ["lora", "shim", "last"]
    for cell in document["cells"]:
        name = "last" if cell["arm"].startswith("a_b") else cell["arm"]
        shown = body[name][1 + ("cola", "rte").index(cell["task"])]
        assert f"{cell['mean']:.2f}" in shown
        assert rf"$\pm$\,{cell['sd']:.2f}" in shown
    assert [row[0] for row in body.values()] == ["1,000", "2,000", "3,000"]
    assert r"\label{tab:my-study-scores}" in text
    assert "mcc $\\uparrow$" in text


def test_best_is_bold_and_what_is_not_told_apart_is_underlined(document: dict[str, Any]) -> None:
    text = latex_tables.files(document, "s")["scores"]
    for cell in document["cells"]:
        mean, place = f"{cell['mean']:.2f}", cell["standing"]["place"]
        assert (rf"\textbf{{{mean}}}" in text) == (place == "best")
        assert (rf"\underline{{{mean}}}" in text) == (place == "not_told_apart")
    places = {(c["task"], c["arm"][:4]): c["standing"]["place"] for c in document["cells"]}
    assert places["cola", "a_b "] == "best"
    assert places["cola", "lora"] == places["cola", "shim"] == "behind"
    assert [places["rte", arm[:4]] for arm in ARMS].count("not_told_apart") == 2
    assert "the study's own comparison with it" in text.replace("{'}", "'")


def test_entries_that_differ_are_marked_and_explained(document: dict[str, Any]) -> None:
    text = latex_tables.files(document, "s")["scores"]
    marked = re.findall(r"\\textsuperscript\{([a-z,]+)\}", text)
    assert marked == ["a,b", "a", "b"]
    assert r"\textsuperscript{a}7 seeds. \textsuperscript{b}1 run failed." in text


def test_comparisons_are_the_findings(document: dict[str, Any]) -> None:
    made = latex_tables.files(document, "s")
    text = made["comparisons"]
    for finding in document["findings"]:
        if finding["kind"] == "mean":
            assert f"{abs(finding['estimate']):.2f}" in text
            assert f"{finding['p_adjusted']:.3f}" in text or "<0.001" in text or "0.001" in text
    assert text.count("Exploratory.") == 1
    assert "standard deviations" in made["variance"]
    assert set(made) == set(latex_tables.NAMES)


def test_ranks_over_tasks_follow_the_critical_difference(document: dict[str, Any]) -> None:
    text = latex_tables.files(document, "s")["over_tasks"]
    (one,) = document["over_tasks"]
    ranks = [arm["mean_rank"] for arm in one["arms"]]
    assert rf"\textbf{{{min(ranks):.2f}}}" in text
    near = [r for r in ranks if 0 < r - min(ranks) < one["ranking"]["critical_difference"]]
    assert text.count(r"\underline") == len(near) > 0
    assert "Too few tasks" in text


def test_digits_are_those_that_the_study_asks_for(document: dict[str, Any]) -> None:
    text = latex_tables.files({**document, "digits": 5}, "s")["scores"]
    assert all(f"{cell['mean']:.5f}" in text for cell in document["cells"])
    whole_numbers = latex_tables.files({**document, "digits": 0}, "s")["scores"]
    assert f"{{{document['cells'][-1]['mean']:.0f}}}" in whole_numbers


def test_many_arms_and_tasks_are_several_tables(document: dict[str, Any]) -> None:
    cell = document["cells"][0]
    cells = [
        {**cell, "task": f"t{t}", "arm": f"a{a}", "label": f"a{a}", "standing": None}
        for t in range(7) for a in range(41)
    ]  # fmt: skip
    text = latex_tables.files({**document, "cells": cells}, "s")["scores"]
    assert text.count(r"\begin{table}") == 4
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == 4
    assert text.count("$\\pm$\\,") == 7 * 41


def test_without_cells_there_is_no_table() -> None:
    assert latex_tables.files({"findings": [], "cells": []}, "s") == {}


def test_the_tables_compile(document: dict[str, Any], whole: Any, tmp_path: Path) -> None:
    engine = engine_or_skip("pdflatex")
    names = []
    for study, found in (("real", document), ("made up", whole.findings)):
        for name, text in latex_tables.files(found, study).items():
            names.append(f"{name}-{len(names)}.tex")
            (tmp_path / names[-1]).write_text(text, encoding="utf-8")
    assert len(names) == 2 * len(latex_tables.NAMES)
    compile_with(engine, tmp_path, *names)
