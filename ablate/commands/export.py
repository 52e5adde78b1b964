"""`ablate export`: a finished trial for use without this package."""

import argparse
from pathlib import Path

from ablate.commands.common import flags, out, out_json
from ablate.commands.trial import owner


def run(given: argparse.Namespace) -> int:
    """Write a LoRA of the `peft` library, or a merged model."""
    from ablate.api import load

    study = load(owner(given), **flags(given))
    folder = study.export(given.trial, Path(given.to), merged=given.merged)
    if given.json:
        out_json({"folder": str(folder)})
        return 0
    out(f"written  {folder}")
    if not given.merged:
        out("use it   peft.PeftModel.from_pretrained(model, folder)")
    return 0
