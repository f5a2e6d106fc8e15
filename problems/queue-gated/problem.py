"""Predictions used from a number of jobs on: a point's key `threshold` sets that of the policy gated.

Other keys: sizes, predictions, load. The metric off_by is the simulated mean response time over `approximation`,
less 1; 0 for a policy without a gate.
"""

from functools import cache

import numpy as np
from openqueues.models import mg1
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law, size_law
from openqueues.models.policies import is_path
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import choosing

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.mg1, and off_by."""
    policy = _with_threshold(policy, point["threshold"])
    if is_path(policy) and read_policy(policy).shape == "decision":
        joint = joint_law(point["sizes"], point.get("predictions", "exact"))
        result = choosing.simulate(joint, point["load"], policy, seed, jobs)
    else:
        result = mg1.simulate(point, policy, seed, jobs)
    mean = result["mean_response"]
    estimate = approximation(_key(point), policy)
    return result | {"off_by": mean / estimate - 1 if estimate else 0.0}


def exact(point, policy):
    """The mean response time by analysis: of ranks, and of a gate that is open or shut for good."""
    policy = _with_threshold(policy, point["threshold"])
    gate = _gate(policy)
    if gate is None:
        return mg1.exact(point, policy) if not is_path(policy) else None
    threshold, open_end, shut_end = gate
    if threshold <= 2:
        return mg1.exact(point, open_end)
    return mg1.exact(point, shut_end) if threshold == np.inf else None


def bound(point):
    """SRPT, which knows the sizes."""
    return mg1.exact(point, "srpt")


@cache
def approximation(key, policy):
    """Mean response time of a gate between its two ends, by the share of the waiting that is below the gate.

    With N the number in the system under FCFS and T, S the ends of the gate (open: predictions always; shut:
    never), T + (S - T) (E[min(N, threshold - 1)] - load) / (E[N] - load), and the reverse for the reverse gate.
    0 for a policy that has no gate.
    """
    gate = _gate(policy)
    if gate is None:
        return 0.0
    sizes, predictions, load = key
    point = {"sizes": sizes, "predictions": predictions, "load": load}
    threshold, open_end, shut_end = gate
    low, high = (mg1.exact(point, end)["mean_response"][0] for end in (open_end, shut_end))
    number = load * mg1.exact(point, "fcfs")["mean_response"][0]
    below = number if threshold == np.inf else float(tail_of_number(sizes, load, max(int(threshold), 2) - 1).sum())
    return low + (high - low) * (below - load) / (number - load)


@cache
def tail_of_number(sizes, load, upto):
    """P(N >= j), j = 1..upto, of the number N in an M/G/1 queue with FCFS (or any order blind to sizes, no preemption).

    N has the law of the number left behind at a departure, an embedded chain: with A the arrivals during a service and
    p_j = P(N = j), p_{j+1} P(A = 0) = p_0 P(A > j) + sum over i = 1..j of p_i P(A > j + 1 - i).
    """
    law = size_law(sizes)
    rate = load / law.mean
    ends = 1 - 0.5 ** np.arange(0, 52)
    half = np.diff(ends)[:, None] / 2
    x = law.ppf((ends[:-1, None] + half * (1 + NODES)).ravel())
    weights = (half * WEIGHTS).ravel()
    arrivals, term = np.empty(upto + 1), np.exp(-rate * x)
    for j in range(upto + 1):
        arrivals[j] = weights @ term
        term = term * rate * x / (j + 1)
    more = 1 - np.cumsum(arrivals)  # P(A > j)
    p = np.empty(upto + 1)
    p[0] = 1 - load
    for j in range(upto):
        p[j + 1] = (p[0] * more[j] + sum(p[i] * more[j + 1 - i] for i in range(1, j + 1))) / arrivals[0]
    return 1 - np.cumsum(p)[:-1]


def _key(point):
    return point["sizes"], point.get("predictions", "exact"), point["load"]


def _with_threshold(policy, threshold):
    """The policy with the point's threshold, where it has that parameter and is not given one."""
    if not (isinstance(threshold, int | float) and threshold >= 0):
        raise InputError(f"threshold is {threshold}: it must be a number of jobs, 0 or more.")
    if not is_path(policy) or "threshold" not in read_policy(policy).parameters or "threshold=" in policy:
        return policy
    return policy + ("," if policy.rpartition(".py")[2] else ":") + f"threshold={threshold}"


def _gate(policy):
    """(threshold, policy of the open gate, policy of the shut gate) of the policy gated, None for any other."""
    if not is_path(policy) or read_policy(policy).name != "gated":
        return None
    parameters = read_policy(policy).parameters
    ends = ("sprpt" if parameters["preemptive"] else "spjf", "fcfs")
    return (float(parameters["threshold"]), *(ends[::-1] if parameters["reverse"] else ends))
