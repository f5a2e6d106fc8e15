"""Mean response times of M/G/1 without simulation: any law of sizes and of predictions, any of the policies.

    mean_response(joint_law("weibull:shape=0.5", "exponential"), 0.9, "sprpt").mean_response
"""

from openqueues.models.analysis.api import (
    Analysis,
    analysable,
    bucket_thresholds,
    mean_response,
    mean_response_given,
    optimal_threshold,
    optimal_thresholds,
)

__all__ = [
    "Analysis",
    "analysable",
    "bucket_thresholds",
    "mean_response",
    "mean_response_given",
    "optimal_threshold",
    "optimal_thresholds",
]
