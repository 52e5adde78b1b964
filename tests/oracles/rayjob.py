"""What KubeRay takes, distilled to the fields that `clusters/rayjob.yaml` uses.

    python tests/oracles/rayjob.py ray.io_rayjobs.yaml > tests/rayjob.schema.json

The argument is KubeRay's own definition of the resource, from
https://github.com/ray-project/kuberay/blob/feeaf72facab4881ba2b179248bb67315634e229/ray-operator/config/crd/bases/ray.io_rayjobs.yaml
A field that is not in the definition ends the script; a field that the file did not use when it was
distilled is refused by the schema.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "clusters" / "rayjob.yaml"
KEPT = ("type", "enum", "minimum", "maximum", "required", "x-kubernetes-int-or-string")


def distilled(schema: Any, used: Any) -> Any:
    """The part of a schema that a value uses; other fields are refused."""
    made = {key: schema[key] for key in KEPT if key in schema and key != "required"}
    if isinstance(used, dict) and "properties" in schema:
        unknown = set(used) - set(schema["properties"])
        assert not unknown, f"no such field: {sorted(unknown)}"
        made["required"] = sorted(schema.get("required", []))
        made["additionalProperties"] = False
        made["properties"] = {k: distilled(schema["properties"][k], v) for k, v in used.items()}
    elif isinstance(used, dict) and isinstance(schema.get("additionalProperties"), dict):
        inside = schema["additionalProperties"]
        made["additionalProperties"] = distilled(inside, next(iter(used.values()), None))
    elif isinstance(used, list):
        parts = [distilled(schema["items"], item) for item in used]
        made["items"] = {"anyOf": [p for n, p in enumerate(parts) if p not in parts[:n]]}
    return made


def main(definition: Path) -> None:
    """Print the schema."""
    versions = yaml.safe_load(definition.read_text(encoding="utf-8"))["spec"]["versions"]
    (served,) = (v for v in versions if v["name"] == "v1" and v["served"])
    used = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    schema = served["schema"]["openAPIV3Schema"]["properties"]["spec"]
    json.dump(distilled(schema, used["spec"]), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
