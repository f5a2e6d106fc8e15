"""The search for bad instances of an M/G/1 queue with predictions: laws and loads on which a policy does badly.

Families of size laws, each with a few parameters, and a bound on the errors Y/X of predictions Y of sizes X:

    within R      low <= Y/X <= R low for some low <= 1 <= R low
    between B A   B <= Y/X <= A
    sigma S       log(Y/X) has a standard deviation of at most S
    variance V    Y/X has a variance of at most V

Few-point sizes have a factor Y/X for each value, so that errors depend on the size in the worst way; sizes with a
density (phase-type, Weibull, Pareto) have factors independent of the size (loguniform, or log-normal for sigma and
variance). Differential evolution over all parameters maximises the ratio of mean response times by analysis. What is
looked at are the texts of the laws, with numbers of few digits, so that an instance that is printed is the one that was
found; rounding, and telling equal jobs apart (laws/each.py), may exceed a bound by a millionth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from openqueues.models.analysis.api import analysable, mean_response, read
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import joint_law, size_law
from openqueues.models.search import largest
from openqueues.models.spec import parse_spec

LEAST_LOAD = 0.05
LEAST_FACTOR, MOST_FACTOR = 1e-9, 1e9
BIAS = 4.0
"""Log-normal errors of sizes with a density are centred within this factor of 1."""
MOST_SPAN = 1e6
"""The largest size over the smallest of few-point and Pareto laws, where none is given."""
MOST_MEANS = 1e4
"""Branches of a phase-type law have means at most so many times apart."""
MOST_STAGES = 20
SPLITS = 4, 100
"""Parts of the prediction of a value: while searching, and in the instance returned."""
MOST_ERROR = 0.01
"""Instances whose analysis is less accurate than this share are passed over."""


@dataclass(frozen=True)
class Instance:
    """A queue, and the ratio of the mean response times of two policies in it, with the analysis' own error."""

    family: str
    sizes: str
    predictions: str
    load: float
    ratio: float
    error: float


def _digits(value: float, digits: int = 5) -> str:
    return f"{value:.{digits}g}"


def _between(low: float, high: float, z: float) -> float:
    """The point at a share z of the way from low to high, on a logarithmic scale."""
    return low * (high / low) ** z


def _points(z, span: float) -> str:
    """Values a factor of up to `span` apart; their weights give each a share of the work."""
    k = len(z) // 2 + 1
    values = [1.0]
    for step in z[: k - 1]:
        values.append(values[-1] * (1 + _between(1e-3, span ** (1 / (k - 1)) - 1, step)))
    work = [1.0, *(_between(1e-3, 1e3, share) for share in z[k - 1 :])]
    texts = [_digits(value) for value in values]
    weights = [_digits(w / float(value)) for w, value in zip(work, texts, strict=True)]
    return f"points:values={'|'.join(texts)},weights={'|'.join(weights)}"


def _pareto(z, span: float) -> str:
    return f"pareto:alpha={_digits(_between(0.2, 5, z[0]))},ratio={_digits(_between(1.01, span, z[1]))}"


def _stages(z) -> int:
    return round(_between(1, MOST_STAGES, z))


def _branches(mean, work, stages=(1, 1)) -> str:
    """Two branches, the means of which are up to MOST_MEANS apart; their weights give each a share of the work."""
    ratio = _digits(_between(1.001, MOST_MEANS, mean))
    weight = _digits(_between(1e-3, 1e3, work) / float(ratio))
    return f"erlang:stages={stages[0]}|{stages[1]},means=1|{ratio},weights=1|{weight}"


FEW = {"one-point": 1, "two-points": 2, "three-points": 3, "four-points": 4}
"""The families of finitely many values, and how many."""
FAMILIES: dict[str, tuple[int, Callable]] = {
    "one-point": (0, lambda z, span: "points:values=1,weights=1"),
    **{name: (2 * (count - 1), _points) for name, count in FEW.items() if count > 1},
    "pareto": (2, _pareto),
    "weibull": (1, lambda z, span: f"weibull:shape={_digits(_between(0.2, 20, z[0]))}"),
    "erlang": (1, lambda z, span: f"erlang:stages={_stages(z[0])}"),
    "hyperexponential": (2, lambda z, span: _branches(z[0], z[1])),
    "hyper-erlang": (4, lambda z, span: _branches(z[0], z[1], (_stages(z[2]), _stages(z[3])))),
}
"""Number of parameters from 0 to 1, and the text of the law for them."""
BOUNDED = (*FEW, "pareto")
"""The families that keep to the span."""


@dataclass(frozen=True)
class Errors:
    """A bound on the errors of predictions: its kind, one of KINDS, and its one or two numbers."""

    kind: str
    numbers: tuple[float, ...]

    def __post_init__(self):
        if self.kind not in KINDS:
            raise unknown("bound on errors", self.kind, KINDS)
        right, valid = KINDS[self.kind]
        if not all(map(math.isfinite, self.numbers)) or not valid(*self.numbers):
            shown = " ".join(f"{number:g}" for number in self.numbers)
            raise InputError(f"{self.kind} is {shown}: it must be {right}.")

    def independent(self) -> tuple[int, Callable]:
        """(parameters, text of a law for them): factors independent of the size."""
        if self.kind == "within":
            ratio = self.numbers[0]
            return 1, lambda z: _loguniform(ratio ** -z[0], ratio ** (1 - z[0]))
        if self.kind == "between":
            return 0, lambda z: _loguniform(*self.numbers)
        return 2, self._lognormal

    def _lognormal(self, z) -> str:
        bias = _between(1 / BIAS, BIAS, z[1])
        sigma = self.numbers[0] * z[0]
        if self.kind == "variance":
            sigma = math.sqrt(math.log1p(sigma / bias**2))
        return f"lognormal:sigma={_digits(min(max(sigma, 1e-3), 10.0))},bias={_digits(bias)}"

    def factors(self, values: int) -> tuple[int, Callable]:
        """(parameters, factors for them and the shares of jobs of each value): errors that depend on the size."""
        if self.kind == "within":
            ratio = self.numbers[0]
            return values + 1, lambda z, shares: _between(ratio ** -z[0], ratio ** (1 - z[0]), z[1:])
        if self.kind == "between":
            low, high = self.numbers
            return values, lambda z, shares: _between(low, high, z)
        return values, self._spread

    def _spread(self, z, shares) -> np.ndarray:
        """Factors whose spread over the jobs is at most the bound; those of rare jobs may be far off."""
        most = self.numbers[0] if self.kind == "sigma" else math.sqrt(self.numbers[0])
        step = most * (2 * z - 1) / np.sqrt(shares)
        if self.kind == "sigma":
            step = np.clip(step, math.log(LEAST_FACTOR), math.log(MOST_FACTOR))
        else:
            step = np.clip(step, LEAST_FACTOR - 1, MOST_FACTOR)
        deviation = math.sqrt(max(shares @ step**2 - (shares @ step) ** 2, 0.0))
        step *= min(1.0, most / deviation) if deviation else 1.0
        return np.exp(step) if self.kind == "sigma" else 1 + step


KINDS: dict[str, tuple[str, Callable]] = {
    "within": ("a finite number of at least 1", lambda ratio: ratio >= 1),
    "between": ("two finite numbers, 0 < B <= A", lambda low, high: 0 < low <= high),
    "sigma": ("above 0 and at most 10", lambda deviation: 0 < deviation <= 10),
    "variance": ("above 0 and finite", lambda variance: variance > 0),
}
"""What is right for the numbers of a bound, in words and as a test."""


def _loguniform(low: float, high: float) -> str:
    if _digits(low) != _digits(high):
        return f"bounded:low={_digits(low)},high={_digits(high)},form=loguniform"
    return "exact" if _digits(low) == "1" else f"bounded:low={low * (1 - 1e-6):.8g},high={low:.8g},form=loguniform"


def families(policy: str, against: str = "srpt", span: float | None = None) -> tuple[str, ...]:
    """The families that are searched unless some are named: those that keep to a span, where one is given.

    For the analyses by general ranks, which are slow, those of few points.
    """
    if any(read(name)[1].by == "soap" for name in (policy, against)):
        return tuple(FEW)
    return tuple(FAMILIES) if span is None else BOUNDED


def looks(family: str, budget: int) -> int:
    """The instances to look at in a family: of sizes with a density, whose analysis takes longer, a tenth."""
    return budget if family in FEW else max(min(budget, 50), budget // 10)


def attack(
    policy: str,
    family: str,
    errors: Errors,
    *,
    against: str = "srpt",
    span: float | None = None,
    most_load: float = 0.98,
    budget: int = 1000,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> Instance:
    """The instance of a family on which `policy` is worst in ratio to `against`.

    span: the largest ratio of two sizes, for families that keep to one (default: MOST_SPAN). `budget` bounds the
    instances looked at. report is called with the number of those looked at and the largest ratio so far. The same
    arguments give the same instance. InputError for a policy without an analysis, for a limit that makes no sense, and
    where the analysis refuses all that is looked at.
    """
    _checked(policy, family, against, span, most_load)
    own, sizes = FAMILIES[family]
    span = MOST_SPAN if span is None else span
    count, told = errors.factors(FEW[family]) if family in FEW else errors.independent()

    def laws(z, split) -> tuple[str, str]:
        text, rest = sizes(z[:own], span), z[own : own + count]
        if family not in FEW:
            return text, told(rest)
        factors = told(rest, size_law(text).atoms[1])
        return text, f"each:factors={'|'.join(_digits(factor, 7) for factor in factors)},split={split}"

    def instance(z, split) -> Instance:
        load = float(_digits(1 - _between(1 - LEAST_LOAD, 1 - most_load, z[-1])))
        return Instance(family, *(found := laws(z, split)), load, *ratio(policy, against, *found, load))

    def value(z) -> float:
        try:
            found = instance(z, SPLITS[0])
        except InputError:  # the load is too near to 1 for the tables of a general rank
            return -math.inf
        return found.ratio if found.error < MOST_ERROR * found.ratio else -math.inf

    dimensions = own + count + 1
    members = max(8, 4 * dimensions)
    worst = largest(value, dimensions, members=members, budget=budget, seed=seed, report=report)
    try:
        return instance(worst, SPLITS[1])
    except InputError:
        return instance(worst, SPLITS[0])


def ratio(policy: str, against: str, sizes: str, predictions: str, load: float) -> tuple[float, float]:
    """(ratio of the mean response times of two policies by analysis, its error)."""
    joint = joint_law(sizes, predictions)
    worse, better = (mean_response(joint, load, name) for name in (policy, against))
    value = float(worse.mean_response / better.mean_response)
    return value, float(value * (worse.error / worse.mean_response + better.error / better.mean_response))


def _checked(policy, family, against, span, most_load):
    for name in (policy, against):
        if parse_spec(name, "policy")[0] not in analysable():
            raise unknown("policy with an analysis", name, analysable())
    if family not in FAMILIES:
        raise unknown("family of sizes", family, FAMILIES)
    if span is not None and not 2 <= span <= 1e9:
        raise InputError(f"span is {span:g}: the largest size over the smallest must lie between 2 and 1e9.")
    if span is not None and family not in BOUNDED:
        raise InputError(f"sizes of the family {family} keep to no span: give one of {', '.join(BOUNDED)}.")
    if not LEAST_LOAD < most_load < 1:
        raise InputError(f"the largest load is {most_load}: it must lie between {LEAST_LOAD} and 1.")
