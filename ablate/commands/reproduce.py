"""`ablate reproduce`: a trial again, alone, compared with what was recorded."""

import argparse
import tempfile
from pathlib import Path

from ablate.commands.common import flags, out, out_json
from ablate.commands.trial import owner


def run(given: argparse.Namespace) -> int:
    """Train a trial again; exit status 3 when its scores differ."""
    from ablate.api import load

    study = load(owner(given, given.trial), **flags(given))
    with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
        recorded, again = study.reproduce(given.trial, Path(folder))
    same = recorded.status == again.status and recorded.scores == again.scores
    if given.json:
        out_json({"identical": same, "recorded": recorded.to_json(), "again": again.to_json()})
        return 0 if same else 3
    for split in recorded.scores:
        for metric, score in recorded.scores[split].items():
            now = again.scores.get(split, {}).get(metric)
            out(f"{split}/{metric}: recorded {score!r}, again {now!r}")
    out("identical" if same else f"different: {recorded.status} then {again.status}")
    return 0 if same else 3
