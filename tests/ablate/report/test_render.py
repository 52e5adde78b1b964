"""The report as files: escaped, self-contained, exact, the same bytes twice, nothing invented."""

from __future__ import annotations

import base64
import copy
import csv
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablate.report import tables, words
from ablate.report.render import findings_json, html, write

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the synthetic study."""
    return write(study.frame, study.findings, study.about, tmp_path_factory.mktemp("report")).parent


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Tags that do not nest, attributes that load something, and the visible text."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "srcset", "poster", "data"):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.problems.append(f"handler {name}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    return parser


def visible(outline: Outline) -> str:
    return re.sub(r"\s+", " ", " ".join(outline.text))


def test_writes_every_file(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    tables_ = {f"tables/{name}.csv" for name in ("cells", "comparisons", "variance", "trials")}
    assert {"report.html", "findings.json", *tables_} <= names
    assert {"figures/gains-1-cola.svg", "figures/seeds-2-rte.svg"} <= names
    assert not [name for name in names if name.endswith(".new")]


def test_nothing_of_the_user_becomes_markup(folder: Path, page: str, outline: Outline) -> None:
    assert ATTACK not in page
    assert outline.scripts == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for drawing in (folder / "figures").glob("*.svg"):
        assert ATTACK not in drawing.read_text(encoding="utf-8")


def test_markup_nests_and_ids_are_unique(outline: Outline) -> None:
    assert outline.problems == []
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))


def test_page_needs_no_network(page: str, outline: Outline) -> None:
    assert all(target.startswith("#") for target in outline.loads)
    assert {target[1:] for target in outline.loads} <= set(outline.ids)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_claims_open_the_page_with_their_verdicts(outline: Outline) -> None:
    text = visible(outline)
    for verdict in ("supported", "undecided", "contradicted", "not robust"):
        assert verdict in text
    sentence = "MTLoRA SHIM scores higher than LoRA at the same rank, over both tasks."
    assert text.index(sentence) < text.index("Before you rely on this")
    assert "About 50 seeds would be likely to settle it" in text


def test_what_is_missing_is_a_dash_and_never_zero(outline: Outline) -> None:
    text = visible(outline)
    assert "± –" in text
    assert not re.search(r"\b(nan|None|NaN|null|inf)\b", text.replace("loss became NaN", ""))


def test_failed_runs_are_listed_with_their_reason(outline: Outline) -> None:
    text = visible(outline)
    for reason in ("loss became NaN at step 412", "asked for 81 GB", f"worker lost {ATTACK}"):
        assert reason in text
    assert "3 runs gave no result (1 crashed, 1 diverged and 1 out of memory)" in text
    assert "Search stopped 10 tries early" in text


def test_late_additions_are_labelled(outline: Outline) -> None:
    text = visible(outline)
    assert "after results were seen" in text
    assert text.count("added late") >= 5
    assert "AdaLoRA $r=8$ on cola" in text


def test_splits_looks_and_methods_are_stated(outline: Outline) -> None:
    text = visible(outline)
    assert "chosen on “dev”; every score shown is “test”" in text
    assert "looked at 2 times" in text
    assert "paired t test" in text
    assert "Holm" in text
    assert "1 cell has fewer than two seeds (AdaLoRA $r=8$)" in text


def test_a_second_report_replaces_the_first_with_the_same_bytes(
    study: Any, folder: Path, tmp_path: Path
) -> None:
    before = copy.deepcopy((study.findings, study.about, study.frame.to_csv()))
    stale, foreign = tmp_path / "figures" / "gains-9-gone.svg", tmp_path / "figures" / "own.svg"
    stale.parent.mkdir()
    stale.write_text("old")
    foreign.write_text("mine")
    write(study.frame, study.findings, study.about, tmp_path)
    assert not stale.exists()
    assert foreign.exists()
    assert before == (study.findings, study.about, study.frame.to_csv())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


def test_csv_numbers_read_back_equal(study: Any, folder: Path) -> None:
    def column(name: str, table: str) -> list[float | None]:
        with (folder / "tables" / table).open(encoding="utf-8", newline="") as file:
            return [float(row[name]) if row[name] else None for row in csv.DictReader(file)]

    cells = study.findings["cells"]
    assert column("mean", "cells.csv") == [cell["mean"] for cell in cells]
    assert column("sd", "cells.csv") == [cell["sd"] for cell in cells]
    scores = [None if pd.isna(score) else score for score in study.frame["score"]]
    assert column("score", "trials.csv") == scores
    gains = [finding["estimate"] for finding in study.findings["findings"]]
    assert column("estimate", "comparisons.csv") == gains


def test_csv_text_is_no_formula(folder: Path) -> None:
    for path in (folder / "tables").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            fields = [field for row in csv.reader(file) for field in row]
        texts = [field for field in fields if field.startswith(("=", "+", "-", "@"))]
        assert all(float(field) < 0 for field in texts)
    assert "'=HYPERLINK(1)" in (folder / "tables" / "cells.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (0.1 + 0.2, "0.30000000000000004"),
        (-1.5, "-1.5"),
        ("-1.5", "'-1.5"),
        ("@sum", "'@sum"),
        (None, ""),
        (float("nan"), ""),
        (True, "True"),
        ([1, "a"], '[1, "a"]'),
    ],
)
def test_one_csv_field(value: Any, field: str) -> None:
    assert tables.exact(value) == field


def test_the_page_carries_the_same_csv_as_the_files(folder: Path, page: str) -> None:
    held = re.search(r'<script type="application/json" id="csv">(.*?)</script>', page)
    assert held is not None
    for name, packed in json.loads(held.group(1)).items():
        text = gzip.decompress(base64.b64decode(packed)).decode()
        assert text == (folder / "tables" / f"{name}.csv").read_text(encoding="utf-8")


def test_findings_json_is_sorted_and_strict() -> None:
    text = findings_json({"b": float("nan"), "a": [float("inf"), 1.5]})
    assert text == '{\n  "a": [\n    null,\n    1.5\n  ],\n  "b": null\n}\n'


def test_a_study_without_results_still_renders(study: Any, tmp_path: Path) -> None:
    bare = {"schema": 1, "cells": [], "findings": [], "variance": [], "missing": [], "claims": []}
    page = write(study.frame.head(0), bare, {}, tmp_path).read_text(encoding="utf-8")
    assert "No two arms have been compared yet" in page
    assert "Every run of the confirm stage finished" not in page


def test_without_claims_all_is_exploratory(study: Any) -> None:
    page = html(study.frame, {**study.findings, "claims": []}, study.about, ())
    assert "every comparison below is exploratory" in re.sub(r"\s+", " ", page)


def test_one_split_for_choosing_and_reporting_is_a_warning(study: Any) -> None:
    same = {**study.findings, "split": {"cola": "dev", "rte": "dev"}}
    about = {**study.about, "splits": {"search": "dev", "report": "dev"}}
    assert "scores read too high" in html(study.frame, same, about, ())


def test_components_of_variance_have_a_table_of_their_own(study: Any) -> None:
    component = {
        "task": "cola", "backbone": "deberta-v3-base", "source": "seed", "levels": 8, "df": 7,
        "variance": 0.0001, "sd": 0.0123, "share": 0.4, "clipped": True, "status": "ok",
    }  # fmt: skip
    findings = {**study.findings, "variance": [*study.findings["variance"], component]}
    page = html(study.frame, findings, study.about, ())
    assert "Where variance comes from" in page
    for text in ("which seed, for all arms alike", "0.0123", "40 %", "estimated below zero"):
        assert text in page


def test_a_missing_run_without_an_id_is_listed_once(study: Any) -> None:
    """The findings name a run by task, arm and seed; the frame has the same run with its id."""
    known = {"task": "cola", "arm": "mini", "seed": 3, "stage": "confirm", "status": "diverged"}
    search = {**known, "stage": "search", "seed": 100}
    findings = {**study.findings, "missing": [known, search]}
    page = html(study.frame, findings, study.about, ())
    assert "2 runs gave no result (1 diverged and 1 out of memory)" in page
    assert page.count("loss became NaN at step 412") == 1
    assert "During search 2 tries failed" in page


def test_what_a_finding_adds_is_shown(study: Any) -> None:
    first, *rest = study.findings["findings"]
    first = {
        **first, "kind": "equivalence", "margin": 0.02, "level": 0.9, "note": "rank 8 beside 8",
        "family": "claims: by task", "verdict": "equivalent_but_different",
    }  # fmt: skip
    page = html(study.frame, {**study.findings, "findings": [first, *rest]}, study.about, ())
    for text in ("equivalence, margin 0.02", "at 90 %", "rank 8 beside 8", "by task"):
        assert text in page
    assert "real but trivial" in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.number(None), "–"),
        (words.number(-0.01234, 4), "−0.0123"),
        (words.number(-0.00001, 3, signed=True), "0.000"),
        (words.number(0.5, 2, signed=True), "+0.50"),
        (words.interval(0.1, None), "–"),
        (words.p_value(0.00004), "<0.001"),
        (words.p_value(0.0421), "0.042"),
        (words.p_value(float("nan")), "–"),
        (words.count(294912), "294,912"),
        (words.setting(0.000312), "3.12e-4"),
        (words.setting(["a_aux", "b_aux"]), "a_aux, b_aux"),
        (words.setting(16.0), "16"),
        (words.listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_values_in_words(text: str, expected: str) -> None:
    assert text == expected
