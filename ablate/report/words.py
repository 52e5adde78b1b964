"""Values into text: numbers with sensible digits, verdicts in words, and the glossary."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

DASH = "–"
MINUS = "−"


class Verdict(NamedTuple):
    """How a verdict is shown: its words, the tone of its badge and the name of its icon."""

    text: str
    tone: str
    icon: str


NO_VERDICT = Verdict("no verdict", "quiet", "dash")

VERDICTS = {
    "better": Verdict("better", "good", "up"),
    "worse": Verdict("worse", "bad", "down"),
    "equivalent": Verdict("equivalent", "same", "equal"),
    "different": Verdict("different", "odd", "unequal"),
    "equivalent_but_different": Verdict("real but trivial", "same", "equal"),
    "undecided": Verdict("undecided", "open", "question"),
    "more_variable": Verdict("more variable", "bad", "wide"),
    "less_variable": Verdict("steadier", "good", "narrow"),
    "supported": Verdict("supported", "good", "check"),
    "contradicted": Verdict("contradicted", "bad", "cross"),
    "not_robust": Verdict("not robust", "warn", "warning"),
}

STATUSES = {
    "insufficient_n": "too few seeds",
    "degenerate_zero_variance": "no spread between seeds",
    "degenerate_no_difference": "identical scores",
    "nan_present": "some scores are not numbers",
    "not_robust": "flips when failed trials count as worst",
    "skewed": "skewed differences",
}

KINDS = {
    "mean": "mean",
    "equivalence": "equivalence",
    "across_tasks": "over tasks",
    "interaction": "interaction",
    "variance": "variance",
}

EFFECTS = {
    "hedges_g": "Hedges g",
    "hedges_gz": "Hedges g_z",
    "log_sd_ratio": "log sd ratio",
    "partial_eta_squared": "partial η²",
}

TRIAL_STATES = {
    "finished": "finished",
    "diverged": "diverged",
    "crashed": "crashed",
    "out_of_memory": "out of memory",
    "timed_out": "timed out",
    "pruned": "pruned",
    "missing": "missing",
}

GLOSSARY = (
    ("Arm", "One of the things compared: a method with its settings, as the study names it."),
    ("Cell", "One arm on one task and one backbone; its score is the mean over seeds."),
    (
        "Seed",
        "Fixes the starting values and the order of the data. Two arms at the same seed see the "
        "same batches in the same order, so their scores can be compared pair by pair.",
    ),
    ("sd", "Standard deviation between seeds: how far one run may land from another by luck."),
    (
        "Interval",
        "The range of true values that agree with the runs at the stated confidence. If an "
        "interval of a difference contains zero, the runs do not show which side is ahead.",
    ),
    (
        "Adjusted p",
        "The chance of a difference at least this large were there none, corrected for how "
        "many comparisons were made at once.",
    ),
    ("Effect size", "The difference in units of its spread, to set tasks side by side."),
    (
        "Confirmatory, exploratory",
        "A confirmatory result tests a claim that was written down before the runs. An "
        "exploratory one was found by looking and deserves a test of its own.",
    ),
    (
        "Undecided",
        "The runs settle the question neither way. It does not mean that there is no difference.",
    ),
    ("Equivalent", "The difference is shown to lie within the margin that the study declared."),
    (
        "Real but trivial",
        "A difference is shown to exist and to lie within the margin that the study declared.",
    ),
    ("Search, confirm", "Search chooses hyperparameters; confirm runs them on new seeds."),
)


def missing(value: Any) -> bool:
    """Whether a scalar carries no value: None, NaN or pandas' NA. Containers always carry one."""
    if value is None:
        return True
    if isinstance(value, float):  # first: most values are, and pandas takes longer to ask
        return math.isnan(value)
    if isinstance(value, str | int | bytes | dict | list | tuple | set):
        return False
    return bool(pd.isna(value))


def finite(value: Any) -> float | None:
    """The value as a finite float, or None."""
    if missing(value) or isinstance(value, str | dict | list | tuple | set | bytes):
        return None
    real = float(value)
    return real if math.isfinite(real) else None


def number(value: Any, decimals: int = 3, *, signed: bool = False) -> str:
    """A number with fixed decimals and a true minus sign; a dash when it is missing."""
    real = finite(value)
    if real is None:
        return DASH
    text = f"{abs(real):.{decimals}f}"
    is_zero = not text.strip("0.")
    if real < 0 and not is_zero:
        return MINUS + text
    return "+" + text if signed and not is_zero else text


def interval(low: Any, high: Any, decimals: int = 3, *, signed: bool = False) -> str:
    """An interval in brackets; one dash when either end is missing."""
    if finite(low) is None or finite(high) is None:
        return DASH
    ends = (number(end, decimals, signed=signed) for end in (low, high))
    return f"[{', '.join(ends)}]"


def p_value(value: Any) -> str:
    """A p value: three decimals, "<0.001" below that, a dash when it is missing."""
    real = finite(value)
    if real is None:
        return DASH
    if real < 0.001:
        return "<0.001"
    return ">0.999" if real > 0.999 else f"{real:.3f}"


def percent(value: Any) -> str:
    """A share of one in whole percent; a dash when it is missing."""
    real = finite(value)
    return DASH if real is None else f"{100 * real:.0f} %"


def count(value: Any) -> str:
    """A whole number with thousands separated; a dash when it is missing."""
    real = finite(value)
    return DASH if real is None else f"{round(real):,}"


def setting(value: Any) -> str:
    """A hyperparameter's value, short and unambiguous."""
    if missing(value):
        return DASH
    if isinstance(value, list | tuple):
        return ", ".join(setting(item) for item in value)
    if isinstance(value, bool | str):
        return str(value)
    real = finite(value)
    if real is None:
        return str(value)
    if real != 0 and (abs(real) < 1e-3 or abs(real) >= 1e6):
        return scientific(real)
    return f"{real:.4g}" if abs(real) < 1000 else f"{real:g}"


def scientific(value: float) -> str:
    """A number in powers of ten, short: 0.000312 is 3.12e-4."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def settings(values: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Named values as (name, text) pairs, names without the prefix of nuisances, in given order."""
    return [(name.removeprefix("tune."), setting(value)) for name, value in (values or {}).items()]


def decimals_for(values: Iterable[Any]) -> int:
    """Decimals that suit scores of this size: 4 on a scale of 0 to 1, 2 on a scale of 0 to 100."""
    sizes = [abs(real) for value in values if (real := finite(value)) is not None]
    largest = max(sizes, default=1.0)
    if largest <= 1.5:
        return 4
    return 3 if largest <= 15 else 2 if largest <= 1500 else 1


def verdict(name: Any) -> Verdict:
    """How a verdict is shown; an unknown one is shown by its own name."""
    if missing(name):
        return NO_VERDICT
    return VERDICTS.get(str(name), Verdict(str(name).replace("_", " "), "quiet", "dash"))


def status(name: Any) -> str:
    """What a status warns of; empty when all is well."""
    if missing(name) or name == "ok":
        return ""
    return STATUSES.get(str(name), str(name).replace("_", " "))


def state(name: Any) -> str:
    """What became of a trial."""
    if missing(name):
        return DASH
    return TRIAL_STATES.get(str(name), str(name).replace("_", " "))


def plural(amount: int, singular: str, many: str | None = None) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{amount:,} {singular if amount == 1 else many or singular + 's'}"


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    texts = list(items)
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
