"""A drawing as SVG text that follows the theme of the page around it.

Figures are drawn in placeholder colours, which are swapped here for CSS variables; so one drawing
serves the light page, the dark page and paper. Text stays text, ids are unique to the drawing, and
neither a date nor a random id gets in: the same data give the same bytes.
"""

from __future__ import annotations

import io
import re
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes

from ablate.report.canvas import BAD, GRID, INK, MUTED, SURFACE
from ablate.report.palette import FIGURE_TONES, css

VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--line", SURFACE: "--surface", BAD: "--bad",
    **{f"#0501{index:02x}": f"--series-{index + 1}" for index in range(8)},
}  # fmt: skip
"""Placeholder -> the tone of the palette that stands for it."""


def svg(ax: Axes, name: str, title: str) -> str:
    """The drawing as one inline `<svg>` element.

    Args:
        ax: drawn axes.
        name: unique on the page; made the prefix of every id.
        title: what the drawing shows, for readers who cannot see it.
    """
    buffer = io.StringIO()
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("these axes belong to no figure")
    blank = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=blank)
    return _inline(buffer.getvalue(), name, title)


def _inline(text: str, name: str, title: str) -> str:
    """Matplotlib's file as an element of a page: themed, responsive, its ids its own."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = _compact(text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    text = re.sub(r"(?<=font-family: )'[^;\"]*", "var(--sans)", text)
    text = re.sub(r"(font: [0-9.]+px) '[^;\"]*", r"\1 var(--sans)", text)  # matplotlib < 3.11
    text = re.sub(r"(?<=: )#[0-9a-f]{6}(?=[;\"])", _variable, text)
    view = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {view.group() if view else ""} role="img" aria-label="{escape(title)}">'
    return head + text[text.index(">") + 1 :].rstrip()


def _compact(text: str) -> str:
    """The same drawing in half the bytes: no names of groups, no turns by nothing, two decimals."""
    text = re.sub(r"<g id=\"[^\"]*\"/?>", lambda m: "" if m.group().endswith("/>") else "<g>", text)
    text = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", text)
    text = re.sub(r'(?<= d=")[^"]*|(?<= x=")[^"]*|(?<= y=")[^"]*', _shorter, text)
    return re.sub(r">\s+<", "><", text)


def _shorter(match: re.Match[str]) -> str:
    """Coordinates to a hundredth of a unit, upright strokes by their end alone."""
    text = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m.group()):.2f}".rstrip("0").rstrip("."),
                  match.group())  # fmt: skip
    text = " ".join(text.split())
    text = re.sub(r"M (\S+) (\S+) L \1 (\S+)(?= M|$)", r"M\1 \2V\3", text)
    return text.replace(" M", "M")


def _variable(match: re.Match[str]) -> str:
    name = VARIABLES.get(match.group())
    return f"var({name})" if name else match.group()


def standalone(element: str) -> str:
    """An inline drawing as a file of its own that follows the reader's light or dark theme."""
    light, dark = (css(FIGURE_TONES, dark=theme) for theme in (False, True))
    style = (
        f"<style>:root{{--sans:system-ui,sans-serif;background:var(--surface);{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        "text{paint-order:stroke;stroke:var(--surface);stroke-width:3px;stroke-linejoin:round}"
        "</style>"
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
    opening, rest = element.removeprefix("<svg ").split(">", 1)
    return f"{head}{opening}>{style}{rest}\n"
