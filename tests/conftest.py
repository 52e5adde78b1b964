"""Every test: no hub, one thread (the sums of a test may not depend on the machine's cores)."""

import gzip
import os
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Read by torch when it is imported, so that tests that need no torch do not import it here.
os.environ["OMP_NUM_THREADS"] = "1"


SHORT = {"train": 320, "validation": 64, "test": 64}
"""Rows that studies of the tests read of the embedded tasks: most of their time is evaluation."""


def pytest_configure(config: pytest.Config) -> None:
    """Put short embedded tasks where studies look before they look into the package."""
    root = Path(tempfile.mkdtemp(prefix="short-"))
    config.add_cleanup(lambda: shutil.rmtree(root, ignore_errors=True))
    for file in (Path(__file__).parents[1] / "trials/tiny/tasks").glob("*/*.jsonl.gz"):
        folder = root / file.parent.name
        folder.mkdir(exist_ok=True)
        with gzip.open(file, "rt", encoding="utf-8") as rows:
            short = [
                row for row, _ in zip(rows, range(SHORT[file.name.split(".")[0]]), strict=False)
            ]
        (folder / file.name.removesuffix(".gz")).write_text("".join(short), encoding="utf-8")
    os.environ["ABLATE_DATA"] = str(root)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: with several processes none is left alone with them at the end."""
    ranks = {"end_to_end": 0, "test_contract.py": 1, "training": 2}
    items.sort(key=lambda item: min(ranks.get(part, len(ranks)) for part in item.path.parts))
