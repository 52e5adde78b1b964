"""`ablate init`: a commented study, task or method to start from."""

import argparse
import re
from importlib.resources import files
from pathlib import Path

from ablate.commands.common import out
from trials.errors import UserError


def run(given: argparse.Namespace) -> int:
    """Write the file; never over one that is there."""
    name = given.name.removesuffix(".yaml").removesuffix(".py")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise UserError(
            f"a name consists of letters, digits, - and _ and starts with a letter, not '{name}'"
        )
    source, path = {
        "study": ("study.yaml", Path(f"{name}.yaml")),
        "task": ("task.yaml", Path(name) / "task.yaml"),
        "method": ("method.py", Path(f"{name}.py")),
    }[given.kind]
    if path.exists():
        raise UserError(f"{path} exists; it is left as it is")
    text = (files("ablate") / "templates" / source).read_text(encoding="utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{name}", name), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    out(f"written  {path}")
    follow = {
        "study": f"ablate plan {path}",
        "task": f"put train.jsonl and validation.jsonl into {name}, then: ablate check {name}",
        "method": f"ablate check {path}",
    }
    out(f"next     {follow[given.kind]}")
    return 0
