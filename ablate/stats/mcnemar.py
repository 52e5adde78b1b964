"""McNemar's test: two arms on the same examples, or at the same seeds, right or wrong."""


def mcnemar(only_treatment: int, only_control: int) -> float:
    """The exact two-sided p that a discordant pair favours either side alike.

    Args:
        only_treatment: pairs that the treatment alone got right.
        only_control: pairs that the control alone got right.

    Returns:
        p in (0, 1]; 1 without discordant pairs.

    Raises:
        ValueError: a negative count.

    Source: McNemar 1947; exact by the binomial distribution.
    """
    from scipy.special import bdtr

    if min(only_treatment, only_control) < 0:
        raise ValueError(f"counts must not be negative: {only_treatment=}, {only_control=}")
    n = only_treatment + only_control
    return min(1.0, 2 * float(bdtr(min(only_treatment, only_control), n, 0.5)))
