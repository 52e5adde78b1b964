"""The tables of a paper: scores with the best in bold, comparisons, and arms over all tasks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ablate.report import rows, scope, words
from ablate.report.latex import Table, bold, document, escaped, raised, underlined
from ablate.report.rows import Row
from ablate.report.scope import ArmKey, PanelKey, Record

T = TypeVar("T")
_MOST_TASKS, _MOST_ROWS = 6, 40  # of one table on a page
NAMES = ("scores", "comparisons", "variance", "over_tasks")
_ALL_PAIRS = "all pairs"  # of a standing, see `ablate.stats.standing`
_UP, _DOWN = "↑", "↓"


def files(findings: Record, study: str) -> dict[str, str]:
    """Every table that has a row, as the text of a LaTeX file, by name.

    Args:
        findings: the findings document.
        study: its name, which labels begin with.
    """
    made = (
        scores(findings, study),
        comparisons(findings, study, rows.mean_findings(findings), "comparisons"),
        comparisons(findings, study, rows.variance_findings(findings), "variance"),
        over_tasks(findings, study),
    )
    named = zip(NAMES, made, strict=True)
    return {name: document(found, f"{study}: {name}") for name, found in named if found}


class Marks:
    """Notes of a table's entries, each a letter; what all entries share is said once instead."""

    def __init__(self, of_entries: Iterable[Sequence[str]]) -> None:
        """Take the notes of every entry of the table."""
        given = [list(dict.fromkeys(texts)) for texts in of_entries]
        counts = Counter(text for texts in given for text in texts)
        self.shared = [t for t, number in counts.items() if number == len(given) > 1]
        self._letters = {t: _letters(i) for i, t in enumerate(t for t in counts
                                                              if t not in self.shared)}  # fmt: skip

    def of(self, texts: Sequence[str]) -> str:
        """The marks of an entry; empty without notes."""
        found = sorted({self._letters[text] for text in texts if text in self._letters})
        return raised(",".join(found)) if found else ""

    def explained(self) -> list[str]:
        """A sentence for each letter."""
        return [f"{raised(letter)}{escaped(_sentence(t))}" for t, letter in self._letters.items()]


def scores(findings: Record, study: str) -> list[Table]:
    """Arms by tasks: mean and standard deviation over seeds, a table a backbone."""
    groups: dict[str, list[Record]] = {}
    for cell in findings.get("cells") or []:
        groups.setdefault(scope.text(cell.get("backbone")), []).append(cell)
    parts = [
        (backbone, cells, arms, tasks)
        for backbone, cells in groups.items()
        for arms in _portions(list(scope.arms(cells)), _MOST_ROWS)
        for tasks in _portions([*dict.fromkeys(scope.text(c.get("task")) for c in cells)],
                               _MOST_TASKS)
    ]  # fmt: skip
    return [
        _scores(findings, backbone, {(scope.arm_key(c), scope.text(c.get("task"))): c
                                     for c in cells}, arms, tasks,
                label=_label(study, "scores", place, len(parts)))
        for place, (backbone, cells, arms, tasks) in enumerate(parts)
    ]  # fmt: skip


_Cells = Mapping[tuple[ArmKey, str], Record]


def _scores(
    findings: Record,
    backbone: str,
    cells: _Cells,
    arms: Sequence[ArmKey],
    tasks: Sequence[str],
    *,
    label: str,
) -> Table:
    shown = [c for arm in arms for task in tasks if (c := cells.get((arm, task))) is not None]
    seeds = Counter(int(cell.get("n") or 0) for cell in shown)
    usual = seeds.most_common(1)[0][0] if seeds else 0
    marks = Marks(_notes(cell, usual) for cell in shown)
    sizes = {arm: _parameters([cells[key] for key in cells if key[0] == arm]) for arm in arms}
    with_sizes = any(sizes.values())
    heads = [_task_heads(findings, task, cells) for task in tasks]
    body = [
        [
            escaped(arm.label),
            *([escaped(sizes[arm]) or "--"] if with_sizes else []),
            *(_score(cells.get((arm, task)), findings, usual, marks) for task in tasks),
        ]
        for arm in arms
    ]
    lead = ["", *([escaped("Parameters")] if with_sizes else [])]
    return Table(
        label=label,
        caption=escaped(f"Scores{f' of {backbone}' if backbone else ''}, mean ± standard "
                        f"deviation over {words.plural(usual, 'seed')}."),
        columns="l" + "r" * (len(lead) - 1 + len(tasks)),
        head=[lead + [task for task, _ in heads], [""] * len(lead) + [name for _, name in heads]],
        groups=[body],
        notes=[*(escaped(t) for t in _emphasis(shown, findings)),
               *(escaped(_sentence(t)) for t in marks.shared), *marks.explained()],
    )  # fmt: skip


def _task_heads(findings: Record, task: str, cells: _Cells) -> tuple[str, str]:
    """A task, and below it its metric and which way is better."""
    metric = scope.metric_of(findings, task)
    ways = {scope.text(cell.get("direction")) for key, cell in cells.items() if key[1] == task}
    arrow = {"higher": _UP, "lower": _DOWN}.get(ways.pop() if len(ways) == 1 else "", "")
    return escaped(task), rf"{{\scriptsize {escaped(f'{metric} {arrow}')}}}"


def _score(cell: Record | None, findings: Record, usual: int, marks: Marks) -> str:
    if cell is None or words.finite(cell.get("mean")) is None:
        return "--" if cell is None else "--" + marks.of(_notes(cell, usual))
    digits = scope.decimals(findings, scope.text(cell.get("task")))
    mean = escaped(words.number(cell.get("mean"), digits))
    place = (cell.get("standing") or {}).get("place")
    mean = (
        bold(mean) if place == "best" else underlined(mean) if place == "not_told_apart" else mean
    )
    sd = words.finite(cell.get("sd"))
    spread = "" if sd is None else rf" {{\scriptsize$\pm$\,{escaped(words.number(sd, digits))}}}"
    return mean + spread + marks.of(_notes(cell, usual))


def _notes(cell: Record, usual: int) -> list[str]:
    """What a reader must know of a cell's entry."""
    n, failed = int(cell.get("n") or 0), int(cell.get("num_failed") or 0)
    found = [f"{words.plural(n, 'seed')}"] if n != usual else []
    found += [f"{words.plural(failed, 'run')} failed"] if failed else []
    if scope.text(cell.get("status")) not in ("ok", "insufficient_n"):
        found.append(words.status(cell.get("status")))
    return [*found, *(["added after results were seen"] if cell.get("late") else [])]


def _emphasis(cells: Sequence[Record], findings: Record) -> Iterator[str]:
    """What bold and underlined mean, and which tests decide."""
    standings = [cell["standing"] for cell in cells if cell.get("standing")]
    if len(standings) < 2:
        return
    by = {scope.text(standing.get("by")) for standing in standings} - {""}
    tests = [
        *(["the study's own comparison with it"] if by - {_ALL_PAIRS} else []),
        *(["a paired t test among all pairs of arms (Holm)"] if _ALL_PAIRS in by else []),
    ]
    alpha = 1 - (words.finite(findings.get("level")) or 0.95)
    yield "Bold: the best mean of a task."
    if tests:
        yield f"Underlined: not told apart from it by {', else '.join(tests)}, at {alpha:.2g}."


def _parameters(cells: Sequence[Record]) -> str:
    """Trainable parameters of an arm; both ends where its tasks differ."""
    known = [size for c in cells if (size := words.finite(c.get("trainable_parameters")))]
    ends = [words.count(end) for end in dict.fromkeys((min(known), max(known)))] if known else []
    return "–".join(ends)


def comparisons(findings: Record, study: str, found: Sequence[Record], name: str) -> list[Table]:
    """Treatment against control, a group of rows a task."""
    made = rows.comparisons(found, findings)
    parts = list(_portions(made, _MOST_ROWS))
    return [
        _comparisons(part, findings, name, _label(study, name, place, len(parts)))
        for place, part in enumerate(parts)
    ]


_COMPARED = ("Difference", "Interval", "$p$", "Seeds", "Verdict")
_TITLES = {
    "comparisons": "Difference of means{}, positive where the treatment is better",
    "variance": "Difference of standard deviations between seeds{}, negative where the treatment "
    "is steadier",
}


def _comparisons(made: Sequence[Row], findings: Record, name: str, label: str) -> Table:
    marks = Marks(_remarks(row) for row in made)
    groups: dict[str, list[list[str]]] = {}
    controls = {row["control"] for row in made}
    against = f" against {controls.pop()}" if len(controls) == 1 else ""
    for row in made:
        verdict = escaped(row["verdict"].text) + marks.of(_remarks(row))
        between = escaped(row["treatment"] + ("" if against else f" vs {row['control']}"))
        shown = (row["estimate"], row["interval"], row["p"], row["n"])
        line = ["", between, *(escaped(text) for text in shown), verdict]
        groups.setdefault(row["task"], []).append(line)
    for task, lines in groups.items():
        lines[0][0] = escaped(task)
    return Table(
        label=label,
        caption=escaped(
            f"{_TITLES[name].format(against)}, with {scope.level(findings)} intervals."
        ),
        columns="llrrrrl",
        head=[
            [
                "Task",
                "Treatment" if against else "Comparison",
                "Difference",
                "Interval",
                "$p$",
                "Seeds",
                "Verdict",
            ]
        ],
        groups=list(groups.values()),
        notes=[
            escaped("p is adjusted for the comparisons of its family unless marked."),
            *(escaped(_sentence(t)) for t in marks.shared),
            *marks.explained(),
        ],
    )


def _remarks(row: Row) -> list[str]:
    """What qualifies a comparison."""
    found = [text for _, text in row["notes"]] + [row["aside"], row["remark"], row["lost"]]
    found.append(f"interval at {row['level']}" if row["level"] else "")
    found.append("" if row["adjusted"] or row["p_raw"] is None else "p not adjusted")
    return [text for text in found if text]


def over_tasks(findings: Record, study: str) -> list[Table]:
    """Arms over all tasks of a backbone: mean ranks and interquartile means."""
    found = findings.get("over_tasks") or []
    return [
        _over_tasks(one, findings, _label(study, "over-tasks", place, len(found)))
        for place, one in enumerate(found)
    ]


def _over_tasks(one: Record, findings: Record, label: str) -> Table:
    arms, ranking = one["arms"], one["ranking"]
    ranks = [rank for arm in arms if (rank := words.finite(arm.get("mean_rank"))) is not None]
    best, gap = min(ranks, default=0.0), words.finite(ranking.get("critical_difference"))
    panel = PanelKey("all tasks", scope.text(one.get("backbone")))
    digits = scope.decimals(findings, panel.task)
    body = []
    for arm in arms:
        rank, mean = words.finite(arm.get("mean_rank")), arm.get("iqm") or {}
        text = escaped(words.number(rank, 2))
        if rank is not None and rank == best:
            text = bold(text)
        elif rank is not None and gap is not None and rank - best < gap:
            text = underlined(text)
        middle = words.number(mean.get("estimate"), digits)
        ends = words.interval(mean.get("low"), mean.get("high"), digits)
        body.append([escaped(scope.arm_key(arm).label), text, escaped(middle), escaped(ends)])
    on = f" of {panel.backbone}" if panel.backbone else ""
    return Table(
        label=label,
        caption=escaped(f"Arms{on} over {words.plural(len(one['tasks']), 'task')}."),
        columns="lrrr",
        head=[["", "Mean rank", "Interquartile mean",
               escaped(f"{scope.level(findings)} interval")]],
        groups=[body],
        notes=[escaped(text) for text in _ranked(ranking, gap)],
    )  # fmt: skip


def _ranked(ranking: Record, gap: float | None) -> Iterator[str]:
    yield "Rank 1 is best; bold: the best mean rank."
    if gap is not None:
        yield (
            "Underlined: not told apart from it by Nemenyi's test (critical difference "
            f"{words.number(gap, 2)})."
        )
    if warning := words.status(ranking.get("status")):
        few = ranking.get("status") == "insufficient_n"
        yield _sentence("too few tasks for tests of ranks" if few else warning)


def _portions(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """The items in portions of nearly equal size, none above `most`."""
    number = -(-len(items) // most)
    for i in range(number):
        yield items[i * len(items) // number : (i + 1) * len(items) // number]


def _letters(place: int) -> str:
    """`a` to `z`, then `aa` and on."""
    before, last = divmod(place, 26)
    return (_letters(before - 1) if before else "") + chr(ord("a") + last)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _label(study: str, name: str, place: int, number: int) -> str:
    safe = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")
    part = f"-{place + 1}" if number > 1 else ""
    return f"tab:{safe}-{name}{part}" if safe else f"tab:{name}{part}"
