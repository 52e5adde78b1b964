"""Live progress of a run: a table that stays in place on a terminal, lines elsewhere."""

import sys
import time
from typing import TYPE_CHECKING, Any

from ablate.commands.common import out

if TYPE_CHECKING:
    from ablate.journal import State
    from ablate.resolve import Resolved
    from ablate.tally import Standing

LINE_SECONDS = 10.0
TABLE_SECONDS = 0.5
SHARE = 0.02
"""At most this part of the driver's time goes into what is shown, however large the study."""


class Live:
    """Shows done, running, failed, time left, and the best so far of each cell."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = 0.0
        self._pause = 0.0
        self._before: int | None = None
        self._pace_from: tuple[float, int] | None = None
        self._display: Any = None

    def __enter__(self) -> "Live":
        if sys.stdout.isatty():
            from rich.live import Live as Display

            self._display = Display(auto_refresh=False)
            self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            self._display.stop()

    def watch(self, resolved: "Resolved", state: "State") -> None:
        """Take in the state after an event; shows it at most every so often."""
        from ablate.tally import standings

        pause = max(TABLE_SECONDS if self._display is not None else LINE_SECONDS, self._pause)
        over = state.ended is not None
        if time.monotonic() - self._shown < pause and self._shown and not over:
            return
        self._shown = time.monotonic()
        standing = standings(resolved.plan, state, resolved.facts)
        if self._display is not None:
            self._display.update(_table(standing, self._headline(standing, resolved)), refresh=True)
        else:
            out(self._headline(standing, resolved))
            sys.stdout.flush()
        self._pause = (time.monotonic() - self._shown) / SHARE

    def _headline(self, standing: "list[Standing]", resolved: "Resolved") -> str:
        done = sum(s.search[0] + s.confirm[0] for s in standing)
        total = sum(s.search[1] + s.confirm[1] for s in standing)
        failed = sum(s.failed for s in standing)
        running = sum(s.running for s in standing)
        return (
            f"{clock(time.monotonic() - self._started)} · {done}/{total} done · "
            f"{running} running · {failed} failed · {self._left(done, total)} left"
            f"{_ahead(standing, resolved)}"
        )

    def _left(self, done: int, total: int) -> str:
        """Time left at the pace since trials first ended: starting up is no part of it."""
        now = time.monotonic()
        if self._before is None:
            self._before = done
        if done > self._before and self._pace_from is None:
            self._pace_from = (now, done)
        if self._pace_from is None or done >= total:
            return "–"
        since, first = self._pace_from
        if done == first:
            return "–"
        return clock((now - since) / (done - first) * (total - done))


def _ahead(standing: "list[Standing]", resolved: "Resolved") -> str:
    """The best cell by the search so far; nothing where tasks cannot be compared."""
    known = [(s.best, s) for s in standing if s.best is not None]
    if not known or len({s.cell.task for s in standing}) > 1:
        return ""
    higher = resolved.facts[standing[0].cell.task].direction == "higher"
    score, cell = max(known, key=lambda pair: pair[0] if higher else -pair[0])
    return f" · best so far {score:.4g} ({cell.cell.arm.label})"


def clock(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _table(standing: "list[Standing]", headline: str) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Names are the user's own: as Text they are never read as markup.
    table = Table(title=Text(headline), title_justify="left", box=box.SIMPLE)
    for name in ("task", "arm"):
        table.add_column(name)
    for name in ("asks", "seeds", "running", "failed", "best by search"):
        table.add_column(name, justify="right")
    for one in standing:
        table.add_row(
            Text(one.cell.task),
            Text(one.cell.arm.label),
            f"{one.search[0]}/{one.search[1]}" if one.search[1] else "–",
            f"{one.confirm[0]}/{one.confirm[1]}",
            str(one.running or ""),
            Text(str(one.failed), style="red") if one.failed else "",
            "–" if one.best is None else f"{one.best:.4f}",
        )
    return table
