"""What belongs to a machine and not to the question: store, tracking server, data roots, devices.

Values rise in order: defaults, `~/.config/ablate/profiles.toml` (the table named by `--profile`,
else `default`), `ABLATE_*` variables, flags. None of it is part of any id.
"""

import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from trials.errors import Problem, UserError, nearest

FILE = Path("~/.config/ablate/profiles.toml")
LISTS = frozenset({"data", "models"})
_NUMBERS = frozenset({"cpus", "gpus", "cpus_per_trial", "gpus_per_trial", "max_gpus",
                      "gpu_memory", "price_per_gpu_hour", "max_cost"})  # fmt: skip

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Settings of one machine or cluster.

    Attributes:
        store: folder that holds studies, one folder each.
        tracking_uri: MLflow's; None for a SQLite file in the store.
        data: folders that hold tasks by name.
        models: folders that hold backbones by name.
        device: `auto`, `cpu` or `cuda`.
        address: of a Ray cluster; None for one on this machine.
        cpus, gpus: what a local Ray may use; None for what the machine has.
        cpus_per_trial, gpus_per_trial: what an engine takes; None for 1 CPU, and 1 GPU where
            there are any.
        pack: trials that one engine trains together: a number, or `auto` for as many as a GPU's
            memory holds, and 1 on a CPU.
        max_gpus: GPUs that a run may use at once; None for all.
        gpu_memory: GiB of each GPU, for predictions on a machine without one.
        price_per_gpu_hour: of an hour of one device, in any currency.
        max_cost: in the same currency; a run stops there, to be continued.
        deadline: a time such as `2026-03-01 18:00`, or how long a run may take, such as `8h`.
    """

    store: str = "ablate-store"
    tracking_uri: str | None = None
    data: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    device: str = "auto"
    address: str | None = None
    cpus: float | None = None
    gpus: float | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    pack: str = "auto"
    max_gpus: float | None = None
    gpu_memory: float | None = None
    price_per_gpu_hour: float | None = None
    max_cost: float | None = None
    deadline: str | None = None

    @property
    def threads(self) -> int:
        """CPU threads of an engine."""
        return max(1, int(self.cpus_per_trial or 1))

    @property
    def places(self) -> int | None:
        """Trials that one engine trains together; None for as many as its memory holds."""
        return None if self.pack == "auto" else int(self.pack)

    def to_flags(self) -> list[str]:
        """The flags that say the same on another machine; what has its default is left to that."""
        flags: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                for one in value if field.name in LISTS else (value,):
                    flags += [f"--{field.name.replace('_', '-')}", str(one)]
        return flags

    @classmethod
    def read(
        cls,
        flags: Mapping[str, Any],
        *,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        file: Path | None = None,
        elsewhere: bool = False,
    ) -> Self:
        """The profile that file, environment and flags add up to.

        Args:
            flags: field -> value; None where a flag was not given.
            name: table of the file; None for `default`.
            environment: variables; those of the process when None.
            file: the file; the user's own when None.
            elsewhere: folders are those of another machine: taken as written, not looked for.

        Raises:
            UserError: unknown keys, tables or devices, and values that are no numbers.
        """
        variables = dict(os.environ) if environment is None else environment
        values = _from_file((file or FILE).expanduser(), name or variables.get("ABLATE_PROFILE"))
        if "MLFLOW_TRACKING_URI" in variables:
            values.setdefault("tracking_uri", variables["MLFLOW_TRACKING_URI"])
        for field in fields(cls):
            text = variables.get(f"ABLATE_{field.name.upper()}")
            if text:
                values[field.name] = _typed(field.name, text, f"ABLATE_{field.name.upper()}")
        values |= {key: value for key, value in flags.items() if value not in (None, ())}
        if "pack" in values:
            values["pack"] = str(values["pack"])
        for key in () if elsewhere else LISTS & values.keys():
            values[key] = tuple(str(Path(root).expanduser().resolve()) for root in values[key])
        profile = replace(cls(), **values)
        _require_sense(profile)
        if elsewhere:
            return profile
        missing = [root for key in sorted(LISTS) for root in getattr(profile, key)
                   if not Path(root).is_dir()]  # fmt: skip
        if missing:
            raise UserError(*(f"there is no folder {root}" for root in missing))
        return replace(profile, store=str(Path(profile.store).expanduser().resolve()))


def _require_sense(profile: Profile) -> None:
    if profile.device not in ("auto", "cpu", "cuda"):
        expected = nearest(profile.device, ("auto", "cpu", "cuda"))
        raise UserError(f"device '{profile.device}' is not known{expected}")
    if profile.pack != "auto" and not (profile.pack.isdecimal() and int(profile.pack) > 0):
        raise UserError(f"pack must be auto or a number from 1, but got '{profile.pack}'")
    problems = list(_wrong_limits(profile))
    if problems:
        raise UserError(*problems)


def _wrong_limits(profile: Profile) -> Iterator[Problem]:
    for key in ("price_per_gpu_hour", "max_cost"):
        value = getattr(profile, key)
        if value is not None and value <= 0:
            yield Problem(f"must be above 0, but got {value:g}", key=key)
    if profile.max_cost is not None and profile.price_per_gpu_hour is None:
        yield Problem("needs price_per_gpu_hour, to know what has been spent", key="max_cost")
    if profile.deadline is not None:
        try:
            deadline(profile.deadline, 0.0)
        except UserError as error:
            yield from error.problems


def deadline(text: str, now: float) -> float:
    """When a run must stop, in unix seconds.

    Args:
        text: a time such as `2026-03-01 18:00`, of this machine's zone unless it names one, or a
            duration from now such as `90m`, `8h` or `2d`.
        now: unix seconds.

    Raises:
        UserError: neither of the two.
    """
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip()):
        return now + float(match[1]) * _UNITS[match[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        message = f"deadline must be a time such as '2026-03-01 18:00' or 8h, but got '{text}'"
        raise UserError(message) from None


def _from_file(file: Path, name: str | None) -> dict[str, Any]:
    if not file.is_file():
        if name is not None:
            raise UserError(f"profile '{name}': there is no {file}")
        return {}
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(Problem(str(error), file=str(file))) from None
    if name is not None and name not in tables:
        raise UserError(Problem(f"no profile '{name}'{nearest(name, tables)}", file=str(file)))
    table = tables.get(name or "default", {})
    if not isinstance(table, dict):
        raise UserError(Problem("must be a table of keys", file=str(file), key=name or "default"))
    known = [field.name for field in fields(Profile)]
    problems = [
        Problem(f"no such key{nearest(key, known)}", file=str(file), key=key)
        for key in table
        if key not in known
    ]
    problems += [
        Problem(wrong, file=str(file), key=key)
        for key, value in table.items()
        if key in known and (wrong := _wrong_type(key, value)) is not None
    ]
    if problems:
        raise UserError(*problems)
    return {key: tuple(value) if key in LISTS else value for key, value in table.items()}


def _wrong_type(key: str, value: Any) -> str | None:
    if key == "pack" and isinstance(value, int) and not isinstance(value, bool):
        return None
    if key in LISTS:
        is_list = isinstance(value, list) and all(isinstance(part, str) for part in value)
        return None if is_list else f"must be a list of folders, but got {value!r}"
    if key in _NUMBERS:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and math.isfinite(value):
            return None
        return f"must be a number, but got {value!r}"
    return None if isinstance(value, str) else f"must be text, but got {value!r}"


def _typed(name: str, text: str, where: str) -> Any:
    if name in LISTS:
        return tuple(part for part in text.split(os.pathsep) if part)
    if name in _NUMBERS:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UserError(f"{where} must be a number, but got '{text}'")
        return number
    return text
