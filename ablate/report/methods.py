"""The methods paragraphs: which tests, corrections and choices stand behind the numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ablate.report import checklist, rows, words
from ablate.report.scope import Record, text

_TESTS = {
    "paired t": "paired t test",
    "sign-flip": "sign-flip permutation test",
    "paired t and sign-flip": "paired t and sign-flip tests, the larger p of both, where "
    "differences are skewed",
    "Welch": "Welch's t test where seeds are not shared",
    "TOST": "two one-sided t tests (equivalence)",
    "TOST by sign-flip": "two one-sided sign-flip tests (equivalence)",
    "TOST by t and sign-flip": "two one-sided t and sign-flip tests (equivalence)",
    "swap-median": "swap-median sign-flip test of spread",
    "Brown-Forsythe": "Brown-Forsythe test of spread",
    "F": "F test of interactions (Type II sums of squares)",
}
_ADJUSTMENTS = {
    "holm": "Holm's method",
    "bh": "the Benjamini-Hochberg method",
    "fdr_bh": "the Benjamini-Hochberg method",
    "benjamini_hochberg": "the Benjamini-Hochberg method",
    "benjamini-hochberg": "the Benjamini-Hochberg method",
}


def paragraphs(findings: Record, about: Record) -> list[str]:
    """The methods section, a paragraph each: the design, the tests, the search."""
    parts = (_design(findings), _tests(findings), _search(about))
    return [paragraph for part in parts if (paragraph := " ".join(part))]


def markdown(frame: pd.DataFrame, findings: Record, about: Record) -> str:
    """Methods and answers to the checklist as a text to copy from into a paper."""
    answers = (
        f"**{question}** {answer}" for question, answer in checklist.answers(frame, findings, about)
    )
    parts = [
        f"# Methods: {text(about.get('study')) or 'study'}",
        *paragraphs(findings, about),
        "## Reproducibility checklist",
        f"Questions after {checklist.SOURCE}.",
        *answers,
    ]
    return "\n\n".join(plain(part) for part in parts) + "\n"


def plain(paragraph: str) -> str:
    """On one line, with nothing in it that Markdown would take for HTML."""
    return " ".join(paragraph.split()).replace("&", "&amp;").replace("<", "&lt;")


def _design(findings: Record) -> Iterator[str]:
    found = rows.all_findings(findings)
    if any(finding.get("paired") for finding in found):
        yield (
            "Arms are compared on shared seeds: the difference is taken seed by seed, and only "
            "seeds that finished in both arms count."
        )
    level = words.finite(findings.get("level"))
    if level is not None:
        yield (
            f"Intervals are {level * 100:g} % t intervals over seeds; “±” is the standard "
            "deviation between seeds."
        )
    if any(finding.get("sequential") for finding in found):
        yield (
            "Findings marked sequential were checked at seed counts fixed beforehand; their "
            "intervals and p values pay for the repeated looks."
        )
    looks = words.finite(findings.get("looks"))
    if looks:
        times = "once" if looks == 1 else f"{words.count(looks)} times"
        yield f"The results have been looked at {times}, this time included."


def _tests(findings: Record) -> Iterator[str]:
    found = rows.all_findings(findings)
    tests = dict.fromkeys(text(finding.get("test")).replace("_", " ") for finding in found)
    names = [_TESTS.get(test, f"{test} test") for test in tests if test]
    if names:
        yield f"Tests used: {words.listed(names)}."
    if any(finding.get("kind") == "across_tasks" for finding in found):
        yield (
            "Over several tasks the mean over tasks is taken seed by seed, and the seeds are the "
            "sample: what is shown holds for these tasks."
        )
    if any(finding.get("kind") == "variance" for finding in found):
        yield "Intervals of differences in spread are from a bootstrap of the seeds, in pairs."
    if any(finding.get("examples") for finding in found):
        yield (
            "Where predictions of each example are stored, the noise of the evaluation set is a "
            "bootstrap over seeds and examples."
        )
    families: dict[tuple[str, str], int] = {}
    for finding in found:
        key = text(finding.get("adjustment")), text(finding.get("family"))
        families[key] = families.get(key, 0) + 1
    for (adjustment, family), size in families.items():
        if adjustment and adjustment != "none":
            method = _ADJUSTMENTS.get(adjustment, adjustment.replace("_", " "))
            of = f" of the family “{family}”" if family else ""
            yield f"The {words.plural(size, 'p value')}{of} {_is(size)} adjusted by {method}."
    if any(finding.get("confirmatory") for finding in found):
        yield "Confirmatory findings test claims that were registered before the runs."
    yield "A trial that failed is missing; no value is ever filled in."


def _is(size: int) -> str:
    return "is" if size == 1 else "are"


def _search(about: Record) -> Iterator[str]:
    named = [
        f"{label}: {about[name]}"
        for name, label in (("sampler", "sampler"), ("pruner", "pruner"), ("budget", "budget"))
        if about.get(name)
    ]
    if named:
        yield f"Hyperparameters were searched for every cell separately ({'; '.join(named)})."
    selection = text(about.get("selection"))
    meaning = {
        "best": "The score of a run is that of its best epoch by the split that chose.",
        "last": "The score of a run is that of its last epoch.",
    }
    if selection:
        yield meaning.get(selection, f"Epoch selection: {selection}.")
