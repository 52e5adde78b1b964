"""Figures for paper: one PDF beside each SVG, in the light theme's tones, the same bytes twice."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from ablate.report import canvas
from ablate.report.palette import FIGURE_TONES
from ablate.report.pdf import pdf


def contents(file: bytes) -> str:
    """The streams of a PDF that are text once inflated."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", file, re.DOTALL):
        try:
            found.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            continue
    return "\n".join(found)


def tones(file: bytes) -> set[str]:
    """Colours that a PDF draws with."""
    found = re.findall(r"([\d.]+) ([\d.]+) ([\d.]+) (?:rg|RG)\b", contents(file))
    grey = re.findall(r"(?:^|\s)([\d.]+) (?:g|G)\b", contents(file))
    triples = [tuple(map(float, one)) for one in found] + [(float(g),) * 3 for g in grey]
    return {"#" + "".join(f"{round(255 * part):02x}" for part in one) for one in triples}


def test_every_figure_has_both(whole_folder: Path) -> None:
    names = {path.stem for path in (whole_folder / "figures").glob("*.svg")}
    assert names == {path.stem for path in (whole_folder / "figures").glob("*.pdf")}
    assert len(names) > 10


def test_they_are_vectors_in_the_light_theme(whole_folder: Path) -> None:
    light = {pair[0] for pair in FIGURE_TONES.values()} | {"#000000", "#ffffff"}
    drawn: set[str] = set()
    for path in (whole_folder / "figures").glob("*.pdf"):
        file = path.read_bytes()
        assert file.startswith(b"%PDF")
        assert b"/Subtype /Image" not in file
        assert b"/Subtype /Type3" not in file
        assert b"CreationDate" not in file
        assert tones(file) <= light, path.name
        drawn |= tones(file)
    assert {FIGURE_TONES[name][0] for name in ("--ink", "--muted", "--line", "--series-1")} <= drawn


def test_equal_drawings_are_equal_bytes() -> None:
    def made() -> bytes:
        with canvas.drawing():
            ax = canvas.row_axes(1)
            canvas.row_label(ax, 0, "方法 $x$", "0.5", solid=True)
            ax.plot([0, 1], [0, 0], color=canvas.look(3, "").colour)
        return pdf(ax)

    assert made() == made()
    assert FIGURE_TONES["--series-4"][0] in tones(made())
