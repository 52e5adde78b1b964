"""Components of variance: a bar a source, with its share and how many levels it rests on."""

from __future__ import annotations

from typing import Any

from drawn import findings, panels, texts

ARMS = (
    ("lora", 0.0, 1),
    ("tlora", 0.05, 2),
    ("mini", 0.1, 3),
    ("shim", 0.03, 4),
    ("vera", 0.07, 6),
)


def rows(num_seeds: int = 5) -> list[dict[str, Any]]:
    return [
        {"task": "cola", "arm": arm, "seed": seed, "score": 0.5 + by + 0.01 * (seed * turn % 5)}
        for arm, by, turn in ARMS
        for seed in range(num_seeds)
    ]


def test_each_source_is_a_bar_with_its_share() -> None:
    (panel,) = panels("components", rows())
    said = texts(panel)
    names = ("which arm · n 5", "which seed, for all arms alike · n 5",
             "luck of one arm at one seed · n 25")  # fmt: skip
    assert [text for text in said if text in names] == list(names)
    shares = [text for text in said if text.endswith(" %")]
    assert len(shares) == 3
    assert 99 <= sum(int(text.split(" · ")[1].removesuffix(" %")) for text in shares) <= 101


def test_what_cannot_be_said_is_a_dash() -> None:
    data = rows()
    item = {"task": "cola", "backbone": "backbone", "levels": 3, "status": "insufficient_n"}
    variance = [
        {**item, "source": "arm", "sd": None, "share": None},
        {**item, "source": "<b>", "sd": 0.1, "share": None},
    ]
    (panel,) = panels("components", data, {**findings(data), "variance": variance})
    assert "– · –" in texts(panel)
    assert "0.1000 · –" in texts(panel)
    assert "<b>" not in panel.svg


def test_nothing_is_drawn_of_one_seed() -> None:
    assert panels("components", rows(1)) == ()
