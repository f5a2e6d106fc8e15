"""The ratio to SRPT under errors without a bound.

A point has the keys sizes, load and errors. With `sigma`, errors names a family: lognormal, over or under, in all of
which log(prediction / size) has standard deviation sigma (median 0 for lognormal, mean 0 for the others). Otherwise
errors is `over:sigma=3` or `under:sigma=3`, a law of predictions of the package, or `bad:share=0.01` or
`longest:share=0.01`: the share of jobs, at random or the longest, that is predicted 0. With `span`, sizes is completed
by it: the largest size over the smallest; `bad:deviation=1` then has the share (deviation / log span)^2.
"""

import math
from functools import cache

from openqueues.models.analysis import analysable, checked_load, mean_response, ratio_to_srpt
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import JointLaw, joint_law, size_law
from openqueues.models.queues import simulate as run
from openqueues.models.spec import check_keys, parse_spec

from .errors import SomeBad, Tailed

KEYS = ("sizes", "load", "errors", "sigma", "span")
FAMILIES = ("lognormal", "over", "under")
BAD = ("bad", "longest")


def simulate(point, policy, seed, jobs):
    """One replication; ratio_to_srpt is taken with SRPT's mean response time on the same jobs."""
    joint, load = system(point)
    result = run(joint, load, policy, seed, jobs)
    best = result if policy == "srpt" else run(joint, load, "srpt", seed, jobs)
    result["ratio_to_srpt"] = result["mean_response"] / best["mean_response"]
    return result


def exact(point, policy):
    """The ratio and the mean response time by analysis; None for a policy not analysed."""
    joint, load = system(point)
    name = policy.partition(":")[0]
    if isinstance(joint, SomeBad):
        plain = joint_law(joint.sizes.spec, "exact")
        if policy in ("pspjf", "bounce", "sprpt"):
            value, error = joint.mean_response(load, policy)
        elif policy in ("fcfs", "srpt", "las", "ps"):
            result = mean_response(plain, load, policy)
            value, error = result.mean_response, result.error
        else:
            return None
    elif name in analysable():
        plain, result = joint, mean_response(joint, load, policy)
        value, error = result.mean_response, result.error
    else:
        return None
    mean = value, error
    return {"ratio_to_srpt": ratio_to_srpt(plain, load, policy, mean), "mean_response": mean}


def bound(point):
    """No policy is better than SRPT."""
    return {"ratio_to_srpt": (1.0, 0.0)}


def system(point):
    """(joint law or what serves as one, load) of a point; InputError for a bad one."""
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    load = checked_load(point["load"])
    sizes = f"{point['sizes']},ratio={float(point['span'])!r}" if "span" in point else point["sizes"]
    return _joint(sizes, point["errors"], point.get("sigma"), point.get("span")), load


@cache
def _joint(sizes, errors, sigma, span):
    if sigma is not None:
        if errors not in FAMILIES:
            raise unknown("family of errors", errors, FAMILIES)
        _checked(sigma)
        if errors == "lognormal":
            return joint_law(sizes, f"lognormal:sigma={float(sigma)!r},bias={math.exp(sigma**2 / 2)!r}")
        return JointLaw(size_law(sizes), Tailed(float(sigma), 1 if errors == "over" else -1))
    name, values = parse_spec(errors, "errors")
    if name in ("over", "under"):
        check_keys(values, {"sigma": 0}, f"errors '{name}'")
        return JointLaw(size_law(sizes), Tailed(_checked(values.get("sigma")), 1 if name == "over" else -1))
    if name not in BAD:
        return joint_law(sizes, errors)
    check_keys(values, {"share": 0, "deviation": 0} if name == "bad" else {"share": 0}, f"errors '{name}'")
    if len(values) != 1 or not isinstance(next(iter(values.values())), float):
        raise InputError(f"errors '{errors}' need a share: write {name}:share=0.01.")
    share = values.get("share")
    if share is None:
        if span is None:
            raise InputError(f"errors '{errors}' need the key span, the largest size over the smallest: give it.")
        share = (values["deviation"] / math.log(span)) ** 2
    return SomeBad(size_law(sizes), share, name == "longest")


def _checked(sigma):
    if not (isinstance(sigma, int | float) and 0 < sigma <= 5):
        raise InputError(f"sigma is {sigma}: the deviation of log errors is a number above 0 and at most 5.")
    return float(sigma)
