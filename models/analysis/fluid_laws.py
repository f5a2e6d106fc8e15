"""Laws of jobs for which queues behind a dispatcher have an exact fluid limit: types with exponential sizes.

A job has a hidden type, its size is exponential with the type's mean, and what the dispatcher is told, its class,
depends on the type only. Seen from outside this is a law of sizes, a mixture of exponentials, and of classes given
the size: P(class | size) = sum over types of P(type | size) P(class | type). So the simulator needs no types.

`EqualLoad` gives bits of a prediction for any law of sizes: classes that carry equal shares of the load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws import JointLaw, PredictionLaw, SizeLaw
from openqueues.models.laws.base import floats, positive_part
from openqueues.models.laws.classes import Bucketed, Classes, announce, partition
from openqueues.models.laws.noise import Noise
from openqueues.models.special import gammainc


@dataclass(frozen=True, eq=False)
class Types:
    """Types with exponential sizes, and the classes that are announced.

    shares, means (m,): of the types; announced (m, c): P(class | type), rows adding to 1; values (c,): the
    prediction that announces each class, ascending: class 0 goes first at a queue that serves by prediction.
    """

    shares: np.ndarray
    means: np.ndarray
    announced: np.ndarray
    values: np.ndarray

    def __post_init__(self):
        m, c = np.shape(self.announced)
        if not np.shape(self.shares) == np.shape(self.means) == (m,) or np.shape(self.values) != (c,):
            raise InputError("types need shares and means (m,), announced (m, c) and values (c,).")
        rows = np.concatenate(([np.sum(self.shares)], np.sum(self.announced, axis=1)))
        if np.any(np.asarray(self.announced) < 0) or np.any(np.abs(rows - 1) > 1e-9):
            raise InputError(
                "shares of types and each type's probabilities of classes must be at least 0 and add to 1."
            )
        if not np.all(np.asarray(self.shares) > 0) or not np.all(np.asarray(self.means) > 0):
            raise InputError("shares and means of types must be above 0.")
        if not np.all(np.diff(self.values) > 0):
            raise InputError("the predictions that announce the classes must ascend.")

    @property
    def mean(self) -> float:
        return float(self.shares @ self.means)

    @cached_property
    def class_shares(self) -> np.ndarray:
        """P(class), (c,)."""
        return self.shares @ self.announced

    @cached_property
    def type_given_class(self) -> np.ndarray:
        """P(type | class), (c, m); a class that is never announced has zeros."""
        both = (self.shares[:, None] * self.announced).T
        return both / np.maximum(both.sum(axis=1, keepdims=True), 1e-300)

    @property
    def error_rate(self) -> float:
        """The share of jobs announced as another class than their own, if type i belongs to class i."""
        return float(1 - self.shares @ np.diag(self.announced))

    def merged(self) -> Types:
        """The same sizes, all announced alike."""
        return Types(self.shares, self.means, np.ones((len(self.shares), 1)), np.array([self.mean]))

    @cached_property
    def joint(self) -> JointLaw:
        """The law of (size, prediction) for the simulator."""
        return JointLaw(_Mixture(self), _Announced(self))


@dataclass(frozen=True, eq=False, repr=False)
class _Mixture(SizeLaw):
    """P(S > x) = sum of shares exp(-x/means)."""

    types: Types

    @property
    def spec(self):
        return "types:" + ",".join(f"{p!r}*{m!r}" for p, m in zip(self.types.shares, self.types.means, strict=True))

    @property
    def mean(self):
        return self.types.mean

    def moment(self, k):
        return float(self.types.shares @ self.types.means**k) * math.gamma(k + 1)

    def sf(self, x):
        return np.exp(-positive_part(x)[..., None] / self.types.means) @ self.types.shares

    def cdf(self, x):
        return -np.expm1(-positive_part(x)[..., None] / self.types.means) @ self.types.shares

    def pdf(self, x):
        density = np.exp(-positive_part(x)[..., None] / self.types.means) @ (self.types.shares / self.types.means)
        return np.where(floats(x) < 0, 0.0, density)

    def partial_moment(self, k, x):
        below = gammainc(k + 1, positive_part(x)[..., None] / self.types.means)
        return math.gamma(k + 1) * below @ (self.types.shares * self.types.means**k)

    def fill(self, rng, out):
        uniforms = rng.random((len(out), 2))
        upto = np.cumsum(self.types.shares)[:-1]
        out[...] = self.types.means[np.searchsorted(upto, uniforms[:, 0], side="right")]
        out *= -np.log1p(-uniforms[:, 1])
        np.maximum(out, 1e-300, out=out)


@dataclass(frozen=True, eq=False, repr=False)
class _Announced(PredictionLaw):
    types: Types

    @property
    def spec(self):
        return f"announced:{self.types.announced.tolist()!r}:{self.types.values.tolist()!r}"

    def classes(self, sizes):
        values = np.asarray(self.types.values, float)
        return _Posterior(values, 0.5 * (values[1:] + values[:-1]), self.types)


@dataclass(frozen=True, eq=False)
class _Posterior(Classes):
    """The class given the size, through the type's posterior law."""

    types: Types

    def probability(self, x):
        types = self.types
        logs = -np.atleast_1d(floats(x))[:, None] / types.means + np.log(types.shares / types.means)
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True) @ types.announced

    def fill(self, rng, sizes, out):
        rng.random(out=out)
        if len(self.values) == 1:
            out[...] = self.values[0]
            return
        upto = self.probability(sizes)[:, :-1].cumsum(axis=1)
        announce(self.values, upto, np.arange(len(out)), out)


@dataclass(frozen=True, eq=False, repr=False)
class EqualLoad(PredictionLaw):
    """The class, of 2^bits, that a prediction falls into, cut so that classes of true sizes carry equal load."""

    bits: int
    of: PredictionLaw

    @property
    def spec(self):
        return f"equal-load:bits={self.bits},of={self.of.spec}"

    def classes(self, sizes):
        edges, _, values = partition(sizes, equal_load(sizes, 2**self.bits))
        noise: Noise | None = self.of.noise
        return Bucketed(values, edges, noise)


def equal_load(sizes: SizeLaw, classes: int) -> np.ndarray:
    """The classes - 1 sizes that cut the load of a law with a density into equal shares."""
    from scipy.optimize import brentq

    def excess(log_x, share):
        return float(sizes.partial_moment(1, math.exp(log_x))) / sizes.mean - share

    shares = np.arange(1, classes) / classes
    low, high = math.log(sizes.mean) - 40, math.log(sizes.mean) + 40
    return np.array([math.exp(brentq(excess, low, high, args=(share,), xtol=1e-14)) for share in shares])


def equal_load_types(sizes: SizeLaw, log_types: int, bits: int) -> Types:
    """2^log_types types of equal load with the shares and mean sizes of a law's own classes, announced in `bits` bits.

    The types' sizes are exponential, so this is a stand-in for the law, of the same mean and with the same split into
    short and long, not the law itself.
    """
    if not 0 <= bits <= log_types:
        raise InputError(f"bits is {bits}: with 2^{log_types} types it must be from 0 to {log_types}.")
    _, shares, means = partition(sizes, equal_load(sizes, 2**log_types))
    group = np.arange(len(shares)) >> (log_types - bits)
    announced = np.eye(2**bits)[group]
    weights = shares @ announced
    return Types(shares, means, announced, (shares * means) @ announced / weights)
