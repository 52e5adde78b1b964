"""Cells folded to records: the same as one by one, whatever was searched and confirmed."""

import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.configurations import configurations
from ablate.stats.cells import collect

RATES = (1e-4, 1e-3, 1e-2)


def random_table(seed: int) -> pd.DataFrame:
    """Two studies, tasks and arms; asks on several seeds; one or two configurations confirmed."""
    rng = np.random.default_rng(seed)
    rows = []
    for study in ("a", "b"):
        for task in ("cola", "rte"):
            for rank in (4, 8):
                base = {
                    "study": study, "task": task, "arm": f"lora rank={rank}", "method": "lora",
                    "label": f"r{rank}", "rank": rank, "metric": "mcc",
                    "direction": "lower" if task == "rte" else "higher",
                    "trainable_parameters": 10 * rank,
                }  # fmt: skip
                for rate in RATES:
                    for ask_seed in range(2):
                        rows.append({
                            **base, "stage": "search", "split": "held_out", "seed": 100 + ask_seed,
                            "tune.learning_rate": rate, "score": rng.normal(),
                        })  # fmt: skip
                for rate in rng.choice(RATES, size=rng.integers(1, 3), replace=False):
                    for confirm_seed in range(3):
                        failed, seconds = rng.random() < 0.2, rng.random()
                        for split in ("held_out", "validation")[: 1 if failed else 2]:
                            rows.append({
                                **base, "stage": "confirm", "seed": confirm_seed,
                                "split": "validation" if failed else split,
                                "tune.learning_rate": rate, "seconds": seconds,
                                "score": None if failed else rng.normal(),
                                "status": "diverged" if failed else "finished",
                                "trial_id": f"{study}{task}{rank}{rate}{confirm_seed}",
                            })  # fmt: skip
    table = pd.DataFrame(rows)
    return frame.check(table.assign(status=table["status"].fillna("finished")))


@pytest.mark.parametrize("seed", range(6))
def test_they_are_the_cells_of_each_study(seed: int) -> None:
    table = random_table(seed)
    found = configurations(table)
    cells = {
        (study, *key): cell
        for study, part in table.groupby("study")
        for key, cell in collect(part).items()
    }
    assert len(found) == len(cells) == 8
    for row in found.to_dict("records"):
        cell = cells[row["study"], row["task"], row["backbone"], row["arm"]]
        scores = np.array(list(cell.scores.values()))
        assert (row["n"], row["num_failed"]) == (len(scores), len(cell.failed))
        assert (row["seeds"], row["scores"]) == (list(cell.scores), list(scores))
        if len(scores):
            assert row["mean"] == pytest.approx(scores.mean())
            assert row["split"] == "validation"
        assert row["tune.learning_rate"] == cell.best_values["learning_rate"]
        assert row["trainable_parameters"] == cell.trainable_parameters
        assert row["direction"] == ("lower" if row["task"] == "rte" else "higher")
        assert row["trials"] == sorted(set(row["trials"]))
        own = table[
            (table["study"] == row["study"]) & (table["task"] == row["task"])
            & (table["arm"] == row["arm"]) & (table["stage"] == "confirm")
            & (table["tune.learning_rate"] == row["tune.learning_rate"])
        ]  # fmt: skip
        assert set(row["trials"]) == {text[:16] for text in own["trial_id"]}
        chosen = own[(own["split"] == "held_out")].set_index("seed")["score"]
        if row["chosen_on"] is not None and len(scores):
            assert row["choosing"] == [chosen[seed] for seed in row["seeds"]]
            sign = -1 if row["task"] == "rte" else 1
            first = own[own["split"] == "held_out"]["score"] * sign
            assert row["trial"] == own.loc[first.idxmax(), "trial_id"]
        done = own[own["status"] == "finished"].drop_duplicates("trial_id")
        assert row["seconds"] == pytest.approx(done["seconds"].mean(), nan_ok=True)


def test_a_table_of_a_search_alone_has_its_values_and_no_scores() -> None:
    table = random_table(0)
    found = configurations(table[table["stage"] == "search"].reset_index(drop=True))
    assert len(found) == 8
    assert list(found["n"]) == [0] * 8
    assert found["mean"].isna().all()
    assert found["tune.learning_rate"].notna().all()
    assert set(found["metric"]) == {"mcc"}
    assert [list(trials) for trials in found["trials"]] == [[]] * 8


def test_of_no_rows_there_are_none() -> None:
    table = random_table(0)
    assert len(configurations(table[table["study"] == "c"])) == 0
