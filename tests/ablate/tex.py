"""Setting LaTeX in tests: with an engine of this machine, or not at all."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def compile_with(engine: str, folder: Path, *names: str) -> str:
    """Run a document that reads these files; the log, without line breaks."""
    body = "\n".join(rf"\input{{{name}}}" for name in names)
    (folder / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        f"{body}\n\\end{{document}}\n",
        encoding="utf-8",
    )
    made = subprocess.run(
        [engine, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
        cwd=folder, capture_output=True, text=True, errors="replace", timeout=300, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout[-3000:]
    assert (folder / "paper.pdf").stat().st_size > 1000
    return made.stdout.replace("\n", "")


def engine_or_skip(name: str) -> str:
    """The TeX engine, with booktabs; skips where it is not installed."""
    if shutil.which(name) is None or shutil.which("kpsewhich") is None:
        pytest.skip(
            f"no {name} on this machine (Debian: texlive-latex-recommended, texlive-luatex)"
        )
    found = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("TeX has no booktabs here (Debian: texlive-latex-recommended)")
    return name
