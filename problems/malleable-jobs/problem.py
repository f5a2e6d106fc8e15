"""Jobs on several servers: points with a key `needs` are multiserver jobs, the others malleable ones."""

from functools import cache

from openqueues.models.analysis.servers import equal_shares_response, pooled_lower
from openqueues.models.laws import joint_law, size_law
from openqueues.models.queues import malleable
from openqueues.models.spec import parse_spec


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of queues.malleable."""
    system = _joint(point["sizes"], point["predictions"]), point["load"], point["servers"]
    if "needs" in point:
        return malleable.simulate_needs(*system, point["needs"], point["rule"], policy, seed, jobs)
    return malleable.simulate(*system, point["powers"], point["power_error"], policy, seed, jobs)


def exact(point, policy):
    """Equal shares of jobs with exponential sizes and one power."""
    if "needs" in point or policy != "ps" or point["sizes"] != "exponential":
        return None
    powers = _shares(point["powers"], "powers")
    if len(powers) > 1:
        return None
    return {"mean_response": (equal_shares_response(point["servers"], point["load"], next(iter(powers))), 1e-12)}


def bound(point):
    """The pooled server that serves the shortest first, or all jobs alone in the system: the larger mean."""
    k, sizes = point["servers"], point["sizes"]
    if "needs" in point:
        stretch = sum(share * k / need for need, share in _shares(point["needs"], "needs").items())
    else:
        stretch = sum(share * k ** (1 - power) for power, share in _shares(point["powers"], "powers").items())
    alone = stretch * size_law(sizes).mean
    return {"mean_response": max((alone, 1e-12), pooled_lower(sizes, point["load"], 1))}


def _shares(text, what):
    return {float(value): share for value, share in parse_spec(f"{what}:{text}", what)[1].items()}


@cache
def _joint(sizes, predictions):
    return joint_law(sizes, predictions)
