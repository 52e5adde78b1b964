"""The methods paragraph: which tests, corrections and choices stand behind the numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ablate.report import rows, words
from ablate.report.scope import Record, text

_TESTS = {
    "paired_t": "paired t test",
    "welch": "Welch's t test",
    "sign_flip": "sign-flip permutation test",
    "swap_median": "swap-median sign-flip test of spread",
    "brown_forsythe": "Brown-Forsythe test of spread",
    "tost": "two one-sided t tests (equivalence)",
    "seed_clustered_t": "t test over seeds of the mean over tasks",
    "wilcoxon": "Wilcoxon signed-rank test",
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
    tests = dict.fromkeys(text(finding.get("test")) for finding in found)
    names = [_TESTS.get(test, test.replace("_", " ")) for test in tests if test]
    if names:
        yield f"Tests used: {words.listed(names)}."
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
