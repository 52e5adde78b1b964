"""What the documents say is there: links, commands, names."""

import re
import shlex
from pathlib import Path

import pytest

from ablate import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLUSTERS = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


def fenced(text: str, language: str) -> list[str]:
    """The lines of all blocks of a language, joined where a backslash continues them."""
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for b in blocks for line in b.replace("\\\n", " ").splitlines()]


def commands(text: str) -> list[str]:
    """Every `ablate ...` with arguments, in blocks and in line."""
    inline = re.findall(r"`(ablate [a-z][^`]*)`", text)
    return [c for c in [*fenced(text, "sh"), *inline] if c.startswith("ablate ")]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on GitHub."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = page.parent / file if file else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"


def test_the_readme_describes_every_command_and_no_other() -> None:
    table = README.partition("## Commands")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z]+)`", table, re.MULTILINE)) == set(cli.COMMANDS)


@pytest.mark.parametrize("line", dict.fromkeys([*commands(README), *commands(CLUSTERS)]))
def test_a_command_of_the_readme_can_be_typed(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in cli.COMMANDS
    if len(words) > 1:  # a sentence may name a command alone
        cli.parser().parse_args(words)


def test_the_readme_has_commands_to_type() -> None:
    assert len(commands(README)) > 10


def test_the_study_of_the_readme_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ablate.commands.init import run as init
    from ablate.plan import plan
    from ablate.study import Study

    (block,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    init(cli.parser().parse_args(["init", "task", "my_task"]))
    (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
    assert len(plan(Study.read(tmp_path / "mine.yaml")).cells) == 3


def test_the_makefile_has_the_targets_that_documents_name() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for name in re.findall(r"\bmake ([a-z]+)\b", "\n".join(_code(page))):
            assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"{page.name}: make {name}"


def _code(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [*fenced(text, "sh"), *re.findall(r"`([^`\n]+)`", text)]
