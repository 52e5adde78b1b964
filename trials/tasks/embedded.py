"""The tasks that ship with the package: every folder of `trials/tiny/tasks` with a `task.yaml`."""

from pathlib import Path

import trials
from trials.tasks.base import benchmark
from trials.tasks.folder import DEFINITION_FILE, read_definition

FOLDER = Path(trials.__file__).parent / "tiny" / "tasks"

for _file in sorted(FOLDER.glob(f"*/{DEFINITION_FILE}")):
    benchmark(read_definition(_file), module=__name__, folder=_file.parent)
