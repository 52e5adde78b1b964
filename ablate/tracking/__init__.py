"""MLflow: the journal's trials as runs, and runs as the table that statistics read.

`client.py` is the only file of the project that imports mlflow, and does so when it is used.
"""

from ablate.tracking.client import StoreError
from ablate.tracking.facts import CellInfo, Owner, StudyInfo
from ablate.tracking.reader import computed, runs, study_keys
from ablate.tracking.tracker import Tracker
from ablate.tracking.uris import check, default_artifacts, redact
from ablate.tracking.writer import Writer

__all__ = [
    "CellInfo",
    "Owner",
    "StoreError",
    "StudyInfo",
    "Tracker",
    "Writer",
    "check",
    "computed",
    "default_artifacts",
    "redact",
    "runs",
    "study_keys",
]
