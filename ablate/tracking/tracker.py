"""Brings MLflow up to the state of a journal, from whatever was sent before.

One experiment a study, one parent run, one summary run a cell, one run a trial. Runs are found
again by their tags, so a driver that was killed goes on where it was and makes nothing twice.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import partial

from ablate import journal
from ablate.tracking import records
from ablate.tracking.client import Client, Point, Run, StoreError
from ablate.tracking.facts import CellInfo, Owner, StudyInfo
from ablate.tracking.sending import Job, Sent, due_tags, known, made, send, send_trial
from ablate.tracking.uris import default_artifacts
from trials.errors import UserError
from trials.spec import canonical_json, digest

_PATIENCE = 3
"""Runs that may fail in one synchronisation before the store is taken to be away."""

_CONFIG = "ablate.config_digest"
_LOOKS = "ablate.looks"


class Tracker:
    """The one writer of a study's experiment; to be used by one thread.

    Attributes:
        client: the store.
        name: of the experiment: the study's, unless another store has one of that name there.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        *,
        artifacts: str | None,
        client: Client | None = None,
        owner: Owner | None = None,
    ) -> None:
        """Make the store's schema and the experiment where they are missing, which takes seconds.

        Args:
            uri: a tracking URI that `check` accepts.
            experiment: the study's name.
            artifacts: where files go; None for beside a SQLite file, or the server's choice.
            client: the store, where the caller has it open.
            owner: whose study it is, where others may have one of the same name.

        Raises:
            UserError: the experiment was deleted in MLflow, or mlflow is not installed.
            StoreError: the store does not answer.
        """
        self.client = Client(uri) if client is None else client
        place = default_artifacts(uri) if artifacts is None else artifacts
        self._experiment, self.name = _experiment(self.client, experiment, place, owner)
        self._is_listed = False
        self._parent: Sent | None = None
        self._cells: dict[str, Sent] = {}
        self._trials: dict[str, Sent] = {}
        self._described: dict[str, tuple[CellInfo, str]] = {}

    def sync(self, state: journal.State, cells: Sequence[CellInfo], study: StudyInfo) -> None:
        """Bring the store up to a state; only what changed since the last call is sent.

        Args:
            state: the journal's, not to be changed meanwhile.
            cells: of the current plan.
            study: the study as a whole.

        Raises:
            StoreError: something could not be sent, the first of what went wrong; what could be
                sent was. Call again later.
        """
        study = replace(study, name=self.name)
        errors: list[StoreError] = []
        try:
            self._list()
            parent = self._send_study(state, study)
            for work in self._work(state, cells, study, parent):
                try:
                    work()
                except StoreError as error:
                    errors.append(error)
                    if len(errors) >= _PATIENCE:
                        break
            if errors:
                raise errors[0]
        except BaseException:
            # Whether the last request arrived is not known; the next call looks.
            self._is_listed = False
            raise

    def close(self, *, interrupted: bool = False) -> None:
        """End the parent run, and every run that is still open.

        Args:
            interrupted: the study did not come to its end.

        Raises:
            StoreError: the store does not answer; call again later.
        """
        self._list()
        now = records.milliseconds(time.time())
        for sent in (*self._trials.values(), *self._cells.values()):
            if sent.status == "RUNNING":
                self.client.end(sent.run, "KILLED", now)
                sent.status, sent.end, sent.signature = "KILLED", now, None
        if self._parent is not None:
            self._parent.status = "KILLED" if interrupted else "FINISHED"
            self.client.end(self._parent.run, self._parent.status, now)

    def _list(self) -> None:
        """Map the runs that there are, once; of two for the same thing the older one stays."""
        if self._is_listed:
            return
        self._parent, self._cells, self._trials = None, {}, {}
        for run in self.client.runs([self._experiment]):
            if not self._adopt(run):
                self.client.delete(run.id)
        self._is_listed = True

    def _adopt(self, run: Run) -> bool:
        """False for a run whose place is taken: a request that was sent twice made it."""
        kind, sent = run.tags.get(records.KIND), known(run)
        if kind == "study":
            self._parent = self._parent or sent
            return self._parent is sent
        if kind == "cell":
            return self._cells.setdefault(run.tags.get(records.CELL, ""), sent) is sent
        if kind == "trial":
            return self._trials.setdefault(run.tags.get(records.TRIAL, ""), sent) is sent
        return True

    def _work(
        self, state: journal.State, cells: Sequence[CellInfo], study: StudyInfo, parent: str
    ) -> Iterator[Callable[[], None]]:
        by_key = {cell.key: (cell, self._describe(cell)) for cell in cells}
        for cell in cells:
            yield partial(self._send_cell, cell, study, parent)
        for key in self._cells.keys() - by_key.keys():
            yield partial(self._retire_cell, key)
        for trial in state.trials.values():
            info, description = by_key.get(_cell_key(trial, study), (None, ""))
            signature = _signature(trial, description)
            sent = self._trials.get(trial.id)
            if sent is None and trial.status == "waiting":
                continue
            if sent is None or sent.signature != signature:
                yield partial(self._send_trial, Job(trial, signature, info, study, parent))

    def _describe(self, cell: CellInfo) -> str:
        """A digest of what the cell's trials show of it: all but its summary."""
        before = self._described.get(cell.key)
        if before is not None and before[0] == cell:
            return before[1]
        shown = {f.name: getattr(cell, f.name) for f in fields(cell) if f.name != "summary"}
        self._described[cell.key] = (cell, digest(shown))
        return self._described[cell.key][1]

    def _send_trial(self, job: Job) -> None:
        sent = self._trials.get(job.trial.id)
        self._trials[job.trial.id] = send_trial(self.client, self._experiment, sent, job)

    def _send_study(self, state: journal.State, study: StudyInfo) -> str:
        tags = {
            records.KIND: "study",
            records.STUDY: study.name,
            "ablate.question": study.question[: records.MAX_TAG],
            "ablate.revision": str(study.revision),
            "mlflow.note.content": study.question[: records.MAX_TAG],
        }
        if self._parent is None:
            times = [revision.time for revision in state.revisions[:1]]
            start = records.milliseconds(times[0] if times else time.time())
            run = self.client.create(self._experiment, study.name, start, tags)
            self._parent = made(run, tags)
        sent = self._parent
        tags[_CONFIG] = digest(study.config)
        tags[_LOOKS] = str(len(state.looks))
        due = due_tags(sent, tags)
        # Before their tags, so that a tag never speaks of a file that is not there.
        if _CONFIG in due:
            self.client.text(sent.run, canonical_json(study.config), records.CONFIG_FILE)
        if _LOOKS in due and state.looks:
            ledger = [asdict(look) for look in state.looks]
            self.client.text(sent.run, canonical_json(ledger), "ledger.json")
        send(self.client, sent.run, [], {}, due)
        if sent.status != "RUNNING":
            self.client.update(sent.run, status="RUNNING")
            sent.status = "RUNNING"
        sent.tags, sent.found = digest(tags), None
        return sent.run

    def _send_cell(self, cell: CellInfo, study: StudyInfo, parent: str) -> None:
        sent = self._cells.get(cell.key)
        if sent is not None and sent.cell == cell:
            return
        tags = _cell_tags(cell, study)
        values = {
            records.key(name): float(value)
            for name, value in cell.summary.items()
            if value is not None and math.isfinite(value)
        }
        if sent is not None and set(sent.values or ()) - set(values):
            # MLflow cannot take a value back, and an old mean would stand beside a new n.
            self.client.delete(sent.run)
            del self._cells[cell.key]
            sent = None
        now = records.milliseconds(time.time())
        params = {}
        if sent is None:
            name = f"{cell.label} on {cell.task}, {cell.backbone}"[: records.MAX_NAME]
            run = self.client.create(self._experiment, name, now, {**tags, records.PARENT: parent})
            sent = self._cells[cell.key] = made(run, tags)
            params = records.cell_params(cell)
        elif sent.found is not None:
            there = sent.found.params
            params = {k: v for k, v in records.cell_params(cell).items() if k not in there}
        changed = {k: v for k, v in values.items() if (sent.values or {}).get(k) != v}
        points = [Point(name, value, now, 0) for name, value in changed.items()]
        send(self.client, sent.run, [points], params, due_tags(sent, tags))
        sent.values, sent.tags, sent.found = values, digest(tags), None
        if sent.status != "FINISHED":
            self.client.end(sent.run, "FINISHED", now)
            sent.status = "FINISHED"
        sent.cell = cell

    def _retire_cell(self, key: str) -> None:
        sent = self._cells[key]
        sent.cell = None
        tags = {records.STALE: "true"}
        send(self.client, sent.run, [], {}, due_tags(sent, tags))
        sent.tags, sent.found = digest(tags), None


def _cell_key(trial: journal.Trial, study: StudyInfo) -> str:
    """The cell that a trial belongs to now; empty for none."""
    return "" if trial.id in study.stale else study.moved.get(trial.id, trial.cell)


def _signature(trial: journal.Trial, description: str) -> tuple[object, ...]:
    return trial.status, trial.attempts, len(trial.reports), trial.finished_at, description


def _cell_tags(cell: CellInfo, study: StudyInfo) -> dict[str, str]:
    return {
        records.KIND: "cell",
        records.CELL: cell.key,
        records.STUDY: study.name,
        "ablate.task": cell.task,
        "ablate.backbone": cell.backbone,
        "ablate.arm": cell.arm[: records.MAX_TAG],
        "ablate.label": cell.label[: records.MAX_TAG],
        "ablate.method": cell.method,
        "ablate.metric": cell.primary,
        "ablate.direction": cell.direction,
        "ablate.split": cell.report_split,
        records.STALE: "false",
    }


def _experiment(
    client: Client, name: str, artifacts: str | None, owner: Owner | None
) -> tuple[str, str]:
    """Id and name of the experiment; it is made where there is none.

    A store keeps what it has. Where another one has taken the name, the user's is added to it.
    """
    store = {} if owner is None else {records.OWNER: owner.store}
    others = () if owner is None else (owner.user, f"{owner.user}-{owner.store[:6]}")
    for title in (name, *(f"{name}@{other}" for other in others)):
        found = client.experiment(title)
        if found is None:
            tags = {records.STUDY: title, **store}
            return client.create_experiment(title, artifacts, tags), title
        if owner is not None and found.tags.get(records.OWNER, owner.store) != owner.store:
            continue
        if found.deleted:
            raise UserError(
                f"experiment '{title}' was deleted in MLflow; restore it there, or rename the study"
            )
        if store and records.OWNER not in found.tags:
            client.tag_experiment(found.id, records.OWNER, store[records.OWNER])
        return found.id, title
    raise UserError(f"the tracking server has studies '{name}' of other stores; rename this one")
