"""The findings of a study as a few lines of text: cells, then each claim's verdict."""

from collections.abc import Mapping
from typing import Any

from ablate.commands.common import table


def summary(document: Mapping[str, Any]) -> str:
    """A table of cells and the claims' verdicts.

    Args:
        document: the content of `findings.json`.
    """
    parts = [_cells(document)]
    if document["missing"]:
        parts.append(f"{len(document['missing'])} trials have no score; the report lists them")
    if document["claims"]:
        parts.append("\n".join(_claim(document, claim) for claim in document["claims"]))
    return "\n\n".join(parts) + "\n"


def _cells(document: Mapping[str, Any]) -> str:
    rows = [
        (
            cell["task"],
            cell["label"],
            cell["mean"],
            cell["sd"],
            _interval(cell["ci_low"], cell["ci_high"]),
            cell["n"],
            cell["trainable_parameters"],
            ", ".join(f"{key} {_short(value)}" for key, value in cell["best_values"].items()),
        )
        for cell in sorted(document["cells"], key=_rank)
    ]
    level = f"{document['level'] * 100:g} % interval"
    header = ("task", "arm", "mean", "sd", level, "n", "parameters", "chosen")
    return table(header, rows)


def _rank(cell: Mapping[str, Any]) -> tuple[str, bool, float]:
    """Tasks apart, best first, cells without a mean last."""
    mean = cell["mean"]
    sign = -1 if cell.get("direction", "higher") == "higher" else 1
    return (cell["task"], mean is None, 0.0 if mean is None else sign * mean)


def _claim(document: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    served = [f for f in document["findings"] if f["id"] in claim["findings"]]
    detail = ""
    if len(served) == 1 and served[0]["estimate"] is not None:
        found = served[0]
        interval = _interval(found["ci_low"], found["ci_high"])
        detail = f" (difference {found['estimate']:+.4g} {interval}, {found['n']} seeds)"
    return f"{claim['verdict'].upper():<12} {claim['sentence']}{detail}"


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"[{low:.4g}, {high:.4g}]"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
