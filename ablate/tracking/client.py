"""A tracking store in plain terms; the only file that imports mlflow.

Every call of `Client` is one request to the store, so that a test can fail each one in turn.
"""

import functools
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ablate.tracking.uris import redact, sqlite_file
from trials.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")

PAGE = 1000
MAX_METRICS = 800
"""MLflow takes 1000 of them, but also 1000 values of all kinds at most."""

MAX_PARAMS = 100
MAX_TAGS = 100

_ABANDONED_SECONDS = 3600.0
"""Age of a half-made store that nobody is making any more."""

# A driver must not wait minutes for a server that is away: the writer tries again by itself.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


class StoreError(Exception):
    """The store refused or did not answer; the message shows no credentials."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a curve; `timestamp` in unix milliseconds."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the store has it; times in unix milliseconds."""

    id: str
    experiment: str
    name: str
    status: str
    start: int
    end: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment of the store."""

    id: str
    name: str
    deleted: bool
    tags: Mapping[str, str]


def _request(call: Callable[P, T]) -> Callable[P, T]:
    """Turn whatever mlflow, its database or its HTTP library raises into a `StoreError`."""

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except UserError:
            raise
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise StoreError(redact(first)) from error

    return wrapped


def _make_store(file: Path, opened: Callable[[Path], Any]) -> None:
    """Make a SQLite store beside its place and put it there whole.

    MLflow makes its schema in 60 steps; a store that was cut off between two is never opened again.
    Of several processes that make one at the same time the first wins.
    """
    for left in file.parent.glob(f".{file.name}-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.unlink()
    made = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        opened(made).search_experiments(max_results=1)
        if file.is_file() and not file.stat().st_size:
            file.unlink()
        try:
            os.link(made, file)
        except FileExistsError:
            return
        except OSError:  # A file system without links.
            if not file.exists():
                made.rename(file)
    finally:
        made.unlink(missing_ok=True)


class Client:
    """One store.

    Attributes:
        uri: the store's tracking URI.
    """

    @_request
    def __init__(self, uri: str) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        # What mlflow does with other libraries is no business of whoever runs a study.
        for module in ("mlflow", "sqlalchemy", "alembic"):
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=module)
        # The schema's 60 migrations are logged one by one otherwise.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        try:
            from mlflow import entities
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError as error:
            message = f"tracking needs the package '{error.name}': install ablate-peft[train]"
            raise UserError(message) from None
        self.uri = uri
        self._entities: Any = entities
        file = sqlite_file(uri)
        if file is not None and not (file.is_file() and file.stat().st_size):
            _make_store(
                file, lambda place: MlflowClient(f"sqlite:///{place}", f"sqlite:///{place}")
            )
        self._mlflow: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)

    @_request
    def experiment(self, name: str) -> Experiment | None:
        """The experiment of a name, deleted ones included."""
        found = self._mlflow.get_experiment_by_name(name)
        return None if found is None else _experiment(found)

    @_request
    def create_experiment(self, name: str, artifacts: str | None, tags: Mapping[str, str]) -> str:
        """Make an experiment; its id."""
        return str(self._mlflow.create_experiment(name, artifacts, dict(tags)))

    @_request
    def tag_experiment(self, experiment: str, key: str, value: str) -> None:
        """Set a tag of an experiment."""
        self._mlflow.set_experiment_tag(experiment, key, value)

    @_request
    def experiments(self) -> tuple[Experiment, ...]:
        """The experiments that are not deleted."""
        return tuple(map(_experiment, _pages(self._mlflow.search_experiments, max_results=PAGE)))

    @_request
    def runs(
        self, experiments: Sequence[str], where: str = "", *, deleted: bool = False
    ) -> tuple[Run, ...]:
        """The runs of experiments, oldest first: those that are not deleted, or those that are."""
        view = self._entities.ViewType
        found = _pages(
            self._mlflow.search_runs,
            experiment_ids=list(experiments),
            filter_string=where,
            run_view_type=view.DELETED_ONLY if deleted else view.ACTIVE_ONLY,
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
        )
        return tuple(map(_run, found))

    @_request
    def create(self, experiment: str, name: str, start: int, tags: Mapping[str, str]) -> Run:
        """Make a run with its tags, in one transaction."""
        return _run(self._mlflow.create_run(experiment, start, dict(tags), name))

    @_request
    def log(
        self,
        run: str,
        *,
        points: Iterable[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send one batch; the limits are the caller's to keep (see `MAX_METRICS`)."""
        entities = self._entities
        self._mlflow.log_batch(
            run,
            metrics=[entities.Metric(p.key, p.value, p.timestamp, p.step) for p in points],
            params=[entities.Param(key, value) for key, value in (params or {}).items()],
            tags=[entities.RunTag(key, value) for key, value in (tags or {}).items()],
        )

    @_request
    def steps(self, run: str, key: str) -> set[int]:
        """The steps at which a metric has values."""
        return {int(metric.step) for metric in self._mlflow.get_metric_history(run, key)}

    @_request
    def update(self, run: str, *, status: str | None = None, name: str | None = None) -> None:
        """Change a run's status or name; its end stays."""
        self._mlflow.update_run(run, status, name)

    @_request
    def end(self, run: str, status: str, end: int) -> None:
        """End a run."""
        self._mlflow.set_terminated(run, status, end)

    @_request
    def file(self, run: str, path: Path, folder: str | None) -> None:
        """Keep a file or a folder beside a run; sent again, it replaces what was there."""
        send = self._mlflow.log_artifacts if path.is_dir() else self._mlflow.log_artifact
        send(run, str(path), folder)

    @_request
    def text(self, run: str, text: str, name: str) -> None:
        """Keep a text as a file beside a run."""
        self._mlflow.log_text(run, text, name)

    @_request
    def read_text(self, run: str, name: str) -> str:
        """A text that is kept beside a run."""
        with tempfile.TemporaryDirectory() as folder:
            path = self._mlflow.download_artifacts(run, name, folder)
            return Path(path).read_text(encoding="utf-8")

    @_request
    def delete(self, run: str) -> None:
        """Mark a run as deleted; MLflow can bring it back."""
        self._mlflow.delete_run(run)


def _pages(search: Callable[..., Any], **query: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(**query, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _experiment(found: Any) -> Experiment:
    deleted = found.lifecycle_stage == "deleted"
    return Experiment(str(found.experiment_id), found.name, deleted, dict(found.tags))


def _run(found: Any) -> Run:
    info, data = found.info, found.data
    return Run(
        id=info.run_id,
        experiment=str(info.experiment_id),
        name=info.run_name or "",
        status=info.status,
        start=int(info.start_time or 0),
        end=None if not info.end_time else int(info.end_time),
        tags=dict(data.tags),
        params=dict(data.params),
        metrics=dict(data.metrics),
    )
