"""The Ray that a sweep runs on: one of this machine for the time of the run, or a cluster."""

import gc
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.log import Say, say_nothing
from ablate.profile import Profile
from trials.errors import UserError
from trials.forkserver import Server
from trials.places import Places

if TYPE_CHECKING:
    from ablate.sweep.engines import Engines
    from ablate.sweep.versions import Nodes

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TOKENIZERS_PARALLELISM": "false",
    # Tune's own logs would only repeat the journal.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The run has a handler of its own, and it must hear of the first Ctrl-C.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
_HANDED_ON = ("HF_HUB_OFFLINE", "HF_HOME", "HF_TOKEN", "HF_ENDPOINT", "TOKENIZERS_PARALLELISM")


@contextmanager
def connected(
    profile: Profile, backbone: str | None = None, places: Places | None = None
) -> Iterator["Connection"]:
    """Connect to Ray for the time of a run.

    Without an address, a Ray of this run alone listens on the loopback interface, with a token
    of its own, and is gone afterwards with its temporary files. A process that is connected
    already keeps its connection.

    Args:
        profile: where Ray is, and on what it runs.
        backbone: what a server of forks on this machine reads ahead.
        places: where that is looked up.
    """
    connection = Connection(profile, backbone, places)
    try:
        yield connection
    finally:
        connection.close()


class Connection:
    """A connection to Ray that comes up while its owner does other things.

    Attributes:
        forks: a server of forks for jobs that train by themselves, where they all run on this
            machine; else None.
        nodes: those of a cluster, which run what this process runs; None on this machine alone.
    """

    def __init__(
        self, profile: Profile, backbone: str | None = None, places: Places | None = None
    ) -> None:
        """Begin to connect."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        if profile.address is None:
            _make_token()
        self._scratch = tempfile.mkdtemp(prefix="ablate-")
        self._is_ours = "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
        self.forks: Server | None = None
        self.nodes: Nodes | None = None
        # With an address or a connection of someone else's, jobs may run on other machines.
        on_gpus = profile.device == "cuda" or bool(profile.gpus)
        is_alone = profile.places == 1 or (profile.places is None and not on_gpus)
        if self._is_ours and profile.address is None and is_alone:
            # First of all, for its imports take as long as all that follows.
            self.forks = Server(self._scratch, backbone, places)
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        self._ray = ray
        self._thread = ThreadPoolExecutor(1, "ablate-ray")
        self._up = self._thread.submit(self._connect, profile)

    def _connect(self, profile: Profile) -> None:
        if self._is_ours:
            _initialise(self._ray, profile, self._scratch)
        if profile.address is not None:
            from ablate.sweep.versions import Nodes

            self.nodes = Nodes()
            self.nodes.require()
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"

    def wait(self) -> str:
        """Wait until Ray is there.

        Returns:
            A folder for Tune's own files, removed afterwards.

        Raises:
            UserError: the cluster does not answer, or its nodes run other versions than this
                process.
        """
        self._up.result()
        return self._scratch

    def close(self) -> None:
        """Disconnect; a Ray of this run alone ends its processes."""
        if self._is_ours:
            # Ray ends a process in which garbage of its own is collected while it shuts down.
            was_collecting = gc.isenabled()
            gc.collect()
            gc.disable()
            try:
                # In another thread than it came up in it would wait for seconds.
                self._thread.submit(self._ray.shutdown).result()
            finally:
                if was_collecting:
                    gc.enable()
        self._thread.shutdown()
        if self.forks is not None:
            self.forks.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _initialise(ray: Any, profile: Profile, scratch: str) -> None:
    options: dict[str, Any] = {
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if profile.address is not None:
        # Processes of this machine inherit it; and those that Ray starts ahead stay usable.
        handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        environment = {"env_vars": handed_on} if handed_on else None
        try:
            ray.init(address=profile.address, runtime_env=environment, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "no answer"
            raise UserError(f"the Ray cluster at {profile.address}: {reason}") from None
        return
    ray.init(
        num_cpus=None if profile.cpus is None else int(profile.cpus),
        num_gpus=None if profile.gpus is None else int(profile.gpus),
        _temp_dir=str(Path(scratch) / "ray"),
        **options,
    )


def _make_token() -> None:
    """Let a local Ray require a token that only this run knows, and that no file holds.

    Ray reads the mode when it is imported, so that it cannot be changed afterwards.
    """
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def engines(profile: Profile, forks: Server | None = None, say: Say = say_nothing) -> "Engines":
    """What trains the trials of a run: on a CPU each job by itself, on GPUs shared engines.

    Args:
        profile: device, packs and limits.
        forks: a server of forks for jobs that train by themselves; ended where it is not needed.
        say: hears of engines that come and go.

    Raises:
        UserError: a GPU is asked for, and the cluster has none.
    """
    from ablate.sweep.engines import OwnEngines, SharedEngines

    each = resources(profile)
    at_most = None
    if profile.max_gpus is not None and "GPU" in each:
        at_most = max(1, int(profile.max_gpus / each["GPU"]))
    if profile.places == 1 or (profile.places is None and "GPU" not in each):
        return OwnEngines(each, at_most, forks, may_grow=profile.address is not None)
    if forks is not None:
        forks.close()
    return SharedEngines(
        profile.places, each, at_most, may_grow=profile.address is not None, say=say
    )


def resources(profile: Profile) -> Mapping[str, float]:
    """What each engine takes of the connected cluster.

    Raises:
        UserError: a GPU is asked for, and the cluster has none.
    """
    import ray

    found = ray.cluster_resources()
    has_gpus = found.get("GPU", 0.0) > 0
    if profile.device == "cuda" and not has_gpus and profile.address is None:
        raise UserError("device 'cuda': Ray sees no GPU on this machine; expected auto or cpu")
    wants_gpu = profile.device == "cuda" or (profile.device == "auto" and has_gpus)
    each = {"CPU": profile.cpus_per_trial or 1.0}
    if wants_gpu:
        each["GPU"] = profile.gpus_per_trial or 1.0
    for name, size in each.items():
        if profile.address is None and size > found.get(name, 0.0):
            there = found.get(name, 0.0)
            raise UserError(f"a trial takes {size:g} {name}s, but this machine's Ray has {there:g}")
    return each
