"""Closed forms and bounds for k servers of speed 1/k: Erlang C and A, SRPT-k, PSPJF-k, overload, equal shares.

Bounds on SRPT-k and PSPJF-k. Fix a rank r; relevant are the jobs whose rank is at most r now, and W_k is their
work. B is the share of the servers that serve relevant jobs. The drift of W_k^2 vanishes in the steady state:

    (1 - rho_r) E[W_k] = (1 - rho_r) E[W_1] + E[(1 - B) W_k] + rate * E[J W_k at recycling],

where rho_r is the load of the jobs relevant from their arrival on, and J the work that becomes relevant when a
longer job is served until its rank is r (recycling). Idle or wasted servers (B < 1) and recycling need fewer
than k relevant jobs, and then all of these are in service, k - 1 of them at most. That bounds both excess terms.
A job of size x is then done within the busy period of the relevant work that it finds, of its own x, and of the
(k - 1) x that the others may waste while it is in service. The method is that of Grosof, Scully and
Harchol-Balter (SRPT for Multiserver Systems, 2018), who bound the excess by coupling; the two bounds on the excess
are derived here, and so is that for predictions.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from openqueues.models.analysis.api import checked_load, mean_response, ranking
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import JointLaw, joint_law, size_law

_LEVELS = (1, 2)  # of the tables; the difference of the two is the error estimate


def erlang_c(servers: int, load: float) -> float:
    """The probability that a job waits in M/M/k at load < 1."""
    load, offered = checked_load(load), servers * load
    blocked = 1.0
    for i in range(1, servers + 1):
        blocked = offered * blocked / (i + offered * blocked)
    return blocked / (1 - load * (1 - blocked))


def erlang_c_response(servers: int, load: float, mean: float = 1.0) -> float:
    """Mean response time of M/M/k, first come first served, each server of speed 1/k."""
    return mean * (servers + erlang_c(servers, load) / (1 - load))


def erlang_a(servers: int, load: float, patience: float, mean: float = 1.0) -> dict[str, float]:
    """M/M/s+M, first come first served, at any load; patience: its mean, in mean service times (s mean sizes).

    Returns mean_response (time in the system of all jobs), mean_wait, abandoned_share, completed_share and
    throughput, with the meanings of queues.abandonment. From the birth and death process of the number of jobs.
    """
    if not (load > 0 and math.isfinite(load) and patience > 0 and math.isfinite(patience)):
        raise InputError(f"load is {load} and patience {patience}: give two finite numbers above 0.")
    leave = 1 / (patience * servers)  # rate of a waiting job, time in mean sizes
    # Beyond this many states each is at most half as likely as the one before.
    states = servers + math.ceil(2 * load / leave) + 200
    n = np.arange(1, states + 1)
    deaths = np.minimum(n, servers) / servers + np.maximum(n - servers, 0) * leave
    logs = np.concatenate(([0.0], np.cumsum(np.log(load / deaths))))
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    n = np.arange(states + 1)
    waiting = float(shares @ np.maximum(n - servers, 0))
    lost = leave * waiting / load
    return {
        "mean_response": mean * float(shares @ n) / load,
        "mean_wait": mean * waiting / load,
        "abandoned_share": lost,
        "completed_share": 1 - lost,
        "throughput": load * (1 - lost),
    }


def equal_shares_response(servers: int, load: float, power: float) -> float:
    """Mean response time of malleable jobs that share the servers equally (EQUI), exponential sizes of mean 1.

    n jobs of one power are done at rate n s(k/n) / k, with s as in queues.malleable.
    """
    n = np.arange(1, servers + 1)
    return birth_death_response(n * (servers / n) ** power / servers, load)


def birth_death_response(rates: np.ndarray, load: float) -> float:
    """Mean response time when n jobs are done at rates[n-1], and at 1 when there are more: arrivals at `load`."""
    load = checked_load(load)
    weights = np.concatenate(([1.0], np.cumprod(load / np.asarray(rates))))
    n = np.arange(len(weights))
    # From the last of these states on the weights are a geometric series.
    tail = weights[-1] * load / (1 - load)
    number = weights @ n + tail * (n[-1] + 1 / (1 - load))
    return float(number / (weights.sum() + tail) / load)


def pooled_lower(sizes: str, load: float, servers: int) -> tuple[float, float]:
    """(bound, error): no policy of k servers has a lower mean response time, whatever it knows.

    The larger of SRPT's mean on one server of speed 1, which can do all that the k servers can, and k mean
    sizes, the mean time in service.
    """
    joint = joint_law(size_law(sizes), "exact")
    result = mean_response(joint, load, "srpt")
    alone = servers * joint.sizes.mean
    return (alone, 0.0) if alone > result.mean_response else (result.mean_response, result.error)


@lru_cache(maxsize=256)
def srpt_upper(sizes: str, load: float, servers: int) -> tuple[float, float]:
    """(bound, error) on the mean response time of SRPT-k: the better one of two.

    With rho~_x = rho_x + rate x P(S > x), the share of the servers on relevant jobs, the excess is at most

        D(x) = min(k x rho~_x,
                   (min(x (1 - rho~_x) min(k - 1, k rho~_x), (k-1) rate (m_2(x) + x^2 P(S > x)) / 2)
                    + (k - 1) rate x^2 P(S > x)) / (1 - rho_x)):

    the first by coupling with one server, the second by the drift of W^2, where fewer than k jobs of at most
    x are left, and where the mean remaining work of a job in service is half of what it is served for.
    Bound 1 is the mean over x of (E[W_1(x)] + D(x)) / (1 - rho_x) + k int_0^x dt / (1 - rho_t). Bound 2 comes from
    E[N] = int E[W(x)] / x^2 dx: SRPT's mean on one server plus int D(x) / x^2 dx / rate. With k = 1 both are
    SRPT's mean. Discrete laws have bound 1 only.
    """
    joint = joint_law(size_law(sizes), "exact")
    load = checked_load(load)
    single = mean_response(joint, load, "srpt")
    coarse, fine = (_srpt_upper(joint, load, servers, level, single.mean_response) for level in _LEVELS)
    return fine, abs(fine - coarse) + single.error


def _srpt_upper(joint, load, servers, level, single):
    law, k = joint.sizes, servers
    table, rate = ranking(joint, "size", level), load / law.mean
    x, free = table.points, 1 - rate * table.upto[1]
    tail = np.maximum(1 - table.upto[0], 0.0) if table.discrete else table.tail
    excess = srpt_excess(x, free, tail, table.upto[2], rate, k)
    work = 0.5 * rate * (table.upto[2] + x**2 * tail) / free
    tagged = float(table.share @ ((work + excess) / free + k * table.attained(rate, x)))
    if table.discrete:
        return tagged
    last = table.grid.edges[-1]
    beyond = 0.5 * (k - 1) * law.moment(2) / (last * (1 - load))  # only the bound by half of the work is left
    by_number = single + float((excess / x**2) @ table.grid.weights) / rate + beyond
    return min(tagged, by_number)


def srpt_excess(x, free, tail, square, rate, servers):
    """D(x) of `srpt_upper`: bound on E[W_k(x)] - E[W_1(x)]. free = 1 - rho_x, square = E[S^2; S <= x]."""
    k = servers
    busy = 1 - free + rate * x * tail
    few = np.minimum(
        x * np.maximum(1 - busy, 0.0) * np.minimum(k - 1, k * busy), 0.5 * (k - 1) * rate * (square + x**2 * tail)
    )
    return np.minimum(k * x * busy, (few + (k - 1) * rate * x**2 * tail) / free)


@lru_cache(maxsize=256)
def pspjf_upper(joint: JointLaw, load: float, servers: int) -> tuple[float, float]:
    """(bound, error) on the mean response time of PSPJF-k, for any joint law.

    Jobs predicted at most y do not notice the others, so nothing is recycled, and with b(y) the largest size
    of a job predicted at most y, for size x and prediction y

        E[T] <= (rate m_2(y) / (2 (1 - rho_y)) + (k - 1) min(b(y), rate m_2(y) / (2 (1 - rho_y))) + k x) / (1 - rho_y).

    b(y) is y over the least factor of the noise where that is above 0, else infinity: then the bound is k
    times the mean of one server.
    """
    load = checked_load(load)
    coarse, fine = (_pspjf_upper(joint, load, servers, level) for level in _LEVELS)
    return fine, abs(fine - coarse)


def _pspjf_upper(joint, load, servers, level):
    k, rate = servers, load / joint.sizes.mean
    table = ranking(joint, "predicted", level)
    free = 1 - rate * table.upto[1]
    least = 1.0 if joint.is_exact else joint.noise.support[0] if joint.noise is not None else 0.0
    largest = table.points / least if least > 0 else np.inf
    waiting = 0.5 * rate * table.upto[2] / free
    excess = (k - 1) * np.minimum(largest, waiting)
    return float(table.share @ ((waiting + excess) / free) + k * (table.work @ (1 / free)))


def critical_threshold(joint: JointLaw, load: float, on: str = "predicted") -> float:
    """The y at which the jobs predicted below y are all that the servers can do; infinity at loads up to one."""
    table = _order(joint, on)
    if load <= 1:
        return math.inf
    capacity = joint.sizes.mean / load
    if table.discrete:
        return float(table.points[np.searchsorted(table.upto[1], capacity, side="right")])
    from scipy.optimize import brentq

    points = table.points

    def surplus(log):
        return float(table.below(np.exp(log))[1]) - capacity

    return float(np.exp(brentq(surplus, np.log(points[0]), np.log(points[-1]), xtol=1e-13)))


def served_limit(joint: JointLaw, load: float, on: str = "predicted") -> float:
    """No more than this share of the jobs can be served by policies that start jobs by what `on` tells.

    on: "size" bounds every policy; "predicted" those that do not preempt, where E[S | Y = y] rises in y. Work
    comes in at `load` and goes at 1, so the best that can be done is to serve the shortest. Many servers with
    impatient jobs come near to it (Dong and Ibrahim, 2024).
    """
    table = _order(joint, on)
    if load <= 1:
        return 1.0
    threshold = critical_threshold(joint, load, on)
    below = table.below(threshold)
    share = float(below[0])
    if table.discrete:
        at = int(np.searchsorted(table.points, threshold))
        share += float(table.share[at]) * (joint.sizes.mean / load - float(below[1])) / float(table.work[at])
    return share


def _order(joint: JointLaw, on: str):
    if on not in ("size", "predicted"):
        raise unknown("order of jobs", str(on), ("size", "predicted"))
    return ranking(joint, on, 1)
