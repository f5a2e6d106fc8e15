"""One replication of an entry about several models: warm-up and metrics, the same for all of them."""

from __future__ import annotations

import numpy as np
from openqueues.models.llm.replication import WARM_UP, growing
from openqueues.models.llm.several import Answered, Model, Stream, answer
from openqueues.models.policies import Policy


def replication(
    stream: Stream, models: tuple[Model, ...], policy: str | Policy, values: tuple[float, float, float], limit_s: float
) -> dict[str, float]:
    """Serve the stream and return `summary` of all requests but those of the warm-up."""
    counted = np.arange(len(stream)) >= len(stream) // WARM_UP
    return summary(stream, answer(stream, models, policy, values), values, limit_s, counted)


def summary(stream: Stream, served: Answered, values, limit_s: float, counted: np.ndarray) -> dict[str, float]:
    """Means over the counted requests, (n,) bool.

    cost: values of what is wrong, of seconds and of dollars; accuracy and right_in_time (right within limit_s) in
    percent; mean_latency_s, p99_latency_s; usd, per request; largest_share, answered by the largest model;
    completed_share, answered before the last arrival; unstable, over all requests.
    """
    latency = (served.finish_s - stream.arrival_s)[counted]
    right = np.take_along_axis(stream.correct, served.model[:, None], axis=1)[counted, 0]
    usd = served.usd[counted]
    return {
        "cost": float(np.mean(values[0] * ~right + values[1] * latency + values[2] * usd)),
        "accuracy": 100.0 * float(np.mean(right)),
        "right_in_time": 100.0 * float(np.mean(right & (latency <= limit_s))),
        "mean_latency_s": float(np.mean(latency)),
        "p99_latency_s": float(np.quantile(latency, 0.99)),
        "usd": float(np.mean(usd)),
        "largest_share": float(np.mean(served.model[counted] == stream.quality.shape[1] - 1)),
        "completed_share": float(np.mean(served.finish_s[counted] <= stream.arrival_s[-1])),
        "unstable": float(growing(stream.arrival_s, served.finish_s)),
    }
