"""Libraries that few tasks need: they live in an extra, and say so when they are absent."""

from __future__ import annotations

import importlib
from typing import Any

from trials.errors import UserError


def needs(module: str, *, metric: str) -> Any:
    """Import a module of the extra `nlg`.

    Args:
        module: its dotted name.
        metric: what wants it, as people call it.

    Raises:
        UserError: its library is not installed.
    """
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise UserError(
            f'{metric} needs the library {library}: pip install "ablate-peft[nlg]"'
        ) from None
