"""One training run: what a trial is, and how it is trained. Knows nothing of sweeps."""
