"""A race on the embedded task: three arms that compute the same, and one that learns more."""

from typing import Any

RACED: dict[str, Any] = {
    "study": "raced",
    "tasks": ["tiny_acceptability"],
    "backbones": ["tiny"],
    "targets": ["query", "value"],
    # No text of the task is cut at any of these lengths.
    "arms": [
        {"method": "lora", "rank": 4, "max_length": 40, "label": "base"},
        {"method": "lora", "rank": 4, "max_length": 48, "label": "same"},
        {"method": "lora", "rank": 4, "max_length": 56, "label": "again"},
        {"method": "lora", "rank": 4, "learning_rate": 2e-2, "label": "better"},
    ],
    "baselines": [{"label": "base"}],
    "match": [],
    "train": {
        "steps": 12, "batch_size": 8, "max_length": 24, "learning_rate": 1e-4,
        "evaluate": {"every": 12},
    },
    "race": {"looks": [4, 6, 10]},
}  # fmt: skip
