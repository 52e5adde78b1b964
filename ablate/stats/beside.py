"""What a cell scored beside its primary metric on the split that is reported.

Other metrics of the same split, and other splits shown beside it, such as MNLI's mismatched one.
The split that chose is left out: its scores read too high.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from ablate.stats.cells import SEARCH_SPLITS, Cell, Cells
from ablate.stats.level import level_of


def scores_beside(cells: Cells, *, level: float) -> tuple[dict[str, Any], ...]:
    """One record for each cell, split and metric.

    Args:
        cells: of a study.
        level: confidence of the intervals, in (0, 1).

    Returns:
        Summaries over the seeds that have the score (see `ablate.stats.level`), in the metric's
        own unit and direction. Nothing is tested on them.
    """
    return tuple(
        _record(cell, split, metric, level)
        for cell in cells.values()
        for split, metric in cell.every
        if (split, metric) != (cell.split, cell.metric)
        and (split == cell.split or split not in SEARCH_SPLITS)
    )


def _record(cell: Cell, split: str, metric: str, level: float) -> dict[str, Any]:
    scores = cell.every[split, metric]
    summary = asdict(level_of(np.array(list(scores.values()), dtype=np.float64), level=level))
    return {
        "task": cell.task,
        "backbone": cell.backbone,
        "arm": cell.arm,
        "label": cell.label,
        "split": split,
        "metric": metric,
        **{name: summary[name] for name in ("n", "mean", "sd", "ci_low", "ci_high", "status")},
        "seeds": list(scores),
    }
