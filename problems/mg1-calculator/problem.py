"""The calculator against the simulator: the mean response time by both, and how far they are apart."""

import statistics

from openqueues.models import mg1
from openqueues.models.streams import derive_seed

PARTS = 10


def simulate(point, policy, seed, jobs):
    """Mean over PARTS independent runs of jobs/PARTS jobs each, and its distance from the analysis.

    relative_difference is (simulated - exact)/exact; z is the same distance in standard errors of the PARTS means.
    """
    value = mg1.exact(point, policy)["mean_response"][0]
    means = [
        mg1.simulate(point, policy, derive_seed(seed, part), max(1, jobs // PARTS))["mean_response"]
        for part in range(PARTS)
    ]
    distance = statistics.fmean(means) - value
    spread = statistics.stdev(means)
    return {
        "mean_response": value + distance,
        "relative_difference": distance / value,
        "z": distance * PARTS**0.5 / spread if spread else 0.0,
    }


def exact(point, policy):
    """The calculator's value and error estimate, both also relative to the value."""
    value, error = mg1.exact(point, policy)["mean_response"]
    return {"mean_response": (value, error), "relative_difference": (0.0, error / value), "z": (0.0, 0.0)}
