"""Strip plot: every finished run of every arm, runs of the same seed joined, one panel per task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from ablate.report import canvas, words
from ablate.report.canvas import MUTED, Drawing
from ablate.report.scope import ArmKey, Record, Source, arm_key, at_panel, direction, records, text

MOST_LINES = 60
MOST_SPOTS = 240  # along the scores of a panel: 1.4 units apart, and a tick is 0.9 wide
_READ = ("arm", "label", "seed", "score", "metric")  # of a run
_ROW_MEAN, _ROW_RUNS = -0.12, 0.16  # the mean lies just above the runs it sums up


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task and backbone that has a finished run."""
    for panel, cells in source.panels.items():
        runs = at_panel(source.runs, panel)
        if runs.empty:
            continue
        scored = runs[(runs["status"] == "finished") & runs["score"].notna()]
        rows = records(scored[[name for name in _READ if name in scored.columns]])
        if rows:
            metric, way = text(rows[0].get("metric")) or "score", direction(scored)
            alt = f"{metric} of each finished run on {panel.task}, by arm"
            named = f"{metric}{f'  ·  {way}' if way else ''}"
            yield Drawing(panel, "", _panel(cells, rows, source.arms, named), alt)


def _panel(
    cells: Sequence[Record], rows: Sequence[Record], arms: Mapping[ArmKey, int], named: str
) -> Axes:
    ax = canvas.row_axes(len(cells), row=50)
    places = {arm_key(cell): place for place, cell in enumerate(cells)}
    _seed_lines(ax, rows, places)
    decimals = words.decimals_for([cell.get("mean") for cell in cells])
    scores_of: dict[ArmKey, list[float]] = {}
    for row in rows:
        scores_of.setdefault(arm_key(row), []).append(row["score"])
    every = [score for scores in scores_of.values() for score in scores]
    width = (max(every) - min(every)) / MOST_SPOTS
    for place, cell in enumerate(cells):
        key = arm_key(cell)
        look = canvas.look(arms[key], key.label)
        scores = scores_of.get(key, [])
        if len(scores) > MOST_LINES:
            _ticks(ax, scores, place + _ROW_RUNS, width, look.colour)
        else:
            ax.plot(
                scores, [place + _ROW_RUNS] * len(scores), look.marker, color=look.colour,
                markersize=5.5, alpha=0.75, markeredgewidth=0, linestyle="none", zorder=3,
            )  # fmt: skip
        _mean(ax, place, cell, look.colour)
        aside = f"{words.number(cell.get('mean'), decimals)} · n {words.count(cell.get('n'))}"
        canvas.row_label(ax, place, key.label, aside)
    canvas.name_axis(ax, named)
    ax.margins(x=0.05)
    return ax


def _ticks(ax: Axes, scores: Sequence[float], place: float, width: float, colour: str) -> None:
    """An upright tick a run, where marks would cover one another; one for runs on one spot.

    Args:
        ax: to draw on.
        scores: of one arm.
        place: of its row.
        width: of a spot, in units of the score.
        colour: of the arm.
    """
    spots = sorted({round(score / width) * width if width else score for score in scores})
    gap = float("nan")
    across = [x for spot in spots for x in (spot, spot, gap)]
    ax.plot(
        across, [place - 0.09, place + 0.09, gap] * len(spots), color=colour, linewidth=0.9,
        alpha=0.75, solid_capstyle="butt", zorder=3,
    )  # fmt: skip


def _seed_lines(ax: Axes, rows: Sequence[Record], places: Mapping[ArmKey, int]) -> None:
    """A thin line through the runs of each seed, from the first arm to the last.

    None beyond `MOST_LINES` seeds, where they would hide the runs.
    """
    seeds: dict[Any, list[tuple[float, float]]] = {}
    for row in rows:
        if (place := places.get(arm_key(row))) is not None and not words.missing(row.get("seed")):
            seeds.setdefault(row["seed"], []).append((place + _ROW_RUNS, row["score"]))
    for points in seeds.values() if len(seeds) <= MOST_LINES else ():
        ordered = sorted(points)
        ax.plot(
            [score for _, score in ordered], [place for place, _ in ordered],
            color=MUTED, linewidth=0.8, alpha=0.32, zorder=1.5,
        )  # fmt: skip


def _mean(ax: Axes, place: int, cell: Record, colour: str) -> None:
    """The cell's mean with its interval, as the findings state them."""
    low, high, mean = (words.finite(cell.get(name)) for name in ("ci_low", "ci_high", "mean"))
    at = place + _ROW_MEAN
    if low is not None and high is not None:
        ax.plot([low, high], [at, at], color=colour, linewidth=3, alpha=0.5, zorder=2)
    if mean is not None:
        ax.plot(
            [mean], [at], "|", color=colour, markersize=11, markeredgewidth=2.4, zorder=4,
        )  # fmt: skip
