"""The answers to a reproducibility checklist, as far as the study has recorded them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from ablate.report import caveats, rows, scope, words
from ablate.report.scope import Record

SOURCE = "the machine learning reproducibility checklist (Pineau et al. 2021, arXiv:2003.12206)"
UNKNOWN = "Not recorded."


def answers(frame: pd.DataFrame, findings: Record, about: Record) -> list[tuple[str, str]]:
    """Pairs of a question and its answer; what is not known is said to be not recorded.

    Args:
        frame: one row per trial, split and metric.
        findings: the findings document.
        about: the study's context (see `render.write`).
    """
    runs = caveats.confirm_runs(frame)
    asked: tuple[tuple[str, Iterator[str]], ...] = (
        ("Are claims and their tests stated before the runs?", _claims(findings, about)),
        ("Which data were used, and how were they split?", _data(frame, findings, about)),
        ("How were hyperparameters chosen, from which ranges, with how many tries?",
         _tuning(findings, about)),
        ("How many runs stand behind each number?", _runs(findings)),
        ("Which measure is reported, with which central tendency and error bars?",
         _measures(findings)),
        ("Which runs were left out?", _lost(frame, findings)),
        ("How large are the models?", _sizes(findings)),
        ("Which devices were used, for how long?", _cost(runs, about)),
        ("Which versions of the software were used?", _software(about)),
        ("Where are all results, and how is one reproduced?", _files(runs)),
    )  # fmt: skip
    return [(question, " ".join(parts) or UNKNOWN) for question, parts in asked]


def _claims(findings: Record, about: Record) -> Iterator[str]:
    found = findings.get("claims") or []
    registered = sum(bool(f.get("confirmatory")) for f in rows.all_findings(findings))
    if found:
        yield (
            f"{words.plural(len(found), 'claim')}, served by "
            f"{words.plural(registered, 'finding')} registered before their results."
        )
    else:
        yield "No claim was stated: every comparison is exploratory."
    late = [r for r in about.get("revisions") or [] if r.get("after_results")]
    if late:
        times = words.plural(len(late), "time")
        yield f"The study was extended {times} after results had been seen; the report marks what."


def _data(frame: pd.DataFrame, findings: Record, about: Record) -> Iterator[str]:
    for task in caveats.tasks_of(frame):
        chose, shows = (scope.split_of(findings, about, task, r) for r in ("search", "report"))
        parts = [f"reported on {_sized(frame, task, shows)}"] if shows else []
        parts += [f"chosen on {_sized(frame, task, chose)}"] if chose else []
        yield f"{task}: {', '.join(parts) or 'split not recorded'}."


def _sized(frame: pd.DataFrame, task: str, split: str) -> str:
    """A split with its number of examples, where the rows know it."""
    if not {"split", "num_examples"} <= set(frame.columns):
        return split
    own = frame[(frame["task"] == task) & (frame["split"] == split)]["num_examples"].dropna()
    return f"{split} ({words.count(own.iloc[0])} examples)" if own.nunique() == 1 else split


def _tuning(findings: Record, about: Record) -> Iterator[str]:
    named = [(name, scope.text(about.get(name))) for name in ("sampler", "pruner", "budget")]
    said = [f"{name} {value}" for name, value in named if value]
    if said:
        yield f"Searched for every cell by itself: {', '.join(said)}."
    cells = (findings.get("search") or {}).get("cells") or []
    asks = [cell["asks"] for cell in cells if cell.get("nuisances")]
    ranges: Record = about.get("space") or {}
    if asks:
        names = dict.fromkeys(name for cell in cells for name in cell.get("nuisances") or ())
        shown = [f"{name} ({ranges[name]})" if name in ranges else name for name in names]
        yield f"Tuned: {words.listed(shown)}; {_range(asks)} tries a cell."
    if any(cell.get("best_values") for cell in findings.get("cells") or []):
        yield "The chosen values stand in tables/cells.csv, each try in tables/trials.csv."


def _runs(findings: Record) -> Iterator[str]:
    seeds = [int(cell.get("n") or 0) for cell in findings.get("cells") or []]
    if seeds:
        yield f"{_range(seeds)} seeds a cell; tables/cells.csv names them."


def _measures(findings: Record) -> Iterator[str]:
    cells = findings.get("cells") or []
    metrics = dict.fromkeys(
        metric for cell in cells if (metric := scope.metric_of(findings, scope.text(cell["task"])))
    )
    if metrics:
        yield f"{words.listed(metrics)}."
    level = scope.level(findings)
    if level:
        yield (
            f"Mean over seeds, with the standard deviation between seeds and {level} intervals of "
            "the mean; what each error bar is, is written beside it."
        )


def _lost(frame: pd.DataFrame, findings: Record) -> Iterator[str]:
    lost = Counter(row["state"] for row in rows.failures(frame, findings))
    if lost:
        states = words.listed(f"{number} {state}" for state, number in lost.most_common())
        yield f"{words.plural(lost.total(), 'run')} without a result ({states}), each listed."
    else:
        yield "None: every run of the confirm stage counts."
    yield "Nothing was filled in."


def _sizes(findings: Record) -> Iterator[str]:
    sizes = [
        size
        for cell in findings.get("cells") or []
        if (size := words.finite(cell.get("trainable_parameters"))) is not None
    ]
    if sizes:
        yield f"{_range(sizes)} trainable parameters; tables/cells.csv has each arm's."


def _cost(runs: pd.DataFrame, about: Record) -> Iterator[str]:
    if spent := scope.text(about.get("spent")):
        yield f"{spent[:1].upper()}{spent[1:]}, all stages and failed trials included."
    if "device" in runs.columns and runs["device"].notna().any():
        yield f"Runs on {words.listed(sorted(runs['device'].dropna().astype(str).unique()))}."
    if "seconds" in runs.columns and runs["seconds"].notna().any():
        took = runs["seconds"].dropna()
        yield (
            f"A confirmed run took {words.setting(float(took.min()))} to "
            f"{words.setting(float(took.max()))} seconds."
        )


def _software(about: Record) -> Iterator[str]:
    for entry in about.get("environment") or []:
        yield f"{rows.entry(entry)}."
    if version := scope.text(about.get("version")):
        yield f"ablate {version}."


def _files(runs: pd.DataFrame) -> Iterator[str]:
    yield "Every score is a line of tables/trials.csv, every finding an entry of findings.json."
    if "trial_id" in runs.columns and runs["trial_id"].notna().any():
        yield "`ablate reproduce` trains a trial again by its id and compares."


def _range(values: Sequence[float]) -> str:
    """One number, or the least and the greatest."""
    ends = dict.fromkeys((min(values), max(values)))
    return " to ".join(words.count(end) for end in ends)
