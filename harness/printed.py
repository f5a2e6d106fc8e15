"""A printed value as text: one number (1.4254), a range (1.66..2.01) or the largest of several values (..5.1)."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import NamedTuple

from openqueues.models.errors import InputError

NUMBER = re.compile(r"-?\d+(\.\d+)?")
FORMS = "a printed number like 1.4254, an ascending range like 1.66..2.01 or a largest value like ..5.1"
ALL = "*"
"""The row of a largest value: it is that over all rows."""


class Printed(NamedTuple):
    """The numbers that a print stands for: from `low` to `high`, as printed; high is empty where none is named.

    A number is a range of one. "Up to 5.1" says of the largest value that it reaches 5.1: from 5.1 on.
    """

    low: str
    high: str

    @property
    def largest(self) -> bool:
        """Whether it is said of the largest of several values."""
        return not self.high

    @property
    def single(self) -> bool:
        return self.low == self.high

    @property
    def words(self) -> str:
        if self.single:
            return self.low
        return f"up to {self.low}" if self.largest else f"{self.low} to {self.high}"

    @property
    def ends(self) -> tuple[Decimal, Decimal]:
        return Decimal(self.low), Decimal(self.high or "Infinity")

    def nearest(self, value: float) -> str:
        """The end that a value lies beyond, or is nearer to."""
        low, high = map(float, self.ends)
        return self.high if value - low > high - value else self.low

    def gap(self, value: float) -> float:
        """By how much a value lies below the low end (above 0) or above the high one (below 0); 0 within."""
        low, high = map(float, self.ends)
        return low - value if value < low else min(high - value, 0.0)


def printed(text: str) -> Printed:
    """What `text` stands for; InputError for another text."""
    low, dots, high = text.partition("..")
    if not dots:
        high = low
    elif not low:
        low, high = high, ""
    good = NUMBER.fullmatch(low) and (NUMBER.fullmatch(high) if high else text.startswith(".."))
    if not good or (dots and high and not Decimal(low) < Decimal(high)):
        raise InputError(f"'{text}' is not {FORMS}.")
    return Printed(low, high)


def half_unit(number: str) -> float:
    """Half a unit of the last printed digit: 0.00005 for 1.4254."""
    return float(Decimal(5).scaleb(Decimal(number).as_tuple().exponent - 1))


def apart(a: Printed, b: Printed) -> float:
    """How far b lies above a (below 0: below it); 0 where the two meet."""
    (a_low, a_high), (b_low, b_high) = a.ends, b.ends
    if b_low > a_high:
        return float(b_low - a_high)
    return float(b_high - a_low) if b_high < a_low else 0.0


def inside(text: Printed, value: float, width: float, noise: float) -> str:
    """Whether value ± width lies in a print that is no single number: "yes", "below", "above" or "across" an end.

    The print's ends may be off by the relative noise, but not by rounding: 1.6 times is not "2 to 4 times".
    """
    low, high = map(float, text.ends)
    low -= noise * abs(low)
    high = math.inf if text.largest else high + noise * abs(high)
    if value + width < low:
        return "below"
    if value - width > high:
        return "above"
    return "yes" if low <= value - width and value + width <= high else "across"
