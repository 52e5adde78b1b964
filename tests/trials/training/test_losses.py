"""Losses against torch's own, row by row."""

import torch
from torch.nn import functional

from trials.training.losses import of_places, of_texts

STREAM = torch.Generator().manual_seed(1)
OUTPUTS = torch.randn((3, 6, 2), generator=STREAM, dtype=torch.float64)
LENGTHS = (6, 4, 1)
LIVE = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
PLACES = torch.tensor([[5, 2], [0, 3], [0, 0]])


def expected(smoothing: float) -> list[float]:
    """The mean over start and end of a row's own cross entropy, without what pads it."""
    made = []
    for row, length in enumerate(LENGTHS):
        logits = OUTPUTS[row, :length].T
        both = functional.cross_entropy(logits, PLACES[row], label_smoothing=smoothing)
        made.append(float(both))
    return made


def test_a_place_is_a_class_among_the_live_tokens() -> None:
    for smoothing in (0.0, 0.1):
        made = of_places(OUTPUTS, PLACES, LIVE, smoothing)
        torch.testing.assert_close(made, torch.tensor(expected(smoothing), dtype=torch.float64))


def test_what_pads_a_row_gets_no_gradient() -> None:
    for smoothing in (0.0, 0.1):
        outputs = OUTPUTS.clone().requires_grad_()
        of_places(outputs, PLACES, LIVE, smoothing).sum().backward()
        assert outputs.grad is not None
        assert bool(outputs.grad.isfinite().all())
        assert not bool(outputs.grad[~LIVE].any())
        assert bool(outputs.grad[LIVE][:6].all()), "a long row has a gradient everywhere"


def test_texts_have_one_label_each() -> None:
    outputs, labels = OUTPUTS[:, 0], torch.tensor([1, 0, 1])
    plain = functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(of_texts(outputs, labels, 0.1), plain)
    squares = of_texts(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 5.0]), 0.1)
    torch.testing.assert_close(squares, torch.tensor([1.0, 9.0]))
