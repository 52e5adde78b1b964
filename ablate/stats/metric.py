"""Another metric in the place of the primary one: what else the same runs say."""

import pandas as pd

from ablate.frame import CONFIRM_STAGES, VARIANCE_STAGE
from trials.errors import UserError, nearest


def shown_by(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A table whose runs are judged by another metric than the one that they were chosen by.

    Search results keep their metric: which configuration of a cell was confirmed, and which
    epoch of a run, was decided by that, and is not decided again. A run that failed has failed
    by any metric.

    Args:
        frame: a checked table, one row per trial, split and metric.
        metric: as the table names it.

    Returns:
        The rows of the tasks that have the metric.

    Raises:
        UserError: no task has it; with the names there are.
    """
    is_run = frame["stage"].isin((*CONFIRM_STAGES, VARIANCE_STAGE))
    has_ended = frame["status"] == "finished"
    direction = frame[is_run & has_ended & (frame["metric"] == metric)]
    direction = direction.drop_duplicates("task").set_index("task")["direction"]
    if direction.empty:
        known = sorted(set(frame.loc[is_run & has_ended, "metric"]))
        raise UserError(f"no task is scored by metric '{metric}'{nearest(metric, known)}")
    kept = frame["task"].isin(direction.index)
    frame, is_run, has_ended = frame[kept], is_run[kept], has_ended[kept]
    lost = is_run & ~has_ended & frame["primary"]
    return frame.assign(
        metric=frame["metric"].mask(lost, metric),
        direction=frame["direction"].mask(lost, frame["task"].map(direction)),
        primary=frame["primary"].where(~is_run, lost | (frame["metric"] == metric)),
    ).reset_index(drop=True)
