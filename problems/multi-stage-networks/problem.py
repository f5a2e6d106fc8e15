"""Jobs made of stages in a network of stations: policies against proven bounds, and against optima of a few jobs.

A point has the keys family (models/queues/network_jobs.py) and load, and may have sizes (a law, default exponential),
predictions (a law given the size, default exact), service (preemptive, the default, or whole stages) and n. With n, a
replication is a number of instances of n jobs each, in which nothing is preempted, and the reference is the optimum;
an optimum costs a search, so there are at most INSTANCES of them, whatever `jobs` says. Without n it is one stream of
`jobs` jobs from an empty network, and the reference is the largest proven lower bound for these very jobs.
"""

import math
from functools import lru_cache

import numpy as np
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.queues.network import response_bounds, serve_network
from openqueues.models.queues.network_jobs import arrival_rate, drawn, servers_of
from openqueues.models.queues.replication import WARM_UP

INSTANCES = 20
SERVICES = ("preemptive", "whole stages")
KEYS = ("family", "load", "sizes", "predictions", "service", "n")


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of problem.toml, and

    bound_share, the largest proven bound as a share of the reference; growth, the work in the network at the last
    arrival by the time of it; preemptions of a job; completed_share, the jobs that ended before the last arrival.
    """
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    service = point.get("service", SERVICES[0])
    if service not in SERVICES:
        raise unknown("service", str(service), SERVICES)
    chosen = policies.policy(policy)
    if "n" in point:
        return _shop(point, chosen, seed, min(jobs, INSTANCES))
    stream = _drawn(point, jobs, seed)
    servers = servers_of(point["family"])
    served = serve_network(stream, servers, chosen, service == SERVICES[0])
    counted = served.response[int(WARM_UP * jobs) :]
    last = stream.arrival[-1]
    square = np.square(np.add.reduceat(stream.size, stream.first[:-1])).sum()
    ratio = float(served.response.sum() / response_bounds(stream, servers).max())
    return {
        "ratio": ratio,
        "worst_ratio": ratio,
        "bound_share": 1.0,
        "mean_response": float(counted.mean()),
        "p99": float(np.quantile(counted, 0.99)),
        "growth": float(served.work[-1] / last),
        "preemptions": served.preemptions / jobs,
        "completed_share": float(np.mean(stream.arrival + served.response <= last)),
        # Even at load one the work is only of the order of the standard deviation of all that has come in.
        "unstable": float(served.work[-1] > 3.0 * math.sqrt(square)),
    }


def exact(point, policy):
    """Mean response times in closed form, for exponential sizes and first come first served."""
    name = policies.policy(policy).name
    if name != "first-ready" or point.get("sizes", "exponential") != "exponential" or "n" in point:
        return None
    family, load = point["family"], point["load"]
    if family not in ("tandem", "returning", "pair") or load >= 1:
        return None
    rate = arrival_rate(family, load)
    values = {
        "tandem": 2 / (1 - load),
        # Of one mean at each station, so a Kelly network: two visits to station 0, of half its load each, and one.
        "returning": 2 * 0.3 / (1 - load) + 0.3 / (1 - 0.3 * rate),
        "pair": (12 - load) / 8 / (1 - load),
    }
    return {"mean_response": (values[family], 0.0)}


def bound(point):
    """No policy beats a proven bound or an optimum."""
    return {"ratio": (1.0, 0.0)}


def _drawn(point, jobs, seed):
    return drawn(
        point["family"],
        point.get("sizes", "exponential"),
        point.get("predictions", "exact"),
        point["load"],
        jobs,
        seed,
    )


def _shop(point, chosen, seed, instances):
    n, servers = point["n"], servers_of(point["family"])
    if isinstance(n, bool) or not isinstance(n, int) or not 2 <= n <= 6:
        raise InputError(f"n is {n!r}: it must be a number of jobs from 2 to 6.")
    if servers.max() > 1:
        raise InputError(f"family '{point['family']}' has stations of several servers: an optimum needs one each.")
    rows, responses = [], []
    for number in range(instances):
        few = _drawn(point, n, seed + number)
        served = serve_network(few, servers, chosen, preempt=False)
        best = _optimum(tuple(sorted(point.items())), seed + number)
        rows.append((served.response.sum() / best, response_bounds(few, servers).max() / best))
        responses.append(served.response)
    ratios, shares = np.array(rows).T
    responses = np.concatenate(responses)
    return {
        "ratio": float(ratios.mean()),
        "worst_ratio": float(ratios.max()),
        "bound_share": float(shares.mean()),
        "mean_response": float(responses.mean()),
        "p99": float(np.quantile(responses, 0.99)),
        "growth": 0.0,
        "preemptions": 0.0,
        "completed_share": 1.0,
        "unstable": 0.0,
    }


@lru_cache(maxsize=4096)
def _optimum(point, seed):
    """Sum of response times of the best schedule. InputError where it could not be proven."""
    from openqueues.models.queues.shop import optimum

    point = dict(point)
    best = optimum(_drawn(point, point["n"], seed))
    if not best.proven:
        raise InputError(f"no proof of the optimum of {point} at seed {seed}: take fewer jobs.")
    return best.total
