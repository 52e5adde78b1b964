"""What may run next: trials that wait, and cells whose search may ask. No scan of either."""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ablate.plan import Cell
from ablate.search import Tuner


@dataclass
class CellRun:
    """Where one cell stands.

    Attributes:
        place: its place in the plan.
        cell: the cell.
        tuner: its search; None when nothing is tuned.
        waiting: ids of planned trials that nobody trains yet; `Queue` keeps them.
        pruned: numbers of asks that the pruner has stopped.
        confirming: whether the confirmation has been planned.
    """

    place: int
    cell: Cell
    tuner: Tuner | None
    waiting: deque[str] = field(default_factory=deque)
    pruned: set[int] = field(default_factory=set)
    confirming: bool = False


class Queue:
    """The cells of a study by what they have to give.

    Two heaps of places in the plan: cells with waiting trials, and cells that may ask, those with
    the fewest asks first. A cell that has nothing to give any more is dropped when it comes up.
    """

    def __init__(self, cells: Sequence[CellRun]) -> None:
        self._cells = cells
        self._ids: set[str] = set()
        self._waiting: list[int] = []
        self._asking: list[tuple[int, int]] = []
        self._may_ask: set[int] = set()

    def __bool__(self) -> bool:
        """Whether there is anything to give."""
        return bool(self._ids) or self.ready() is not None

    def add(self, run: CellRun, identity: str) -> None:
        """Let a trial wait; one that waits already stays where it is."""
        if identity in self._ids:
            return
        if not run.waiting:
            heapq.heappush(self._waiting, run.place)
        self._ids.add(identity)
        run.waiting.append(identity)

    def pop(self) -> tuple[CellRun, str] | None:
        """The trial that has waited longest in the first cell that has one."""
        if not self._waiting:
            return None
        run = self._cells[self._waiting[0]]
        identity = run.waiting.popleft()
        self._ids.remove(identity)
        if not run.waiting:
            heapq.heappop(self._waiting)
        return run, identity

    def look_at(self, run: CellRun) -> None:
        """To be called when a cell's search may have become ready to ask."""
        if run.tuner is not None and run.place not in self._may_ask and run.tuner.ready():
            self._may_ask.add(run.place)
            heapq.heappush(self._asking, (run.tuner.num_asks, run.place))

    def ready(self) -> CellRun | None:
        """The cell that is to ask next: of those that may, the one with the fewest asks."""
        while self._asking:
            asked, place = self._asking[0]
            run = self._cells[place]
            assert run.tuner is not None
            if run.tuner.ready() and run.tuner.num_asks == asked:
                return run
            heapq.heappop(self._asking)
            self._may_ask.discard(place)
            self.look_at(run)
        return None
