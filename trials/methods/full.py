"""Full fine-tuning: every weight of the backbone trains (Devlin et al. 2019, arXiv:1810.04805)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trials.catalogue import register
from trials.methods.base import Method, Site

if TYPE_CHECKING:
    from torch import Generator, nn


@register("full")
@dataclass(frozen=True, kw_only=True)
class FullFineTuning(Method):
    """A copy of the whole backbone trains, embeddings and norms included.

    It has no frozen backbone to share, so its trials run alone, and each takes the memory of a
    model, its gradient and two moments.
    """

    source = "Devlin et al. 2019, arXiv:1810.04805"
    equation = "W ← W + ΔW, ΔW of any rank"
    chooses_sites: ClassVar[bool] = True
    exports: ClassVar[bool] = False
    packs: ClassVar[bool] = False

    def adapt(self, model: nn.Module, targeted: Sequence[Site], generator: Generator) -> None:
        """Everything trains."""
        model.requires_grad_(True)
