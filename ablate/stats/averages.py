"""The averages over GLUE that papers print, each by its own definition, over paired seeds.

Two papers average the same eight tasks and do not mean the same: one counts the accuracy of QQP,
the other the mean of its accuracy and F1. An average exists for seeds that have every part of it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from ablate.stats.cells import Cell, Cells
from ablate.stats.level import level_of

Part = tuple[str, str]
"""A split and a metric."""

_MATCHED, _MISMATCHED = "validation", "validation_mismatched"


@dataclass(frozen=True, kw_only=True)
class Average:
    """A plain mean over tasks, of which each counts as the plain mean of its parts.

    Attributes:
        name: as reports show it.
        parts: task -> its splits and metrics.
        source: where it is defined.
    """

    name: str
    parts: Mapping[str, tuple[Part, ...]]
    source: str

    def of(self, scores: Mapping[tuple[str, str, str], float]) -> float | None:
        """The average of one model.

        Args:
            scores: (task, split, metric) -> score, all in one unit.

        Returns:
            The average in that unit; None where any part of it is missing.
        """
        wanted = [[(task, *part) for part in parts] for task, parts in self.parts.items()]
        if any(key not in scores for keys in wanted for key in keys):
            return None
        return fmean(fmean(scores[key] for key in keys) for keys in wanted)


_COMMON: Mapping[str, tuple[Part, ...]] = {
    "mnli": ((_MATCHED, "accuracy"), (_MISMATCHED, "accuracy")),
    "sst2": ((_MATCHED, "accuracy"),),
    "mrpc": ((_MATCHED, "accuracy"),),
    "cola": ((_MATCHED, "mcc"),),
    "qnli": ((_MATCHED, "accuracy"),),
    "rte": ((_MATCHED, "accuracy"),),
}

# MNLI's overall accuracy counts the rows of both splits alike; they have 9,815 and 9,832, so that
# the mean of the two differs from it by less than a thousandth of their difference.
LORA = Average(
    name="GLUE as in LoRA",
    parts={
        **_COMMON,
        "qqp": ((_MATCHED, "accuracy"),),
        "stsb": ((_MATCHED, "pearson"),),
    },
    source="Hu et al. 2021, arXiv:2106.09685, table 2",
)

ADALORA = Average(
    name="GLUE as in AdaLoRA",
    parts={
        **_COMMON,
        "qqp": ((_MATCHED, "accuracy"), (_MATCHED, "f1")),
        "stsb": ((_MATCHED, "pearson"), (_MATCHED, "spearman")),
    },
    source="Zhang et al. 2023, arXiv:2303.10512, table 1",
)

AVERAGES = (LORA, ADALORA)


def averages(cells: Cells, *, level: float) -> tuple[dict[str, Any], ...]:
    """Every average of every arm that has all of its tasks.

    Args:
        cells: of a study.
        level: confidence of the intervals, in (0, 1).

    Returns:
        One record for each average, backbone and arm: the summary of its complete seeds (see
        `ablate.stats.level`), and how many seeds lack a part.
    """
    arms: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells.values():
        arms.setdefault((cell.backbone, cell.arm), []).append(cell)
    return tuple(
        _record(average, group, level)
        for average in AVERAGES
        for group in arms.values()
        if set(average.parts) <= {cell.task for cell in group}
    )


def _record(average: Average, group: list[Cell], level: float) -> dict[str, Any]:
    cells = [cell for cell in group if cell.task in average.parts]
    by_seed: dict[int, dict[tuple[str, str, str], float]] = {}
    for cell in cells:
        for part, scores in cell.every.items():
            for seed, score in scores.items():
                by_seed.setdefault(seed, {})[cell.task, *part] = score
    tried = set(by_seed).union(*(cell.failed for cell in cells))
    found = {seed: average.of(by_seed.get(seed, {})) for seed in sorted(tried)}
    complete = {seed: value for seed, value in found.items() if value is not None}
    summary = asdict(level_of(np.array(list(complete.values()), dtype=np.float64), level=level))
    names = ("n", "mean", "sd", "ci_low", "ci_high", "status")
    return {
        "average": average.name,
        "source": average.source,
        "backbone": cells[0].backbone,
        "arm": cells[0].arm,
        "label": cells[0].label,
        "method": cells[0].method,
        **{name: summary[name] for name in names},
        "n_dropped": len(found) - len(complete),
        "seeds": list(complete),
        "late": any(cell.late for cell in cells),
    }
