"""Workloads by law: when requests arrive, and how many tokens they read and write.

    requests = generated("poisson:rate=8", "azure-conv", 100_000, seed=1)

Arrivals: poisson:rate=R | gamma:rate=R,shape=S (independent gaps of coefficient of variation 1/sqrt(S)) |
deterministic:rate=R | closed (all at 0) | replay (the times of a measured trace) | replay:rate=R (scaled to a rate).
Lengths: fixed:input=I,output=O | uniform:input_low=..,input_high=..,output_low=..,output_high=.. |
lognormal:input_mean=..,output_mean=.. with input_cv, output_cv (default 1) and correlation of the logarithms
(default 0) | a measured one: azure-conv, azure-code, mooncake, servegen-r1, sharegpt, arxiv, lmsys, ssjf. These take
data=fitted (the table in the package), full (rows of the trace in OPENQUEUES_DATA) or auto (full where it is there).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import ssjf
from openqueues.models.laws.parameters import Parameters, law_of, read, spec, unless
from openqueues.models.llm import measured
from openqueues.models.llm.requests import MOST_TOKENS, Requests
from openqueues.models.streams import streams

MOST_MEAN = 1e6
"""Largest mean length of a lognormal law, in tokens."""


def _rate(given: Parameters) -> float:
    return given.number("rate", right="a finite number of requests per second above 0", valid=lambda value: value > 0)


@dataclass(frozen=True)
class Poisson:
    """Exponential gaps with mean 1/rate; `rate` in requests per second."""

    rate: float

    @classmethod
    def read(cls, given: Parameters) -> Poisson:
        return cls(_rate(given))

    @property
    def spec(self) -> str:
        return spec("poisson", rate=self.rate)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n arrival times in s, ascending; the first ones are the same for every n."""
        return np.cumsum(rng.standard_exponential(n)) / self.rate


@dataclass(frozen=True)
class Gamma:
    """Gamma gaps with mean 1/rate: bursty for shape < 1, regular for shape > 1."""

    rate: float
    shape: float

    @classmethod
    def read(cls, given: Parameters) -> Gamma:
        right = "a number from 0.001 to 1e6"
        return cls(_rate(given), given.number("shape", right=right, valid=lambda value: 1e-3 <= value <= 1e6))

    @property
    def spec(self) -> str:
        return spec("gamma", rate=self.rate, shape=self.shape)

    def draw(self, rng, n):
        return np.cumsum(rng.standard_gamma(self.shape, n)) / (self.shape * self.rate)


@dataclass(frozen=True)
class Deterministic:
    """Equal gaps; the first request at 0."""

    rate: float

    @classmethod
    def read(cls, given: Parameters) -> Deterministic:
        return cls(_rate(given))

    @property
    def spec(self) -> str:
        return spec("deterministic", rate=self.rate)

    def draw(self, rng, n):
        return np.arange(n) / self.rate


@dataclass(frozen=True)
class Closed:
    """All requests are there at 0."""

    @classmethod
    def read(cls, given: Parameters) -> Closed:
        return cls()

    @property
    def spec(self) -> str:
        return "closed"

    def draw(self, rng, n):
        return np.zeros(n)


@dataclass(frozen=True)
class Replay:
    """The rows of a measured trace in their order and at their times, scaled to `rate` on average where it is given."""

    rate: float | None = None

    @classmethod
    def read(cls, given: Parameters) -> Replay:
        return cls(_rate(given) if given.has("rate") else None)

    @property
    def spec(self) -> str:
        return spec("replay", rate=self.rate)

    def requests(self, lengths: Lengths, n: int | None) -> Requests:
        """The first n requests (None: all) of the trace that `lengths` names; InputError where it has no times."""
        timed = [name for name, trace in measured.TRACES.items() if trace.time]
        if not isinstance(lengths, Measured) or lengths.name not in timed:
            right = f"use {', '.join(timed[:-1])} or {timed[-1]}"
            raise InputError(f"arrivals '{self.spec}' need lengths measured with times, not '{lengths.spec}': {right}.")
        all_of_them = measured.full(lengths.name)
        n = len(all_of_them) if n is None else n
        if n > len(all_of_them):
            raise InputError(
                f"the trace '{lengths.name}' has {len(all_of_them)} requests to replay, but {n} are wanted: ask for"
                " fewer, or for arrivals by a law."
            )
        time = all_of_them.arrival_s[:n] - all_of_them.arrival_s[0]
        if self.rate is not None:
            if time[-1] == 0:
                raise InputError(f"the first {n} requests of '{lengths.name}' arrive together: replay more for a rate.")
            time = time * ((n - 1) / (time[-1] * self.rate))
        blocks = {}
        if len(all_of_them.prefix_blocks):
            ends = all_of_them.prefix_start[: n + 1]
            blocks = {"prefix_start": ends, "prefix_blocks": all_of_them.prefix_blocks[: ends[-1]]}
        return Requests(time, all_of_them.input_tokens[:n], all_of_them.output_tokens[:n], **blocks)


class Lengths:
    """The law of (input, output) tokens of a request."""

    @property
    def spec(self) -> str:
        """The canonical text."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """n pairs of at least 1 token each (int64); the first ones are the same for every n."""
        raise NotImplementedError


@dataclass(frozen=True)
class Fixed(Lengths):
    """All requests alike."""

    input: int
    output: int

    @classmethod
    def read(cls, given: Parameters) -> Fixed:
        return cls(*(_tokens(given, name) for name in ("input", "output")))

    @property
    def spec(self):
        return spec("fixed", input=self.input, output=self.output)

    def draw(self, rng, n):
        return np.full(n, self.input, np.int64), np.full(n, self.output, np.int64)


@dataclass(frozen=True)
class Uniform(Lengths):
    """Both lengths uniform over whole numbers, ends included, independent."""

    input_low: int
    input_high: int
    output_low: int
    output_high: int

    @classmethod
    def read(cls, given: Parameters) -> Uniform:
        law = cls(*(_tokens(given, f"{side}_{end}") for side in ("input", "output") for end in ("low", "high")))
        for side in ("input", "output"):
            low, high = getattr(law, f"{side}_low"), getattr(law, f"{side}_high")
            if low > high:
                raise InputError(f"{given.where} has {side}_low={low} above {side}_high={high}: swap them.")
        return law

    @property
    def spec(self):
        return spec("uniform", **self.__dict__)

    def draw(self, rng, n):
        uniform = rng.random((n, 2))
        low = np.array([self.input_low, self.output_low])
        width = np.array([self.input_high, self.output_high]) - low + 1
        both = low + (uniform * width).astype(np.int64)
        return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


@dataclass(frozen=True)
class Lognormal(Lengths):
    """Lognormal lengths with given means and coefficients of variation, rounded to whole tokens, at least 1."""

    input_mean: float
    output_mean: float
    input_cv: float = 1.0
    output_cv: float = 1.0
    correlation: float = 0.0

    @classmethod
    def read(cls, given: Parameters) -> Lognormal:
        means = [
            given.number(name, right=f"a number from 1 to {MOST_MEAN:.0f}", valid=lambda value: 1 <= value <= MOST_MEAN)
            for name in ("input_mean", "output_mean")
        ]
        cvs = [
            given.number(name, 1.0, right="a number from 0 to 10", valid=lambda value: 0 <= value <= 10)
            for name in ("input_cv", "output_cv")
        ]
        right = "a number from -1 to 1"
        return cls(*means, *cvs, given.number("correlation", 0.0, right=right, valid=lambda value: -1 <= value <= 1))

    @property
    def spec(self):
        changed = {name: unless(getattr(self, name), 1.0) for name in ("input_cv", "output_cv")}
        means = {"input_mean": self.input_mean, "output_mean": self.output_mean}
        return spec("lognormal", **means, **changed, correlation=unless(self.correlation, 0.0))

    def draw(self, rng, n):
        normal = rng.standard_normal((n, 2))
        normal[:, 1] = self.correlation * normal[:, 0] + math.sqrt(1 - self.correlation**2) * normal[:, 1]
        drawn = []
        laws = ((self.input_mean, self.input_cv), (self.output_mean, self.output_cv))
        for column, (mean, cv) in zip(normal.T, laws, strict=True):
            sigma = math.sqrt(math.log1p(cv * cv))
            tokens = np.rint(np.exp(math.log(mean) - sigma * sigma / 2 + sigma * column))
            drawn.append(np.clip(tokens, 1, MOST_TOKENS).astype(np.int64))
        return tuple(drawn)


@dataclass(frozen=True)
class Measured(Lengths):
    """The lengths of a public trace, input and output together; `data` is fitted or full."""

    name: str
    data: str

    @property
    def spec(self):
        return spec(self.name, data=self.data)

    def draw(self, rng, n):
        if self.data == "fitted":
            return measured.table(self.name).draw(rng, n)
        rows = measured.full(self.name)
        drawn = (rng.random(n) * len(rows)).astype(np.int64)
        return rows.input_tokens[drawn], rows.output_tokens[drawn]


@dataclass(frozen=True)
class Ssjf(Lengths):
    """Answers of Vicuna-13B to LMSYS-Chat-1M prompts (2 to 511 tokens), with prompts as long as `lmsys`, independent.

    The source of these answers keeps no prompt lengths; in `lmsys` the two are nearly uncorrelated (0.05).
    """

    data: str

    @property
    def spec(self):
        return spec("ssjf", data=self.data)

    def draw(self, rng, n):
        counts = ssjf.full(ssjf.full_path()) if self.data == "full" else ssjf.histogram()
        uniform = rng.random((n, 2))
        row = np.searchsorted(np.cumsum(counts.jobs)[:-1] / counts.jobs.sum(), uniform[:, 0], side="right")
        within = (uniform[:, 1] * (counts.last - counts.first + 1)[row]).astype(np.int64)
        return measured.table("lmsys").draw(rng.spawn(1)[0], n)[0], counts.first[row] + within


ARRIVALS = {
    "poisson": Poisson,
    "gamma": Gamma,
    "deterministic": Deterministic,
    "closed": Closed,
    "replay": Replay,
}
LENGTHS = {"fixed": Fixed, "uniform": Uniform, "lognormal": Lognormal}
MEASURED = (*measured.NAMES, "ssjf")


def arrivals_law(text: str):
    """The law of arrivals that a text such as `poisson:rate=8` names; InputError for a bad text."""
    return law_of(ARRIVALS, "arrivals", *read(text, "arrivals"))


def lengths_law(text: str) -> Lengths:
    """The law of lengths that a text such as `fixed:input=100,output=10` names; InputError for a bad text."""
    name, values = read(text, "lengths")
    if name not in LENGTHS and name not in MEASURED:
        raise unknown("lengths", name, (*LENGTHS, *MEASURED))
    given = Parameters(f"lengths '{name}'", values)
    law = LENGTHS[name].read(given) if name in LENGTHS else _measured(name, given)
    given.done()
    return law


def generated(arrivals: str, lengths: str, n: int | None, seed: int) -> Requests:
    """n requests by the two laws; the same for every use of the seed. n = None: all of a replayed trace."""
    when, tokens = arrivals_law(arrivals), lengths_law(lengths)
    if n is not None and n < 1:
        raise InputError(f"{n} requests were asked for: ask for at least 1.")
    if isinstance(when, Replay):
        return when.requests(tokens, n)
    if n is None:
        raise InputError(f"arrivals '{when.spec}' have no end: say how many requests to draw.")
    drawn = streams(seed)
    return Requests(when.draw(drawn.gaps, n), *tokens.draw(drawn.sizes, n))


def _tokens(given: Parameters, name: str) -> int:
    right = f"a whole number from 1 to {MOST_TOKENS}"
    return int(given.number(name, right=right, valid=lambda value: 1 <= value <= MOST_TOKENS and value == int(value)))


def _measured(name: str, given: Parameters) -> Lengths:
    data = given.choice("data", ("auto", "fitted", "full"), "auto")
    kind, path = (Ssjf, ssjf.full_path()) if name == "ssjf" else (Measured, measured.full_path(name))
    if data == "full" and path is None:
        if name == "ssjf":
            where = f"OPENQUEUES_DATA names no folder that holds '{ssjf.FULL}'"
            raise InputError(f"{given.where} has data=full, but {where}: set it, or use data=fitted.")
        measured.full(name)
    data = "full" if data != "fitted" and path is not None else "fitted"
    return kind(data) if name == "ssjf" else kind(name, data)
