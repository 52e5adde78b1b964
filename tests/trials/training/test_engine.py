"""Trials that come and go at an engine, and what each is left with."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from courses import STEPS, Shared, Visits, shared, visits

from trials.spec import Dropout, Evaluate
from trials.training import engine as engine_module
from trials.training.engine import Engine
from trials.training.pack import Pack

__all__ = ["shared", "visits"]  # Fixtures, which pytest finds by name.


def test_trials_join_and_leave_at_any_step(visits: Visits) -> None:
    visits.engine = Engine(3)
    first = visits.trial(1)
    leaves = visits.trial(2, given={"rank": 3})
    late = visits.trial(3, method="tlora", given={"rank": 6}, learning_rate=1e-2)
    visits.join(first, leaves)
    visits.go(lambda: visits.steps_done(first) == 5)
    visits.join(late)
    visits.go(lambda: visits.steps_done(first) == 7)
    result = visits.engine.leave(leaves.spec.id, "the pruner said so")
    assert result is not None
    assert (result.status, result.reason) == ("pruned", "the pruner said so")
    assert result.environment["pack"] == "3"
    assert visits.engine.size == 2
    visits.go()
    assert visits.steps_done(leaves) == 7
    assert [len(taken) for taken in visits.steps] == [2] * 5 + [3] * 2 + [2] * 5 + [1] * 5
    visits.assert_undisturbed(first, late)
    assert leaves.spec.id not in visits.results


def test_who_leaves_before_it_trains_or_was_never_there(visits: Visits) -> None:
    waits = visits.trial(2)
    visits.join(visits.trial(1), waits)
    visits.go(lambda: len(visits.steps) == 1)
    result = visits.engine.leave(waits.spec.id, "not needed")
    assert result is not None
    assert (result.status, result.reason) == ("pruned", "not needed")
    assert visits.engine.leave(waits.spec.id, "again") is None
    assert visits.engine.size == 1


def test_a_place_that_is_free_is_taken_at_once(visits: Visits) -> None:
    visits.engine = Engine(2)
    short, long, waits = visits.trial(1, steps=6), visits.trial(2), visits.trial(3)
    visits.join(short, long, waits)
    visits.go()
    assert [len(taken) for taken in visits.steps] == [2] * 12 + [1] * 6
    visits.assert_undisturbed(short, long, waits)
    assert {r.environment["pack"] for r in visits.results.values()} == {"2"}


@pytest.mark.parametrize("differs", [{"seed": 4}, {"batch_size": 4}, {"accumulate": 2}])
def test_who_reads_the_same_batches_comes_first(visits: Visits, differs: Any) -> None:
    visits.engine = Engine(2)
    first, same = visits.trial(3, steps=4), visits.trial(3, steps=4, learning_rate=1e-3)
    other = visits.trial(**{"seed": 3, "steps": 4, **differs})
    visits.join(first, other, same)
    visits.go()
    assert visits.packs == [{first.spec.id, same.spec.id}, {other.spec.id}]


def test_incompatible_trials_wait_until_there_is_nobody_else(visits: Visits) -> None:
    visits.engine = Engine(3)
    short = {"steps": 4, "dropout": Dropout()}
    plain = [visits.trial(seed, backbone="single", **short) for seed in (1, 2)]
    rough = visits.trial(1, backbone="single", precision="bf16", **short)
    other = visits.trial(1, backbone="other", **short)
    visits.join(*plain, rough, other)
    visits.go()
    assert visits.packs == [{t.spec.id for t in plain}, {rough.spec.id}, {other.spec.id}]
    assert {r.status for r in visits.results.values()} == {"finished"}
    visits.assert_undisturbed(other)
    visits.assert_undisturbed(*plain, close=5e-5)


def test_who_cannot_share_keeps_those_behind_from_joining(visits: Visits) -> None:
    """Else it might wait for as long as others come."""
    visits.engine = Engine(3)
    short = {"steps": 4, "dropout": Dropout(), "backbone": "single"}
    first, behind = (visits.trial(seed, **short) for seed in (1, 2))
    rough = visits.trial(1, precision="bf16", **short)
    visits.join(first, rough, behind)
    visits.go()
    assert visits.packs == [{t.spec.id} for t in (first, rough, behind)]


def test_who_trains_alone_has_no_company(visits: Visits) -> None:
    visits.engine = Engine(4)
    before, alone, after = (visits.trial(seed, steps=6) for seed in (1, 2, 3))
    visits.join(before)
    visits.go(lambda: len(visits.steps) == 1)
    visits.engine.join(alone, alone=True)
    visits.join(after)
    visits.go()
    assert visits.packs == [{t.spec.id} for t in (before, alone, after)]
    visits.assert_undisturbed(before, alone, after)


def test_a_method_that_changes_the_backbone_trains_alone_on_a_copy(visits: Visits) -> None:
    """Beside packs over the shared one, in the same engine, at whatever capacity."""
    visits.engine = Engine(4)
    ordinary = [visits.trial(seed, steps=6) for seed in (1, 2)]
    whole = [visits.trial(seed, steps=6, method="full", given={}) for seed in (1, 2)]
    library = visits.trial(3, steps=6, method="peft.LoraConfig", given={"r": 2})
    visits.join(ordinary[0], whole[0], library, whole[1], ordinary[1])
    visits.go()
    alone = [{t.spec.id} for t in (whole[0], library, whole[1])]
    assert [pack for pack in visits.packs if pack in alone] == alone
    visits.assert_undisturbed(*ordinary, *whole, library)
    assert "pack" not in visits.results[library.spec.id].environment
    assert visits.results[ordinary[1].spec.id].environment["pack"] == "4"


def test_a_copy_that_trains_alone_continues_from_its_checkpoint(visits: Visits) -> None:
    trial = visits.trial(1, method="full", given={})
    visits.join(trial)
    visits.go(lambda: visits.steps_done(trial) == 6)
    visits.engine = Engine(1)
    visits.join(trial)
    visits.go()
    assert visits.steps_done(trial) == 6 + 8
    visits.assert_undisturbed(trial)


def test_those_at_one_step_are_evaluated_in_one_pass(visits: Visits) -> None:
    visits.engine = Engine(3)
    trials = [visits.trial(seed, evaluate=Evaluate(every=4, select="last")) for seed in (1, 2, 3)]
    visits.join(*trials)
    visits.go()
    assert visits.reads == [3, 3, 3, 3], "three evaluations, and the report split"
    visits.assert_undisturbed(*trials)


def test_one_that_diverges_leaves_the_others_as_they_are(visits: Visits) -> None:
    visits.engine = Engine(3)
    good = [visits.trial(1), visits.trial(3)]
    bad = visits.trial(2, learning_rate=1e30, clip=None)
    visits.join(good[0], bad, good[1])
    visits.go()
    result = visits.results[bad.spec.id]
    assert result.status == "diverged"
    assert f"of {STEPS}" in str(result.reason)
    assert visits.steps_done(bad) < STEPS
    visits.assert_undisturbed(*good)


def test_a_trial_goes_on_in_another_pack_from_its_checkpoint(visits: Visits) -> None:
    moves = visits.trial(1, method="triadaptlora", given={"rank": 4, "interval": 3})
    visits.engine = Engine(2)
    visits.join(moves, visits.trial(2))
    visits.go(lambda: len(visits.reports.get(moves.spec.id, [])) == 2)
    visits.go(lambda: visits.steps_done(moves) == 10)
    visits.engine.close()
    stays = visits.trial(3)
    visits.engine = Engine(2)
    visits.join(stays, moves)
    visits.go()
    taken = [before for step in visits.steps for trial, before in step if trial == moves.spec.id]
    assert taken == [*range(10), *range(8, 12)]
    visits.assert_undisturbed(moves, stays)


def test_what_was_reported_before_is_reported_again(visits: Visits) -> None:
    trial = visits.trial()
    visits.join(trial)
    visits.go(lambda: visits.steps_done(trial) == 10)
    with Engine() as again:
        again.join(trial)
        heard = [again.advance()[0].progress for _ in range(2)]
    assert heard == visits.reports[trial.spec.id]


def test_seconds_are_shared_and_add_up(visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that only training and evaluation move."""
    clock = SimpleNamespace(now=0.0)
    fake = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr(engine_module, "time", fake)
    step, all_outputs = Pack.step, Pack.all_outputs

    def slow_step(pack: Pack, members: Any) -> None:
        clock.now += 6.0
        step(pack, members)

    def slow_outputs(pack: Pack, members: Any, data: Any) -> Any:
        clock.now += 30.0
        return all_outputs(pack, members, data)

    monkeypatch.setattr(Pack, "step", slow_step)
    monkeypatch.setattr(Pack, "all_outputs", slow_outputs)
    visits.engine = Engine(3)
    visits.join(visits.trial(1, steps=4), visits.trial(2, steps=8), visits.trial(3, steps=8))
    visits.go()
    seconds = [result.seconds for result in visits.results.values()]
    assert sum(seconds) == pytest.approx(clock.now)
    assert clock.now >= 8 * 6 + 3 * 30
    assert seconds[0] < seconds[1]
    reported = [report.seconds for reports in visits.reports.values() for report in reports]
    assert min(reported) == pytest.approx(4 * 6 / 3 + 30 / 3)


def test_how_many_fit_is_asked_for_each_backbone(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def places(pack: Pack, member: Any) -> int:
        asked.append(member.spec.backbone)
        return {"tiny": 3, "other": 2}[member.spec.backbone]

    monkeypatch.setattr(engine_module, "places", places)
    visits.engine = Engine(None)
    visits.join(*(visits.trial(seed, steps=4) for seed in range(4)))
    visits.join(*(visits.trial(seed, steps=4, backbone="other") for seed in range(3)))
    visits.go()
    assert [len(pack) for pack in visits.packs] == [3, 1, 2, 1]
    assert asked == ["tiny", "other"]
    packs = [result.environment["pack"] for result in visits.results.values()]
    assert packs == ["3"] * 4 + ["2"] * 3


def test_on_a_cpu_one_fits_where_nobody_says_more(visits: Visits) -> None:
    visits.engine = Engine(None)
    visits.join(visits.trial(1, steps=4), visits.trial(2, steps=4))
    visits.go()
    assert [len(pack) for pack in visits.packs] == [1, 1]
    assert visits.engine.capacity == 1
    assert all("pack" not in result.environment for result in visits.results.values())


def test_the_backbone_is_left_as_it_was(visits: Visits, shared: Shared) -> None:
    model = shared.backbones["tiny"].model
    ids = torch.tensor([[2, 11, 12, 13, 3]])
    before = model(input_ids=ids).logits
    visits.engine = Engine(2)
    visits.join(visits.trial(1, steps=4), visits.trial(2, steps=4))
    visits.go(lambda: len(visits.steps) == 3)
    visits.engine.close()
    assert torch.equal(model(input_ids=ids).logits, before)
    assert not any(module._forward_hooks for module in model.modules())
