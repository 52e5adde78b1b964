"""A drawing as PDF, for paper: the same axes as the page's, in the tones of the light theme."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text

from ablate.report import canvas
from ablate.report.palette import FIGURE_TONES
from ablate.report.svgtext import VARIABLES

_SETTINGS: Any = {"pdf.fonttype": 42}  # TrueType: text that can be searched, as publishers ask
_BLANK = {"Creator": None, "Producer": None, "CreationDate": None}
_COLOURS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def pdf(ax: Axes) -> bytes:
    """The drawing as a PDF file; equal drawings give equal bytes.

    Args:
        ax: drawn axes; their placeholders become tones for good, so whatever else is made of them
            comes first.
    """
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("these axes belong to no figure")
    for artist in _artists(figure):
        _in_light(artist)
    buffer = io.BytesIO()
    with canvas.drawing(), mpl.rc_context(_SETTINGS):
        figure.savefig(buffer, format="pdf", metadata=_BLANK)
    return buffer.getvalue()


def _artists(figure: Artist) -> Iterator[Artist]:
    """Everything that has a colour; the box behind a text is no child of it."""
    for artist in figure.findobj():
        yield artist
        box = artist.get_bbox_patch() if isinstance(artist, Text) else None
        if box is not None:
            yield box


def _in_light(artist: Artist) -> None:
    """Swap the placeholders among an artist's colours for the light theme's tones."""
    for name in _COLOURS:
        read, write = (getattr(artist, f"{verb}_{name}", None) for verb in ("get", "set"))
        if read is None or write is None:
            continue
        try:
            tone = _tone(read())
        except ValueError:  # several colours, or `auto`: none of ours
            continue
        if tone is not None:
            write(tone)


def _tone(colour: object) -> str | None:
    variable = VARIABLES.get(to_hex(colour))  # type: ignore[arg-type]
    return None if variable is None else FIGURE_TONES[variable][0]
