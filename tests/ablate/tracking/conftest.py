"""One MLflow store for all tests of a file: its schema takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from stories import Story

from ablate.tracking.client import Client


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One store for the whole file: its schema takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        made = Client(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db")
        engine = made._mlflow._tracking_client.store.engine
        # Nobody cuts the power here; waiting for the disk is most of the time otherwise.
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        engine.dispose()
        yield made
        assert not Path("mlruns").exists()


@pytest.fixture
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Story:
    return Story(request.node.name, tmp_path)
