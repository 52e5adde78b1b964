"""Texts that are almost right: a few edits away from ones that are."""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("ABLATE_FUZZ", "120"))
"""Examples of each target; `make fuzz` asks for 100,000."""

FUZZED = settings(
    max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
TOKENS = [
    "", "\n", " ", "  ", ":", "-", "- ", "[", "]", "{", "}", ",", "&a ", "*a", "<<: *a", "!!int ",
    "!!python/object/apply:os.system ", "|", ">", "#", "'", '"', "null", "true", "~", ".nan",
    ".inf", "-1", "0", "1e400", "1e-400", "99999999999999999999", "9" * 5000, "0x", "each",
    "{each: [1, 2]}", "../../../etc/passwd", "/", "~nobody/x", "\x00", "\x1b[31m", "\u202e",
    "\ud800", "é", "漢", "=cmd()", "<img src=x onerror=alert(1)>", "a" * 300, "low", "high", "log",
    "seeds", "rank", "when", "{}", "[]", "[[]]", "[" * 60, "1, 1", "%s", "{{x}}", "..", ".",
    "lora", "\t", "\r",
]  # fmt: skip
HANG_SECONDS = 1
"""Of CPU time, since the machine may be busy."""


def edits(most: int = 4) -> st.SearchStrategy[list[tuple[float, int, str]]]:
    """Where, how many characters go, and what comes in their place."""
    token = st.one_of(st.sampled_from(TOKENS), st.text(max_size=3))
    return st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([0, 0, 1, 2, 5, 20, 100]), token),
        min_size=1,
        max_size=most,
    )


def edited(text: str, changes: list[tuple[float, int, str]]) -> str:
    for where, gone, token in changes:
        place = int(where * len(text))
        text = text[:place] + token + text[place + gone :]
    return text


@contextmanager
def in_time(seconds: float = HANG_SECONDS) -> Iterator[None]:
    """Measured and not cut off: an exception from outside breaks whatever it falls into.

    Garbage waits meanwhile: that of all tests before may take a second.
    """
    gc.disable()
    begin = time.thread_time()
    try:
        yield
    finally:
        took = time.thread_time() - begin
        gc.enable()
    assert took < seconds, "it hangs"
