"""Phase-type laws of a job's size: a sum of equal exponential stages, or a mixture of such sums (hyper-Erlang).

One stage in each branch is a hyperexponential law with any shares and means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws.base import SizeLaw, floats, positive_part, probabilities
from openqueues.models.laws.parameters import Parameters, spec, unless
from openqueues.models.special import gammainc, gammaincc, gammaincinv

MOST_STAGES = 100
BLOCK = 1 << 16
"""Jobs drawn at a time: a job takes a uniform for each stage."""


@dataclass(frozen=True, eq=False, repr=False)
class Erlang(SizeLaw):
    """With probability weights[i] a sum of stages[i] exponentials with the mean means[i], all scaled to the mean.

    As in `erlang:stages=4` and `erlang:stages=1|3,means=1|30,weights=9|1`. With t = rate x,
    E[S^k; S <= x] of a branch is E[S^k] times the incomplete gamma function of stages + k at t, so that all is a sum
    of positive terms.
    """

    stages: tuple[int, ...]
    means: tuple[float, ...]
    weights: tuple[float, ...]
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Erlang:
        stages = given.positives("stages")
        if any(count > MOST_STAGES or count != int(count) for count in stages):
            right = f"whole numbers from 1 to {MOST_STAGES} joined by bars, as in 1|4"
            raise InputError(f"{given.where} has stages={'|'.join(map('{:g}'.format, stages))}: they must be {right}.")
        alone = len(stages) == 1
        means, weights = (
            (1.0,) if alone and not given.has(name) else given.positives(name) for name in ("means", "weights")
        )
        if not len(stages) == len(means) == len(weights):
            raise InputError(
                f"{given.where} has {len(stages)} stages, {len(means)} means and {len(weights)} weights: give a mean "
                "and a weight for each number of stages."
            )
        return cls(tuple(map(int, stages)), means, weights, given.positive("mean", 1.0))

    @property
    def spec(self):
        listed = {name: "|".join(map(repr, getattr(self, name))) for name in ("stages", "means", "weights")}
        if len(self.stages) == 1:
            listed = {"stages": listed["stages"]}
        return spec("erlang", **listed, mean=unless(self.mean, 1.0))

    @cached_property
    def _branches(self) -> list[tuple[float, int, float]]:
        """(probability, stages, rate of a stage) of each branch."""
        share = np.array(self.weights) / math.fsum(self.weights)
        means = np.array(self.means) * (self.mean / (share @ np.array(self.means)))
        return [(p, k, k / m) for p, k, m in zip(share.tolist(), self.stages, means.tolist(), strict=True)]

    def _sum(self, of):
        return sum(p * of(k, rate) for p, k, rate in self._branches)

    def moment(self, k):
        return self._sum(lambda stages, rate: math.prod(range(stages, stages + k)) / rate**k)

    def pdf(self, x):
        x = floats(x)

        def density(stages, rate):
            t = rate * positive_part(x)
            with np.errstate(divide="ignore", invalid="ignore"):
                exponent = (stages - 1) * np.log(t) - t - math.lgamma(stages)
            return rate * np.where(t > 0, np.exp(exponent), float(stages == 1))

        return np.where(x < 0, 0.0, self._sum(density))

    def cdf(self, x):
        return self.partial_moment(0, x)

    def sf(self, x):
        return self.tail_moment(0, x)

    def partial_moment(self, k, x):
        return self._part(gammainc, k, x)

    def tail_moment(self, k, x):
        return self._part(gammaincc, k, x)

    def _part(self, function, k, x):
        x = positive_part(x)

        def branch(stages, rate):
            return math.prod(range(stages, stages + k)) / rate**k * function(stages + k, rate * x)

        return self._sum(branch)

    def ppf(self, u):
        u = probabilities(u)
        inner = np.where((u > 0) & (u < 1), u, 0.5)
        # The quantile of a mixture lies between those of its branches; Newton's method, kept within what is known.
        ends = np.stack([gammaincinv(k, inner) / rate for _, k, rate in self._branches])
        low, high = ends.min(axis=0) * (1 - 1e-9), ends.max(axis=0) * (1 + 1e-9)
        x = np.sqrt(low * high)
        for _ in range(100):
            # The smaller of the two probabilities keeps its digits.
            miss = np.where(inner < 0.5, self.cdf(x) - inner, (1 - inner) - self.sf(x))
            low, high = np.where(miss < 0, x, low), np.where(miss < 0, high, x)
            with np.errstate(divide="ignore", invalid="ignore"):
                nearer = x - miss / self.pdf(x)
            within = (nearer > low) & (nearer < high)
            nearer = np.where(miss == 0, x, np.where(within, nearer, np.sqrt(low * high)))
            step, x = np.abs(nearer - x), nearer
            if not np.any(step > 1e-15 * x):
                break
        return np.where(u == 0, 0.0, np.where(u == 1, np.inf, np.where(np.isnan(u), np.nan, x)))[()]

    def fill(self, rng, out):
        share, stages, rates = (np.array(part) for part in zip(*self._branches, strict=True))
        upto = np.concatenate(([0.0], np.cumsum(share)))
        for start in range(0, len(out), BLOCK):
            own = out[start : start + BLOCK]
            drawn = rng.random((len(own), stages.max()))
            # The first uniform chooses the branch; within its branch it is uniform again.
            branch = np.searchsorted(upto[1:-1], drawn[:, 0], side="right")
            drawn[:, 0] = np.minimum((drawn[:, 0] - upto[branch]) / share[branch], 1 - 2.0**-53)
            steps = -np.log1p(-drawn)
            steps[np.arange(stages.max()) >= stages[branch, None]] = 0.0
            own[:] = steps.sum(axis=1) / rates[branch]
