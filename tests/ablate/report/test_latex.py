"""LaTeX: whatever a label holds is text, and the tables compile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tex import compile_with, engine_or_skip

from ablate.report.latex import Table, bold, document, escaped, raised, underlined

HOSTILE = (
    r"\input{/etc/passwd}", "50% of $x_1$ & {y} #1 ~^", "[4pt]", "*star", "a--b ''c'' ,,d",
    "`cmd` \"x\" <y> |z|", "Å é ñ ł ß Ÿ ç ő ȷ ï", "α β Ω ± × ≤ ½ → ★", "方法 🚀 Привет עברית",
    "\u202e\t\n\x00x", "MTLoRA–SHIM “r=8”",
)  # fmt: skip
ENGINES = ("pdflatex", "lualatex")


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("rank 8", "rank 8"),
        ("a_b", r"a\_b"),
        (r"\$", r"\textbackslash{}\$"),
        ("x--y", "x-{}-y"),
        ("3–5", "3--5"),
        ("−0.1", "$-$0.1"),
        ("[a]", "{[}a{]}"),
        ("é", r"\'{e}"),
        ("ï", r"\"{\i}"),
        ("ç", r"\c{c}"),
        ("λΣ", r"$\lambda$$\Sigma$"),
        ("方", r"\ablateletter{方}{65B9}"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_is_escaped(text: str, latex: str) -> None:
    assert escaped(text) == latex


@given(st.text())
def test_no_text_is_markup(text: str) -> None:
    """What is left without the commands that escaping writes has nothing that TeX reads."""
    latex = escaped(text)
    commands = r"\\(?:text[a-z]+|[a-zA-Z]+|[$&#%_{}`'^~=.\"])"
    bare = re.sub(commands, "", re.sub(r"\\ablateletter\{.\}\{[0-9A-F]+\}", "", latex))
    assert not set(bare) & set("\\#%&_~")
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    assert "\n" not in latex
    assert not latex.startswith(("[", "*"))


def hostile() -> str:
    rows = [[escaped(text), bold("1.0"), underlined("2.0") + raised("a")] for text in HOSTILE]
    table = Table(
        label="tab:x", caption=escaped(" ".join(HOSTILE)), columns="lrr",
        head=[["", escaped("a_b"), escaped("方")]], groups=[rows[:4], rows[4:]],
        notes=[raised("a") + escaped(HOSTILE[1])],
    )  # fmt: skip
    return document([table], "a study\nof two lines")


def test_a_file_says_what_it_needs_and_defines_what_it_uses() -> None:
    text = hostile()
    assert text.startswith("% a study of two lines\n% Needs \\usepackage{booktabs}.\n")
    assert text.count(r"\providecommand{\ablateletter}") == 1
    assert text.count(r"\midrule") == 2
    plain = Table(label="l", caption="c", columns="l", head=[["h"]], groups=[[["x"]]])
    assert "ablateletter" not in document([plain], "x")
    assert "minipage" not in str(plain)


@pytest.mark.parametrize("engine", ENGINES)
def test_hostile_labels_compile(engine: str, tmp_path: Path) -> None:
    (tmp_path / "hostile.tex").write_text(hostile(), encoding="utf-8")
    log = compile_with(engine_or_skip(engine), tmp_path, "hostile.tex")
    assert "undefined" not in log.lower()
