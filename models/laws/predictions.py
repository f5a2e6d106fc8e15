"""Laws of a prediction given the true size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws.base import SizeLaw
from openqueues.models.laws.classes import Bucketed, Classes, partition
from openqueues.models.laws.noise import ExponentialNoise, Noise
from openqueues.models.laws.parameters import Parameters, spec


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


def two_classes(sizes: SizeLaw, threshold: float, law: str):
    """`partition` at one threshold; InputError where it leaves no short or no long jobs."""
    edges, shares, values = partition(sizes, np.array([threshold]))
    if len(values) < 2:
        low, high = sizes.support
        raise InputError(
            f"prediction law '{law}' has threshold={threshold:g}, which leaves only one class of the sizes"
            f" '{sizes.spec}': the threshold must be at least {low:g} and below {high:g}."
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
