"""Starts the command line after checking that the packages found are this distribution's.

Another distribution called `ablate` imports under the same name. Where it, or any other `ablate`
or `trials`, comes first on the path, its code would run instead of ours.
"""

import importlib.util
import logging
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


def main() -> int:
    """Run `ablate`; exit status 2 when a foreign package stands in its place."""
    home = Path(__file__).resolve().parent
    for name in ("ablate", "trials"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != home / name:
            sys.stderr.write(
                f"the package '{name}' that Python finds ({found}) is not the one of ablate-peft "
                f"({home / name}); remove the other distribution, or use an environment of its "
                "own: python -m venv .venv && .venv/bin/pip install ablate-peft\n"
            )
            return 2
    # Between libraries, and nothing that a user could mend.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
    from ablate.cli import main as run

    return run()


def start() -> NoReturn:
    """Run `ablate` as a process of its own.

    It ends without taking its modules down one by one, which takes a second and changes nothing:
    whatever is written or running has been closed by then.
    """
    status = main()
    logging.shutdown()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    start()
