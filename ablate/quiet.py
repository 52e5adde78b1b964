"""Optuna without its announcements, for the time of a call."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its remarks, here alone: others keep their filters and its log level."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna

        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)
