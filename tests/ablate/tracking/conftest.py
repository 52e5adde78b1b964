"""One MLflow store for all tests of the folder: its schema takes seconds."""

import sys
from pathlib import Path

import pytest
from sqlalchemy import event

from ablate.tracking.client import Client

# pytest imports test files by path; what they share lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

from tracked_stories import Story  # noqa: E402


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """One store for all files here."""
    with pytest.MonkeyPatch.context() as patch:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        patch.chdir(elsewhere)
        made = Client(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db")
        assert not list(elsewhere.iterdir())
    engine = made._mlflow._tracking_client.store.engine
    # Nobody cuts the power here; waiting for the disk is most of the time otherwise.
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    engine.dispose()
    return made


@pytest.fixture
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Story:
    return Story(request.node.name, tmp_path)
