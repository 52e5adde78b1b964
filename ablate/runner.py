"""A run of a study from its checked file to its report: every step leaves a file to look at."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ablate import (
    devices,
    journal,
    keeping,
    ledger,
    limits,
    pulse,
    resolve,
    revision,
    stops,
    store,
    tally,
    tuning,
)
from ablate.answers import read_ahead, write_answers
from ablate.interrupt import heard
from ablate.journal import Journal, State, Trial
from ablate.log import Log, Say
from ablate.plan import Plan
from ablate.profile import Profile, deadline
from ablate.pulse import Pulse
from ablate.resolve import Resolved
from ablate.reuse import Finished, Library
from ablate.store import StudyFolder
from ablate.study import Study
from ablate.sweep.conductor import Conductor
from trials.errors import Problem, UserError
from trials.spec import FAILED

Outcome = Literal["done", "failures", "stopped"]
EXIT_STATUS: dict[Outcome, int] = {"done": 0, "failures": 3, "stopped": 4}
Watch = Callable[[Resolved, State], None]


@dataclass(frozen=True)
class Options:
    """How a run is carried out; no part of what it computes.

    Attributes:
        in_process: train in this process, one trial after another, without Ray.
        spool: start although the tracking server does not answer; what is missing is sent later.
        limit: stop after this many trials (with `in_process`).
        tracking: whether MLflow is written at all.
    """

    in_process: bool = False
    spool: bool = False
    limit: int | None = None
    tracking: bool = True


def run(
    study: Study, profile: Profile, options: Options, watch: Watch = lambda resolved, state: None
) -> Outcome:
    """Run, resume or extend a study, and write its report.

    Args:
        study: the checked study.
        profile: where things are on this machine.
        options: how to run.
        watch: called after each event, for whoever shows progress.

    Returns:
        `done`; `failures` when trials failed; `stopped` when something is left to run.

    Raises:
        UserError: anything that is wrong before the first trial starts.
    """
    from ablate.tracking import check

    root = Path(profile.store)
    store.require_writable(root)
    uri = tracking_uri(profile)
    if options.tracking and not options.spool:
        check(uri)
    resolved = resolve.resolve(study, profile, hub=True)
    tuning.require(resolved.plan, resolved.facts)
    resolve.require_heads(resolved)
    resolve.require_targets(resolved)
    devices.require(profile)
    folder = StudyFolder(root / study.name)
    with Journal.open(folder.journal) as record:
        stops.forget(folder)
        ledger.take_over(folder, record)
        revise(resolved, record, root)
        store.write_text(folder.plan, json.dumps(resolved.to_json(), indent=1) + "\n")
        if study.file is not None:
            store.remember_origin(folder, study.file, [text for _, text in study.source.settings])
        return _conduct(resolved, profile, options, folder, record, watch)


def tracking_uri(profile: Profile) -> str:
    """The profile's tracking server, or the store's own SQLite file."""
    return profile.tracking_uri or f"sqlite:///{profile.store}/mlflow.db"


def revise(resolved: Resolved, record: Journal, root: Path) -> None:
    """Record the study as it is now, where it has changed.

    Args:
        resolved: the study's plan and facts.
        record: its journal.
        root: the store, where a search may find an earlier study to learn from.
    """
    plan, state = resolved.plan, record.state
    stale = [t for t in tally.stale_trials(plan, state) if t.final]
    warm = _warm(resolved, state, root)
    entry = revision.next_revision(plan, state, len(stale), warm)
    if entry is not None:
        record.append(entry)


def _warm(resolved: Resolved, state: State, root: Path) -> tuning.Warm:
    """What searches learn from the study that `tune.warm_start` names."""
    plan = resolved.plan
    name = plan.warm_start
    if name is None:
        return {}
    key = "tune.warm_start"
    if name == plan.study.name:
        raise UserError(Problem("a study cannot start from itself", plan.study.file, key=key))
    if all(tuning.past_of(state, cell.key) for cell in plan.cells if cell.space):
        return tuning.warm(plan, resolved.facts, state, State())
    earlier = journal.load(store.find(root, name).journal)
    if earlier.ended not in ("done", "failures"):
        message = f"study '{name}' has not come to its end; run it first"
        raise UserError(Problem(message, plan.study.file, key=key))
    found = tuning.warm(plan, resolved.facts, state, earlier)
    if not found:
        message = f"no ask of study '{name}' fits a cell here by task, backbone, arm and nuisances"
        raise UserError(Problem(message, plan.study.file, key=key))
    return found


def _conduct(
    resolved: Resolved,
    profile: Profile,
    options: Options,
    folder: StudyFolder,
    record: Journal,
    watch: Watch,
) -> Outcome:
    from ablate.tracked import tracked

    plan, state = resolved.plan, record.state
    say = Log(folder.log)
    ray = "none" if options.in_process else profile.address or "own"
    say("run_began", host=socket.gethostname(), pid=os.getpid(), revision=len(state.revisions),
        trials=len(state.trials), store=profile.store, ray=ray)  # fmt: skip
    placed = replace(profile, device=_own_device(profile)) if options.in_process else profile
    uri = tracking_uri(profile) if options.tracking else None
    with heard() as interrupt, tracked(resolved, uri, folder, state, say) as notify:
        course = conductor(
            resolved, placed, folder, record, notify, watch, lambda: interrupt.reason
        )
        course.look()
        if not course.done and course.halted is None:
            try:
                _execute(course, resolved, profile, options, folder, watch)
            finally:
                folder.pulse.unlink(missing_ok=True)
        outcome = _outcome(course)
        why = course.halted if outcome == "stopped" else None
        say("run_ended", "info" if outcome == "done" else "warning", outcome=outcome, why=why)
        record.append(journal.ended(outcome, course.halted if outcome == "stopped" else None))
        watch(resolved, state)
        shown = shown_uri(profile) if uri else None
        write_answers(resolved, shown, folder, state, record=record)
        notify()
    keeping.tidy(plan, state, folder, resolved.facts)
    return outcome


def conductor(
    resolved: Resolved,
    profile: Profile,
    folder: StudyFolder,
    record: Journal,
    notify: Callable[[], None],
    watch: Watch,
    asked: Callable[[], str | None] = lambda: None,
) -> Conductor:
    """The course of a study, with whoever hears of its events.

    Args:
        resolved: the study's plan and facts.
        profile: device and threads of each trial.
        folder: the study's folder.
        record: its journal.
        notify: called after each event, for tracking.
        watch: called after each event, for whoever shows progress.
        asked: who asked the run to stop, if anybody has.
    """
    state = record.state
    assign = partial(resolve.assignment, resolved, folder, profile.device, profile.threads)

    say, listener = Log(folder.log), stops.Listener(folder)
    ahead = threading.Thread(target=read_ahead, name="ablate-answers", daemon=True)

    def on_event(ended: str | None) -> None:
        if ended is not None:
            tell_end(say, state.trials[ended])
            keeping.forget_checkpoint(folder, state.trials[ended])
            if ahead.ident is None:
                ahead.start()
        notify()
        watch(resolved, state)

    until = None if profile.deadline is None else deadline(profile.deadline, time.time())
    limit = limits.Limits(
        until, profile.max_cost, profile.price_per_gpu_hour, profile.gpus_per_trial or 1.0
    )
    return Conductor(
        resolved.plan,
        record,
        lambda spec, _: assign(spec),
        resolved.facts,
        on_event,
        _elsewhere(resolved.plan, folder, state),
        lambda state: asked() or listener.heard() or limit.reached(state),
    )


def tell_end(say: Say, trial: Trial) -> None:
    """Log how a trial ended, with the reason where it failed."""
    result = trial.result_json or {}
    has_failed = trial.status in FAILED
    say(
        "trial_ended",
        "error" if has_failed else "info",
        trial=trial.id[:12],
        cell=trial.cell,
        status=trial.status,
        seconds=result.get("seconds"),
        node=(result.get("environment") or {}).get("node"),
        attempts=trial.attempts,
        reason=result.get("reason"),
        reused_from=trial.reused_from,
        traceback=f"ablate show {trial.id[:12]}" if has_failed else None,
    )


def _elsewhere(plan: Plan, folder: StudyFolder, state: State) -> Callable[[str], Finished | None]:
    """Where to look for what is finished elsewhere; of what others start from, with its adapter."""
    library = Library(folder, others=plan.study.reuse)

    def take(identity: str) -> Finished | None:
        trial = state.trials[identity]
        begins = trial.cell in plan.sources and trial.spec_json["stage"] == "confirm"
        return library.take(identity, {keeping.ADAPTER} if begins else ())

    return take


def _execute(
    conductor: Conductor,
    resolved: Resolved,
    profile: Profile,
    options: Options,
    folder: StudyFolder,
    watch: Watch,
) -> None:
    """Train what is left."""
    if options.in_process:
        from ablate.sweep import twin

        twin.run(conductor, limit=options.limit, pack=profile.places or 1)
        return
    from ablate.sweep import cluster

    writes = any(facts.head.reads == "words" for facts in resolved.facts.values())
    backbone = None if writes else resolved.plan.study.backbones[0].text
    with cluster.connected(profile, backbone, resolved.places) as connection:
        # Imports ray, which reads its settings then; it takes as long as Ray does to come up.
        from ablate.sweep import tune_bridge

        scratch = connection.wait()
        from ablate.sweep.keeper import Keeper

        say = Log(folder.log)

        def show(now: Pulse) -> None:
            pulse.write(folder.pulse, now)
            watch(resolved, conductor.state)

        engines = cluster.engines(profile, connection.forks, say)
        keeper = Keeper(conductor, engines, connection.nodes, show, say)
        tune_bridge.run(conductor, engines=engines, folder=scratch, look=keeper.look, say=say)


def _own_device(profile: Profile) -> str:
    import torch

    if profile.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return profile.device


def _outcome(conductor: Conductor) -> Outcome:
    if not conductor.done:
        return "stopped"
    current = {
        trial.id
        for cell in conductor.plan.cells
        for trial, _, _ in tally.current_trials(conductor.plan, conductor.state, cell)
        if trial is not None
    }
    failed = any(conductor.state.trials[t].status in FAILED for t in current)
    unchosen = any(
        not tally.confirmation(conductor.plan, conductor.state, cell)
        for cell in conductor.plan.cells
    )
    return "failures" if failed or unchosen else "done"


def shown_uri(profile: Profile) -> str:
    """The tracking server as it may be printed: without passwords."""
    from ablate.tracking import redact

    return redact(tracking_uri(profile))
