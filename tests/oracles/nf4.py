"""What bitsandbytes stores for the weight of tests/trials/test_quantised.py.

    pip install bitsandbytes==0.50.2; python tests/oracles/nf4.py

Its own way back on a CPU is not used: 0.50.2's is wrong for rows that are no multiple of 64.
"""

import hashlib
import sys

import torch
from bitsandbytes.functional import quantize_4bit


def weight() -> torch.Tensor:
    places = torch.arange(96 * 160, dtype=torch.float64)
    return (torch.sin(places * 0.7) * torch.cos(places * 0.013)).view(96, 160).float()


if __name__ == "__main__":
    stored, state = quantize_4bit(weight(), blocksize=64, quant_type="nf4")
    digest = hashlib.sha256(stored.flatten().numpy().tobytes()).hexdigest()
    first = stored.flatten()[:8].tolist()
    sys.stdout.write(f"{digest}\n{first} {float(state.absmax.sum())}\n")
