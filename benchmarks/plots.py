"""Draws what `results/` holds: `python benchmarks/plots.py` writes `figures/*.svg`."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from common import RESULTS
from matplotlib import pyplot as plt

FIGURES = Path(__file__).parent / "figures"


def main() -> None:
    """One figure for each kind of result that is there."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "ablate"
    FIGURES.mkdir(exist_ok=True)
    for path in sorted(RESULTS.glob("*.json")):
        rows = json.loads(path.read_text())["rows"]
        if path.stem.startswith("packs"):
            throughput(path.stem, rows)
            memory(path.stem, rows)
        elif path.stem.startswith("sweep"):
            sweep(path.stem, rows)


def places(row: dict[str, Any]) -> int:
    """Members of a pack, from the name of its side."""
    return int(row["side"].removeprefix("pack of "))


def throughput(name: str, rows: list[dict[str, Any]]) -> None:
    """Trial-steps a second against the size of the pack, relative to a plain loop."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    for shape in dict.fromkeys(row["shape"] for row in rows):
        packs = [r for r in rows if r["shape"] == shape and r["side"] != "peft"]
        axes.plot([places(r) for r in packs], [r["against peft"] for r in packs], "o-", label=shape)
    axes.axhline(1.0, color="0.6", linewidth=1)
    axes.set(xscale="log", xlabel="trials in a pack", ylabel="steps a second / plain loop")
    axes.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    axes.minorticks_off()
    axes.legend(frameon=False)
    save(figure, name)


def memory(name: str, rows: list[dict[str, Any]]) -> None:
    """Predicted memory, and what the device had, against the size of the pack."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    for shape in dict.fromkeys(row["shape"] for row in rows):
        packs = [r for r in rows if r["shape"] == shape and r["side"] != "peft"]
        sizes = [places(r) for r in packs]
        (line,) = axes.plot(sizes, [r["GiB predicted"] for r in packs], "--", label=shape)
        found = [(k, r["GiB"]) for k, r in zip(sizes, packs, strict=True) if r["GiB"] is not None]
        axes.plot(*zip(*found, strict=True), "o", color=line.get_color()) if found else None
    axes.set(xlabel="trials in a pack", ylabel="GiB (line: predicted, dots: peak)")
    axes.legend(frameon=False)
    save(figure, f"{name}-memory")


def sweep(name: str, rows: list[dict[str, Any]]) -> None:
    """Seconds of each side."""
    figure, axes = plt.subplots(figsize=(5.6, 2.2), layout="constrained")
    bars = axes.barh([r["side"] for r in rows], [r["seconds"] for r in rows], color="0.55")
    axes.bar_label(bars, fmt="%.0f s", padding=3)
    axes.set(xlabel=f"seconds for {rows[0]['trials']} trials, from start to exit")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, name)


def save(figure: Any, name: str) -> None:
    """Write an SVG that is the same for the same rows."""
    figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
