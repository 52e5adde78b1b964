"""Statistics of paired seeds: arrays in, findings out. Nothing here reads or writes a file.

    from ablate import stats
    stats.paired.compare_paired(treatment, control, level=0.95, rng=rng)

| question | where |
|---|---|
| the level of one cell, its BCa interval | `level`, `bootstrap` |
| one arm against another, same or different seeds | `paired`, `unpaired`, `permutation` |
| effect sizes, wins, rates | `effect`, `mcnemar` |
| steadier from seed to seed? | `variance`, `normal_theory` |
| comparable? | `equivalence` |
| many comparisons, looks at fixed seed counts | `multiplicity`, `sequential` |
| two arms over several tasks | `tasks` |
| many arms over several tasks | `many`, `ranking`, `aggregate` |
| where variance comes from, what to repeat | `components`, `reml`, `allocation` |
| does one factor depend on another? | `interaction` |
| are failures to blame, or the choice of examples? | `robust`, `examples` |
| how many seeds? | `power`, `planning` |

One question a file; `findings.analyse` answers all of them for a table. Differences are oriented so
that a positive one favours the treatment, whatever the metric's direction. Only numpy, scipy and
pandas are needed.
"""

import importlib
from pkgutil import iter_modules
from types import ModuleType

_FILES = frozenset(module.name for module in iter_modules(__path__))


def __getattr__(name: str) -> ModuleType:
    """A file of this folder, imported when it is first used."""
    if name in _FILES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The files of this folder."""
    return sorted(_FILES)
