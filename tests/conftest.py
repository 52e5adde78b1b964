"""Every test: no hub, one thread (the sums of a test may not depend on the machine's cores)."""

import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Read by torch when it is imported, so that tests that need no torch do not import it here.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: with several processes none is left alone with them at the end."""
    ranks = {"end_to_end": 0, "training": 1}
    items.sort(key=lambda item: min(ranks.get(part, len(ranks)) for part in item.path.parts))
