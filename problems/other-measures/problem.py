"""Measures other than the mean response time, each as a ratio to SRPT on the same jobs.

A point has the keys sizes, predictions and load.
"""

from functools import cache

import numpy as np
from openqueues.models import mg1
from openqueues.models.analysis import analysable, checked_load, ratio_to_srpt
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues import Server
from openqueues.models.queues.replication import WARM_UP, chunks, metrics, run
from openqueues.models.queues.tally import Tally

FLOOR = 0.01  # sizes below count as this in the slowdown, in mean sizes
LARGE = 0.99  # the jobs above this quantile of the sizes are the large ones
RATIOS = ("mean", "slowdown", "second", "weighted", "p99", "p999", "largest")
KEYS = ("sizes", "predictions", "load")


class Measures(Tally):
    """A tally that also sums, over the same jobs: T / max(size, floor), size, size T, and T and number of the large."""

    def __init__(self, floor: float, large: float) -> None:
        super().__init__()
        self.floor, self.large = floor, large
        self.further = np.zeros(5)

    def add(self, done: np.ndarray, since: float) -> None:
        super().add(done, since)
        response, size, _ = done[done[:, 2] > since].T
        big = size > self.large
        self.further += (
            (response / np.maximum(size, self.floor)).sum(),
            size.sum(),
            (size * response).sum(),
            response[big].sum(),
            big.sum(),
        )


def simulate(point, policy, seed, jobs):
    """One replication: the measures' ratios to SRPT, and mean_response, completed_share and unstable."""
    ours = measures(point, policy, seed, jobs)
    best = ours if policy == "srpt" else measures(point, "srpt", seed, jobs)
    # Among few jobs none may be large: then the mean over the large ones is 0 for both.
    ratios = {f"{name}_to_srpt": ours[name] / best[name] if best[name] else 1.0 for name in RATIOS}
    return {**ratios, **{name: ours[name] for name in ("mean_response", "completed_share", "unstable")}}


def measures(point, policy, seed, jobs):
    """The measures themselves: over `jobs` arrivals after a tenth as many to warm up.

    mean, second moment, 99th and 99.9th percentile of the response time T; slowdown: mean of T / max(size, FLOOR
    mean sizes); weighted: E[size T] / E[size]; largest: mean of T of the jobs above the quantile LARGE of the sizes.
    """
    joint, load = _system(point)
    if jobs < 1:
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    chosen = read_policy(policy)
    tally = Measures(FLOOR * joint.sizes.mean, float(joint.sizes.ppf(LARGE)))
    server = Server(chosen, resolve(chosen, joint, load))
    arrivals = chunks(joint, load, seed, int(WARM_UP * jobs), jobs, "predicted" in chosen.sees)
    usual = metrics(tally, run(server, arrivals, tally))
    slowdown, work, weighted, largest, large = tally.further
    return {
        "mean": usual["mean_response"],
        "mean_response": usual["mean_response"],
        "second": usual["second_moment"],
        "slowdown": slowdown / tally.sums[0],
        "weighted": weighted / work,
        "p99": usual["p99"],
        "p999": usual["p999"],
        "largest": largest / max(large, 1.0),
        "completed_share": usual["completed_share"],
        "unstable": usual["unstable"],
    }


def exact(point, policy):
    """The mean response time and its ratio by analysis; None for a policy not analysed."""
    joint, load = _system(point)
    if policy.partition(":")[0] not in analysable():
        return None
    mean = mg1.exact(point, policy)["mean_response"]
    return {"mean_to_srpt": ratio_to_srpt(joint, load, policy, mean), "mean_response": mean}


def _system(point):
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    load = checked_load(point["load"])
    return _joint(point["sizes"], point["predictions"]), load


@cache
def _joint(sizes, predictions):
    return joint_law(sizes, predictions)
