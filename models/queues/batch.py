"""One server that serves requests in batches: all that wait, or full batches from bins of similar length.

A batch of b requests whose longest answer has l tokens takes the time

    fixed + per_request b + (per_token + per_both b) l .

With `elastic` batches a request that has all its tokens leaves at once, and the steps that follow are those of a
smaller batch: with lengths n_1, ..., n_b the batch takes fixed + per_request b + per_token max n + per_both sum n, and
the i-th request ends at fixed + per_request b + per_token n_i + per_both sum_j min(n_i, n_j).

The server never idles while a bin is ready, and the bin that has been ready for longest is first. A bin is ready when
`least` of its requests wait; up to `most` of them, the oldest, make the batch. With one bin, least=1 and most=None
this is dynamic batching (Inoue, arXiv 1912.06322); with least=most=B and bins by length it is multi-bin batching
(arXiv 2412.04504). When no request is to come, what is left is served in smaller batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.streams import streams

WARM_UP = 10
"""The first n // WARM_UP of n requests are served and not counted."""
_TEMPLATE = Path(__file__).with_name("batch_kernel.py")


@dataclass(frozen=True)
class BatchTime:
    """The time of a batch (the head of this module has the formula), in any one unit; all at least 0."""

    fixed: float = 0.0
    per_request: float = 0.0
    per_token: float = 0.0
    per_both: float = 0.0

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise InputError(f"the time of a batch has {name}={value}: it must be a finite number of at least 0.")
        if self.fixed + self.per_request + self.per_token + self.per_both == 0:
            raise InputError("the time of a batch is always 0: give at least one of its four coefficients.")


@dataclass(frozen=True, eq=False)
class Batched:
    """What came out: float64 arrays of one value a request, and totals."""

    start: np.ndarray
    finish: np.ndarray
    batches: int
    busy: float
    """Time in which a batch was served."""


def serve_batches(
    arrival: np.ndarray,
    tokens: np.ndarray,
    time: BatchTime,
    *,
    least: int = 1,
    most: int | None = None,
    bins: np.ndarray | None = None,
    elastic: bool = False,
) -> Batched:
    """Serve requests of ascending arrival times and answers of `tokens`, both (n,).

    bins: the number of each request's bin, from 0 (default: all in one). Raises InputError for input that makes no
    sense.
    """
    arrival = np.ascontiguousarray(arrival, np.float64)
    tokens = np.ascontiguousarray(tokens, np.float64)
    n = len(arrival)
    most = max(n, least) if most is None else most
    if not n or len(tokens) != n or (bins is not None and len(bins) != n):
        raise InputError("arrival, tokens and bins must be arrays of one length, with at least one request.")
    if not (np.all(arrival[1:] >= arrival[:-1]) and np.all(np.isfinite(arrival))):
        raise InputError("arrival must be finite and ascend: sort the requests by arrival.")
    if not (np.all(np.isfinite(tokens)) and tokens.min() >= 0):
        raise InputError("tokens must be finite numbers of at least 0.")
    if not 1 <= least <= most:
        raise InputError(f"least is {least} and most is {most}: a batch needs 1 <= least <= most.")
    bins = np.zeros(n, np.int64) if bins is None else np.asarray(bins)
    if not np.issubdtype(bins.dtype, np.integer) or bins.min() < 0:
        raise InputError("bins must be whole numbers from 0.")
    members = np.argsort(bins, kind="stable").astype(np.int64)
    ends = np.cumsum(np.bincount(bins)).astype(np.int64)
    start, finish = np.empty(n), np.empty(n)
    times = np.array([time.fixed, time.per_request, time.per_token, time.per_both], np.float64)
    batches, busy = _kernel()(arrival, tokens, members, ends, int(least), int(most), times, elastic, start, finish)
    return Batched(start, finish, int(batches), float(busy))


def simulate(
    draw: Callable[[np.random.Generator, int], np.ndarray],
    rate: float,
    time: BatchTime,
    seed: int,
    jobs: int,
    *,
    bin_of: Callable[[np.ndarray], np.ndarray] | None = None,
    **rule,
) -> dict[str, float]:
    """One replication of `jobs` Poisson arrivals, of which the first tenth is not counted.

    draw(rng, n): tokens of n answers. bin_of(tokens): their bins. rule: least, most and elastic of `serve_batches`.
    Returns mean_latency, p99_latency and mean_wait (to the start of the batch) of the counted requests; mean_batch and
    busy_share over all of them; throughput, served in a unit of time; completed_share; and unstable: whether the
    server needs another 2% of the time, and ten times the longest batch, after the last arrival.
    """
    if not (isinstance(rate, int | float) and rate > 0 and math.isfinite(rate)):
        raise InputError(f"rate is {rate}: it must be a finite number above 0.")
    source = streams(seed)
    arrival = np.cumsum(source.gaps.standard_exponential(jobs)) / rate
    tokens = draw(source.sizes, jobs)
    served = serve_batches(arrival, tokens, time, bins=None if bin_of is None else bin_of(tokens), **rule)
    counted = slice(jobs // WARM_UP, None)
    latency = (served.finish - arrival)[counted]
    wait = (served.start - arrival)[counted]
    end = served.finish.max()
    longest = (served.finish - served.start).max()
    return {
        "mean_latency": float(latency.mean()),
        "p99_latency": float(np.quantile(latency, 0.99)),
        "mean_wait": float(wait.mean()),
        "mean_batch": jobs / served.batches,
        "busy_share": float(served.busy / (end - arrival[0])),
        "throughput": float(jobs / (end - arrival[0])),
        "completed_share": float(np.mean(np.isfinite(served.finish))),
        "unstable": float(end - arrival[-1] > max(0.02 * (arrival[-1] - arrival[0]), 10 * longest)),
    }


@cache
def _kernel() -> Callable:
    from openqueues.models.queues.compiled import kernel

    return kernel([], [_TEMPLATE])
