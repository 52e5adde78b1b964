"""Heat map: two factors crossed, each crossing a shaded box, with the test of their interaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from ablate.report import canvas, shades, words
from ablate.report.canvas import INK, MUTED, Drawing
from ablate.report.scope import (
    PanelKey,
    Record,
    Source,
    at_panel,
    decimals,
    direction,
    finding_panel,
    metric_of,
    text,
)

_LEFT, _TOP, _ROW = 82, 42, 46  # room for the names of levels, and a row's height
_MOST = 8  # levels side by side


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task, pair of factors within a method, and setting of the other factors."""
    for finding in source.findings.get("findings") or []:
        factors = [text(name) for name in finding.get("factors") or []]
        if finding.get("kind") != "interaction" or finding.get("task") is None:
            continue
        panel = PanelKey(finding_panel(finding).task, text(finding.get("backbone")))
        method = (finding.get("treatment") or {}).get("method")
        stated = [
            cell
            for cell in source.panels.get(panel, ())
            if cell.get("method") == method and set(factors) <= set(cell.get("factors") or {})
        ]
        metric = metric_of(source.findings, panel.task) or "score"
        way = direction(at_panel(source.runs, panel))
        for rest, cells in shades.apart(stated, factors).items():
            rows, columns = sorted(factors, key=lambda name: -len(_levels(cells, name)))
            if 1 < len(_levels(cells, columns)) <= _MOST:
                ax = _panel(cells, (rows, columns), f"{metric}, {way}" if way else metric, source)
                _say(ax, finding, cells, rows)
                said = f" · {rest}" if rest else ""
                aside = f" · {text(method)}{said} · {shades.seeds(cells)}"
                alt = f"Mean {metric} on {panel.task} by {rows} and {columns}, {text(method)}{said}"
                yield Drawing(panel, aside, ax, alt)


def _levels(cells: Sequence[Record], factor: str) -> list[object]:
    """A factor's levels: numbers by size, words as the study names them."""
    found = list(dict.fromkeys(cell["factors"][factor] for cell in cells))
    numeric = all(isinstance(level, int | float) for level in found)
    return sorted(found) if numeric else found


def _panel(cells: Sequence[Record], factors: tuple[str, str], metric: str, source: Source) -> Axes:
    rows, columns = (_levels(cells, factor) for factor in factors)
    ax = shades.board(_TOP + _ROW * len(rows) + 80)
    width = (shades.WHOLE - _LEFT) / len(columns)
    digits = decimals(source.findings, text(cells[0].get("task")))
    span = shades.range_of(cells)
    _label(ax, _LEFT, 8, factors[1], muted=True)
    _label(ax, 0, _TOP - 12, factors[0], muted=True)
    for place, level in enumerate(columns):
        name = canvas.shortened(words.setting(level), max(4, int(width / 6.5)))
        _label(ax, _LEFT + width * (place + 0.5), _TOP - 12, name, centred=True)
    for place, level in enumerate(rows):
        name = canvas.shortened(words.setting(level), 12)
        _label(ax, 0, _TOP + _ROW * (place + 0.5), name)
    found = {tuple(cell["factors"][factor] for factor in factors): cell for cell in cells}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            x, y = _LEFT + width * j, _TOP + _ROW * i
            cell = found.get((row, column), {"n": 0})
            mean = words.finite(cell.get("mean"))
            shade = None if span is None or mean is None else span.shade(mean)
            shades.box(ax, x + 1.5, y + 1.5, (width - 3, _ROW - 3), shade)
            if width > 40:
                shades.numbers(ax, x + width / 2, y + 16, cell, digits)
    if span is not None:
        shades.key(ax, _TOP + _ROW * len(rows) + 18, span, digits, metric)
    return ax


def _say(ax: Axes, finding: Record, cells: Sequence[Record], rows: str) -> None:
    """What the test of the interaction found, over all settings of the other factors."""
    foot = _TOP + _ROW * len(_levels(cells, rows)) + 42
    degrees = f"{words.count(finding.get('df'))}, {words.count(finding.get('df_residual'))}"
    p, verdict = words.p_value(finding.get("p_adjusted")), words.verdict(finding.get("verdict"))
    _label(ax, 0, foot, f"interaction: F({degrees}) = {words.setting(finding.get('f'))}")
    _label(ax, 0, foot + 16, f"adjusted p {p}, {verdict.text}")


def _label(
    ax: Axes, x: float, y: float, name: str, *, muted: bool = False, centred: bool = False
) -> None:
    ax.text(
        x, y, name, color=MUTED if muted else INK, fontsize=canvas.SMALL, va="center",
        ha="center" if centred else "left",
    )  # fmt: skip
