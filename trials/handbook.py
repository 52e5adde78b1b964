"""Writes `docs/methods.md` from the code of the methods, their tests and the published figures.

Run from a checkout: `python -m trials.handbook`. A test holds the committed file to it.
"""

import ast
import inspect
import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from trials import backbones, catalogue
from trials.catalogue import Field
from trials.families import Head
from trials.methods.base import Method
from trials.published import Published, published
from trials.training.counting import count

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "methods.md"

_TESTS = ROOT / "tests" / "trials"
_INTRODUCTION = """# Methods

Written by `python -m trials.handbook` from the code; a test holds this page to it.

`ΔW` is the change of a map's weight W (outputs × inputs), `r` a rank, `α` a scale. Shapes: S sites
of equal shape, I inputs, O outputs, R rank. A field that came *later* leaves a trial's identity as
it was where it has its default.
"""
_COUNTS = """## Published and computed counts

Trained numbers without the head, unless a note says otherwise. A figure *agrees* where the
computed count, rounded or cut to as many digits, is the same; *roughly* is within 10 %.
`ablate count` prints the figure of a configuration that is in this table.

| method | configuration | published | computed | verdict | source |
|---|---|---:|---:|---|---|
"""


def text() -> str:
    """The whole page."""
    sections = [_section(name, method) for name, method in _own_methods().items()]
    table = "".join(f"| {' | '.join(_row(row))} |\n" for row in published())
    return "\n".join([_INTRODUCTION, *sections, _COUNTS + table])


def _own_methods() -> dict[str, type[Method]]:
    """The folder's methods, without the configurations of a library."""
    found = catalogue.methods().items()
    return {name: cls for name, cls in found if cls.__module__ == f"trials.methods.{name}"}


def _section(name: str, method: type[Method]) -> str:
    parts = [
        f"## {name}",
        f"`{method.equation}` ({method.source})",
        inspect.cleandoc(method.__doc__ or ""),
        "\n".join(f"- **{what}:** {said}" for what, said in _facts(method)),
        _fields(catalogue.method_fields(name)),
        f"Checked by {_checks(name)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(method: type[Method]) -> Iterator[tuple[str, str]]:
    """What the methods of the class say of themselves."""
    for what, name in (("factors", "update"), ("start", "init"), ("shared", "shared"),
                       ("schedule", "after_step"), ("penalty", "penalty"),
                       ("trained numbers of a site", "num_parameters")):  # fmt: skip
        if (said := _said(method, name)) is not None:
            yield what, said
    if not method.packs:
        yield "trains", "a copy of the backbone, alone"
    if not method.exports:
        ways = "merged into the weights" if method.merges else "not at all"
        yield "exports", ways if method.packs else "as a whole model"


def _said(method: type[Method], name: str) -> str | None:
    """The docstring of what a method defines itself, as one paragraph."""
    own = getattr(method, name)
    if own is getattr(Method, name) or own.__doc__ is None:
        return None
    description = inspect.cleandoc(own.__doc__).partition("\n\nArgs:")[0]
    return " ".join(description.split())


def _fields(fields: Mapping[str, Field]) -> str:
    if not fields:
        return ""
    head = "| field | default | may be | meaning |\n|---|---|---|---|\n"
    rows = [
        f"| `{name}` | {_shown(item.default)} | {_range(item)} | {item.help}"
        f"{' (later)' if item.later else ''} |"
        for name, item in fields.items()
    ]
    return head + "\n".join(rows)


def _shown(value: Any) -> str:
    if value is None or value is MISSING:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _range(item: Field) -> str:
    if item.choices is not None:
        return ", ".join(map(str, item.choices))
    if item.subset_of is not None:
        return f"some of {', '.join(item.subset_of)}"
    if item.kind == "bool":
        return "true, false"
    if item.low is None:
        return "any number"
    high = "" if item.high is None else f" and at most {item.high}"
    return f"at least {item.low}{high}"


def _checks(name: str) -> str:
    """The tests that are about a method, by what their names say."""
    cases = [case for case, (method, _) in _contract_cases().items() if method == name]
    own = _TESTS / "methods" / f"test_{name}.py"
    loops = _TESTS / "methods" / "test_trajectories.py"
    parts = [f"the contract suite in {len(cases)} configurations ({', '.join(cases)})"]
    if f"test_{name}" in _tests_of(loops):
        parts.append(
            f"[50 steps against the `peft` library's own modules](../{loops.relative_to(ROOT)})"
        )
    sentences = "\n".join(f"- {n.removeprefix('test_').replace('_', ' ')}" for n in _tests_of(own))
    return f"{', '.join(parts)}, and [its own tests](../{own.relative_to(ROOT)}):\n\n{sentences}"


def _tests_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [name for name in found if name.startswith("test_")]


def _contract_cases() -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """`CASES` of the contract suite's tests: name -> method and hyperparameters."""
    cases: Mapping[str, tuple[str, Mapping[str, Any]]]
    cases = runpy.run_path(str(_TESTS / "test_contract.py"))["CASES"]
    return cases


def _row(row: Published) -> Sequence[str]:
    settings = [f"{key} {value}" for key, value in row.given.items()]
    configuration = ", ".join([row.backbone, *settings])
    where = f" on {', '.join(row.targets)}" if row.targets else ""
    found = counts(row)
    computed, verdict = f"no configuration of {row.backbone} here", ""
    if found is not None:
        computed, verdict = row.shown(*found), row.verdict(*found)
    about = "; ".join(part for part in (row.source, row.note) if part)
    return row.method, configuration + where, row.figure or "", computed, verdict, about


def counts(row: Published) -> tuple[int, int] | None:
    """Trained numbers of a configuration's method and head; None where its backbone is not here."""
    values = catalogue.complete(row.method, row.given)
    if not backbones.has_configuration(row.backbone):
        return None
    # A method that chooses its sites leaves the targets aside.
    targets = row.targets or ("query",)
    return count(row.backbone, row.method, values, targets, head=Head(row.head or 2))


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
