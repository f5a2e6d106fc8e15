"""Response times of M/G/1 without simulation: any law of sizes and of predictions, any of the policies.

mean_response(joint_law("weibull:shape=0.5", "exponential"), 0.9, "sprpt").mean_response
quantiles(joint_law("weibull:shape=0.5", "exponential"), 0.9, "sprpt", (0.5, 0.99))[0.99]
"""

from openqueues.models.analysis.api import (
    Analysis,
    analysable,
    bucket_thresholds,
    checked_load,
    mean_response,
    mean_response_given,
    optimal_threshold,
    optimal_thresholds,
    ratio_to_srpt,
)
from openqueues.models.analysis.tails import TAILED, checked_level, quantiles, second_moment, tail_probability
from openqueues.models.analysis.worst import FAMILIES, Errors, attack

__all__ = [
    "FAMILIES",
    "TAILED",
    "Analysis",
    "Errors",
    "analysable",
    "attack",
    "bucket_thresholds",
    "checked_level",
    "checked_load",
    "mean_response",
    "mean_response_given",
    "optimal_threshold",
    "optimal_thresholds",
    "quantiles",
    "ratio_to_srpt",
    "second_moment",
    "tail_probability",
]
