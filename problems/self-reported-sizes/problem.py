"""Strategic jobs that report their sizes: where best responses lead, and what it costs all jobs.

A point has the keys sizes, estimates (the law of a job's own estimate of its size), load and strategic (the share
of the jobs that choose what they report).
"""

import math
from functools import cache

import numpy as np
from openqueues.models import mg1
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy

from . import reports

KEYS = ("sizes", "estimates", "load", "strategic")


def simulate(point, policy, seed, jobs):
    """One replication, all of it on the same `jobs` counted jobs.

    mean_response, second_moment, honest_response (of the jobs that do not choose): where best responses lead, the
    mean over the states of the cycle when they lead round. truthful_response: when all report their estimates.
    truth_gain: the relative gain of the best deviation from the truth, 0 when truth-telling is an equilibrium.
    gain: of the best deviation from the last state, 0 at an equilibrium. equilibrium: 1 when one was found.
    factor_short, factor_middle, factor_long: by which the bands multiply their estimates there.
    completed_share, unstable.
    """
    system = _system(point, policy, seed, jobs)
    if "predicted" not in system.policy.sees or system.strategic == 0:
        at_rest = reports.run(system, reports.edges_of(system.joint), (reports.TRUTH,) * 3)
        truth_gain, truthful, factors, gain, rest = 0.0, at_rest, (reports.TRUTH,) * 3, 0.0, [at_rest]
    else:
        truth_gain, truthful, factors, gain, rest = reports.search(system)
    short, middle, long = (reports.FACTORS[factor] for factor in factors)
    return {
        "mean_response": float(np.mean([state.mean_response for state in rest])),
        "second_moment": float(np.mean([state.second_moment for state in rest])),
        "honest_response": float(np.mean([state.honest for state in rest])),
        "truthful_response": truthful.mean_response,
        "truth_gain": truth_gain,
        "gain": gain,
        "equilibrium": float(gain == 0.0),
        "factor_short": short,
        "factor_middle": middle,
        "factor_long": long,
        "completed_share": min(state.completed_share for state in rest),
        "unstable": max(state.unstable for state in rest),
    }


def exact(point, policy):
    """The mean response time of policies that do not look at the report, at the truth and at rest."""
    if "predicted" in read_policy(policy).sees:
        return None
    value = mg1.exact(_plain(point), policy)
    return value and dict.fromkeys(("mean_response", "truthful_response"), value["mean_response"])


def bound(point):
    """SRPT, which knows all sizes."""
    return mg1.exact(_plain(point), "srpt")


def _plain(point):
    return {"sizes": point["sizes"], "predictions": point["estimates"], "load": point["load"]}


def _system(point, policy, seed, jobs):
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    for key in ("load", "strategic"):
        value = point[key]
        if not (isinstance(value, int | float) and 0 <= value <= 1 and (key == "strategic" or 0 < value < 1)):
            right = "a share from 0 to 1" if key == "strategic" else "above 0 and below 1"
            raise InputError(f"{key} is {value}: it must be {right}.")
    if jobs < 1 or math.isnan(jobs):
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    joint = _joint(point["sizes"], point["estimates"])
    return reports.System(joint, float(point["load"]), read_policy(policy), float(point["strategic"]), seed, jobs)


@cache
def _joint(sizes, estimates):
    return joint_law(sizes, estimates)
