import re

import pytest

from trials import catalogue, handbook
from trials.published import Published, published


@pytest.fixture(scope="module")
def page() -> str:
    return handbook.text()


def test_the_committed_page_is_what_the_code_says(page: str) -> None:
    """`python -m trials.handbook` writes it anew."""
    assert handbook.PAGE.read_text(encoding="utf-8") == page


def test_every_method_has_its_equation_fields_and_tests(page: str) -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL))
    own = {n for n, c in catalogue.methods().items() if c.__module__ == f"trials.methods.{n}"}
    assert own <= set(sections)
    for name in own:
        method = catalogue.lookup("method", name)
        assert method.equation, name  # type: ignore[attr-defined]
        assert f"`{method.equation}` ({method.source})" in sections[name]  # type: ignore[attr-defined]
        for key in catalogue.method_fields(name):
            assert f"| `{key}` |" in sections[name]
        assert f"../tests/trials/methods/test_{name}.py" in sections[name]
        assert re.search(r"contract suite in [1-9]\d* configurations", sections[name])
        assert sections[name].count("\n- ") > 3


def test_links_of_the_page_resolve(page: str) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert targets
    assert all((handbook.PAGE.parent / target).is_file() for target in targets)


KNOWN = {
    ("lora", "roberta-base", "0.3M"): ("294,912", "agrees"),
    ("lora", "roberta-base", "0.8M"): ("294,912", "disagrees"),
    ("lora", "deberta-v3-base", "1.33M"): ("1,327,104", "agrees"),
    ("mtlora", "vicuna-7b-v1.5", "4.7%"): ("348,135,424 (4.71%)", "agrees"),
    ("tlora", "roberta-large", "49,200"): ("49,200", "agrees"),
    ("adapter", "deberta-v3-base", "1.22M"): ("1,198,848", "roughly"),
    ("adapter", "deberta-v3-base", "1.18M"): ("1,189,632", "agrees"),
    ("full", "roberta-large", "355,362,819"): ("355,362,819", "agrees"),
    ("lora", "gpt2-medium", "0.35M"): ("393,216", "disagrees"),
}
"""Worked out by hand from the papers' formulas."""


@pytest.mark.parametrize("known", KNOWN)
def test_counts_against_published_figures(known: tuple[str, str, str], page: str) -> None:
    (row,) = [r for r in published() if (r.method, r.backbone, r.figure) == known]
    found = handbook.counts(row)
    assert found is not None
    assert (row.shown(*found), row.verdict(*found)) == KNOWN[known]
    assert f"| {row.figure} | {row.shown(*found)} | {row.verdict(*found)} |" in page


def test_a_backbone_that_is_not_here_is_said_to_be_missing() -> None:
    unknown = Published("nowhere", "lora", ("query",), {"rank": 8}, "1M", "s", "", None, 0, None)
    assert handbook.counts(unknown) is None
    assert handbook._row(unknown)[3:5] == ("no configuration of nowhere here", "")
