"""Laws of a prediction given the true size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws.base import SizeLaw
from openqueues.models.laws.classes import Bucketed, Classes, Confused, Margin, equal_shares, partition
from openqueues.models.laws.noise import (
    ExponentialNoise,
    LognormalNoise,
    LoguniformNoise,
    Noise,
    UniformNoise,
)
from openqueues.models.laws.parameters import Parameters, spec, unless


class PredictionLaw:
    """The law of the prediction given the size; immutable, equal when `spec` is equal.

    At most one of three forms: `is_exact` (the prediction is the size), `noise` (prediction = size times an
    independent factor), or `classes(sizes)` (one of a few values; they depend on the law of the sizes).
    """

    __slots__ = ()
    is_exact = False
    noise: Noise | None = None

    @property
    def spec(self) -> str:
        """The canonical text: `prediction_law(law.spec) == law`."""
        raise NotImplementedError

    def classes(self, sizes: SizeLaw) -> Classes | None:
        """The classes for this law of sizes; InputError where they make no sense for it."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.spec == self.spec

    def __hash__(self) -> int:
        return hash(self.spec)


@dataclass(frozen=True, eq=False, repr=False)
class Exact(PredictionLaw):
    """The prediction is the size."""

    is_exact = True

    @classmethod
    def read(cls, given: Parameters) -> Exact:
        return cls()

    @property
    def spec(self):
        return "exact"


@dataclass(frozen=True, eq=False, repr=False)
class Exponential(PredictionLaw):
    """The prediction is exponential with the size as its mean."""

    noise = ExponentialNoise()

    @classmethod
    def read(cls, given: Parameters) -> Exponential:
        return cls()

    @property
    def spec(self):
        return "exponential"


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(PredictionLaw):
    """The prediction is uniform between (1 - a) and (1 + a) times the size."""

    a: float

    @classmethod
    def read(cls, given: Parameters) -> Uniform:
        right = "a number above 0 and at most 1"
        return cls(given.number("a", right=right, valid=lambda v: 0 < v <= 1))

    @property
    def spec(self):
        return spec("uniform", a=self.a)

    @property
    def noise(self):
        return UniformNoise(1 - self.a, 1 + self.a)


@dataclass(frozen=True, eq=False, repr=False)
class Lognormal(PredictionLaw):
    """The prediction is the size times a lognormal factor with mean `bias` and log-deviation sigma.

    The factor with median 1 that some studies use has bias = exp(sigma^2 / 2).
    """

    sigma: float
    bias: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Lognormal:
        right = "a number above 0 and at most 10"
        sigma = given.number("sigma", right=right, valid=lambda v: 0 < v <= 10)
        return cls(sigma, given.positive("bias", 1.0))

    @property
    def spec(self):
        return spec("lognormal", sigma=self.sigma, bias=unless(self.bias, 1.0))

    @property
    def noise(self):
        return LognormalNoise(self.sigma, self.bias)


@dataclass(frozen=True, eq=False, repr=False)
class Bounded(PredictionLaw):
    """The prediction is between low and high times the size; form uniform (default) or loguniform."""

    low: float
    high: float
    form: str = "uniform"

    @classmethod
    def read(cls, given: Parameters) -> Bounded:
        low = given.positive("low")
        high = given.number("high", right=f"a finite number above low={low:g}", valid=lambda v: v > low)
        return cls(low, high, given.choice("form", ("uniform", "loguniform"), "uniform"))

    @property
    def spec(self):
        form = None if self.form == "uniform" else self.form
        return spec("bounded", low=self.low, high=self.high, form=form)

    @property
    def noise(self):
        return (UniformNoise if self.form == "uniform" else LoguniformNoise)(self.low, self.high)


@dataclass(frozen=True, eq=False, repr=False)
class OneBit(PredictionLaw):
    """Short or long: whether the true size, or a prediction of it, exceeds the threshold."""

    threshold: float
    of: PredictionLaw = Exact()

    @classmethod
    def read(cls, given: Parameters) -> OneBit:
        return cls(given.positive("threshold"), read_inner(given))

    @property
    def spec(self):
        return spec("onebit", threshold=self.threshold, **inner_spec(self.of))

    def classes(self, sizes):
        edges, _, values = two_classes(sizes, self.threshold, self.spec)
        return Bucketed(values, edges, self.of.noise)


@dataclass(frozen=True, eq=False, repr=False)
class KBit(PredictionLaw):
    """2^bits classes of equal probability of the sizes.

    The class announced is the one that the true size, or a prediction of it, falls into.
    """

    bits: int
    of: PredictionLaw = Exact()

    @classmethod
    def read(cls, given: Parameters) -> KBit:
        return cls(given.integer("bits", 1, 10), read_inner(given))

    @property
    def spec(self):
        return spec("kbit", bits=self.bits, **inner_spec(self.of))

    def classes(self, sizes):
        count = 2**self.bits
        edges, _, values = partition(sizes, equal_shares(sizes, np.arange(1, count) / count))
        return Bucketed(values, edges, self.of.noise)


@dataclass(frozen=True, eq=False, repr=False)
class Confusion(PredictionLaw):
    """Short or long with given error probabilities, however far the size is from the threshold."""

    threshold: float
    miss: float
    false_alarm: float

    @classmethod
    def read(cls, given: Parameters) -> Confusion:
        return cls(given.positive("threshold"), given.share("miss"), given.share("false_alarm"))

    @property
    def spec(self):
        return spec("confusion", threshold=self.threshold, miss=self.miss, false_alarm=self.false_alarm)

    def classes(self, sizes):
        edges, _, values = two_classes(sizes, self.threshold, self.spec)
        table = np.array([[1 - self.false_alarm, self.false_alarm], [self.miss, 1 - self.miss]])
        return Confused(values, edges, table)


@dataclass(frozen=True, eq=False, repr=False)
class MarginLaw(PredictionLaw):
    """Short or long, wrong with a probability that falls with the distance |log(size / threshold)|."""

    threshold: float
    scale: float

    @classmethod
    def read(cls, given: Parameters) -> MarginLaw:
        return cls(given.positive("threshold"), given.positive("scale"))

    @property
    def spec(self):
        return spec("margin", threshold=self.threshold, scale=self.scale)

    def classes(self, sizes):
        edges, _, values = two_classes(sizes, self.threshold, self.spec)
        return Margin(values, edges, self.scale)


@dataclass(frozen=True, eq=False, repr=False)
class Constant(PredictionLaw):
    """No information: every prediction is the mean size."""

    @classmethod
    def read(cls, given: Parameters) -> Constant:
        return cls()

    @property
    def spec(self):
        return "constant"

    def classes(self, sizes):
        return Bucketed(np.array([sizes.mean]), np.array([]))


def two_classes(sizes: SizeLaw, threshold: float, law: str):
    """`partition` at one threshold; InputError where it leaves no short or no long jobs."""
    edges, shares, values = partition(sizes, np.array([threshold]))
    if len(values) < 2:
        low, high = sizes.support
        right = f"the threshold must be above {low:g} and at most {high:g}"
        if low == high:
            right = "they are all equal, so use another law of sizes"
        raise InputError(
            f"prediction law '{law}' has threshold={threshold:g}, which does not cut the sizes '{sizes.spec}'"
            f" in two: {right}."
        )
    return edges, shares, values


def read_inner(given: Parameters) -> PredictionLaw:
    """The law that a one-bit or k-bit prediction is made of: `of=NAME` and that law's own parameters."""
    from openqueues.models.laws import simple_prediction

    name = given.text("of", "exact")
    return simple_prediction(name, given.rest(but=("threshold", "bits")), given.where)


def inner_spec(law: PredictionLaw) -> dict[str, str]:
    """The keys of the law within a law, for the canonical text of the outer one."""
    if law.is_exact:
        return {}
    name, _, rest = law.spec.partition(":")
    return {"of": name, **dict(pair.split("=") for pair in rest.split(",") if pair)}
