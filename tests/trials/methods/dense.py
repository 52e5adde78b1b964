"""What the tests of the methods share: stacks of sites with drawn values, and counts."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trials.catalogue import complete
from trials.methods.base import Method, Site
from trials.streams import generator
from trials.training.counting import count

SITES = (Site("layer.0.query", "query", 10, 7), Site("layer.1.query", "query", 10, 7))
WIDE = (Site("layer.0.up", "intermediate", 6, 11),)
QV = ("query", "value")
MTLORA_TARGETS = ("query", "value", "intermediate", "output")


def started(method: Method, sites: tuple[Site, ...] = SITES, seed: int = 0) -> dict[str, Tensor]:
    """Starting values of sites of equal shape, stacked as the engine does, in float64."""
    made = [method.init(s, generator(seed, "initialisation", s.name)) for s in sites]
    shared = method.shared(sites, generator(seed, "initialisation", "shared"))
    common = {name: value[None].double() for name, value in shared.items()}
    return common | {name: torch.stack([m[name] for m in made]).double() for name in made[0]}


def shaken(method: Method, p: dict[str, Tensor], seed: int = 1) -> dict[str, Tensor]:
    """The same after a random change of everything but buffers."""
    stream = torch.Generator().manual_seed(seed)
    return {
        name: value
        if name in method.buffers()
        else value + 0.3 * torch.randn(value.shape, generator=stream, dtype=value.dtype)
        for name, value in p.items()
    }


def of_site(p: dict[str, Tensor], site: int) -> dict[str, NDArray[Any]]:
    """One site's values as numpy arrays; of one, what all sites share."""
    return {name: value[site % len(value)].numpy() for name, value in p.items()}


def deltas(method: Method, p: dict[str, Tensor]) -> list[NDArray[Any]]:
    """What the method says its change of each site's weight is."""
    return list(method.update(p).delta().numpy())


def stuck(method: Method, sites: tuple[Site, ...] = SITES, steps: int = 3) -> set[str]:
    """What is to be trained and has not moved after some steps towards another change."""
    p = started(method, sites)
    trained = set(p) - method.frozen() - method.buffers()
    leaves = {k: v.clone().requires_grad_(k in trained) for k, v in p.items()}
    optimiser = torch.optim.SGD([leaves[k] for k in trained], lr=0.1)
    stream = torch.Generator().manual_seed(3)
    shape = (len(sites), sites[0].outputs, sites[0].inputs)
    target = torch.randn(*shape, generator=stream, dtype=torch.float64)
    for _ in range(steps):
        optimiser.zero_grad()
        (method.update(leaves).delta() - target).square().sum().backward()
        optimiser.step()
    return {k for k in trained if torch.equal(leaves[k].detach(), p[k])}


def assert_close(made: NDArray[Any], expected: NDArray[Any]) -> None:
    assert made.shape == expected.shape
    assert np.abs(expected).max() > 1e-3, "nothing to compare"
    np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-13)


def adapter_count(backbone: str, method: str, targets: tuple[str, ...], **given: Any) -> int:
    """Trained numbers of a method, without the head, from a packaged configuration."""
    return count(backbone, method, complete(method, given), targets)[0]
