"""`ablate init`: a commented study, task or method to start from."""

import argparse
import re
from importlib.resources import files
from pathlib import Path

from ablate.commands.common import out
from trials.errors import UserError


def run(given: argparse.Namespace) -> int:
    """Write the files; never over one that is there."""
    name = given.name.removesuffix(".yaml").removesuffix(".py")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,99}", name):
        raise UserError(
            "a name consists of letters, digits, - and _, starts with a letter and has at most "
            f"100 characters, not '{name[:100]}'"
        )
    sources = _sources(given.kind, name)
    first = next(iter(sources.values()))
    if first.exists():
        raise UserError(f"{first} exists; it is left as it is")
    for source, path in sources.items():
        text = files("ablate").joinpath("templates", source).read_text(encoding="utf-8")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{name}", name), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None
        out(f"written  {path}")
    follow = {
        "study": f"ablate plan {first}",
        "task": f"ablate check {name}, then replace its rows by your own and check again",
        "method": f"ablate check {first}",
    }
    out(f"next     {follow[given.kind]}")
    return 0


def _sources(kind: str, name: str) -> dict[str, Path]:
    """What each file of a kind is written from; a task that has rows keeps them."""
    if kind == "task":
        folder = Path(name)
        rows = () if any(folder.glob("*.jsonl*")) else ("train.jsonl", "validation.jsonl")
        return {f"task/{file}": folder / file for file in ("task.yaml", *rows)}
    suffix = {"study": ".yaml", "method": ".py"}[kind]
    return {f"{kind}{suffix}": Path(f"{name}{suffix}")}
