"""Gradient checkpointing: a layer's inside is computed again in the backward pass, not kept.

Dropout masks are functions of where they are drawn, not of what was drawn before, so the second
computation of a layer meets the same ones, and no number changes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from trials.training.hooks import Forward, Hooks


@contextmanager
def recomputed(
    layers: Iterable[nn.Module],
    hooks: Hooks,
    forward: Forward,
    around: Callable[[], AbstractContextManager[object]],
) -> Iterator[None]:
    """While it is open, layers keep nothing for the backward pass but their inputs.

    Args:
        layers: of the backbone.
        hooks: on that backbone.
        forward: the pass that is under way.
        around: what must be open when a layer is computed again, beside the hooks' pass.
    """

    def contexts() -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
        return nullcontext(), _again(hooks, forward, Counter(forward.calls), around)

    wrapped = list(layers)
    for layer in wrapped:
        layer.forward = partial(_call, layer.forward, contexts)
    try:
        # Stopped half-way, hooks that put something back afterwards would not be reached.
        with set_checkpoint_early_stop(False):
            yield
    finally:
        for layer in wrapped:
            del layer.forward


def _call(whole: Callable[..., Any], contexts: Any, *args: Any, **kwargs: Any) -> Any:
    return checkpoint(
        whole, *args, use_reentrant=False, preserve_rng_state=False, context_fn=contexts, **kwargs
    )


@contextmanager
def _again(
    hooks: Hooks,
    forward: Forward,
    calls: Counter[str],
    around: Callable[[], AbstractContextManager[object]],
) -> Iterator[None]:
    """The pass as it was when the layer was reached for the first time."""
    before, hooks.current = hooks.current, forward
    after, forward.calls = forward.calls, calls
    try:
        with around():
            yield
    finally:
        hooks.current, forward.calls = before, after
