"""Live progress of a run: tables that stay in place on a terminal, lines elsewhere."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate import pulse
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
    """Shows done, running, failed, time left, the best so far of each cell, and the engines."""

    def __init__(self, engines: Path | None = None) -> None:
        """Show a run.

        Args:
            engines: the file where the run says what its engines do; None to leave them out.
        """
        self._engines = engines
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
            from rich.console import Group

            cells = _table(standing, self._headline(standing, resolved))
            self._display.update(Group(cells, *self._engine_table()), refresh=True)
        else:
            out(self._headline(standing, resolved))
            sys.stdout.flush()
        self._pause = (time.monotonic() - self._shown) / SHARE

    def _engine_table(self) -> list[Any]:
        now = None if self._engines is None else pulse.read(self._engines)
        return [] if now is None or not now.engines else [_engines(now)]

    def _headline(self, standing: "list[Standing]", resolved: "Resolved") -> str:
        done = sum(s.search[0] + s.confirm[0] + s.variance[0] for s in standing)
        total = sum(s.search[1] + s.confirm[1] + s.variance[1] for s in standing)
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


ENGINE_COLUMNS = ("engine", "node", "device", "trials", "pack", "steps/s", "memory")


def engine_row(engine: pulse.EngineState) -> tuple[Any, ...]:
    """An engine as a row of `ENGINE_COLUMNS`; None for what is not known."""
    used, there = engine.memory_bytes, engine.memory_total_bytes
    memory = None
    if used is not None and there is not None:
        memory = f"{used / 2**30:.1f}/{there / 2**30:.0f} GiB"
    pace = None if engine.steps_per_second is None else round(engine.steps_per_second, 1)
    name = engine.name.removeprefix("engine-")[:8]
    where = engine.node or "waits for a device"
    return name, where, engine.device, engine.trials, engine.places, pace, memory


def _engines(now: pulse.Pulse) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{len(now.engines)} engines · {now.waiting} trials wait")
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for place, name in enumerate(ENGINE_COLUMNS):
        table.add_column(name, justify="left" if place < 3 else "right")
    for engine in now.engines:
        table.add_row(*(Text("–" if cell is None else str(cell)) for cell in engine_row(engine)))
    return table
