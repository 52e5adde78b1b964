"""`ablate export`: a trial, or a study's searches or results, for use without this package."""

import argparse
from pathlib import Path

from ablate.commands.common import flags, out, out_json
from ablate.commands.trial import owner
from ablate.dashboard import DATABASES


def run(given: argparse.Namespace) -> int:
    """Write a LoRA of the `peft` library, a merged model, or what a study searched or found."""
    from ablate.api import load

    if given.optuna is not None:
        return _searches(given)
    if given.peft_comparison is not None:
        return _results(given)
    study = load(owner(given, given.what), **flags(given))
    folder = study.export(given.what, Path(given.to), merged=given.merged)
    if given.json:
        out_json({"folder": str(folder)})
        return 0
    out(f"written  {folder}")
    if not given.merged:
        out("use it   peft.PeftModel.from_pretrained(model, folder)")
    return 0


def _searches(given: argparse.Namespace) -> int:
    from ablate.api import load

    file = Path(given.optuna)
    names = load(given.what, **flags(given)).export_searches(file)
    if given.json:
        out_json({"file": str(file), "studies": list(names)})
        return 0
    out(f"written  {file}: {len(names)} searches")
    out(f"look at  optuna-dashboard {'sqlite:///' if file.suffix in DATABASES else ''}{file}")
    return 0


def _results(given: argparse.Namespace) -> int:
    from ablate.api import load
    from ablate.contribution import UNMEASURED

    files = load(given.what, **flags(given)).contribute(Path(given.peft_comparison))
    if given.json:
        out_json({"files": [str(file) for file in files], "unmeasured": list(UNMEASURED)})
        return 0
    folders = sorted({str(file.parent) for file in files})
    out(f"written  {len(files)} results in {', '.join(folders)}")
    out(f"null     {', '.join(UNMEASURED)}: a trial does not measure them")
    return 0
