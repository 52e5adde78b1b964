"""What training makes small, for each example.

Shapes: B examples, L tokens, O outputs.
"""

import torch
from torch import Tensor
from torch.nn import functional


def of_texts(outputs: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy, or squared error for one output, (B,).

    Args:
        outputs: (B, O).
        labels: (B,) integers of classes, or float values.
        smoothing: probability that is spread over all classes.
    """
    if labels.dtype.is_floating_point:
        return (outputs.squeeze(-1) - labels.to(outputs.dtype)).square()
    return functional.cross_entropy(outputs, labels, label_smoothing=smoothing, reduction="none")


def of_places(outputs: Tensor, labels: Tensor, live: Tensor, smoothing: float) -> Tensor:
    """Mean over the outputs of the cross entropy of one place among the live tokens, (B,).

    What pads a row has no probability, so that padding changes nothing.

    Args:
        outputs: (B, L, O).
        labels: (B, O) the place of each output's token.
        live: (B, L) booleans.
        smoothing: probability that is spread over the live tokens.
    """
    dead = ~live[:, :, None]
    logs = torch.log_softmax(outputs.masked_fill(dead, -torch.inf), dim=1)
    made = -logs.gather(1, labels[:, None])[:, 0]
    if smoothing:
        spread = -logs.masked_fill(dead, 0.0).sum(1) / live.sum(1, keepdim=True)
        made = (1 - smoothing) * made + smoothing * spread
    return made.mean(1)
