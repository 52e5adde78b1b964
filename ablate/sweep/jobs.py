"""Ray's job submission API: commands that run on a cluster and outlive the terminal."""

import asyncio
import logging
import os
import re
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trials.errors import UserError

STUDY = "ablate_study"
"""Under this key a job says which study it runs."""

COMING_SECONDS = 60.0
"""How long a head may take from its first answer to its first job."""

OVER = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_NOT_YET = "No available agent"
# The last line of Ray's own in a job's output.
_MARK = re.compile(r"^Running entrypoint for job .*\n", re.MULTILINE)


class Jobs:
    """The jobs of one cluster."""

    def __init__(self, address: str) -> None:
        """Connect.

        Args:
            address: `http://HEAD:8265`, or any address that Ray takes, such as `auto`.

        Raises:
            UserError: the cluster does not answer, or Ray is installed without its job client.
        """
        self.address = address
        with self._told(), _without("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            from ray.job_submission import JobSubmissionClient

            self._client: Any = JobSubmissionClient(address)

    def submit(
        self, arguments: Sequence[str], folder: Path, name: str, metadata: Mapping[str, str]
    ) -> str:
        """Start `ablate` with these arguments on the head.

        Args:
            arguments: of the command line.
            folder: what the job's processes find in their working directory; Ray ships it by
                the digest of its content.
            name: the job's id, which must be new.
            metadata: to find it again by.

        Returns:
            The job's id.
        """
        request = {
            "entrypoint": shlex.join(["python", "ablate_peft.py", *arguments]),
            "submission_id": name,
            "runtime_env": {"working_dir": str(folder)},
            "metadata": dict(metadata),
        }
        end = time.monotonic() + COMING_SECONDS
        with self._told(), _quiet():
            while True:
                try:
                    return str(self._client.submit_job(**request))
                except RuntimeError as error:
                    # A head that has just come up takes requests before it can carry them out.
                    if _NOT_YET not in str(error) or time.monotonic() > end:
                        raise
                time.sleep(2.0)

    def of_study(self, study: str) -> str | None:
        """The newest job that runs a study, or ran it."""
        with self._told():
            found = [
                job for job in self._client.list_jobs() if (job.metadata or {}).get(STUDY) == study
            ]
        newest = max(found, key=lambda job: job.start_time or 0, default=None)
        return None if newest is None else str(newest.submission_id)

    def status(self, job: str) -> str:
        """`PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `STOPPED`."""
        with self._told():
            return str(self._client.get_job_status(job).value)

    def exit_code(self, job: str) -> int | None:
        """The exit status of a job's command; None where it has none."""
        with self._told():
            code = self._client.get_job_info(job).driver_exit_code
        return None if code is None else int(code)

    def why(self, job: str) -> str:
        """What Ray says of a job's state."""
        with self._told():
            return str(self._client.get_job_info(job).message or "").strip()

    def wait(self, job: str, *, until: frozenset[str], seconds: float) -> str:
        """Wait until a job is in one of these states, or for so long; its state then."""
        end = time.monotonic() + seconds
        while (status := self.status(job)) not in until and time.monotonic() < end:
            time.sleep(0.5)
        return status

    def output(self, job: str) -> str:
        """What a job's command has printed so far."""
        with self._told():
            return _own(str(self._client.get_job_logs(job)))

    def follow(self, job: str) -> Iterator[str]:
        """What a job's command prints, until it ends."""
        tail = self._client.tail_job_logs(job)
        ahead, has_begun = "", False
        with self._told(), asyncio.Runner() as runner:
            while True:
                try:
                    part = runner.run(anext(tail))
                except StopAsyncIteration:
                    break
                if has_begun:
                    yield part
                    continue
                ahead += part
                if _MARK.search(ahead):
                    has_begun = True
                    yield _own(ahead)
        if not has_begun:
            yield ahead

    def stop(self, job: str) -> None:
        """End a job at once."""
        with self._told():
            self._client.stop_job(job)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever the client raises into one clear message."""
        try:
            yield
        except (UserError, GeneratorExit, KeyboardInterrupt):
            raise
        except Exception as error:
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else type(error).__name__
            raise UserError(f"the cluster at {self.address}: {reason}") from error


def _own(text: str) -> str:
    """A job's output after what Ray writes before it; all of it, where the command never began."""
    found = _MARK.search(text)
    return text if found is None else text[found.end() :]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Ray has to say of each package that it uploads."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Ray lets these variables override an address that was given."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
