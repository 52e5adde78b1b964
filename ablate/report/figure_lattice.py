"""Lattice: every combination of a factor that names parts, joined where they differ by one part.

Made for which of LoRA-Mini's four matrices are frozen; it serves any factor whose values are sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ablate.report import canvas, shades, words
from ablate.report.canvas import INK, MUTED, Drawing
from ablate.report.scope import (
    ArmKey,
    Record,
    Source,
    arm_key,
    at_panel,
    decimals,
    direction,
    metric_of,
    records,
)  # fmt: skip

_ACROSS = 6  # boxes in a row; a level with more takes several rows
_BOX, _GAP, _LABEL = 50, 16, 18  # heights, in units of the viewBox
_JOIN = "+"


class Node(NamedTuple):
    """A combination: the parts that the factor names, and the cell that was run with them."""

    parts: frozenset[str]
    cell: Record


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task, method, set-valued factor and setting of the other factors."""
    for panel, cells in source.panels.items():
        rows = at_panel(source.runs, panel)
        metric = metric_of(source.findings, panel.task) or "score"
        way = direction(rows)
        empty = _empty_sets(rows, {name for cell in cells for name in cell.get("factors") or {}})
        digits = decimals(source.findings, panel.task)
        for factor, rest, nodes, order in _lattices(cells, empty):
            named = f"{metric}, {way}" if way else metric
            ax = _panel(nodes, factor, order, named, digits)
            said = f" · {rest}" if rest else ""
            aside = f" · {factor}{said} · {shades.seeds([node.cell for node in nodes])}"
            alt = f"Mean {metric} on {panel.task} of {len(nodes)} combinations of {factor}{said}"
            yield Drawing(panel, aside, ax, alt)


def _lattices(
    cells: Sequence[Record], empty: Mapping[str, set[ArmKey]]
) -> Iterator[tuple[str, str, list[Node], tuple[str, ...]]]:
    for method in dict.fromkeys(cell.get("method") for cell in cells):
        own = [cell for cell in cells if cell.get("method") == method]
        for factor in dict.fromkeys(name for c in own for name in c.get("factors") or {}):
            valued = {
                arm_key(cell): value
                for cell in own
                if (value := _value(cell, factor, empty)) is not None
            }
            if not any(_JOIN in value for value in valued.values()):
                continue
            stated = [cell for cell in own if arm_key(cell) in valued]
            for rest, group in shades.apart(stated, [factor]).items():
                sets = [tuple(filter(None, valued[arm_key(c)].split(_JOIN))) for c in group]
                nodes = [Node(frozenset(s), c) for s, c in zip(sets, group, strict=True)]
                if any(_joined(a, b) for a in nodes for b in nodes):
                    yield factor, rest, nodes, _order(sets)


def _value(cell: Record, factor: str, empty: Mapping[str, set[ArmKey]]) -> str | None:
    """The factor's value as text; None where the arm does not state it, or it is no text."""
    value = (cell.get("factors") or {}).get(factor)
    if value is None:
        return "" if arm_key(cell) in empty.get(factor, ()) else None
    return value if isinstance(value, str) else None


def _empty_sets(rows: pd.DataFrame, factors: set[str]) -> dict[str, set[ArmKey]]:
    """Arms that state a factor as the empty set, which cells do not tell from not stating it."""
    known = factors & set(rows.columns)
    return {name: set(map(arm_key, records(rows[rows[name].eq("")]))) for name in known}


def _joined(a: Node, b: Node) -> bool:
    """Whether the second names one part more than the first."""
    return a.parts < b.parts and len(b.parts) == len(a.parts) + 1


def _order(sets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The parts in the order in which all values name them; by name where values disagree."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for parts in sets:
        for part in parts:
            sorter.add(part)
        for before, after in pairwise(parts):
            sorter.add(after, before)
    try:
        return tuple(sorter.static_order())
    except CycleError:
        return tuple(sorted({part for parts in sets for part in parts}))


def _panel(
    nodes: Sequence[Node], factor: str, order: Sequence[str], metric: str, digits: int
) -> Axes:
    rows = _rows(nodes, order)
    ax = shades.board(len(rows) * (_LABEL + _BOX + _GAP) + 62)
    places = _places(rows)
    span = shades.range_of(node.cell for node in nodes)
    for a in nodes:
        for b in nodes:
            if _joined(a, b):
                _edge(ax, places[a.parts], places[b.parts])
    for number, row in enumerate(rows):
        told = f"{len(row[0].parts)} of {len(order)}"
        _text(ax, 0, number * (_LABEL + _BOX + _GAP) + 8, f"{factor}: {told}", solid=True)
    for node in nodes:
        _node(ax, places[node.parts], node, order, span, digits)
    foot = len(rows) * (_LABEL + _BOX + _GAP)
    if span is not None:
        shades.key(ax, foot + 8, span, digits, metric)
    _squares(ax, 0, foot + 27, order, frozenset(order))
    named = canvas.shortened(f"{factor}: {', '.join(order)}", 52 - 2 * len(order))
    _text(ax, 9.5 * len(order) + 6, foot + 31, named)
    return ax


def _rows(nodes: Sequence[Node], order: Sequence[str]) -> list[list[Node]]:
    """Nodes by how many parts they name, fewest first, in rows that fit the page."""
    place = {part: index for index, part in enumerate(order)}
    ranked = sorted(nodes, key=lambda n: (len(n.parts), sorted(place[p] for p in n.parts)))
    rows = []
    for size in sorted({len(node.parts) for node in nodes}):
        level = [node for node in ranked if len(node.parts) == size]
        rows += [level[i : i + _ACROSS] for i in range(0, len(level), _ACROSS)]
    return rows


def _places(rows: Sequence[Sequence[Node]]) -> dict[frozenset[str], tuple[float, float]]:
    """The middle of each box's top edge."""
    step = shades.WHOLE / _ACROSS
    return {
        node.parts: (
            shades.WHOLE / 2 + step * (i - (len(row) - 1) / 2),
            number * (_LABEL + _BOX + _GAP) + _LABEL,
        )
        for number, row in enumerate(rows)
        for i, node in enumerate(row)
    }


def _edge(ax: Axes, upper: tuple[float, float], lower: tuple[float, float]) -> None:
    (x, y), (to_x, to_y) = upper, lower
    ax.plot([x, to_x], [y + _BOX, to_y], color=MUTED, linewidth=0.9, alpha=0.45, zorder=1)


def _node(
    ax: Axes,
    place: tuple[float, float],
    node: Node,
    order: Sequence[str],
    span: shades.Range | None,
    digits: int,
) -> None:
    x, y = place
    width = shades.WHOLE / _ACROSS - 5
    mean = words.finite(node.cell.get("mean"))
    shade = None if span is None or mean is None else span.shade(mean)
    shades.box(ax, x - width / 2, y, (width, _BOX), shade)
    _squares(ax, x - (9.5 * len(order) - 2.5) / 2, y + 5, order, node.parts)
    shades.numbers(ax, x, y + 24, node.cell, digits)


def _squares(ax: Axes, x: float, y: float, order: Sequence[str], filled: frozenset[str]) -> None:
    """A square for each part, filled where it is named."""
    for place, part in enumerate(order):
        style: dict[str, Any] = {"facecolor": INK if part in filled else "none", "edgecolor": INK}
        ax.add_patch(Rectangle((x + 9.5 * place, y), 7, 7, linewidth=0.9, zorder=4, **style))


def _text(ax: Axes, x: float, y: float, text: str, *, solid: bool = False) -> None:
    style: dict[str, Any] = {"color": MUTED, "fontsize": canvas.SMALL, "va": "center"}
    if solid:
        style["bbox"] = {"facecolor": canvas.SURFACE, "edgecolor": "none", "pad": 1}
    ax.text(x, y, text, ha="left", zorder=1.5, **style)
