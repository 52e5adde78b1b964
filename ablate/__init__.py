"""`ablate`: does this fine-tuning method really beat that one, by how much, which one to deploy?

    import ablate
    study = ablate.load("study.yaml")
    study.plan()        # what would run
    study.run()         # runs, resumes or extends
    study.results()     # one row per trial, split and metric
    study.report()      # findings and the page
    ablate.results("one", "other")      # the same of many studies, from MLflow

A method of one's own imports what it needs from here: `Method`, `Site`, `Update`, `register`,
`hyper` and the initialisers.
"""

from typing import TYPE_CHECKING, Any

from trials.catalogue import hyper, register
from trials.errors import UserError
from trials.methods.base import Method, Site, Update
from trials.methods.initialisers import eye, kaiming_uniform, normal, ones, zeros

if TYPE_CHECKING:
    from ablate.api import Ablation, load
    from ablate.queries import results

__all__ = [
    "Ablation",
    "Method",
    "Site",
    "Update",
    "UserError",
    "eye",
    "hyper",
    "kaiming_uniform",
    "load",
    "normal",
    "ones",
    "register",
    "results",
    "zeros",
]


def __getattr__(name: str) -> Any:
    """Import the front door when it is first used: it needs pandas and more."""
    if name in ("Ablation", "load"):
        from ablate import api

        return getattr(api, name)
    if name == "results":
        from ablate.queries import results

        return results
    raise AttributeError(f"module 'ablate' has no attribute '{name}'")
