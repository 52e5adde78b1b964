"""Figures: what each panel shows, in the theme's colours, with text as text."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from ablate.report import canvas, figures, palette
from ablate.report.figures import Figure
from ablate.report.scope import PanelKey
from ablate.report.svgtext import standalone


@pytest.fixture(scope="module")
def drawn(study: Any) -> dict[str, Figure]:
    return {f.name: f for f in figures.draw(study.frame, study.findings, study.about)}


def every_svg(drawn: dict[str, Figure]) -> dict[str, str]:
    return {panel.name: panel.svg for figure in drawn.values() for panel in figure.panels}


def test_what_the_data_allow_is_drawn_with_a_panel_a_task(drawn: dict[str, Figure]) -> None:
    assert tuple(drawn) == ("gains", "seeds", "cost", "spread", "search")
    assert tuple(drawn) == tuple(name for name in figures.NAMES if name in drawn)
    titles = {name: [panel.title for panel in figure.panels] for name, figure in drawn.items()}
    assert titles["gains"] == ["cola", "rte", "all tasks"]
    assert titles["seeds"] == titles["cost"] == titles["spread"] == ["cola", "rte"]
    assert titles["search"] == ["cola · learning_rate", "rte · learning_rate"]


def test_drawings_are_well_formed_and_stand_alone(drawn: dict[str, Figure]) -> None:
    for svg in every_svg(drawn).values():
        ElementTree.fromstring(standalone(svg))
        assert 'role="img"' in svg
        assert "aria-label=" in svg


def test_colours_are_the_themes_and_fonts_the_pages(drawn: dict[str, Figure]) -> None:
    for svg in every_svg(drawn).values():
        assert not re.search(r"(?<=: )#0[1-6]0", svg), "a placeholder colour was left"
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", svg)) - {"--sans"} <= set(
            palette.FIGURE_TONES
        )
        assert "DejaVu" not in svg
        assert "<metadata" not in svg


def test_text_is_text_and_no_formula(drawn: dict[str, Figure]) -> None:
    svg = drawn["seeds"].panels[0].svg
    for label in ("LoRA, rank 8", "AdaLoRA $r=8$", "&lt;script&gt;alert(1)&lt;/script&gt;"):
        assert label in svg


def test_ids_are_unique_on_the_page(drawn: dict[str, Figure]) -> None:
    ids = [i for svg in every_svg(drawn).values() for i in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids))
    for name, svg in every_svg(drawn).items():
        assert all(i.startswith(name) for i in re.findall(r'href="#([^"]*)"', svg))


def test_every_finished_run_is_a_mark(study: Any, drawn: dict[str, Figure]) -> None:
    frame = study.frame
    runs = frame[
        (frame["stage"] == "confirm") & (frame["status"] == "finished") & (frame["task"] == "rte")
    ]
    marks = drawn["seeds"].panels[1].svg.count("<use ")
    means = sum(cell["task"] == "rte" for cell in study.findings["cells"])
    assert marks == len(runs) + means


def test_many_seeds_are_ticks_of_one_path_an_arm(study: Any) -> None:
    """A mark each would make a page of many megabytes; runs on one spot share a tick."""
    one = study.frame[(study.frame["stage"] == "confirm") & (study.frame["task"] == "cola")]
    rows = one[one["arm"] == "lora"].head(1)
    scores = [0.5 + s / 1000 for s in (*range(90), 7, 7)]
    many = pd.concat([rows.assign(seed=s, score=score) for s, score in enumerate(scores)])
    findings = {**study.findings, "cells": study.findings["cells"][:1]}
    drawn = {f.name: f for f in figures.draw(many, findings, study.about)}
    (panel,) = drawn["seeds"].panels
    ticks = max(re.findall(r'<path d="([^"]*)"', panel.svg), key=len)
    assert ticks.count("M") == len(set(scores))
    assert panel.svg.count("<use ") == 1  # the mean


def test_drawings_are_compact(drawn: dict[str, Figure]) -> None:
    for svg in every_svg(drawn).values():
        assert not re.search(r' (?:d|x|y)="[^"]*\d\.\d{3}', svg)
        assert "rotate(-0" not in svg
        assert not re.search(r">\s+<", svg)


def test_estimates_are_printed_and_absent_ones_are_dashes(
    drawn: dict[str, Figure], study: Any
) -> None:
    gain = next(f for f in study.findings["findings"] if f["id"] == "cola:shim-lora")
    assert f"+{gain['estimate']:.4f}" in drawn["gains"].panels[0].svg
    assert "– · n 1" in drawn["spread"].panels[1].svg


def test_tries_without_a_score_are_marked_inside_the_axes(drawn: dict[str, Figure]) -> None:
    """Six tries an arm on cola: one pruned, and one of the failing arm's crashed."""
    svg = drawn["search"].panels[0].svg
    across = [float(x) for x in re.findall(r'<use [^>]*x="([0-9.-]+)"', svg)]
    num_rings, num_keys = 5, 5
    assert len(across) == 5 * 6 + num_rings + num_keys
    assert all(0 < x < canvas.WIDTH for x in across)


def test_a_figure_without_data_is_left_out(study: Any) -> None:
    frame = study.frame[study.frame["stage"] == "confirm"]
    findings = {**study.findings, "findings": [], "variance": []}
    names = [figure.name for figure in figures.draw(frame, findings, study.about)]
    assert names == ["seeds", "cost", "spread"]


def test_search_is_drawn_where_its_split_is_named_in_words(study: Any) -> None:
    words = {task: {"search": "a tenth of train", "report": "test"} for task in ("cola", "rte")}
    findings = {**study.findings, "split": "test", "metric": "mixed"}
    drawn = figures.draw(study.frame, findings, {**study.about, "splits": words})
    assert "search" in [figure.name for figure in drawn]


def test_scripts_without_a_glyph_and_categories_are_drawn(study: Any) -> None:
    frame = study.frame.assign(label="方法 🚀").drop(columns="tune.learning_rate")
    frame["tune.schedule"] = ["cosine" if i % 2 else "linear" for i in range(len(frame))]
    findings = {
        **study.findings,
        "cells": [{**cell, "label": "方法 🚀"} for cell in study.findings["cells"]],
    }
    drawn = {f.name: f for f in figures.draw(frame, findings, study.about)}
    assert "方法 🚀" in drawn["seeds"].panels[0].svg
    assert "cosine" in drawn["search"].panels[0].svg


def test_backbones_have_panels_of_their_own(study: Any) -> None:
    other = [{**cell, "backbone": "roberta"} for cell in study.findings["cells"]]
    findings = {**study.findings, "cells": [*study.findings["cells"], *other]}
    frame = pd.concat([study.frame, study.frame.assign(backbone="roberta")])
    drawn = {f.name: f for f in figures.draw(frame, findings, study.about)}
    titles = [panel.title for panel in drawn["spread"].panels]
    assert titles[0] == "cola · deberta-v3-base"
    assert titles[2] == "cola · roberta"


def test_64_arms_look_different() -> None:
    looks = {(look.colour, look.marker) for look in (canvas.look(i, "") for i in range(64))}
    assert len(looks) == 64


def test_names_of_files_are_safe() -> None:
    assert figures.slug("gains", 0, PanelKey("../../etc/passwd", "")) == "gains-1-etc-passwd"
    assert figures.slug("gains", 1, PanelKey("方法", "")) == "gains-2"
    assert canvas.shortened("a\nb" * 60, 20) == "a ba ba ba ba…a ba b"


def contrast(first: str, second: str) -> float:
    """WCAG contrast ratio of two colours."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_tones_are_legible(dark: bool) -> None:
    tones = {name: pair[dark] for name, pair in palette.PAGE_TONES.items()}
    for name, tone in tones.items():
        if name.startswith("--series"):
            assert contrast(tone, tones["--surface"]) >= 3, name
    for name in ("good", "bad-ink", "same", "odd", "open", "warn"):
        soft = tones[f"--{name.removesuffix('-ink')}-soft"]
        assert contrast(tones[f"--{name}"], soft) >= 4.5, name
    for name in ("--ink", "--muted", "--accent"):
        assert min(contrast(tones[name], tones[on]) for on in ("--surface", "--page")) >= 4.5
