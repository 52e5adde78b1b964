"""The page in a real browser: nothing fails, tables sort, downloads, figures, print, accessibility.

Needs Chromium or Chrome (Debian: chromium); skips where neither is installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
PAPER = 703  # pixels of an A4 page between the margins of the style sheet

# Outside of the drawing by more than two pixels: text that a reader would not see.
CUT_OFF = """() => [...document.querySelectorAll('.panel svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 2 || own.right > box.right + 2
      || own.top < box.top - 2 || own.bottom > box.bottom + 2;
  }).map(text => `${svg.getAttribute('aria-label')}: ${text.textContent}`);
})"""
COLUMN = """([table, column]) => {
  const body = document.querySelectorAll('table.sorts')[table].tBodies[0];
  const cells = [...body.rows].map(row => row.cells[column]);
  return cells.map(cell => cell.dataset.value ?? cell.textContent.trim());
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser of this machine, without a window."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """The page in a tab, with what it complained of and what it asked for."""

    def __init__(self, tab: Any, folder: Path) -> None:
        self.tab = tab
        self.complaints: list[str] = []
        self.requests: list[str] = []
        tab.on("console", lambda message: self.complaints.append(message.text)
               if message.type in ("error", "warning") else None)  # fmt: skip
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("request", lambda request: self.requests.append(request.url))
        tab.goto((folder / "report.html").as_uri())

    def unfold(self) -> None:
        """Open everything that can be opened."""
        self.tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")


@pytest.fixture(params=[(size, theme) for size in SIZES for theme in THEMES], ids="-".join)
def everywhere(
    request: pytest.FixtureRequest, browser: Any, whole_folder: Path
) -> Iterator[Opened]:
    """The page at each width, in each theme."""
    yield from _opened(browser, whole_folder, *request.param)


@pytest.fixture
def wide(browser: Any, whole_folder: Path) -> Iterator[Opened]:
    """The page on a large screen."""
    yield from _opened(browser, whole_folder, "wide", "light")


def _opened(browser: Any, folder: Path, size: str, theme: str) -> Iterator[Opened]:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, accept_downloads=True,
        reduced_motion="reduce",
    )  # fmt: skip
    yield Opened(context.new_page(), folder)
    context.close()


def test_it_opens_without_complaint_or_network(everywhere: Opened) -> None:
    everywhere.unfold()
    everywhere.tab.click("#theme")
    assert everywhere.complaints == []
    assert [url for url in everywhere.requests if not url.startswith("file:")] == []
    assert everywhere.tab.evaluate("document.documentElement.dataset.theme") in THEMES


def test_nothing_is_wider_than_the_screen(everywhere: Opened) -> None:
    everywhere.unfold()
    inner, whole = everywhere.tab.evaluate(
        "[innerWidth, document.documentElement.scrollWidth]"
    )  # fmt: skip
    assert whole <= inner


def test_every_figure_is_drawn_whole(everywhere: Opened, whole_folder: Path) -> None:
    boxes = [drawing.bounding_box() for drawing in everywhere.tab.query_selector_all(".panel svg")]
    assert len(boxes) == len(list((whole_folder / "figures").glob("*.svg"))) > 10
    width = everywhere.tab.viewport_size["width"]
    for box in boxes:
        assert box["width"] > 250
        assert box["height"] > 50
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert everywhere.tab.evaluate(CUT_OFF) == []


def test_it_is_accessible(everywhere: Opened) -> None:
    everywhere.unfold()
    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    everywhere.tab.evaluate(axe)
    found = everywhere.tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"]
    grave = [
        (one["id"], node["target"], node.get("failureSummary"))
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
    assert grave == []


def test_every_column_sorts_both_ways(wide: Opened) -> None:
    wide.unfold()
    tables = wide.tab.query_selector_all("table.sorts")
    assert len(tables) >= 9
    for place, table in enumerate(tables):
        for button in table.query_selector_all(".sort"):
            column = button.evaluate("button => button.closest('th').cellIndex")
            for way in ("ascending", "descending"):
                button.click()
                assert button.evaluate("b => b.closest('th').ariaSort") == way
                values = wide.tab.evaluate(COLUMN, [place, column])
                told = [value for value in values if value not in ("", "–")]
                assert values[: len(told)] == told, "what is missing comes last"
                try:
                    numbers = [float(value) for value in told]
                except ValueError:
                    continue
                assert numbers == sorted(numbers, reverse=way == "descending")


def test_downloads_are_the_files_beside_the_page(wide: Opened, whole_folder: Path) -> None:
    wide.unfold()
    names = set()
    for button in wide.tab.query_selector_all("[data-csv]"):
        with wide.tab.expect_download() as waiting:
            button.click()
        name = waiting.value.suggested_filename
        names.add(name)
        assert (
            Path(waiting.value.path()).read_bytes() == (whole_folder / "tables" / name).read_bytes()
        )
    assert {"cells.csv", "comparisons.csv", "over_tasks.csv", "pairs.csv"} <= names


def test_it_prints_with_everything_unfolded(wide: Opened) -> None:
    paper = wide.tab.pdf(format="A4", print_background=False)
    assert paper.startswith(b"%PDF")
    assert len(paper) > 50_000
    assert wide.tab.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
    wide.tab.set_viewport_size({"width": PAPER, "height": 1000})
    wide.tab.emulate_media(media="print", color_scheme="dark")
    assert wide.tab.evaluate("document.documentElement.scrollWidth") <= PAPER
    shown = wide.tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('.top')).display]"
    )
    assert shown == ["rgb(255, 255, 255)", "none"]
