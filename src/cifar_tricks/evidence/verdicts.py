"""What a comparison says about a claim."""

from __future__ import annotations

from typing import Literal

from cifar_tricks.evidence.statistics import ALPHA, Comparison, Summary

Claim = Literal["better", "worse", "little"]
CONFIRMED, CONTRADICTED, NOT_RESOLVED = VERDICTS = ("confirmed", "contradicted", "not resolved")
MARGIN = 0.01  # what counts as little effect, in accuracy
LEAST_PAIRS = 3  # from which a spread says something of how many it would take
Direction = Literal["better", "worse", "unclear"]


def direction(summary: Summary | None, adjusted_p: float | None) -> Direction:
    """Where a difference goes that is significant at ALPHA; else it is unclear.

    Args:
        summary: of the difference from the baseline, or None.
        adjusted_p: Holm's; None where significance is out of reach.
    """
    if summary is None or adjusted_p is None or adjusted_p > ALPHA or not summary.mean:
        return "unclear"
    return "better" if summary.mean > 0 else "worse"


def is_little(summary: Summary, margin: float = MARGIN) -> bool:
    """Whether the 90% interval of a difference lies within ± margin: two one-sided tests at 5%.

    Args:
        summary: of the difference.
        margin: in the unit of the values.

    Source: Schuirmann (1987), A comparison of the two one-sided tests procedure and the power
    approach.
    """
    half = summary.half_width(1 - 2 * ALPHA)
    if half is None:
        return False
    return -margin <= summary.mean - half and summary.mean + half <= margin


def verdict(
    comparison: Comparison, adjusted_p: float | None, claim: Claim, *, margin: float = MARGIN
) -> str:
    """One of VERDICTS.

    A claim of better or worse is decided by significance and sign. A claim of little effect is
    confirmed where :func:`is_little`, and contradicted where the 90% interval lies outside ± margin
    and the difference is significant.

    Args:
        comparison: with the baseline.
        adjusted_p: of the comparison; None where significance is out of reach.
        claim: what was claimed.
        margin: of little effect, a fraction of the accuracy's scale [0, 1].
    """
    summary = comparison.summary
    half, found = summary.half_width(1 - 2 * ALPHA), direction(summary, adjusted_p)
    if half is None:
        return NOT_RESOLVED
    if claim == "little":
        if is_little(summary, margin):
            return CONFIRMED
        outside = abs(summary.mean) - half > margin
        return CONTRADICTED if found != "unclear" and outside else NOT_RESOLVED
    if found == "unclear":
        return NOT_RESOLVED
    return CONFIRMED if found == claim else CONTRADICTED
