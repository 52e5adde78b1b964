"""The templates in `clusters`: what KubeRay, Kueue, Slurm and Docker are told, without them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ablate import cli

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "clusters"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def constraint(name: str) -> str:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(name)}==(\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return found[1]


def typed(text: str) -> Any:
    """The `ablate` command in a shell's line, as its parser takes it."""
    words = re.findall(r"[^\s'\"]+", text)
    first = words.index("ablate")
    end = next((n for n in range(first, len(words)) if words[n] in ("||", "&")), len(words))
    return cli.parser().parse_args(words[first + 1 : end])


# KubeRay and Kueue


@pytest.fixture
def job() -> Any:
    (found,) = documents("rayjob.yaml")
    return found


def test_the_study_fits_the_definition_of_its_resource(job: Any) -> None:
    """Which `oracles/rayjob.py` distilled from KubeRay's own."""
    schema = json.loads((ROOT / "tests" / "rayjob.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(job["spec"], schema)
    broken = json.loads(json.dumps(job["spec"]))
    broken["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 4
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_kueue_can_admit_the_study(job: Any) -> None:
    """Its own conditions on a RayJob: taken down at its end, of a fixed size, in a queue."""
    spec = job["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert "clusterSelector" not in spec
    cluster = spec["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is False
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]
    made = {(d["kind"], d["metadata"]["name"]) for d in documents("kueue.yaml")}
    labels = job["metadata"]["labels"]
    assert ("LocalQueue", labels["kueue.x-k8s.io/queue-name"]) in made
    assert ("WorkloadPriorityClass", labels["kueue.x-k8s.io/priority-class"]) in made


def test_the_study_fits_into_the_quota(job: Any) -> None:
    (queue,) = (d for d in documents("kueue.yaml") if d["kind"] == "ClusterQueue")
    (group,) = queue["spec"]["resourceGroups"]
    quota = {r["name"]: str(r["nominalQuota"]) for r in group["flavors"][0]["resources"]}
    assert list(quota) == group["coveredResources"]
    cluster = job["spec"]["rayClusterSpec"]
    pods = [(1, cluster["headGroupSpec"])]
    pods += [(g["replicas"], g) for g in cluster["workerGroupSpecs"]]
    needs = dict.fromkeys(quota, 0)
    for count, pod in pods:
        (container,) = pod["template"]["spec"]["containers"]
        asked = container["resources"]["requests"]
        assert asked == container["resources"]["limits"]
        for name, size in asked.items():
            needs[name] += count * int(size.removesuffix("Gi"))
    assert all(needs[name] <= int(quota[name].removesuffix("Gi")) for name in quota)


def test_every_node_has_one_image_one_store_and_the_pinned_ray(job: Any) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == constraint("ray")
    assert f"ray:{constraint('ray')}-" in (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [pod["template"]["spec"]["containers"][0] for pod in pods]
    for key in ("image", "env", "volumeMounts"):
        assert all(c[key] == containers[0][key] for c in containers)
    (mount,) = {m["mountPath"] for m in containers[0]["volumeMounts"]}
    environment = {e["name"]: e["value"] for e in containers[0]["env"]}
    for name in ("ABLATE_STORE", "ABLATE_DATA", "ABLATE_MODELS", "HF_HOME"):
        assert environment[name].startswith(f"{mount}/")


def test_the_study_uses_no_more_gpus_than_it_has(job: Any) -> None:
    given = typed(job["spec"]["entrypoint"])
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert (given.command, given.address, given.device) == ("run", "auto", "cuda")
    assert given.max_gpus == group["replicas"]


@pytest.mark.parametrize(("status", "ends_with"), [(0, 0), (2, 2), (3, 0), (4, 0), (137, 137)])
def test_only_what_another_attempt_may_mend_is_a_failure(
    job: Any, tmp_path: Path, status: int, ends_with: int
) -> None:
    commands(tmp_path, ablate=f"exit {status}")
    ran = subprocess.run(
        job["spec"]["entrypoint"], shell=True, env=environment(tmp_path), check=False
    )
    assert ran.returncode == ends_with


# Slurm


def commands(place: Path, **texts: str) -> None:
    """Programs that do as much as the test needs."""
    for name, text in texts.items():
        file = place / name
        file.write_text(f"#!/usr/bin/env bash\n{text}\n")
        file.chmod(0o755)


def environment(place: Path, **more: str) -> dict[str, str]:
    return {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "HOME": str(place), **more}


SLURM = {
    "SLURM_JOB_NODELIST": "gpu[07-08]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "12345",
    "SLURM_CPUS_PER_TASK": "16", "SLURM_GPUS_ON_NODE": "4",
}  # fmt: skip


def slurm(place: Path, ablate: str) -> Any:
    """The script in an allocation of two nodes whose `srun` runs what it is told, here."""
    commands(
        place,
        scontrol='if [ "$1" = show ]; then printf "gpu07\\ngpu08\\n"\n'
        'else echo "$@" >> "$HOME/requeued"; fi',
        srun='while [ "$1" != ray ]; do shift; done; exec "$@"',
        ray='printf "%s\\n" "$@" > "$HOME/told"; echo "$RAY_AUTH_TOKEN" > "$HOME/token"\n'
        'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        ablate=ablate,
    )
    return subprocess.Popen(
        ["bash", str(FOLDER / "slurm.sh"), "mine.yaml", "--device", "cuda"],
        env=environment(place, **SLURM), cwd=place,
    )  # fmt: skip


def test_slurm_runs_the_study_on_all_nodes_behind_a_token(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from ray.scripts import symmetric_run

    assert slurm(tmp_path, 'echo "$@" > "$HOME/asked"; exit 3').wait(60) == 3
    told = (tmp_path / "told").read_text().splitlines()
    assert told[0] == "symmetric-run"
    before, after = told[1 : told.index("--")], told[told.index("--") + 1 :]
    assert before[:4] == ["--address", "gpu07:22345", "--min-nodes", "2"]
    left = symmetric_run.curate_and_validate_ray_start_args(before)
    assert left == ["--num-cpus=16", "--num-gpus=4"]
    given = typed(" ".join(after))
    assert (given.command, given.study, given.address) == ("run", "mine.yaml", "auto")
    assert re.fullmatch(r"[0-9a-f]{64}", (tmp_path / "token").read_text().strip())
    assert not (tmp_path / "requeued").exists(), "failed trials are no reason to start again"


def test_slurm_continues_a_study_whose_time_was_up(tmp_path: Path) -> None:
    """`ablate run` ends with 4 once `ablate stop` has asked it to."""
    process = slurm(
        tmp_path,
        'if [ "$1" = stop ]; then echo "$@" > "$HOME/asked"; exit 0; fi\n'
        'touch "$HOME/runs"; while [ ! -e "$HOME/asked" ]; do sleep 0.1; done; exit 4',
    )
    end = time.monotonic() + 60
    while not (tmp_path / "runs").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 4
    assert (tmp_path / "asked").read_text() == "stop mine.yaml\n"
    assert (tmp_path / "requeued").read_text() == "requeue 12345\n"


def test_slurm_leaves_a_study_stopped_that_somebody_stopped(tmp_path: Path) -> None:
    assert slurm(tmp_path, "exit 4").wait(60) == 4
    assert not (tmp_path / "requeued").exists()


def test_slurms_signal_reaches_the_script() -> None:
    """Without `B:` it would go to the steps, and end them."""
    options = re.findall(r"^#SBATCH (\S+)$", (FOLDER / "slurm.sh").read_text(), re.MULTILINE)
    assert {"--signal=B:USR1@300", "--requeue", "--exclusive"} <= set(options)


# MLflow


def test_the_server_listens_here_only_and_shows_no_password() -> None:
    (compose,) = documents("mlflow.yaml")
    services = compose["services"]
    assert services["mlflow"]["ports"] == ["127.0.0.1:5000:5000"]
    assert "ports" not in services["db"]
    assert services["mlflow"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    image = services["mlflow"]["build"]["dockerfile_inline"]
    for name in ("mlflow", "psycopg2-binary"):
        assert f"{name}=={constraint(name)}" in image
    (secret,) = compose["secrets"].values()
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/clusters/{Path(secret['file']).name}" in ignored


def test_the_server_quotes_its_password(tmp_path: Path) -> None:
    """The container's own command, with a program in the place of mlflow."""
    (compose,) = documents("mlflow.yaml")
    *_, text = compose["services"]["mlflow"]["command"]
    (tmp_path / "password").write_text("a/b@c +=\n")
    script = text.replace("$$", "$").replace("/run/secrets/db_password", f"{tmp_path}/password")
    commands(tmp_path, mlflow='echo "$MLFLOW_BACKEND_STORE_URI|$*"')
    (tmp_path / "python").symlink_to(sys.executable)
    shell = shutil.which("sh") or "sh"
    said = subprocess.run(
        [shell, "-c", script], env=environment(tmp_path), capture_output=True, text=True, check=True
    ).stdout
    uri, arguments = said.strip().split("|")
    assert uri == "postgresql+psycopg2://mlflow:a%2Fb%40c%20%2B%3D@db/mlflow"
    assert "password" not in arguments
    assert arguments.startswith("server --host 0.0.0.0")
