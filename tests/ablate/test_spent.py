"""Time of devices, and what it bought."""

from typing import Any

import pytest

from ablate.spent import spent
from ablate.state import Trial


def trial(
    seconds: float | None,
    reported: float | None = None,
    device: str = "cpu",
    reused: str | None = None,
) -> Trial:
    result: dict[str, Any] | None = {"seconds": seconds, "device": device}
    return Trial(
        id="t", spec_json={}, cell="c", ask=None, rank=None, revision=1, late=False,
        reports={} if reported is None else {1: {"seconds": 0.5}, 2: {"seconds": reported}},
        result_json=None if seconds is None else result, reused_from=reused,
    )  # fmt: skip


def test_every_trial_counts_as_far_as_it_got() -> None:
    found = spent([trial(10.0, 7.0), trial(None, 3.0), trial(None)], None)
    assert found.seconds == 13.0
    assert found.devices == ("cpu",)
    assert (found.num_claims, found.num_decided, found.seconds_per_decided) == (None, 0, None)
    assert str(found) == "0.00361 device-hours (13 s on cpu)"


def test_what_another_study_trained_was_spent_there() -> None:
    found = spent([trial(10.0), trial(3600.0, device="H200", reused="other")], None)
    assert (found.seconds, found.devices) == (10.0, ("cpu",))


@pytest.mark.parametrize(
    ("verdicts", "each", "words"),
    [
        (["supported", "contradicted", "undecided"], 1800.0, "0.5 for each of 2 decided claims"),
        (["supported", "undecided"], 3600.0, "1 for the one decided claim"),
        (["undecided", "not_robust"], None, "none of 2 claims decided yet"),
        ([], None, "1 GPU-hours (3,600 s on H200)"),
    ],
)
def test_only_what_is_decided_was_bought(
    verdicts: list[str], each: float | None, words: str
) -> None:
    claims = [{"verdict": verdict} for verdict in verdicts]
    found = spent([trial(3600.0, device="H200")], claims)
    assert found.seconds_per_decided == each
    assert words in str(found)
    assert found.to_json()["claims"] == len(verdicts)
