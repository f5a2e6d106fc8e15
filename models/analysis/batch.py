"""Batches without simulation: the mean latency of a server that takes what waits, bounds, and multi-bin batching.

With Poisson arrivals the number that waits when a batch begins is a Markov chain: of q requests b = min(q, most) are
served in a time H, and q - b + A wait at its end, where A arrivals came in H; if these are fewer than `least`, the
server waits until they are as many. The law of A follows from the transform of H by a discrete Fourier transform, and
the mean number present over a cycle, hence by Little's law the mean latency, from the first two moments of H. Lengths
of answers are whole numbers of tokens, so nothing is approximated but for the truncation of the chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.queues.batch import BatchTime

TAIL = 1e-13
"""Probability that the truncation of the chain may lose."""
MOST_STATES = 2048
DIGITS = 1e-9
"""Relative error that is allowed for rounding; tests hold sums of Poisson probabilities to less."""


@dataclass(frozen=True)
class BatchAnalysis:
    mean_latency: float
    mean_wait: float
    mean_batch: float
    busy_share: float
    error: float
    """Of mean_latency."""


def gather_all(
    rate: float,
    time: BatchTime,
    values: np.ndarray,
    weights: np.ndarray,
    *,
    least: int = 1,
    most: int | None = None,
    elastic: bool = False,
) -> BatchAnalysis:
    """A free server takes all that wait, at most `most`, when they are `least` or more: see queues/batch.py.

    values, weights: tokens of an answer, ascending, and their probabilities, (m,). Raises InputError where the queue
    grows without limit.
    """
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    if abs(weights.sum() - 1) > 1e-9 or np.any(weights < 0) or np.any(np.diff(values) <= 0):
        raise InputError("values must ascend and weights be probabilities that add to 1.")
    if not 1 <= least <= (least if most is None else most):
        raise InputError(f"least is {least} and most is {most}: a batch needs 1 <= least <= most.")
    limit = capacity(time, values, weights, most=most, elastic=elastic)
    if not 0 < rate < limit:
        raise InputError(f"rate is {rate:g}: it must be above 0 and below the capacity of {limit:g} requests.")
    states = max(32, 4 * least)
    while True:
        chain = _Chain(rate, time, values, weights, states, elastic, least, most)
        solved = chain.solve()
        if solved is not None:
            return solved
        states *= 2
        if states > MOST_STATES:
            raise InputError(f"more than {MOST_STATES} requests wait too often at rate {rate:g}: choose a lower rate.")


def capacity(
    time: BatchTime, values: np.ndarray, weights: np.ndarray, *, most: int | None = None, elastic: bool = False
) -> float:
    """The rate below which the queue is stable: requests over mean time of the largest batch.

    Without a largest batch it is 1 over the time that one more request adds to a large one.
    """
    mean = float(weights @ values)
    if most is None:
        added = time.per_request + time.per_both * (mean if elastic else values[-1])
        return 1 / added if added > 0 else math.inf
    _, first, _ = _moments(time, np.asarray(values, float), np.asarray(weights, float), most, elastic)
    return most / first


def inoue_bounds(rate: float, alpha: float, tau0: float) -> tuple[float, float]:
    """(phi_0, phi_1): upper bounds on the mean latency of batches of all that wait that take alpha b + tau0.

    Inoue (arXiv 1912.06322), Theorem 2: with a mean batch of at least 1, and with a server that is never idle.
    """
    load = rate * alpha
    if not 0 < load < 1:
        raise InputError(f"rate times alpha is {load:g}: it must be above 0 and below 1.")
    low = (alpha + tau0) / (2 * (1 - load)) * (1 + 2 * rate * tau0 + (1 - rate * tau0) / (1 + load))
    high = 1.5 * tau0 / (1 - load) + 0.5 * alpha * (load + 2) / (1 - load * load)
    return low, high


def multi_bin_throughput(low: float, high: float, batch: int, bins: int) -> float:
    """Requests in a unit of time that full batches of one of `bins` bins serve.

    Times of service are uniform from low to high, bins are of equal width, and a batch takes its longest time: of
    `batch` times in a bin of width w the longest is w batch/(batch + 1) above its lower end on average.
    """
    if not (0 <= low < high and batch >= 1 and bins >= 1):
        raise InputError(f"low={low}, high={high}, batch={batch}, bins={bins}: give 0 <= low < high, and at least 1.")
    return batch / ((low + high) / 2 + (high - low) / bins * (batch / (batch + 1) - 0.5))


def clipped(lognormal_mu: float, sigma: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, probabilities) of a lognormal length rounded up and cut at `limit`."""
    from openqueues.models.special import ndtr

    if not (limit >= 1 and limit == int(limit)):
        raise InputError(f"the limit of tokens is {limit}: it must be a whole number of at least 1.")
    tokens = np.arange(1, int(limit) + 1)
    below = ndtr((np.log(tokens) - lognormal_mu) / sigma)
    below[-1] = 1.0
    return tokens.astype(float), np.diff(below, prepend=0.0)


def _moments(time, values, weights, b, elastic) -> tuple[float, float, float]:
    """E[H], E[H^2] of a batch of b, and the mean of the sum of its requests' times from start to end."""
    base = time.fixed + time.per_request * b
    below = np.cumsum(weights)
    largest = np.diff(below**b, prepend=0.0)
    if not elastic:
        length = base + (time.per_token + time.per_both * b) * values
        first = float(largest @ length)
        return base, first, float(largest @ length**2)
    mean, square = float(weights @ values), float(weights @ values**2)
    top, top2 = float(largest @ values), float(largest @ values**2)
    # E[sum; max <= v] = b E[n; n <= v] P(n <= v)^(b-1), hence E[max sum].
    both = float(np.diff(b * np.cumsum(weights * values) * below ** (b - 1), prepend=0.0) @ values)
    total, total2 = b * mean, b * square + b * (b - 1) * mean**2
    first = base + time.per_token * top + time.per_both * total
    second = base**2 + time.per_token**2 * top2 + time.per_both**2 * total2
    second += 2 * base * (time.per_token * top + time.per_both * total) + 2 * time.per_token * time.per_both * both
    return base, first, second


class _Chain:
    """The chain of the number that waits when a batch begins, cut at `states`."""

    def __init__(self, rate, time, values, weights, states, elastic, least, most):
        self.rate, self.time, self.values, self.weights = rate, time, values, weights
        self.states, self.elastic, self.least = states, elastic, least
        self.most = states if most is None else min(most, states)

    def arrivals(self) -> np.ndarray:
        """P(A = j) in a batch of b requests, in row b - 1, for j = 0, ..., 4 states - 1."""
        points = 4 * self.states
        turn = np.exp(-2j * np.pi * np.arange(points // 2 + 1) / points)
        s = self.rate * (1 - turn)[:, None]
        time, values = self.time, self.values[None, :]
        token, both = np.exp(-s * time.per_token * values), np.exp(-s * time.per_both * values)
        below = np.cumsum(self.weights)[None, :]
        part, power, token_b = np.cumsum(self.weights * both, axis=1), 1.0, token
        found = np.empty((self.most, points))
        for b in range(1, self.most + 1):
            if self.elastic:
                power = power * part
            else:
                power, token_b = power * below, token_b * both
            largest = np.diff(power, axis=1, prepend=0.0)
            base = np.exp(-s[:, 0] * (time.fixed + time.per_request * b))
            found[b - 1] = np.fft.irfft(base * np.sum(largest * token_b, axis=1), points)
        return np.maximum(found, 0.0)

    def solve(self) -> BatchAnalysis | None:
        """None where the truncation loses more than TAIL."""
        n, least = self.states, self.least
        arrivals = self.arrivals()
        step = np.zeros((n, n))
        idle, area = np.zeros(n), np.zeros(n)  # until the next batch: mean time, and mean number that waits times it
        missing = (least - np.arange(least)) / self.rate
        gathered = (least * (least - 1) - np.arange(least) * (np.arange(least) - 1)) / 2 / self.rate
        for q in range(1, n + 1):
            b = min(q, self.most)
            waits = np.concatenate([np.zeros(q - b), arrivals[b - 1]])[: n + 1]  # at the end, by number
            step[q - 1, least - 1 :] = waits[least:]
            step[q - 1, least - 1] += waits[:least].sum()
            idle[q - 1], area[q - 1] = waits[:least] @ missing, waits[:least] @ gathered
            step[q - 1, -1] += max(1.0 - step[q - 1].sum(), 0.0)
        system = step.T - np.eye(n)
        system[-1] = 1.0
        law = np.linalg.solve(system, np.eye(n)[-1])
        # The last rows' own arrivals must fit into the transform, too, so a fringe and not one state must be empty.
        if law[-(n // 4) :].sum() > TAIL:
            return None
        return self.result(law, float(law @ idle), float(law @ area))

    def result(self, law: np.ndarray, idle: float, gathered: float) -> BatchAnalysis:
        rate, n = self.rate, self.states
        sizes = np.minimum(np.arange(1, n + 1), self.most)
        moments = np.array(
            [_moments(self.time, self.values, self.weights, b, self.elastic) for b in range(1, self.most + 1)]
        )
        base, first, second = moments[sizes - 1].T
        inside = sizes * first
        if self.elastic:
            above = np.cumsum(self.weights[::-1])[::-1]
            steps = np.diff(self.values, prepend=0.0)
            mean, least = float(steps @ above), float(steps @ above**2)  # E[n], E[min of two]
            inside = sizes * (base + self.time.per_token * mean)
            inside += self.time.per_both * sizes * (mean + (sizes - 1) * least)
        waiting = (np.arange(1, n + 1) - sizes) * first + rate * second / 2
        cycle = float(law @ first) + idle
        served = rate * cycle
        latency = (gathered + float(law @ (waiting + inside))) / served
        return BatchAnalysis(
            mean_latency=latency,
            mean_wait=(gathered + float(law @ waiting)) / served,
            mean_batch=float(law @ sizes),
            busy_share=float(law @ first) / cycle,
            error=DIGITS * latency,
        )
