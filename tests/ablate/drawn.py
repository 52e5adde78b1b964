"""What tests of single figures share: a table's findings, one figure of them, and its words."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import numpy as np
import pandas as pd

from ablate import frame as table
from ablate.report import figures
from ablate.report.figures import Panel
from ablate.stats.findings import analyse


def findings(rows: Any, comparisons: Any = ()) -> dict[str, Any]:
    """The findings document of a table, or of its rows."""
    rng, data = np.random.default_rng(1), table.check(pd.DataFrame(rows))
    return analyse(data, comparisons=comparisons, claims=(), rng=rng).to_json()


def panels(name: str, rows: Any, document: dict[str, Any] | None = None) -> tuple[Panel, ...]:
    """The panels of one figure; none where it is not drawn."""
    data = table.check(pd.DataFrame(rows))
    drawn = figures.draw(data, document or findings(data), {})
    return next((figure.panels for figure in drawn if figure.name == name), ())


def texts(panel: Panel) -> list[str]:
    """What a drawing says, in the order in which it is drawn."""
    return [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", panel.svg)]
