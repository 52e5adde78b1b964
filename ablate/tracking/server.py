"""Reads the runs of any tracking server through MLflow's own search, and of those seen before few.

MLflow cannot be asked what changed. It is asked for what is likely to have (begun, ended or sent
since the last time, or still open), for what is deleted, and then for as many others as take about
a second, those first that were read longest ago. So a few hundred runs are read anew each time, and
of more than that every change that `ablate` made is seen at once, one by hand some calls later.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ablate.tracking import records
from ablate.tracking.client import Client, Run
from ablate.tracking.contents import Content, is_needed, is_score
from trials.spec import Json

WHOLE = 400
"""Runs that are read anew each time; MLflow needs about a second for them."""

_SLACK_MS = 600_000
"""How far clocks may be apart."""

_NAMED = 50
"""Runs that one request names."""

_ANY = f"tags.`{records.KIND}` = 'trial'"


@dataclass
class News:
    """What was read of one study.

    Attributes:
        contents: runs that were read, by id.
        gone: runs that were known and are not there any more.
        mark: for the next time.
    """

    contents: dict[str, Content] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    mark: Json = None


class Server:
    """One tracking server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def studies(self) -> dict[str, str]:
        """Experiment ids of the studies that are not deleted, by study."""
        found = self._client.experiments()
        tagged = [item for item in found if records.STUDY in item.tags]
        ordered = sorted(tagged, key=lambda item: int(item.id) if item.id.isdigit() else 0)
        return {item.tags[records.STUDY]: item.id for item in ordered}

    def fetch(self, runs: Sequence[str], experiments: Sequence[str]) -> Iterator[Content]:
        """Runs by id."""
        for first in range(0, len(runs), _NAMED):
            names = ", ".join(f"'{run}'" for run in runs[first : first + _NAMED])
            found = self._client.runs(experiments, f"attributes.run_id IN ({names})")
            yield from map(_content, found)

    def news(
        self,
        experiments: Sequence[str],
        known: Mapping[str, tuple[Json, pd.DataFrame]],
        *,
        now: int,
    ) -> dict[str, News]:
        """What was read of studies.

        Args:
            experiments: ids of their experiments.
            known: mark and runs of those that were read before.
            now: unix milliseconds.
        """
        news = {experiment: News(mark={"at": now, "deleted": []}) for experiment in experiments}
        few = sum(len(runs) for _, runs in known.values()) <= WHOLE
        whole = [name for name in experiments if few or name not in known]
        rest = {name: known[name] for name in experiments if name not in whole}
        if whole:
            _add(news, self._client.runs(whole, _ANY))
            for name in set(whole) & known.keys():
                news[name].gone = set(known[name][1]["run"]) - news[name].contents.keys()
        if rest:
            self._likely(news, rest)
            self._deleted(news, rest)
            self._oldest(news, rest)
        return news

    def _likely(
        self, news: Mapping[str, News], known: Mapping[str, tuple[Json, pd.DataFrame]]
    ) -> None:
        since = min(int(mark["at"]) for mark, _ in known.values()) - _SLACK_MS
        for where in (
            f"attributes.start_time >= {since}",
            f"attributes.end_time >= {since}",
            f"metrics.`{records.SENT}` >= {since}",
            "attributes.status = 'RUNNING'",
            "attributes.status = 'SCHEDULED'",
        ):
            _add(news, self._client.runs(list(known), f"{_ANY} AND {where}"))

    def _deleted(
        self, news: Mapping[str, News], known: Mapping[str, tuple[Json, pd.DataFrame]]
    ) -> None:
        there: dict[str, set[str]] = {name: set() for name in known}
        for run in self._client.runs(list(known), _ANY, deleted=True):
            there[run.experiment].add(run.id)
        for name, (mark, runs) in known.items():
            news[name].gone |= there[name] & set(runs["run"])
            news[name].mark["deleted"] = sorted(there[name])
            back = sorted(set(mark["deleted"]) - there[name])
            news[name].contents |= {item.run: item for item in self.fetch(back, [name])}

    def _oldest(
        self, news: Mapping[str, News], known: Mapping[str, tuple[Json, pd.DataFrame]]
    ) -> None:
        """Read the runs between two starts anew: those that were read longest ago."""
        name = min((n for n in known if len(known[n][1])), key=lambda n: known[n][1]["read"].min())
        runs = known[name][1].reset_index(drop=True)
        first = int(runs["read"].idxmin())
        part = runs.iloc[first : first + WHOLE]
        low = 0 if first == 0 else int(part["start"].min())
        where = f"{_ANY} AND attributes.start_time >= {low}"
        inside = runs["start"] >= low
        if first + WHOLE < len(runs):
            where += f" AND attributes.start_time <= {int(part['start'].max())}"
            inside &= runs["start"] <= int(part["start"].max())
        found = self._client.runs([name], where)
        _add(news, found)
        news[name].gone |= set(runs.loc[inside, "run"]) - {run.id for run in found}


def _add(news: Mapping[str, News], runs: Iterable[Run]) -> None:
    for run in runs:
        news[run.experiment].contents[run.id] = _content(run)


def _content(run: Run) -> Content:
    tags = {key: value for key, value in run.tags.items() if is_needed(key)}
    scores = {key: value for key, value in run.metrics.items() if is_score(key)}
    return Content(run.id, run.start, tags, scores)
