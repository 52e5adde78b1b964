"""The twin: the same conductor driven by a plain loop in this process. For tests and debugging."""

from ablate.sweep.conductor import Conductor
from trials.training.engine import Engine


def run(conductor: Conductor, *, limit: int | None = None, pack: int = 1) -> int:
    """Run a study's trials in this process.

    Args:
        conductor: the study.
        limit: stop after this many trials have ended; None for all. A limit of the conductor's
            own ends the loop as well, in mid-trial.
        pack: how many train together.

    Returns:
        How many trials ended.
    """
    ended = 0
    with Engine(pack) as engine:
        while limit is None or ended < limit:
            places = pack if limit is None else min(pack, limit - ended)
            while engine.size < places and (assignment := conductor.next()) is not None:
                engine.join(assignment)
            if not engine.size:
                break
            for event in engine.advance():
                if event.progress is not None:
                    if conductor.report(event.trial, event.progress):
                        if conductor.look() is not None:
                            return ended
                        continue
                    engine.leave(event.trial, "pruned")
                conductor.finish(event.trial, event.result)
                ended += 1
    return ended
