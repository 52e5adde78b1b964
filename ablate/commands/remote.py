"""What a command does on a cluster instead of here: as a job of its head."""

import argparse
import sys
import tempfile
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ablate.commands.common import flags, out
from trials.errors import UserError

if TYPE_CHECKING:
    from ablate.profile import Profile
    from ablate.sweep.jobs import Jobs

ANSWER_SECONDS = 180.0
BEGIN_SECONDS = 60.0


def cluster_profile(given: argparse.Namespace) -> "Profile":
    """The profile of a command that is to run on a cluster: folders are those of its head."""
    from ablate.profile import Profile
    from ablate.sweep.jobs import Jobs  # noqa: F401 - Ray is there, or the message says so

    chosen = flags(given)
    name = chosen.pop("profile", None)
    profile = Profile.read(chosen, name=name, elsewhere=True)
    if profile.address is None:
        raise UserError("--detach needs the cluster's --address, such as http://HEAD:8265")
    _require_sendable(profile)
    return profile


def study_name(study: str) -> str:
    """The name of a study that was given as a file or by its name."""
    from ablate.api import packaged_studies
    from ablate.study import Study

    packaged = packaged_studies()
    path = Path(study).expanduser()
    file = path if path.is_file() else packaged.get(study)
    return study if file is None else Study.read(file).name


def detach(given: argparse.Namespace) -> int:
    """Start `ablate run` as a job, and say how to see it again."""
    from ablate import api, shipping
    from ablate.study import Study
    from ablate.sweep import jobs

    if given.in_process:
        raise UserError("--detach runs on a cluster, and --in-process without Ray: say one of them")
    profile = cluster_profile(given)
    path, remembered = api.locate(given.study, Path(profile.store))
    texts = [*remembered, *given.settings]
    study = Study.read(path, texts)
    address = str(profile.address)
    client = jobs.Jobs(address)
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    job = f"ablate-{study.name}-{moment}-{uuid.uuid4().hex[:4]}"
    with tempfile.TemporaryDirectory(prefix="ablate-") as made:
        folder = Path(made)
        shipping.pack_package(folder)
        file = shipping.pack_study(study, folder)
        settings = [part for text in texts for part in ("--set", text)]
        wishes = [f"--{name}" for name in ("smoke", "spool") if getattr(given, name)]
        line = ["run", file.as_posix(), *settings, *wishes, "--job", job, *_flags(profile)]
        client.submit(line, folder, job, {jobs.STUDY: study.name})
    _require_begun(client, job)
    out(f"job      {job} at {address}")
    out(f"look     ablate status {study.name} --address {address}")
    out(f"output   ablate logs {study.name} --address {address} --follow")
    out(f"stop     ablate stop {study.name} --address {address}")
    return 0


def relay(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run a command on the head, and pass on what it prints and how it ends."""
    from ablate import shipping
    from ablate.sweep.jobs import OVER, Jobs

    profile = cluster_profile(given)
    client = Jobs(str(profile.address))
    known = ("store", "tracking_uri", "data", "models")
    job = f"ablate-{arguments[0]}-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix="ablate-") as made:
        shipping.pack_package(Path(made))
        client.submit([*arguments, *_flags(profile, known)], Path(made), job, {})
    status = client.wait(job, until=OVER, seconds=ANSWER_SECONDS)
    sys.stdout.write(client.output(job))
    if status not in OVER:
        raise UserError(f"the cluster at {profile.address} has not answered yet (job {job})")
    code = client.exit_code(job)
    if code is None:
        raise UserError(f"job {job}: {client.why(job)}")
    return code


def _flags(profile: "Profile", known: Sequence[str] = ()) -> list[str]:
    """What the job is told; the head finds its own Ray."""
    import dataclasses

    chosen = dataclasses.replace(profile, address=None)
    if known:
        kept = {name: getattr(profile, name) for name in known}
        return type(profile)(**kept).to_flags()
    return [*chosen.to_flags(), "--address", "auto"]


def _require_sendable(profile: "Profile") -> None:
    """Refuse what would mean something else on the cluster, or show there what nobody may see.

    Raises:
        UserError: every such value.
    """
    from ablate.tracking import redact

    problems = [
        f"{name}: '{place}' must be an absolute path, for it is one of the cluster, which every "
        "node sees"
        for name, places in (
            ("store", () if profile.store == type(profile).store else (profile.store,)),
            ("data", profile.data),
            ("models", profile.models),
        )
        for place in places
        if not PurePosixPath(place).is_absolute()
    ]
    uri = profile.tracking_uri
    if uri is not None and redact(uri) != uri:
        problems.append(
            "tracking_uri: everybody who sees the cluster's jobs would see its password; leave it "
            "out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD on the head"
        )
    if uri is not None and uri.startswith("sqlite:") and not uri.startswith("sqlite:////"):
        problems.append(f"tracking_uri: '{uri}' must name a file of the cluster: sqlite:////...")
    if problems:
        raise UserError(*problems)


def _require_begun(client: "Jobs", job: str) -> None:
    """Wait for a job to begin; one that cannot says why at once."""
    begun = frozenset({"RUNNING", "SUCCEEDED", "FAILED", "STOPPED"})
    if client.wait(job, until=begun, seconds=BEGIN_SECONDS) == "FAILED":
        raise UserError(
            f"job {job} could not begin: {client.why(job)}", *client.output(job).splitlines()[-20:]
        )
