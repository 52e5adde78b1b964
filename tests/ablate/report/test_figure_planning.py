from pathlib import Path

from ablate.report import canvas, figure_planning
from ablate.stats.planning import Assumptions, table


def test_curves_hold_the_chances(tmp_path: Path) -> None:
    given = Assumptions(effect=0.5, margin=0.8, ratio=3.0, target=0.9)
    points = table(given, range(2, 30))
    with canvas.drawing():
        ax = figure_planning.draw(given, points)
    level, *curves = ax.lines
    assert list(level.get_ydata()) == [0.9, 0.9]
    assert list(curves[0].get_xdata()) == [point.seeds for point in points]
    assert list(curves[0].get_ydata()) == [point.power_of_effect for point in points]
    assert list(curves[4].get_ydata()) == [point.power_of_margin for point in points]
    labels = [text.get_text() for text in ax.texts]
    assert labels == ["mean difference of 0.5", "ratio of sds of 3", "equivalence within ±0.8"]
    figure_planning.write(given, points, tmp_path / "power.svg")
    assert (tmp_path / "power.svg").read_text(encoding="utf-8").startswith("<?xml")
