"""What the published scorers give; `tests/oracles/texts.py` made it."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def oracle() -> Any:
    return json.loads(Path(__file__).with_name("oracle.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def texts(oracle: Any) -> tuple[list[str], list[list[str]]]:
    """Predictions, and references in unequal numbers."""
    return [said for said, _ in oracle["texts"]], [gold for _, gold in oracle["texts"]]
