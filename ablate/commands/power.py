"""`ablate power`: the effect that so many seeds can show, and the seeds that an effect needs."""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.commands.common import load, out, out_json, table
from trials.errors import Problem, UserError

if TYPE_CHECKING:
    from ablate.stats.planning import Assumptions, Needed, Pilot, Row


def run(given: argparse.Namespace) -> int:
    """Print tables of power; draw them with --out."""
    from ablate.stats import planning

    _require(given)
    pilots = _pilots(given)
    assumed = _assumptions(given, pilots)
    rows = planning.table(assumed, given.seeds or planning.SEEDS)
    needed = planning.needed(assumed)
    if given.out is not None:
        from ablate.report.figure_planning import write

        write(assumed, _curve(assumed, rows, needed), Path(given.out))
    if given.json:
        out_json(_document(assumed, rows, needed, pilots))
    else:
        _print(given, assumed, rows, needed, pilots)
    return 0


def _require(given: argparse.Namespace) -> None:
    """Refuse what has no answer, all of it at once."""
    problems: list[Problem] = []

    def refuse(wrong: bool, key: str, expected: str) -> None:
        if wrong:
            found = getattr(given, key.replace("-", "_"))
            problems.append(Problem(f"expected {expected}, but got {found}", key=f"--{key}"))

    for key in ("sd", "margin", "ratio"):
        value = getattr(given, key)
        refuse(value is not None and not 0 < value < math.inf, key, "a number above 0")
    refuse(given.ratio == 1, "ratio", "a ratio of sds other than 1")
    wrong = given.effect is not None and (given.effect == 0 or not math.isfinite(given.effect))
    refuse(wrong, "effect", "a difference other than 0")
    refuse(given.correlation is not None and not -1 < given.correlation < 1, "correlation",
           "a number between -1 and 1")  # fmt: skip
    refuse(given.comparisons is not None and given.comparisons < 1, "comparisons", "1 or more")
    refuse(not 0 < given.power < 1, "power", "a probability between 0 and 1")
    refuse(given.level is not None and not 0.5 < given.level < 1, "level",
           "a confidence between 0.5 and 1")  # fmt: skip
    refuse(bool(given.seeds) and min(given.seeds) < 2, "seeds", "2 or more seeds")
    drawable = given.out is None or Path(given.out).suffix in (".svg", ".pdf")
    refuse(not drawable, "out", "a .svg or .pdf file")
    if given.study is not None and given.table is not None:
        problems.append(Problem("give a STUDY or a table with --from, not both"))
    for flag, said in (("--baseline", given.baseline), ("--column", given.columns),
                       ("--value", given.values), ("--drop", given.dropped)):  # fmt: skip
        if said and given.table is None:
            problems.append(Problem("belongs to --from", key=flag))
    piloted = given.study is not None or given.table is not None
    if piloted and (given.sd is not None or given.correlation is not None):
        problems.append(Problem("--sd and --correlation come from the pilot; leave them out"))
    if given.correlation is not None and given.sd is None and not piloted:
        problems.append(Problem("needs --sd, the arms' own sd", key="--correlation"))
    if problems:
        raise UserError(*problems)


def _pilots(given: argparse.Namespace) -> "tuple[Pilot, ...]":
    """The noise of a pilot's comparisons; nothing without a pilot."""
    from ablate.stats.planning import pilots, pooled_sd

    if given.study is None and given.table is None:
        return ()
    if given.study is not None:
        found = pilots(load(given).findings())
    else:
        from ablate.api import findings_of_table
        from ablate.commands.report import columns, pattern

        baselines = [pattern(text) for text in given.baseline]
        made = findings_of_table(given.table, baselines=baselines, columns=columns(given))
        found = pilots(made)
    if pooled_sd(found) is None:
        raise UserError("the pilot has no comparison whose differences vary over two seeds or more")
    return found


def _assumptions(given: argparse.Namespace, pilots: "Sequence[Pilot]") -> "Assumptions":
    """What was given; what was not is one sd of the differences, and a ratio of two."""
    from ablate.stats.planning import Assumptions, pooled_sd, sd_of_differences

    sd = pooled_sd(pilots) or 1.0
    if given.sd is not None:
        sd = sd_of_differences(given.sd, given.correlation or 0.0)
    return Assumptions(
        sd=sd,
        effect=sd if given.effect is None else given.effect,
        margin=sd if given.margin is None else given.margin,
        ratio=2.0 if given.ratio is None else given.ratio,
        comparisons=given.comparisons or max(1, len(pilots)),
        level=0.95 if given.level is None else given.level,
        target=given.power,
    )


def _curve(assumed: "Assumptions", rows: "Sequence[Row]", needed: "Needed") -> "Sequence[Row]":
    """Every number of seeds from 2 to where the questions are answered or the table ends."""
    from ablate.stats.planning import table as power_table

    counts = [n for n in asdict(needed).values() if n is not None and n <= 200]
    last = max([row.seeds for row in rows] + counts)
    step = max(1, last // 60)
    return power_table(assumed, sorted({*range(2, last + 1, step), last}))


def _document(
    assumed: "Assumptions", rows: "Sequence[Row]", needed: "Needed", pilots: "Sequence[Pilot]"
) -> Mapping[str, Any]:
    return {
        "assumptions": {**asdict(assumed), "alpha": assumed.alpha},
        "rows": [asdict(row) for row in rows],
        "seeds_needed": asdict(needed),
        "pilot": [asdict(pilot) for pilot in pilots],
    }


def _print(
    given: argparse.Namespace,
    assumed: "Assumptions",
    rows: "Sequence[Row]",
    needed: "Needed",
    pilots: "Sequence[Pilot]",
) -> None:
    if pilots:
        header = ("task", "treatment", "control", "n", "sd of differences", "80 % limit",
                  "seed correlation")  # fmt: skip
        lines = [tuple(asdict(pilot).values()) for pilot in pilots]
        out(table(header, lines) + "\n")
    named = given.sd is not None or bool(pilots)
    unit = "" if named else " sd of the differences"
    if named:
        out(f"paired differences have sd {assumed.sd:.4g}")
    each = f", {assumed.comparisons} comparisons" if assumed.comparisons > 1 else ""
    out(f"level {1 - assumed.level:.3g}{each}: each is tested at {assumed.alpha:.3g}")
    out(f"“shows” is found with power {assumed.target:g}\n")
    header = (
        "seeds", "mean: shows", f"power at {assumed.effect:.4g}",
        "sd ratio: shows", f"power at {assumed.ratio:g}",
        "equivalence: shows", f"power at ±{assumed.margin:.4g}",
    )  # fmt: skip
    out(table(header, [tuple(asdict(row).values()) for row in rows]) + "\n")
    out(f"seeds for a mean difference of {assumed.effect:.4g}{unit}: {_count(needed.effect)}")
    out(f"seeds for a ratio of sds of {assumed.ratio:g} (normal theory): {_count(needed.ratio)}")
    out(f"seeds for equivalence within ±{assumed.margin:.4g}{unit}, were there no difference: "
        f"{_count(needed.margin)}")  # fmt: skip
    if given.out is not None:
        out(f"\nfigure   {given.out}")


def _count(seeds: int | None) -> str:
    return "more than 10,000" if seeds is None else f"{seeds:,}"
