import hashlib
import itertools

import pytest
import torch

from trials.streams import generator, stream_key


def test_a_key_is_pinned_for_good() -> None:
    """Every number that a trial computes hangs on it; a change raises `trials.spec.NUMERICS`."""
    text = b"3\x1fdropout\x1fencoder\x1f7"
    expected = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1
    assert stream_key(3, "dropout", "encoder", 7) == expected == 5342762541569057505


def test_keys_fit_a_signed_integer() -> None:
    assert all(0 <= stream_key(seed, "order", 0) < 2**63 for seed in range(500))


def test_seed_purpose_and_place_all_count() -> None:
    places = [(), ("a",), ("a", 1), ("a", 2), ("b", 1), ("a1",), (1, "a")]
    purposes = ("initialisation", "head", "order", "dropout", "subset")
    made = [stream_key(s, p, *x) for s, p, x in itertools.product((0, 1, 10), purposes, places)]
    assert len(set(made)) == len(made) == 3 * 5 * 7


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, "order", 23), (12, "order", 3)), ((1, "order", "a", "b"), (1, "order", "ab"))],
)
def test_parts_do_not_run_together(one: tuple, other: tuple) -> None:
    assert stream_key(*one) != stream_key(*other)


def test_a_generator_is_at_the_start_of_its_stream() -> None:
    first = torch.rand(5, generator=generator(3, "order", 0))
    torch.manual_seed(1)
    assert torch.equal(first, torch.rand(5, generator=generator(3, "order", 0)))
    assert not torch.equal(first, torch.rand(5, generator=generator(3, "order", 1)))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(3, "order", 0))
    assert torch.equal(before, torch.get_rng_state())
