"""Instances made of narrow bands of sizes, each with its own factor of error: their analysis and their draws.

A band is a narrow interval of sizes just above one value; it brings a given load, and the prediction of its jobs
is the size times the band's factor. Within a band the smaller size has the smaller prediction. The analysis is
the limit of narrow bands; a drawn band has the relative width WIDTH, which changes a mean by about as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from openqueues.models.errors import InputError

WIDTH = 1e-4
ANALYSED = ("fcfs", "srpt", "psjf", "pspjf", "sprpt", "bounce")
_FORM = {"srpt": "falling", "psjf": "fixed", "pspjf": "fixed", "sprpt": "falling", "bounce": "bounce"}


@dataclass(frozen=True)
class Bands:
    """loads, sizes and factors (prediction over size) of the bands: tuples of one length; sizes ascend.

    Offers what the simulator asks of a joint law.
    """

    loads: tuple[float, ...]
    values: tuple[float, ...]
    factors: tuple[float, ...]
    is_exact = False

    def __post_init__(self):
        if not len(self.loads) == len(self.values) == len(self.factors) > 0:
            raise InputError("an instance needs as many loads as sizes and factors: give one of each per band.")
        if not all(0 < value < np.inf for value in (*self.loads, *self.values, *self.factors)):
            raise InputError("an instance has a load, size or factor that is not a finite number above 0.")
        if not sum(self.loads) < 1:
            raise InputError(f"the loads of an instance add to {sum(self.loads):g}: they must add to less than 1.")
        if any(b <= a * (1 + WIDTH) for a, b in zip(self.values, self.values[1:], strict=False)):
            raise InputError("the sizes of an instance must ascend, each by more than the width of a band.")

    @property
    def load(self) -> float:
        return float(sum(self.loads))

    @property
    def error_ratio(self) -> float:
        """alpha / beta: the largest factor over the smallest."""
        return max(self.factors) / min(self.factors)

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Mean number in the system under each analysed policy."""
        return numbers(np.array(self.loads), np.array(self.values), np.array(self.factors))

    @property
    def sizes(self) -> Bands:
        """The law of sizes, of which the simulator asks `mean` and `fill`."""
        return self

    @cached_property
    def mean(self) -> float:
        return self.load / float(np.divide(self.loads, self.values).sum())

    @cached_property
    def _tables(self):
        share = np.divide(self.loads, self.values)
        upto = np.concatenate(([0.0], np.cumsum(share / share.sum())))
        upto[-1] = 1.0
        values = np.array(self.values)
        order = np.lexsort((-values, np.array(self.factors) * values))
        # Bands with nearly equal predictions keep the order in which they are analysed.
        place = np.empty(len(order))
        place[order] = np.arange(len(order))
        return upto, values, np.array(self.factors) * (1 + 2 * WIDTH * place)

    def fill(self, rng: np.random.Generator, out: np.ndarray) -> None:
        """Fill `out` with sizes; one uniform number chooses the band and the place in it."""
        upto, values, _ = self._tables
        rng.random(out=out)
        band = np.searchsorted(upto, out, side="right") - 1
        within = (out - upto[band]) / (upto[band + 1] - upto[band])
        np.multiply(values[band], 1 + WIDTH * within, out=out)

    def fill_predictions(self, rng: np.random.Generator, sizes: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with the predictions of `sizes`: nothing is random."""
        _, values, factors = self._tables
        np.multiply(sizes, factors[np.searchsorted(values, sizes, side="right") - 1], out=out)


def numbers(
    loads: np.ndarray, sizes: np.ndarray, factors: np.ndarray, policies: tuple[str, ...] = ANALYSED
) -> dict[str, float]:
    """Mean number in the system under each of `policies`, in the limit of narrow bands.

    loads, sizes, factors: (n,) arrays, loads adding to less than 1. Bands with equal predictions are ordered the
    longer first, which is the worst case. From the formulas of SOAP (Scully, Harchol-Balter and Scheller-Wolf,
    2018) integrated over a band: with b = 1 - (load before the band), d its load and L = log(b / (b - d)), the
    integrals over 0 < u < d of 1/(b - u), 1/(b - u)^2 and u/(b - u)^2 are L, d/(b (b - d)) and d/(b - d) - L.
    """
    predictions = factors * sizes
    told = np.lexsort((-sizes, predictions))
    true = np.argsort(sizes)
    found = {}
    for policy in policies:
        if policy == "fcfs":
            total = loads.sum()
            found[policy] = (loads / sizes).sum() * (loads * sizes).sum() / (2 * (1 - total)) + total
        elif policy in ("srpt", "psjf"):
            found[policy] = _by_order(_FORM[policy], loads[true], sizes[true], sizes[true])
        else:
            found[policy] = _by_order(_FORM[policy], loads[told], sizes[told], predictions[told])
    return found


def _by_order(form: str, d: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Mean number for the rank y ("fixed"), y - age ("falling") or min(|y - age|, y) ("bounce").

    d, x, y: loads, sizes and orders of the bands, ascending in y.
    """
    before = np.cumsum(d) - d
    b = 1 - before
    log = -np.log1p(-d / b)
    flat, slope = d / (b * (b - d)), d / (b - d) - log
    work, number = d * x, d / x
    wait = ((np.cumsum(work) - work) * flat + x * slope) / (2 * x)
    if form == "fixed":
        return float((wait + log).sum())
    # Of a job of a later band (column): what is left once its rank has come down to that of an earlier (row).
    part = np.maximum(x - (y - y[:, None]), 0.0)
    if form == "bounce":
        part = np.minimum(part, 2 * y[:, None])
    later = np.triu(part**2 * number, 1).sum(axis=1)
    recycled = (later * flat + np.diagonal(part) ** 2 / x * (log - d / b)) / (2 * x)

    # attained(t) is the integral from 0 to t of du / (1 - load of orders below u), linear between the orders.
    free = np.append(b, b[-1] - d[-1])
    start = np.concatenate(([0.0], y))
    at = np.concatenate(([0.0], np.cumsum(np.diff(start) / b)))

    def attained(t):
        index = np.searchsorted(y, t, side="left")
        return at[index] + (t - start[index]) / free[index]

    fall = at[1:] - attained(np.maximum(y - x, 0.0)) + np.maximum(x - y, 0.0)
    residence = number * fall
    if form == "bounce":
        late = np.clip(x - y, 0.0, y)
        turned = at[1:] - attained(late) + 2 * late / free[np.searchsorted(y, late, side="left")]
        residence = np.where(x <= y, residence, np.where(x < 2 * y, number * turned, log))
    return float((wait + recycled + residence).sum())
