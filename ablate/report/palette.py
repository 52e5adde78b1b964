"""The page's tones, each for a light and for a dark theme, in one place.

The series are Okabe and Ito's eight colours (2008), which readers with any common colour blindness
tell apart, each moved just far enough to keep a contrast of 3:1 on its background.
"""

from __future__ import annotations

from collections.abc import Mapping

Tones = Mapping[str, tuple[str, str]]

FIGURE_TONES: Tones = {
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
PAGE_TONES: Tones = {
    **FIGURE_TONES,
    "--page": ("#f5f7f9", "#0e1319"),
    "--raised": ("#f0f3f6", "#1d252e"),
    "--accent": ("#005f99", "#6bb8ea"),
    "--good": ("#00694c", "#4fd3a6"),
    "--good-soft": ("#dff3ec", "#11352b"),
    "--bad-ink": ("#9c3f00", "#ffa066"),
    "--bad-soft": ("#fdeadd", "#40230f"),
    "--same": ("#005f99", "#7cc0ee"),
    "--same-soft": ("#e0eff9", "#12304a"),
    "--odd": ("#8a3568", "#e6a3c9"),
    "--odd-soft": ("#f9e6f1", "#3b2031"),
    "--open": ("#4c5866", "#b3bec9"),
    "--open-soft": ("#e9edf1", "#27313b"),
    "--warn": ("#7a5300", "#f0c261"),
    "--warn-soft": ("#fdf1d3", "#382b0c"),
    "--shadow": ("0 1px 2px rgb(16 24 32/.05),0 4px 16px rgb(16 24 32/.04)", "none"),
    "color-scheme": ("light", "dark"),
}


def css(tones: Tones, *, dark: bool) -> str:
    """The tones of one theme as CSS declarations."""
    return "".join(f"{name}:{pair[dark]};" for name, pair in tones.items())
