"""Write a report: one page that opens from disk, its figures, tables, methods and findings."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ablate.report import figures as drawings
from ablate.report import latex_tables, methods, tables, view
from ablate.report.figures import Figure
from ablate.report.palette import PAGE_TONES, css
from ablate.report.pdf import pdf
from ablate.report.svgtext import standalone


def write(
    frame: pd.DataFrame, findings: Mapping[str, Any], about: Mapping[str, Any], folder: Path
) -> Path:
    """Write the report of a study; equal input gives equal bytes.

    Args:
        frame: one row per trial, split and metric (see `ablate.frame`).
        findings: the findings document, schema 1.
        about: context; every key may be absent: `study`, `question`, `splits` (`{"search",
            "report"}`, or one such per task), `selection`, `sampler`, `pruner`, `budget`, `space`
            (nuisance -> its range in words), `spent`,
            `revisions` (each `{"revision", "when", "added", "after_results"}`), `environment`
            (texts or mappings), `mlflow` (already redacted), `version`, `generated_at`, `caveats`.
        folder: created if need be; files of an earlier report are replaced, each at once.

    Returns:
        The path of `report.html`. Beside it lie `findings.json`, `methods.md`, `tables/` (CSV and
        LaTeX) and `figures/` (SVG and PDF).
    """
    drawn = drawings.draw(frame, findings, about)
    panels = [panel for figure in drawn for panel in figure.panels]
    papers = latex_tables.files(findings, str(about.get("study") or "study"))
    files: dict[str, str | bytes] = {
        **{f"figures/{panel.name}.svg": standalone(panel.svg) for panel in panels},
        **{f"figures/{panel.name}.pdf": pdf(panel.ax) for panel in panels},
        **{f"tables/{name}.csv": text for name, text in view.csv_files(findings).items()},
        **{f"tables/{name}.tex": text for name, text in papers.items()},
        "tables/trials.csv": tables.trials_csv(frame),
        "methods.md": methods.markdown(frame, findings, about),
        "findings.json": findings_json(findings),
        "report.html": html(frame, findings, about, drawn),
    }
    for name, content in files.items():
        _replace(folder / name, content)
    _forget_old(folder, files)
    return folder / "report.html"


def findings_json(findings: Mapping[str, Any]) -> str:
    """The findings document, indented, keys sorted; what is no finite number is null."""
    document = tables.plain(findings)
    return (
        json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    )


def html(
    frame: pd.DataFrame,
    findings: Mapping[str, Any],
    about: Mapping[str, Any],
    figures: tuple[Figure, ...],
) -> str:
    """The page as one self-contained document."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_resource),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _resource("page.js")
    return environment.get_template("page.html.jinja").render(
        **view.page(frame, findings, about, figures),
        css=Markup(_resource("page.css")),
        light=Markup(css(PAGE_TONES, dark=False)),
        dark=Markup(css(PAGE_TONES, dark=True)),
        packed={name: packed(text) for name, text in view.csv_files(findings).items()},
        script=Markup(script),
        script_hash=_digest(script),
        svg={panel.name: Markup(panel.svg) for figure in figures for panel in figure.panels},
    )


def packed(text: str) -> str:
    """Text for the page's script to unpack: gzip, then base64."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _digest(script: str) -> str:
    """The script's hash as a content security policy states it: no other script may run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _resource(name: str) -> str:
    """A file that ships with this package."""
    return (resources.files("ablate.report") / name).read_text(encoding="utf-8")


def _replace(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.new")
    waiting.write_bytes(content if isinstance(content, bytes) else content.encode())
    waiting.replace(path)


def _forget_old(folder: Path, files: Mapping[str, object]) -> None:
    """Remove figures and LaTeX tables of an earlier report that this one no longer has."""
    for path in sorted((folder / "figures").glob("*.*")):
        ours = path.name.startswith(tuple(f"{name}-" for name in drawings.NAMES))
        if ours and path.suffix in (".svg", ".pdf") and f"figures/{path.name}" not in files:
            path.unlink()
    for name in latex_tables.NAMES:
        if f"tables/{name}.tex" not in files:
            (folder / "tables" / f"{name}.tex").unlink(missing_ok=True)
