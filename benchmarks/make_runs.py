"""A SQLite MLflow store of many runs, made in minutes, for `ablate best` to answer from.

    python benchmarks/make_runs.py --uri sqlite:////tmp/many/mlflow.db --studies 100 --runs 1000

Every run is what a study would have sent: its tags, parameters and curves come from the same
functions (`ablate.tracking.records`), and the rows go in through MLflow's own table models, in
bulk. Scores are drawn; nothing is trained. Equal arguments give equal runs, but for their ids.
"""

import argparse
import itertools
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import event, insert

from ablate.journal import Trial
from ablate.tracking import CellInfo, StudyInfo, records
from ablate.tracking.client import Client, Point
from trials.spec import Progress, Recipe, Splits, Stage, TrialResult, TrialSpec

NOON = 1_750_000_000.0
ASKS = 40
SEEDS = 10
"""Of each cell: asks of its search, and seeds that confirm the best of them."""

RANKS = (2, 4, 8, 16)
METHODS = ("lora", "mtlora", "tlora", "lora_mini", "triadaptlora")
FIRST_SEARCH_SEED = 1_000_000


def main() -> None:
    """Make the store and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uri", required=True, help="sqlite:///<folder>/mlflow.db")
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--runs", type=int, default=1000, help="of each study")
    given = parser.parse_args()
    began = time.perf_counter()
    make(given.uri, given.studies, given.runs)
    print(f"{given.studies * given.runs} runs in {time.perf_counter() - began:.0f} s")


def make(uri: str, studies: int, runs: int) -> None:
    """Fill a store with studies called `study-000`, `study-001`, ...

    Args:
        uri: a SQLite tracking URI; its store is made where there is none.
        studies: how many.
        runs: trials of each; beside them each has its parent run.
    """
    client = Client(uri)
    engine = client._mlflow._tracking_client.store.engine
    # Whoever cuts the power starts again; waiting for the disk is most of the time otherwise.
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    engine.dispose()
    for number in range(studies):
        study = StudyInfo(
            name=f"study-{number:03d}",
            question="Which arm wins?",
            revision=1,
            config={"study": f"study-{number:03d}"},
            folder=None,  # type: ignore[arg-type]
        )
        place = f"{uri.removeprefix('sqlite:///')}-artifacts"
        experiment = client.create_experiment(study.name, place, {records.STUDY: study.name})
        tags = {records.KIND: "study", records.STUDY: study.name}
        parent = client.create(experiment, study.name, records.milliseconds(NOON), tags)
        _insert(engine, int(experiment), parent.id, trials(number, runs), study)


def trials(number: int, count: int) -> Iterator[tuple[Trial, CellInfo]]:
    """So many ended trials of a study, cell by cell: its search, then what confirms it."""
    generator = random.Random(number)
    made = (pair for index in itertools.count() for pair in _cell(number, index, generator))
    yield from itertools.islice(made, count)


def _cell(number: int, index: int, generator: random.Random) -> Iterator[tuple[Trial, CellInfo]]:
    method = METHODS[index % len(METHODS)]
    rank = RANKS[index // len(METHODS) % len(RANKS)]
    task = f"task{index // len(METHODS) // len(RANKS)}"
    cell = CellInfo(
        key=f"{number}-{index}",
        task=task,
        backbone="tiny",
        arm=f"{method} rank={rank}",
        label=f"{method} r={rank}",
        method=method,
        factors={"rank": rank},
        nuisances=("learning_rate",),
        primary="mcc",
        direction="higher",
        search_split="held_out",
        report_split="validation",
        grid={"accuracy": True},
    )
    level = 0.5 + generator.gauss(0, 0.03) + rank / 400
    rates = [10 ** generator.uniform(-4, -2) for _ in range(ASKS)]
    for ask, rate in enumerate(rates):
        score = level - abs(rate - 2e-3) * 10 + generator.gauss(0, 0.02)
        yield _trial(cell, rank, rate, FIRST_SEARCH_SEED, "search", score, ask), cell
    chosen = min(rates, key=lambda rate: abs(rate - 2e-3))
    # Seeds of its own, so that no two studies hold the same trial.
    for seed in range(number * SEEDS, (number + 1) * SEEDS):
        score = level + generator.gauss(0, 0.02)
        yield _trial(cell, rank, chosen, seed, "confirm", score, None), cell


def _trial(
    cell: CellInfo, rank: int, rate: float, seed: int, stage: Stage, score: float, ask: int | None
) -> Trial:
    spec = TrialSpec(
        task=cell.task,
        backbone=cell.backbone,
        method=cell.method,
        hyperparameters={"rank": rank, "alpha": 16.0},
        targets=("query", "value"),
        recipe=Recipe(epochs=3.0, learning_rate=rate),
        splits=Splits(),
        seed=seed,
        stage=stage,
        data_digest="d" * 64,
        backbone_digest="b" * 64,
    )
    shown = {"mcc": score, "accuracy": round((1 + score) / 2 * 400) / 400}
    scores = {"held_out": shown} if stage == "search" else {"held_out": shown, "validation": shown}
    result = TrialResult(
        status="finished",
        scores=scores,
        num_examples=dict.fromkeys(scores, 400),
        selected_step=30,
        selected_epoch=3.0,
        adapter_parameters=1024 * rank,
        head_parameters=66,
        seconds=4.5 + rank / 10,
        peak_memory_bytes=5_000_000 + 1000 * rank,
        device="cpu",
        environment={"torch": "2.9", "python": "3.11", "transformers": "5.0", "node": "n1"},
    )
    reports = {
        step: Progress(
            step=step, num_steps=30, epoch=step / 10, train_loss=1 / step, scores=shown,
            primary=score, seconds=step / 10,
        ).to_json()
        for step in (10, 20, 30)
    }  # fmt: skip
    number, index = map(int, cell.key.split("-"))
    began = NOON + 3600 * number + 60 * index + (ASKS if ask is None else ask)
    return Trial(
        id=spec.id, spec_json=spec.to_json(), cell=cell.key, ask=ask, rank=1, revision=1,
        late=False, attempts=1, status="finished", reports=reports,
        result_json=result.to_json(), started_at=began, finished_at=began + 5,
    )  # fmt: skip


def _insert(
    engine: Any,
    experiment: int,
    parent: str,
    made: Iterator[tuple[Trial, CellInfo]],
    study: StudyInfo,
) -> None:
    from mlflow.store.tracking.dbmodels import models

    tables: dict[Any, list[dict[str, Any]]] = {
        table: []
        for table in (
            models.SqlRun, models.SqlTag, models.SqlParam, models.SqlMetric, models.SqlLatestMetric,
        )
    }  # fmt: skip
    for trial, cell in made:
        run = uuid.uuid4().hex
        want = records.record(trial, cell, study)
        tables[models.SqlRun].append(_run(run, experiment, want))
        tags = {**want.tags, records.PARENT: parent, "mlflow.runName": want.name}
        tables[models.SqlTag] += _texts(run, tags)
        tables[models.SqlParam] += _texts(run, records.params(trial))
        curves = [
            records.report_points(trial.reports[step], want.start or 0) for step in trial.reports
        ]
        points = [*itertools.chain(*curves), *records.result_points(trial)]
        tables[models.SqlMetric] += [_metric(run, point) for point in points]
        latest = {point.key: point for point in points}
        tables[models.SqlLatestMetric] += [_metric(run, point) for point in latest.values()]
    with engine.begin() as connection:
        for table, rows in tables.items():
            connection.execute(insert(table.__table__), rows)


def _run(run: str, experiment: int, want: records.Record) -> dict[str, Any]:
    return {
        "run_uuid": run, "name": want.name, "source_type": "UNKNOWN", "source_name": "",
        "entry_point_name": "", "user_id": "", "status": want.status, "start_time": want.start,
        "end_time": want.end, "deleted_time": None, "source_version": "",
        "lifecycle_stage": "active", "artifact_uri": f"/tmp/{run}/artifacts",
        "experiment_id": experiment,
    }  # fmt: skip


def _texts(run: str, values: Mapping[str, str]) -> Sequence[dict[str, Any]]:
    return [{"run_uuid": run, "key": key, "value": value} for key, value in values.items()]


def _metric(run: str, point: Point) -> dict[str, Any]:
    return {
        "run_uuid": run, "key": point.key, "value": point.value, "timestamp": point.timestamp,
        "step": point.step, "is_nan": False,
    }  # fmt: skip


if __name__ == "__main__":
    main()
