"""Arms over all tasks: mean ranks with the critical difference, and performance profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from ablate.report import canvas, words
from ablate.report.canvas import INK, MUTED, Drawing, Look
from ablate.report.scope import PanelKey, Record, Source, arm_key, text

_PLOT = 250
_BAR = 7  # units of the viewBox between the bars of two groups


def rank_panels(source: Source) -> Iterator[Drawing]:
    """One panel per backbone whose arms are ranked over tasks."""
    for one in source.findings.get("over_tasks") or []:
        ranked = [arm for arm in one["arms"] if words.finite(arm.get("mean_rank")) is not None]
        if len(ranked) > 1:
            ranked.sort(key=lambda arm: float(arm["mean_rank"]))
            alt = f"Mean rank of {words.plural(len(ranked), 'arm')} over tasks, 1 is best"
            gap = words.finite(one["ranking"].get("critical_difference"))
            aside = f" · {words.plural(len(one['tasks']), 'task')}"
            yield Drawing(_panel_of(one), aside, _ranks(ranked, gap, source), alt)


def _panel_of(one: Record) -> PanelKey:
    return PanelKey("all tasks", text(one.get("backbone")))


def groups(ranks: Sequence[float], gap: float) -> list[tuple[int, int]]:
    """The largest groups that a critical difference does not tell apart.

    Args:
        ranks: mean ranks, ascending.
        gap: the critical difference.

    Returns:
        First and last place of each group of at least two; no group lies within another.
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if other - rank < gap)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _ranks(arms: Sequence[Record], gap: float | None, source: Source) -> Axes:
    ranks = [float(arm["mean_rank"]) for arm in arms]
    joined = [] if gap is None else groups(ranks, gap)
    lead = 0 if gap is None else 1
    left = 4 + _BAR * len(joined) + (6 if joined else 0)
    ax = canvas.row_axes(len(arms) + lead, row=40, left=left)
    if gap is not None:
        canvas.row_label(ax, 0, "critical difference", words.number(gap, 2))
        ends = [ranks[0], ranks[0] + gap]
        ax.plot(ends, [0, 0], "|-", color=INK, linewidth=1.6, markersize=9, zorder=3)
    for place, (arm, rank) in enumerate(zip(arms, ranks, strict=True), start=lead):
        look = _look(arm, source)
        canvas.row_label(ax, place, look.label, words.number(rank, 2))
        ax.plot([rank], [place], look.marker, color=look.colour, markersize=8, zorder=3)
    beside = blended_transform_factory(ax.transAxes, ax.transData)
    width = canvas.WIDTH - left - 10
    for column, (first, last) in enumerate(joined):
        x = -(8 + _BAR * column) / width
        ax.plot(
            [x, x], [first + lead - 0.5, last + lead + 0.12], color=MUTED, linewidth=3,
            transform=beside, clip_on=False,
        )  # fmt: skip
    ax.set_xlim(0.8, max(len(arms), ranks[0] + (gap or 0.0)) + 0.2)
    canvas.name_axis(ax, "mean rank over tasks, 1 is best")
    return ax


def _look(arm: Record, source: Source) -> Look:
    return canvas.look(source.arms.get(arm_key(arm), 0), arm_key(arm).label)


def profile_panels(source: Source) -> Iterator[Drawing]:
    """One panel per backbone whose tasks agree on which way is better."""
    for one in source.findings.get("over_tasks") or []:
        arms = [arm for arm in one["arms"] if arm.get("profile")]
        if len(arms) > 1 and one.get("thresholds"):
            alt = f"Share of runs beyond each score, {words.plural(len(arms), 'arm')}, all tasks"
            aside = f" · {words.plural(len(one['tasks']), 'task')}"
            yield Drawing(_panel_of(one), aside, _profiles(one, arms, source), alt)


def _profiles(one: Record, arms: Sequence[Record], source: Source) -> Axes:
    below = 62 + 17 * len(arms)
    ax = canvas.axes(_PLOT + below + 26, top=26, bottom=below, left=48)
    looks = [_look(arm, source) for arm in arms]
    for look, arm in zip(looks, arms, strict=True):
        ax.plot(
            one["thresholds"], arm["profile"], f"{look.marker}-", color=look.colour, linewidth=1.8,
            markersize=5, markevery=4, zorder=2,
        )  # fmt: skip
    ax.set_ylim(-0.02, 1.02)
    metric = text(one.get("metric"))
    beyond = "below" if one.get("direction") == "lower" else "above"
    canvas.name_axis(ax, metric if metric not in ("", "mixed") else "score")
    canvas.name_height(ax, f"share of runs {beyond} it, mean over tasks")
    canvas.legend(ax, looks, plot=_PLOT)
    return ax
