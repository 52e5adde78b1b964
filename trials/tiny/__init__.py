"""The embedded default: a small pretrained backbone, its tasks, and the scripts that made them.

`language` writes an artificial English, `pretrain` trains `backbone/` on it, `make_tasks` writes
`tasks/`. Everything is committed, so a study runs without a network.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
