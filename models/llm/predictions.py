"""Predictors of output length: what a policy is told about a request, drawn from the truth and a seed.

    requests = predicted(requests, "lognormal:sigma=0.5", seed=1)

A predictor is a text: `perfect`, `exponential`, `lognormal:sigma=`, `ssjf:classes=3|5`, `trail`, `rank:tau=`,
`interval:width=`, `adversarial`; the classes below say what each promises. The draws are a function of the seed and
of the requests, never of the policy.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws import ssjf
from openqueues.models.laws.noise import ExponentialNoise, LognormalNoise
from openqueues.models.laws.parameters import Parameters, law_of, read, spec
from openqueues.models.llm.requests import MOST_TOKENS, Requests
from openqueues.models.special import ndtr, ndtri
from openqueues.models.streams import streams

SAMPLE = 4000
"""Lengths by which the error of a classifier is set."""


class Predictor:
    """Adds predictions to requests; immutable."""

    name: ClassVar[str]

    @property
    def spec(self) -> str:
        """The canonical text: parameters that have their default are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {
            field.name for field in fields(self) if field.default is MISSING or values[field.name] != field.default
        }
        return spec(self.name, **{name: value for name, value in values.items() if name in changed})

    def predict(self, requests: Requests, rng: np.random.Generator) -> dict:
        """Fields of Requests to set: predicted_output_tokens, and those of intervals, ranks and renewals."""
        raise NotImplementedError


@dataclass(frozen=True)
class Perfect(Predictor):
    """The prediction is the output length."""

    name = "perfect"

    @classmethod
    def read(cls, given: Parameters) -> Perfect:
        return cls()

    def predict(self, requests, rng):
        return {"predicted_output_tokens": requests.output_tokens}


@dataclass(frozen=True)
class Exponential(Predictor):
    """The prediction is exponential with the output length as its mean."""

    name = "exponential"

    @classmethod
    def read(cls, given: Parameters) -> Exponential:
        return cls()

    def predict(self, requests, rng):
        factor = np.empty(len(requests))
        ExponentialNoise().fill(rng, factor)
        return {"predicted_output_tokens": requests.output_tokens * factor}


@dataclass(frozen=True)
class Lognormal(Predictor):
    """The prediction is the output length times a factor: log normal with deviation sigma, of mean bias.

    With every=k the prediction of the remaining length is renewed after every k tokens, with an independent factor
    whose deviation is refreshed_sigma (default: sigma).
    """

    sigma: float
    bias: float = 1.0
    every: int = 0
    refreshed_sigma: float | None = None

    name = "lognormal"

    @classmethod
    def read(cls, given: Parameters) -> Lognormal:
        def sigma(name, default=None):
            return given.number(name, default, right="a number from 0 to 10", valid=lambda value: 0 <= value <= 10)

        first, bias, every = sigma("sigma"), given.positive("bias", 1.0), given.integer("every", 0, MOST_TOKENS, 0)
        later = sigma("refreshed_sigma") if given.has("refreshed_sigma") else None
        if later is not None and not every:
            raise InputError(
                f"{given.where} has refreshed_sigma but no every: say after how many tokens to predict again."
            )
        return cls(first, bias, every, later)

    def predict(self, requests, rng):
        factor = np.empty(len(requests))
        LognormalNoise(self.sigma, self.bias).fill(rng, factor)
        found = {"predicted_output_tokens": requests.output_tokens * factor}
        if self.every:
            start, remaining = renewals(requests.output_tokens, self.every)
            factor = np.empty(len(remaining))
            LognormalNoise(self.sigma if self.refreshed_sigma is None else self.refreshed_sigma, self.bias).fill(
                rng, factor
            )
            found |= {"refresh_every": self.every, "refreshed_start": start, "refreshed": remaining * factor}
        return found


@dataclass(frozen=True)
class Ssjf(Predictor):
    """The classes that SSJF's BERT classifiers announced of Vicuna-13B answers, as often as for answers of that length.

    The prediction is the mean true length of all requests that were announced so. Longer answers than the measured
    ones (511 tokens) are announced like the longest.
    """

    classes: int = 3

    name = "ssjf"

    @classmethod
    def read(cls, given: Parameters) -> Ssjf:
        return cls(int(given.number("classes", 3, right="3 or 5", valid=lambda value: value in (3, 5))))

    def predict(self, requests, rng):
        counts = ssjf.histogram()
        seen = counts.announced[self.classes]
        row = np.clip(np.searchsorted(counts.first, requests.output_tokens, side="right") - 1, 0, len(seen) - 1)
        uniform = rng.random(len(requests))
        announced = np.zeros(len(requests), np.int64)
        for upto in (seen[:, :-1].cumsum(axis=1) / seen.sum(axis=1, keepdims=True)).T:
            announced += uniform >= upto[row]
        means = (seen * counts.length[:, None]).sum(axis=0) / seen.sum(axis=0)
        return {"predicted_output_tokens": means[announced]}


@dataclass(frozen=True)
class Rank(Predictor):
    """A score in (0, 1) that only ranks: its Kendall correlation with the output length is tau, ties broken at random.

    Score and length have a Gaussian copula, whose Kendall correlation is 2/pi arcsin(rho).
    """

    tau: float

    name = "rank"

    @classmethod
    def read(cls, given: Parameters) -> Rank:
        return cls(given.number("tau", right="a number from -1 to 1", valid=lambda value: -1 <= value <= 1))

    def predict(self, requests, rng):
        n = len(requests)
        order = np.lexsort((rng.random(n), requests.output_tokens))
        rank = np.empty(n)
        rank[order] = (np.arange(n) + 0.5) / n
        rho = math.sin(math.pi * self.tau / 2)
        score = rho * ndtri(rank) + math.sqrt(max(1 - rho * rho, 0.0)) * rng.standard_normal(n)
        return {"predicted_output_tokens": ndtr(score), "rank_only": True}


@dataclass(frozen=True)
class Interval(Predictor):
    """An interval that holds the output length o for certain; the point prediction is its middle.

    Without classes it is [(1 - width) o, (1 + width) o], or where placed=random one of this length that lies around
    o at random, so that its middle says less; its lower end is at least 1. With classes=k, outputs up to `most` are
    cut into k equal classes, and the interval is the class of o (of the last class for longer outputs, up to o).
    """

    width: float = 0.5
    placed: str = "centred"
    classes: int = 0
    most: int = 1000

    name = "interval"

    @classmethod
    def read(cls, given: Parameters) -> Interval:
        for mine, other in (("width", "classes"), ("placed", "classes")):
            if given.has(mine) and given.has(other):
                raise InputError(f"{given.where} has both {mine} and {other}: classes have an interval of their own.")
        if given.has("most") and not given.has("classes"):
            raise InputError(f"{given.where} has most but no classes: it is the end of the last class.")
        width = given.number("width", 0.5, right="a number from 0 to 1", valid=lambda value: 0 <= value <= 1)
        placed = given.choice("placed", ("centred", "random"), "centred")
        most = given.integer("most", 1, MOST_TOKENS, 1000)
        return cls(width, placed, given.integer("classes", 1, most, 0) if given.has("classes") else 0, most)

    def predict(self, requests, rng):
        tokens = requests.output_tokens.astype(np.float64)
        if self.classes:
            step = self.most / self.classes
            place = np.minimum(np.ceil(tokens / step), self.classes)
            low, high = np.maximum((place - 1) * step, 1.0), np.maximum(place * step, tokens)
        else:
            share = rng.random(len(requests)) if self.placed == "random" else 0.5
            low = tokens * (1 - 2 * self.width * share)
            high = np.maximum(low + 2 * self.width * tokens, tokens)
            low = np.clip(low, 1.0, tokens)
        middle = (low + high) / 2
        return {"predicted_output_tokens": middle, "predicted_low_tokens": low, "predicted_high_tokens": high}


@dataclass(frozen=True)
class Adversarial(Predictor):
    """The order of the output lengths turned round: shortest + longest - the length."""

    name = "adversarial"

    @classmethod
    def read(cls, given: Parameters) -> Adversarial:
        return cls()

    def predict(self, requests, rng):
        tokens = requests.output_tokens
        return {"predicted_output_tokens": (tokens.min() + tokens.max() - tokens).astype(np.float64)}


@dataclass(frozen=True)
class Trail(Predictor):
    """TRAIL: a classifier of the prompt, then one of the hidden state every few tokens, smoothed by Bayes' rule.

    Lengths up to `most` are cut into equal bins, and an estimate is the mean of the bins' middles under a
    distribution over bins. A classifier of length r (longer than `most`: `most`) sees z = r + sigma N with N normal
    and gives each bin a weight exp(-(middle - z)^2 / (2 sigma^2)); sigma is such that its mean absolute error over
    these requests is mae for the prompt, and refreshed_mae for the remaining length after `every`, 2 `every`, ...
    (46.1 and 33.9 tokens for Llama-3-8B-Instruct on Alpaca, bins over 0 to 512, as published). The N of two
    successive renewals have the given correlation.

    Smoothing: a new distribution is proportional to (T^every old) * (what the classifier gives), where one made token
    moves the remaining length to the bin below with probability 1 / (width of a bin); first old: the prompt's.
    """

    mae: float = 46.1
    refreshed_mae: float = 33.9
    every: int = 8
    bins: int = 10
    most: int = 512
    correlation: float = 0.0
    smoothing: bool = True

    name = "trail"

    @classmethod
    def read(cls, given: Parameters) -> Trail:
        smoothing = given.text("smoothing", "true")
        if smoothing not in ("true", "false"):
            raise InputError(f"{given.where} has smoothing={smoothing}, but smoothing must be true or false.")
        law = cls(
            given.positive("mae", cls.mae),
            given.positive("refreshed_mae", cls.refreshed_mae),
            given.integer("every", 1, MOST_TOKENS, cls.every),
            given.integer("bins", 2, 1000, cls.bins),
            given.integer("most", 2, MOST_TOKENS, cls.most),
            given.number("correlation", 0.0, right="a number from 0 to 1", valid=lambda value: 0 <= value <= 1),
            smoothing == "true",
        )
        if law.bins > law.most:
            raise InputError(
                f"{given.where} has bins={law.bins} above most={law.most}: a bin holds at least one token."
            )
        return law

    @property
    def middles(self) -> np.ndarray:
        return (np.arange(self.bins) + 0.5) * (self.most / self.bins)

    def predict(self, requests, rng):
        tokens = requests.output_tokens
        start = _starts(tokens, self.every)
        known = self._error("mae", tokens[_spread(len(tokens))])
        some = _spread(start[-1])
        renewed = self._error("refreshed_mae", _remaining(tokens, self.every, start, some)) if len(some) else 0.0
        from openqueues.models.llm import trail_kernel

        estimate = np.empty(len(tokens))
        normal = rng.standard_normal(len(tokens))
        refreshed = rng.standard_normal(start[-1])
        how = (np.array([known, renewed]), self._step(), self.middles, self.most, self.correlation, self.smoothing)
        trail_kernel.fill(tokens, start, self.every, *how, normal, estimate, refreshed)
        return {
            "predicted_output_tokens": estimate,
            "refresh_every": self.every,
            "refreshed_start": start,
            "refreshed": refreshed,
        }

    def _classified(self, tokens, sigma, normal):
        """Distributions over bins, one row per length."""
        seen = np.minimum(tokens, self.most) + sigma * normal
        exponent = -(((self.middles - seen[:, None]) / sigma) ** 2) / 2
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)

    def _step(self):
        """T^every as a matrix that multiplies row vectors from the right."""
        down = self.bins / self.most
        one = np.diag(np.full(self.bins, 1 - down)) + np.diag(np.full(self.bins - 1, down), -1)
        one[0, 0] = 1.0
        return np.linalg.matrix_power(one, self.every)

    def _error(self, name, lengths):
        """The sigma of a classifier whose error on these lengths is what the parameter `name` says."""
        wanted = getattr(self, name)
        repeated = np.tile(lengths, -(-SAMPLE // len(lengths)))
        normal = np.random.default_rng(0).standard_normal(len(repeated))
        clipped = np.minimum(repeated, self.most)

        def error(sigma):
            return float(np.mean(np.abs(self._classified(repeated, sigma, normal) @ self.middles - clipped)))

        # The error rises with sigma, but may fall again once the bins are told alike, towards that of their middle.
        tried = np.geomspace(1e-3 * self.most / self.bins, 100.0 * self.most, 60)
        errors = [error(sigma) for sigma in tried]
        if not errors[0] <= wanted <= max(errors):
            raise InputError(
                f"predictor 'trail' has {name}={wanted:g}, but on these lengths a classifier with {self.bins} bins up"
                f" to {self.most} has errors from {errors[0]:.1f} to {max(errors):.1f}: choose one between."
            )
        place = max(int(np.argmax(np.array(errors) >= wanted)), 1)
        low, high = tried[place - 1], tried[place]
        for _ in range(40):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if error(middle) < wanted else (low, middle)
        return math.sqrt(low * high)


def renewals(tokens: np.ndarray, every: int) -> tuple[np.ndarray, np.ndarray]:
    """(start, remaining): remaining tokens of each request after every, 2 every, ... of its `tokens` are made.

    The entries of request i stand from start[i] to start[i + 1]; a request that is finished is not predicted again.
    """
    start = _starts(tokens, every)
    return start, _remaining(tokens, every, start, np.arange(start[-1]))


def _starts(tokens, every):
    return np.concatenate(([0], np.cumsum((tokens - 1) // every)))


def _remaining(tokens, every, start, entries):
    """Remaining tokens at some of the renewals, by their places among all."""
    request = np.searchsorted(start, entries, side="right") - 1
    return tokens[request] - every * (entries - start[request] + 1)


def _spread(n):
    """At most SAMPLE places, evenly over n."""
    return np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64)


PREDICTORS = {law.name: law for law in (Perfect, Exponential, Lognormal, Ssjf, Rank, Interval, Adversarial, Trail)}


@lru_cache(maxsize=64)
def predictor(text: str) -> Predictor:
    """The predictor that a text such as `lognormal:sigma=0.5` names; InputError for a bad text."""
    return law_of(PREDICTORS, "predictor", *read(text, "predictor"))


def predicted(requests: Requests, law: str, seed: int) -> Requests:
    """The requests with the predictions of a law, instead of any that they have; the same for every use of the seed."""
    none = {
        "predicted_low_tokens": None,
        "predicted_high_tokens": None,
        "rank_only": False,
        "refresh_every": 0,
        "refreshed_start": None,
        "refreshed": None,
    }
    found = predictor(law).predict(requests, streams(seed).predictions)
    return replace(requests, **(none | found))
