"""The heat map: a box for each crossing of two factors, and what the test of them found."""

from __future__ import annotations

from typing import Any

from drawn import panels, texts

STRUCTURES = ("plain", "<shim>")


def rows(ranks: Any = (16, 4, 8), structures: Any = STRUCTURES, **more: Any) -> list[Any]:
    """Scores that grow with the rank under one structure only."""
    return [
        {
            "task": "cola", "method": "mtlora", "rank": rank, "structure": structure,
            "seed": seed, **more,
            "score": 0.5 + 0.01 * rank * (structure == "<shim>") + 0.001 * ((seed * rank) % 3),
        }
        for rank in ranks for structure in structures for seed in range(4)
    ]  # fmt: skip


def test_every_crossing_is_a_box_and_the_test_stands_below() -> None:
    (panel,) = panels("grid", rows())
    said = texts(panel)
    assert panel.title == "cola · mtlora · n 4"
    assert [text for text in said if text in ("4", "8", "16")] == ["4", "8", "16"]
    assert {"rank", "structure", *STRUCTURES} <= set(said)
    assert sum(text.startswith("± ") for text in said) == 6
    assert [text[:21] for text in said if "F(" in text] == ["interaction: F(2, 15)"]
    assert "adjusted p <0.001, different" in said
    assert "<shim>" not in panel.svg


def test_a_crossing_that_was_not_run_is_a_dash() -> None:
    kept = [r for r in rows() if (r["rank"], r["structure"]) != (4, "plain")]
    (panel,) = panels("grid", kept)
    said = texts(panel)
    assert said[said.index("–") + 1] == "n 0"
    assert sum(text.startswith("± ") for text in said) == 5


def test_other_factors_have_grids_of_their_own() -> None:
    found = panels("grid", [*rows(alpha=1), *rows(alpha=2)])
    titles = [panel.title for panel in found]
    assert {"cola · mtlora · alpha 1 · n 4", "cola · mtlora · alpha 2 · n 4"} <= set(titles)


def test_nothing_is_drawn_of_one_factor_or_of_factors_that_were_not_crossed() -> None:
    assert panels("grid", rows(structures=("plain",))) == ()
    assert panels("grid", [*rows((4,), ("plain",)), *rows((8,), ("<shim>",))]) == ()
