"""What may run next: trials that wait, and cells whose search may ask. No scan of either."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from ablate.objectives import Objective
from ablate.plan import Cell
from ablate.search import Tuner


@dataclass
class CellRun:
    """Where one cell stands.

    Attributes:
        place: its place in the plan.
        cell: the cell.
        tuner: its search; None when nothing is tuned.
        aims: what the search makes better.
        pruned: numbers of asks that the pruner has stopped.
        confirming: whether the confirmation has been planned.
    """

    place: int
    cell: Cell
    tuner: Tuner | None
    aims: tuple[Objective, ...] = ()
    pruned: set[int] = field(default_factory=set)
    confirming: bool = False


class Queue:
    """The trials of a study that wait, and the cells that may ask for more.

    Trials that search come first, then those that confirm, seed by seed: trials of one seed see
    the same batches, so that an engine that trains them together wastes nothing on padding, and
    cells can be compared early. Of the cells that may ask, those with the fewest asks come first.
    """

    def __init__(self, cells: Sequence[CellRun]) -> None:
        self._cells = cells
        self._ids: set[str] = set()
        self._waiting: list[tuple[int, int, int, str]] = []
        self._added = 0
        self._asking: list[tuple[int, int]] = []
        self._may_ask: set[int] = set()

    def __bool__(self) -> bool:
        """Whether there is anything to give."""
        return bool(self._ids) or self.ready() is not None

    @property
    def num_waiting(self) -> int:
        """Trials that wait and cells that may ask: at least so many could train now."""
        return len(self._ids) + len(self._may_ask)

    def add(self, run: CellRun, identity: str, turn: int) -> None:
        """Let a trial wait; one that waits already stays where it is.

        Args:
            run: its cell.
            identity: its id.
            turn: lower ones come first, then those of cells that the plan names first.
        """
        if identity not in self._ids:
            self._ids.add(identity)
            self._added += 1
            heapq.heappush(self._waiting, (turn, run.place, self._added, identity))

    def pop(self) -> tuple[CellRun, str] | None:
        """The trial whose turn it is."""
        if not self._waiting:
            return None
        _, place, _, identity = heapq.heappop(self._waiting)
        self._ids.remove(identity)
        return self._cells[place], identity

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
