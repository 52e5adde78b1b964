"""How long answers from a store of many runs take: MLflow's own search, and `ablate` beside it.

    python benchmarks/make_runs.py --uri sqlite:////tmp/many/mlflow.db
    python benchmarks/answers.py --uri sqlite:////tmp/many/mlflow.db

Each side is a process of its own, and its time begins once its libraries are imported. CPU is shown
beside wall time, since other work on a machine disturbs it less. The store gets a run more, loses
it again, and one of its runs a tag that is changed and changed back.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import keep, show

from ablate.tracking import records
from ablate.tracking.cache import place
from ablate.tracking.client import Client

_CHILD = """
import json, sys, time
import matplotlib.figure, numpy, pandas, pyarrow.parquet, scipy.special, scipy.stats
{imports}
wall, cpu = time.perf_counter(), time.process_time()
found = {call}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([wall, cpu, found]))
"""

_SEARCH = (
    "from ablate.tracking.client import Client; client = Client({uri!r})\n"
    "ids = [item.id for item in client.experiments()]",
    "len(client.runs(ids, \"tags.`ablate.kind` = 'trial'\"))",
)
_BEST = (
    "from ablate import queries, report, profile; from ablate.best import Choice\n"
    "from ablate.profile import Profile; import ablate.tracking, ablate.stats.findings",
    "len(queries.best([], Profile(tracking_uri={uri!r}), Choice()))",
)
_REPORT = (
    "from ablate import queries, api; from pathlib import Path\n"
    "from ablate.profile import Profile; import ablate.tracking, ablate.stats.findings\n"
    "import ablate.report.render",
    "str(api.report_table(queries.read(['study-007'], Profile(tracking_uri={uri!r})), "
    "Path({out!r}), baselines=[{{'method': 'lora'}}]))",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uri", required=True, help="of a store that `make_runs.py` made")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    rows = list(_rows(given.uri, given.repeats))
    keep("answers", rows)
    show(rows)


def _rows(uri: str, repeats: int) -> Any:
    client = Client(uri)
    experiment = client.experiment("study-000")
    assert experiment is not None
    first = client.runs([experiment.id], "tags.`ablate.kind` = 'trial'")[0]
    row = records.row_of(first.tags)
    assert row is not None
    again = {key: text for key, text in first.tags.items() if not key.startswith("mlflow.")}
    again |= {records.TRIAL: "0" * 64, **records.row_tags({**row, "seed": 999_999})}
    out = str(Path(uri.removeprefix("sqlite:///")).with_name("report"))
    yield _row("MLflow's own search of all runs", 1, _SEARCH, uri=uri)
    shutil.rmtree(place(uri), ignore_errors=True)
    yield _row("`best` of all studies, the first time", 1, _BEST, uri=uri)
    yield _row("`best`, afterwards", repeats, _BEST, uri=uri)
    yield _row("the report of one study", repeats, _REPORT, uri=uri, out=out)
    added = client.create(experiment.id, "added", first.start, again)
    yield _row("`best`, after a run was added", 1, _BEST, uri=uri)
    client.delete(added.id)
    yield _row("`best`, after a run was deleted", 1, _BEST, uri=uri)
    client.log(first.id, tags={records.STALE: "true"})
    yield _row("`best`, after a tag was changed", 1, _BEST, uri=uri)
    client.log(first.id, tags={records.STALE: "false"})


def _row(name: str, repeats: int, code: tuple[str, str], **values: str) -> dict[str, Any]:
    imports, call = (part.format(**values) for part in code)
    text = _CHILD.format(imports=imports, call=call)
    found = []
    for _ in range(repeats):
        ran = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True)
        found.append(json.loads(ran.stdout.splitlines()[-1]))
    walls, cpus = sorted(item[0] for item in found), sorted(item[1] for item in found)
    middle = len(found) // 2
    print(f"{name}: {walls[middle]:.2f} s", file=sys.stderr, flush=True)
    return {"what": name, "runs": repeats, "seconds": walls[middle], "CPU seconds": cpus[middle]}


if __name__ == "__main__":
    main()
