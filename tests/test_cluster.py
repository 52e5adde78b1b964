"""`cluster.yaml` is what the pinned Ray takes, checked against Ray's own schema."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ray = pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def cluster() -> Any:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def test_the_file_fits_rays_own_schema(cluster: Any) -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text(encoding="utf-8")))


def test_ray_accepts_it_with_its_defaults(cluster: Any) -> None:
    """The steps of `ray up` before it asks the cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    assert prepared["available_node_types"]["gpu"]["max_workers"] == cluster["max_workers"]
    assert prepared["setup_commands"] == cluster["setup_commands"]


def test_workers_have_gpus_on_the_spot_market(cluster: Any) -> None:
    worker = cluster["available_node_types"]["gpu"]
    assert worker["resources"]["GPU"] == 1
    assert worker["min_workers"] <= worker["max_workers"] <= cluster["max_workers"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def test_ray_is_the_one_of_the_constraints(cluster: Any) -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^ray==(\S+)$", constraints, re.MULTILINE)
    assert pinned is not None
    assert any(f"ray[default]=={pinned[1]}" in line for line in cluster["setup_commands"])


def test_this_project_is_installed_where_it_is_mounted(cluster: Any) -> None:
    (remote,) = cluster["file_mounts"]
    assert cluster["file_mounts"][remote] == "."
    install = next(line for line in cluster["setup_commands"] if "constraints.txt" in line)
    assert install.startswith(f"cd ~/{Path(remote).name} &&")
