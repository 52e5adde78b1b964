"""`ablate retry`: let failed trials run again."""

import argparse

from ablate.commands.common import load, out
from trials.errors import UserError


def run(given: argparse.Namespace) -> int:
    """Put failed trials back to waiting; `ablate run` trains them again."""
    from ablate import journal, store
    from ablate.journal import Journal
    from trials.spec import FAILED

    study = load(given)
    if not study.state.trials:
        raise UserError(f"study '{study.study.name}' has not been run in {study.profile.store}")
    with Journal.open(study.folder.journal) as record:
        wanted = [store.trial_by_prefix(record.state, prefix) for prefix in given.trial]
        failed = [t.id for t in record.state.trials.values() if t.status in FAILED]
        wrong = [identity for identity in wanted if identity not in failed]
        if wrong:
            raise UserError(*(f"trial {identity[:12]} has not failed" for identity in wrong))
        for identity in wanted or failed:
            record.append(journal.retried(identity))
    out(f"{len(wanted or failed)} trials wait again; ablate run {given.study} trains them")
    return 0
