"""Sums without rounding errors: whatever the order and the sizes, they are rounded once, when they are read.

Every finite double is a whole multiple of 2**-1074, the smallest one above zero (IEEE 754, binary64), so a sum of
doubles and whole numbers is one whole number of such units, which Python adds up exactly.
"""

UNIT_BITS = 1_074


class ExactSum:
    def __init__(self) -> None:
        self._units = 0
        self._whole = True
        self.count = 0
        """Numbers in it."""

    def add(self, number: float) -> None:
        """A finite number."""
        numerator, denominator = number.as_integer_ratio()
        self._units += numerator << UNIT_BITS + 1 - denominator.bit_length()
        self._whole = self._whole and isinstance(number, int)
        self.count += 1

    def total(self) -> int | float:
        """A whole number if there are only whole numbers in it, else the closest double. Raises OverflowError."""
        return self._units >> UNIT_BITS if self._whole else self._units / (1 << UNIT_BITS)

    def mean(self) -> float | None:
        """The double that is closest; None of no numbers. Raises OverflowError."""
        return self._units / (self.count << UNIT_BITS) if self.count else None
