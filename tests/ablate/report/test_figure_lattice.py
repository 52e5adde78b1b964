"""The lattice: a box for each combination that was run, and an edge for each part added."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from drawn import panels, texts

MATRICES = ("a_aux", "a_train", "b_train", "b_aux")
SETS = [parts for size in range(4) for parts in combinations(MATRICES, size)]


def rows(sets: Any = SETS, ranks: Any = (8,), **more: Any) -> list[dict[str, Any]]:
    """Scores that fall by a hundredth for each frozen matrix, at three seeds."""
    return [
        {
            "task": "cola", "method": "lora_mini", "arm": f"mini {rank} {'+'.join(parts)}",
            "rank": rank, "freeze": "+".join(parts), "seed": seed,
            "score": 0.6 - 0.01 * len(parts) + 0.001 * seed, **more,
        }
        for rank in ranks for parts in sets for seed in range(3)
    ]  # fmt: skip


def test_all_fifteen_combinations_are_a_lattice_of_four_levels() -> None:
    (panel,) = panels("lattice", rows())
    said = texts(panel)
    assert panel.title == "cola · freeze · n 3"
    assert [text for text in said if text.endswith("of 4")] == [
        f"freeze: {k} of 4" for k in range(4)
    ]
    assert said.count("± 0.0010") == 15
    assert [said.count(mean) for mean in ("0.6010", "0.5910", "0.5810")] == [1 + 1, 4, 6]
    assert "freeze: a_aux, a_train, b_train, b_aux" in said
    joined = sum(len(s) for s in SETS)  # each combination has one below for each part it names
    assert panel.svg.count("stroke-linecap: round") == joined


def test_other_factors_have_lattices_of_their_own() -> None:
    found = panels("lattice", rows(ranks=(4, 8)))
    assert [panel.title for panel in found] == [
        "cola · freeze · rank 4 · n 3", "cola · freeze · rank 8 · n 3",
    ]  # fmt: skip
    assert all(texts(panel).count("± 0.0010") == 15 for panel in found)


def test_a_combination_without_a_score_is_an_empty_box() -> None:
    given = [r | ({"score": None} if r["freeze"] == "a_aux" else {}) for r in rows()]
    (panel,) = panels("lattice", given)
    said = texts(panel)
    assert panel.title == "cola · freeze · n 0 to 3"
    assert said.count("± 0.0010") == 14
    assert said[said.index("–") + 1] == "n 0"


def test_nothing_is_drawn_without_two_neighbours() -> None:
    assert panels("lattice", rows([("a_aux", "b_aux")])) == ()
    assert panels("lattice", rows([("a_aux",), ("b_aux",)])) == ()
    assert panels("lattice", rows([("a_aux", "b_aux"), ("a_train", "b_train")])) == ()


def test_names_of_parts_stay_text() -> None:
    (panel,) = panels("lattice", rows([("<b>",), ("<b>", "$x$")]))
    assert "<b>" not in panel.svg
    assert "freeze: <b>, $x$" in texts(panel)
