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

_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--line", SURFACE: "--surface", BAD: "--bad",
    **{f"#0501{index:02x}": f"--series-{index + 1}" for index in range(8)},
}  # fmt: skip
# (light, dark): the neutral tones of the page, then Okabe and Ito's eight colours, each moved just
# far enough to keep a contrast of 3:1 on its background.
_PALETTE = {
    "--ink": ("#17202b", "#e8edf2"),
    "--muted": ("#566270", "#9eabb8"),
    "--line": ("#dfe4ea", "#2c3640"),
    "--surface": ("#ffffff", "#161c23"),
    "--bad": ("#b84f00", "#ff8a3d"),
    "--series-1": ("#0072b2", "#4aa3df"),
    "--series-2": ("#d55e00", "#ee7733"),
    "--series-3": ("#008f68", "#1fbf92"),
    "--series-4": ("#b4588f", "#d98bbb"),
    "--series-5": ("#b97d00", "#e6a822"),
    "--series-6": ("#2f97cf", "#7cc7f2"),
    "--series-7": ("#444f5c", "#c3ccd6"),
    "--series-8": ("#8f8400", "#e8dd4f"),
}


def palette_css(theme: int) -> str:
    """CSS declarations of the figures' variables; theme 0 is light and 1 is dark."""
    return "".join(f"{name}:{tones[theme]};" for name, tones in _PALETTE.items())


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
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    text = re.sub(r"font: ([0-9.]+px)[^;\"]*", r"font: \1 var(--sans)", text)
    text = re.sub(r"(?<=: )#[0-9a-f]{6}(?=[;\"])", _variable, text)
    view = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {view.group() if view else ""} role="img" aria-label="{escape(title)}">'
    return head + text[text.index(">") + 1 :].rstrip()


def _variable(match: re.Match[str]) -> str:
    name = _VARIABLES.get(match.group())
    return f"var({name})" if name else match.group()


def standalone(element: str) -> str:
    """An inline drawing as a file of its own that follows the reader's light or dark theme."""
    style = (
        f"<style>:root{{--sans:system-ui,sans-serif;background:var(--surface);{palette_css(0)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{palette_css(1)}}}}}</style>"
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
    opening, rest = element.removeprefix("<svg ").split(">", 1)
    return f"{head}{opening}>{style}{rest}\n"
