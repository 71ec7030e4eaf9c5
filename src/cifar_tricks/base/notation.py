"""How a number, an interval and a p-value are written, in every table."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = "—"


@dataclass(frozen=True, kw_only=True)
class Notation:
    """How accuracies and their differences are written.

    Args:
        factor: what they are multiplied with.
        digits: after the point.
        bounds: an interval, with two places for its bounds.
        nothing: where there is no value.
    """

    factor: float = 1.0
    digits: int = 4
    bounds: str = "{} to {}"
    nothing: str = NOTHING

    def number(self, value: float | None) -> str:
        """An accuracy or a loss."""
        return self.nothing if value is None else f"{self.factor * value:.{self.digits}f}"

    def signed(self, value: float | None) -> str:
        """The same with its sign."""
        return self.nothing if value is None else f"{self.factor * value:+.{self.digits}f}"

    def interval(self, low: float | None, high: float | None, *, signed: bool = True) -> str:
        """Both bounds."""
        if low is None or high is None:
            return self.nothing
        show = self.signed if signed else self.number
        return self.bounds.format(show(low), show(high))

    def p_value(self, value: float | None) -> str:
        """With three digits, "< 0.001" below."""
        if value is None:
            return self.nothing
        return "< 0.001" if value < 0.001 else f"{value:.3f}"


FRACTIONS = Notation()
POINTS = Notation(factor=100, digits=2, bounds="[{}, {}]", nothing="")
