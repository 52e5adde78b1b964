"""The Python front door: what the command line does, as calls that return values."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablate import (
    answers,
    contribution,
    exchange,
    exporting,
    forecast,
    journal,
    profile,
    resolve,
    rounds,
    runner,
    smoke,
    store,
    tally,
    tuning,
)
from ablate.exchange import Columns
from ablate.forecast import Expected
from ablate.journal import State
from ablate.ledger import Ledger
from ablate.plan import Plan
from ablate.predictions import read as read_predictions
from ablate.profile import Profile
from ablate.resolve import Resolved
from ablate.runner import Options, Outcome, Watch
from ablate.schema import MOST_DIGITS
from ablate.smoke import Smoke
from ablate.spent import Spent, spent
from ablate.store import StudyFolder
from ablate.study import Study
from trials.errors import UserError, nearest
from trials.paths import user_path
from trials.spec import TrialResult


def load(
    study: str | Path | Mapping[str, Any], *, settings: Sequence[str] = (), **flags: Any
) -> "Ablation":
    """A study by path, by its name in the store, by the name of a packaged one, or as a mapping.

    Args:
        study: what to load.
        settings: `key=value` texts that change keys of the study.
        flags: fields of `ablate.profile.Profile`, such as `store="runs"` or `data=["~/data"]`.

    Raises:
        UserError: there is no such study, or the file has mistakes (all of them at once).
    """
    chosen = profile_of(flags)
    if isinstance(study, Mapping):
        return Ablation(Study.from_dict(study, overrides=settings), chosen)
    path, remembered = locate(str(study), Path(chosen.store))
    return Ablation(Study.read(path, (*remembered, *settings)), chosen)


def profile_of(flags: Mapping[str, Any]) -> Profile:
    """The profile that flags ask for: its fields, and `profile` for the name of one."""
    return Profile.read(_lists(flags), name=flags.get("profile"))


def locate(study: str, root: Path) -> tuple[Path, list[str]]:
    """The file of a study, and the settings that it was last run with if its name was given.

    Raises:
        UserError: neither a file, nor a study of the store, nor a packaged study.
    """
    path = user_path(study)
    if path.is_file():
        return path, []
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise UserError(f"there is no study file {study}")
    known = {folder.name: folder for folder in store.studies(root)}
    if study in known:
        return store.read_origin(known[study])
    packaged = packaged_studies()
    if study in packaged:
        return packaged[study], []
    raise UserError(
        f"no study called '{study}': not a file, not in the store {root}, not packaged"
        f"{nearest(study, [*known, *packaged])}"
    )


def packaged_studies() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    import search_spaces

    folders = [Path(path) for path in search_spaces.__path__]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


@dataclass(frozen=True)
class Ablation:
    """A study on this machine.

    Attributes:
        study: the checked study.
        profile: where things are.
    """

    study: Study
    profile: Profile

    @property
    def folder(self) -> StudyFolder:
        """Its folder in the store."""
        return StudyFolder(Path(self.profile.store) / self.study.name)

    @cached_property
    def resolved(self) -> Resolved:
        """Plan and facts, without asking the hub; what is not at hand stays provisional."""
        return resolve.resolve(self.study, self.profile, hub=False)

    @property
    def state(self) -> State:
        """What the journal says so far; empty before the first run."""
        return journal.load(self.folder.journal)

    def plan(self) -> Plan:
        """What would run; starts nothing.

        Raises:
            UserError: a search that cannot be made as the study asks for it.
        """
        tuning.require(self.resolved.plan, self.resolved.facts)
        return self.resolved.plan

    def run(
        self, options: Options | None = None, watch: Watch = lambda resolved, state: None
    ) -> Outcome:
        """Run, resume or extend the study; see `ablate.runner.run`."""
        return runner.run(self.study, self.profile, options or Options(), watch)

    def results(self) -> pd.DataFrame:
        """The frame: one row per trial, split and metric."""
        return tally.frame(self.resolved.plan, self.state, self.resolved.facts)

    def predictions(self, trial: str, split: str) -> pd.DataFrame:
        """What a trial said of each example; see `ablate.predictions.read`.

        Args:
            trial: the beginning of its id.
            split: one that it was scored on.

        Raises:
            UserError: no such trial, or it has no predictions on the split.
        """
        identity = store.trial_by_prefix(self.state, trial)
        return read_predictions(self.folder.trial(identity), split)

    def standings(self) -> list[tally.Standing]:
        """Where each cell stands."""
        return tally.standings(self.resolved.plan, self.state, self.resolved.facts)

    def spent(self) -> Spent:
        """Time of devices so far, and for each claim that the last report decided."""
        file = self.folder.report / "findings.json"
        document = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return spent(self.state.trials.values(), document.get("claims"))

    def findings(self) -> dict[str, Any]:
        """The content of `findings.json`, on the results so far."""
        state = self.state
        data = tally.frame(self.resolved.plan, state, self.resolved.facts)
        ledger = Ledger(self.folder, state)
        return answers.findings(self.resolved, state, data, ledger)

    def report(
        self, to: Path | None = None, *, metric: str | None = None, margin: float | None = None
    ) -> Path:
        """Write frame, findings and page; returns the page.

        Args:
            to: folder to write; the study's own when None.
            metric: in the place of the primary one, as exploratory findings in a folder of
                their own.
            margin: with `metric`, the largest difference in it that does not matter; a study
                states that of its primary metric itself.

        Raises:
            UserError: the study has not been run in this store, or no task has the metric.
        """
        state = self.state
        if not state.trials:
            raise UserError(
                f"study '{self.study.name}' has no results in {self.profile.store}; run it first"
            )
        uri = runner.shown_uri(self.profile)
        if metric is not None:
            _require_margin(margin)
            return answers.write_answers_by(
                metric, self.resolved, uri, self.folder, state, to, margin
            )
        return answers.write_answers(self.resolved, uri, self.folder, state, to)

    def export(self, trial: str, to: Path, *, merged: bool = False) -> Path:
        """Write a finished trial as a LoRA of the `peft` library, or as a merged model.

        Args:
            trial: the beginning of its id.
            to: folder to write.
            merged: the whole model with the update in its weights.

        Raises:
            UserError: no such trial, or its adapter was not kept.
        """
        state = self.state
        known = state.trials[store.trial_by_prefix(state, trial)]
        result = known.result
        if result is None or result.status != "finished":
            raise UserError(f"trial {known.id[:12]} is {known.status}; only finished ones export")
        assignment = resolve.assignment(self.resolved, self.folder, "cpu", 1, known.spec)
        return exporting.export(assignment, result.files, to, merged=merged)

    def smoke(self, watch: Callable[[Smoke], None] = lambda made: None) -> list[Smoke]:
        """Two steps, evaluation, saving and export of every cell; see `ablate.smoke`."""
        tuning.require(self.study_at_hand.plan, self.study_at_hand.facts)
        return smoke.smoke(self.study_at_hand, self.profile, self.folder, watch)

    @cached_property
    def study_at_hand(self) -> Resolved:
        """As `resolved`, with what is missing fetched from the hub."""
        return resolve.resolve(self.study, self.profile, hub=True)

    def forecast(self) -> list[Expected]:
        """How long what is left of each cell will take; see `ablate.forecast`."""
        return forecast.forecast(self.resolved, self.folder)

    def export_searches(self, file: Path) -> tuple[str, ...]:
        """Write the searches of every cell as Optuna's own storage; see `ablate.dashboard`."""
        from ablate import dashboard

        return dashboard.write(self.resolved.plan, self.state, self.resolved.facts, file)

    def contribute(self, folder: Path) -> tuple[Path, ...]:
        """Write what was confirmed as results of PEFT's comparison; see `ablate.contribution`."""
        facts, trials = self.resolved.facts, self.folder.path / "trials"
        return contribution.write(self.resolved.plan, self.state, facts, trials, folder)

    def reproduce(self, trial: str, folder: Path) -> tuple[TrialResult, TrialResult]:
        """Train a finished trial again, alone.

        Args:
            trial: the beginning of its id.
            folder: where the second run keeps its files.

        Returns:
            The recorded result and the new one.

        Raises:
            UserError: no such trial, or it has not ended.
        """
        import dataclasses

        from trials.training.engine import train

        state = self.state
        known = state.trials[store.trial_by_prefix(state, trial)]
        if known.result is None:
            raise UserError(f"trial {known.id[:12]} has not ended")
        device = "cuda" if self.profile.device == "cuda" else "cpu"
        threads = self.profile.threads
        assignment = resolve.assignment(self.resolved, self.folder, device, threads, known.spec)
        *_, last = train(dataclasses.replace(assignment, folder=str(folder / known.id)))
        return known.result, last.result


def findings_of_table(
    source: Path | str,
    *,
    baselines: Sequence[Mapping[str, Any]],
    level: float = 0.95,
    margin: float | None = None,
    columns: Columns | None = None,
) -> dict[str, Any]:
    """The content of `findings.json` of results from anywhere; see `ablate.exchange.read`.

    Args:
        source: a file, a folder, or the URL of an Optuna storage.
        baselines: patterns of the arms to compare with; the table's first arm when empty.
        level: confidence of intervals.
        margin: largest difference that does not matter.
        columns: what the table's columns are, where their names do not say.

    Raises:
        UserError: mistakes in the table, or a baseline that matches no arm.
    """
    return _analysed(exchange.read(source, columns).frame, baselines, level, margin)


def report_table(
    source: Path | str | pd.DataFrame,
    to: Path,
    *,
    baselines: Sequence[Mapping[str, Any]],
    level: float = 0.95,
    margin: float | None = None,
    columns: Columns | None = None,
    digits: int | None = None,
    metric: str | None = None,
) -> Path:
    """Findings and page of results from anywhere; see `ablate.exchange.read`.

    Args:
        source: as `findings_of_table`, or the checked table of one study.
        to: folder to write.
        baselines, level, margin, columns: as `findings_of_table`.
        digits: decimals of scores in tables; told by their size when None.
        metric: in the place of the primary one.

    Returns:
        The page.

    Raises:
        UserError: mistakes in the table, or a baseline that matches no arm.
    """
    from ablate.report.render import write

    if digits is not None and not 0 <= digits <= MOST_DIGITS:
        raise UserError(f"--digits must be between 0 and {MOST_DIGITS}, but got {digits}")
    notes: tuple[str, ...] = ()
    if isinstance(source, pd.DataFrame):
        data, name, place = source, str(source["study"].iloc[0]), "MLflow"
    else:
        found = exchange.read(source, columns, metric)
        data, notes = found.frame, found.notes
        name, place = _named(str(source), data)
    document = _analysed(data, baselines, level, margin, metric)
    if digits is not None:
        document["digits"] = digits
    context = {
        "study": name,
        "version": answers.package_version(),
        "caveats": [
            f"Read from {place}; what ran is known only as far as its columns say.",
            *notes,
        ],
    }
    return write(data, document, context, to)


def _named(source: str, data: pd.DataFrame) -> tuple[str, str]:
    """What to call a table from elsewhere, and where it was; a URL may hold a password."""
    studies = [name for name in data["study"].unique() if name]
    if "://" in source:
        return studies[0] if len(studies) == 1 else "storage", source.partition("://")[0]
    return Path(source).stem, Path(source).name


def _analysed(
    data: pd.DataFrame,
    baselines: Sequence[Mapping[str, Any]],
    level: float,
    margin: float | None,
    metric: str | None = None,
) -> dict[str, Any]:
    from ablate.stats.comparison import against_baselines
    from ablate.stats.findings import analyse

    if not 0.5 < level < 1:
        raise UserError(f"--level must be between 0.5 and 1, but got {level}")
    _require_margin(margin)
    if data.empty:
        raise UserError("the table has no rows")
    chosen = list(baselines) or [{"arm": str(data["arm"].iloc[0])}]
    return analyse(
        data,
        comparisons=against_baselines(data, chosen, margin=margin),
        claims=(),
        level=level,
        margin=margin,
        rng=np.random.default_rng(rounds.SEED_OF_RESAMPLING),
        metric=metric,
    ).to_json()


def _require_margin(margin: float | None) -> None:
    if margin is not None and not margin > 0:
        raise UserError(f"--margin must be above 0, but got {margin}")


def _lists(flags: Mapping[str, Any]) -> dict[str, Any]:
    known = {k: v for k, v in flags.items() if k != "profile"}
    return {
        key: tuple(map(str, value)) if key in profile.LISTS and value is not None else value
        for key, value in known.items()
    }
