"""The constant E[T] / ((alpha/beta) E[T_SRPT]) on bad instances and on common laws.

A point has either the keys `against` and `ratio`, which name an instance of worst.toml (or, with the key
`instances`, of another `file=PATH` of this folder), or `sizes`, `ratio` and `load`: then predictions are the size
times a loguniform factor between 1/sqrt(ratio) and sqrt(ratio).
"""

import tomllib
from functools import cache
from pathlib import Path

from openqueues.models.analysis import analysable, mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.queues import simulate as run

from .bands import WIDTH, Bands
from .search import proven, search

__all__ = ["bound", "exact", "instance", "proven", "search", "simulate", "upper_bounds"]

PUBLISHED = {"pspjf": 1.5, "bounce": 3.5}
"""Constants of Scully, Grosof and Mitzenmacher (2022)."""


def simulate(point, policy, seed, jobs):
    """One replication; the constant is taken with SRPT's mean response time on the same jobs."""
    joint, load = _system(point)
    result = run(joint, load, policy, seed, jobs)
    best = result if policy == "srpt" else run(joint, load, "srpt", seed, jobs)
    result["constant"] = result["mean_response"] / (point["ratio"] * best["mean_response"])
    return result


def exact(point, policy):
    """The constant and the mean response time by analysis; None for a policy not analysed."""
    joint, load = _system(point)
    if isinstance(joint, Bands):
        if policy not in joint.numbers:
            return None
        value, best = (joint.numbers[name] * joint.mean / load for name in (policy, "srpt"))
        errors = [10 * WIDTH * number for number in (value, best)]
    elif policy.partition(":")[0] in analysable():
        results = [mean_response(joint, load, name) for name in (policy, "srpt")]
        value, best = (result.mean_response for result in results)
        errors = [result.error for result in results]
    else:
        return None
    constant = value / (point["ratio"] * best)
    relative = 0.0 if policy == "srpt" else errors[0] / value + errors[1] / best
    return {"constant": (constant, constant * relative), "mean_response": (value, errors[0])}


def upper_bounds(policy, against, limits):
    """Proven upper bounds on the ratio to SRPT within the limits of `openqueues attack`, by name.

    published: 1.5 and 3.5 times a/b; proven_here: the constants of the entry's statement.
    """
    if against != "srpt" or policy not in PUBLISHED or not {"within", "between"} & set(limits):
        return {}
    low, high = limits.get("between", (1.0, limits.get("within")))
    ratio = high / low
    best = proven(policy, ratio, high if "between" in limits else None)
    return {"published": PUBLISHED[policy] * ratio, "proven_here": best * ratio}


def bound(point):
    """No policy is better than SRPT."""
    return {"constant": (1 / point["ratio"], 0.0)}


@cache
def _instances(name):
    file = Path(__file__).parent / name.removeprefix("file=")
    if not (name.startswith("file=") and file.is_file()):
        raise InputError(f"instances is '{name}': write file=NAME of a file in the entry's folder, as worst.toml.")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))["instances"]
    return {
        (table["against"], table["ratio"]): Bands(*(tuple(table[key]) for key in ("loads", "sizes", "factors")))
        for table in tables
    }


def instance(against: str, ratio: float, instances: str = "file=worst.toml") -> Bands:
    """The instance of the file that was found against a policy at alpha/beta = ratio."""
    known = _instances(instances)
    if (against, ratio) not in known:
        text = ", ".join(f"{policy} at {value:g}" for policy, value in known)
        name = instances.removeprefix("file=")
        raise InputError(f"{name} has no instance against '{against}' at ratio {ratio}: it has {text}.")
    return known[against, ratio]


def _system(point):
    if "against" in point:
        bands = instance(point["against"], point["ratio"], point.get("instances", "file=worst.toml"))
        return bands, bands.load
    ratio = point["ratio"]
    if not 1 <= ratio < float("inf"):
        raise InputError(f"ratio is {ratio}: alpha/beta is a finite number of at least 1.")
    half = ratio**0.5
    predictions = f"bounded:low={1 / half!r},high={half!r},form=loguniform" if ratio > 1 else "exact"
    return joint_law(point["sizes"], predictions), point["load"]
