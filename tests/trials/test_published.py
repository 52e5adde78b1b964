import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials import catalogue
from trials import published as module
from trials.published import Published, published


def row(figure: str | None, **more: Any) -> Published:
    usual = {"backbone": "b", "method": "lora", "targets": ("query",), "given": {"rank": 8}}
    fixed = {"source": "", "note": "", "head": None, "beside": 0, "of": None}
    return Published(**{**usual, **fixed, "figure": figure, **more})


@pytest.mark.parametrize(
    ("figure", "computed", "verdict"),
    [
        ("0.3M", 294_912, "agrees"),
        ("1.33M", 1_327_104, "agrees"),
        ("1.18M", 1_189_632, "agrees"),  # cut, not rounded
        ("1.22M", 1_198_848, "roughly"),
        ("0.35M", 393_216, "disagrees"),
        ("0.8M", 294_912, "disagrees"),
        ("49,200", 49_200, "agrees"),
        ("49,200", 49_201, "roughly"),
        ("0.061M", 61_440, "agrees"),
        (None, 5, "not seen"),
    ],
)
def test_a_figure_agrees_to_its_own_digits(figure: str | None, computed: int, verdict: str) -> None:
    assert row(figure).verdict(computed) == verdict


@given(st.integers(1, 10**9), st.integers(0, 3))
def test_whatever_is_rounded_or_cut_agrees(computed: int, digits: int) -> None:
    million = 10 ** (6 - digits)
    for found in (round(computed / million), computed // million):
        text = f"{found / 10**digits:.{digits}f}M"
        if found:
            assert row(text).verdict(computed) == "agrees", text


def test_a_share_is_of_the_model_with_what_the_method_adds() -> None:
    part = row("4.7%", of=1_000, beside=20)
    assert part.shown(30) == "50 (4.85%)"
    assert part.verdict(30) == "roughly"
    assert row("4.8%", of=1_000, beside=20).verdict(30) == "agrees"


def test_a_head_counts_where_the_figure_has_it() -> None:
    assert row("15", head=2).counted(10, 5) == 15
    assert row("10").counted(10, 5) == 10
    assert row("15", head=2).verdict(10, 5) == "agrees"


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        (("b", "lora", {"rank": 8, "alpha": 2.0}, ("query",)), True),
        (("owner/b@main", "lora", {"rank": 8}, ("query",)), True),
        (("./models/b/", "lora", {"rank": 8}, ("query",)), True),
        (("owner/c", "lora", {"rank": 8}, ("query",)), False),
        (("b", "mtlora", {"rank": 8}, ("query",)), False),
        (("b", "lora", {"rank": 4}, ("query",)), False),
        (("b", "lora", {"rank": 8}, ("query", "value")), False),
    ],
)
def test_whether_a_configuration_is_the_one(asked: Any, same: bool) -> None:
    assert row("1M").is_of(*asked) == same
    assert row("1M", targets=()).is_of("b", "lora", {"rank": 8}, ("value",))


def test_every_row_can_be_asked_for_and_says_where_its_figure_is_from() -> None:
    for found in published():
        values = catalogue.complete(found.method, found.given)
        assert found.is_of(found.backbone, found.method, values, found.targets)
        assert bool(found.figure) == bool(found.source), found
        chooses = catalogue.lookup("method", found.method).chooses_sites
        assert bool(found.targets) != chooses
    lines = (Path(module.__file__).parent / "published.json").read_text().splitlines()
    assert len(lines) == len(published()) + 2
    keys = {key for line in lines[1:-1] for key in json.loads(line.strip().rstrip(","))}
    assert keys == {"method", "backbone", "targets", "set", "published", "source", "note", "head",
                    "beside", "of"}  # fmt: skip
