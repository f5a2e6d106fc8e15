"""What came out of a run, in the units that people ask for: seconds, requests a second, tokens a second."""

from __future__ import annotations

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.engine import Served
from openqueues.models.llm.requests import Requests

QUANTILES = (0.5, 0.9, 0.99)


def metrics(
    served: Served, requests: Requests, *, slo_ttft_s: float | None = None, slo_tpot_s: float | None = None
) -> dict[str, float]:
    """The metrics of a run by name; nan where there is nothing to average.

    latency: from arrival to the last token. ttft (time to first token): from arrival to the first. tpot (time per
    output token): from the first to the last, over the tokens after the first, of requests with two or more.
    Quantiles are linear between the values, as numpy's. throughput and goodput are requests a second over the
    makespan, goodput of those that keep both objectives, which are given or not there to be missed.

    Raises InputError for an objective that is not above 0.
    """
    for name, objective in (("slo_ttft_s", slo_ttft_s), ("slo_tpot_s", slo_tpot_s)):
        if objective is not None and not objective > 0:
            raise InputError(f"{name} is {objective:g}: it must be above 0 s.")
    latency = served.finish_s - requests.arrival_s
    ttft = served.first_token_s - requests.arrival_s
    done = ~np.isnan(served.finish_s)
    completed = int(np.count_nonzero(done))
    several = done & (requests.output_tokens > 1)
    tpot = (served.finish_s - served.first_token_s) / np.maximum(requests.output_tokens - 1, 1)
    good = done & (ttft <= (np.inf if slo_ttft_s is None else slo_ttft_s))
    if slo_tpot_s is not None:
        good &= ~several | (tpot <= slo_tpot_s)
    span = served.makespan_s
    result: dict[str, float] = {"requests": len(requests), "completed": completed}
    for name, values, counted in (("latency", latency, done), ("ttft", ttft, done), ("tpot", tpot, several)):
        result |= _summary(name, values if counted.all() else values[counted])
    return result | {
        "makespan_s": span,
        "completed_share": completed / len(requests),
        "throughput_per_s": completed / span if span > 0 else np.nan,
        "goodput_per_s": int(np.count_nonzero(good)) / span if span > 0 else np.nan,
        "output_tokens_per_s": served.output_tokens / span if span > 0 else np.nan,
        "iterations": served.iterations,
        "preemptions": served.preemptions,
        "preempted_requests": int(np.count_nonzero(served.preemptions_of)),
        "recomputed_tokens": served.recomputed_tokens,
        "swapped_tokens": served.swapped_tokens,
        "reused_tokens": served.reused_tokens,
        "peak_kv_tokens": served.peak_kv_tokens,
        "mean_kv_tokens": served.mean_kv_tokens,
        "mean_batch": served.mean_batch,
        "busy_share": served.busy_s / span if span > 0 else np.nan,
        "output_tokens": served.output_tokens,
    }


def _summary(name: str, values: np.ndarray) -> dict[str, float]:
    """Mean and quantiles of the values, in s."""
    labels = [f"mean_{name}_s", *(f"p{round(100 * q)}_{name}_s" for q in QUANTILES)]
    if not values.size:
        return dict.fromkeys(labels, np.nan)
    ordered = np.sort(values)
    place = np.array(QUANTILES) * (ordered.size - 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, ordered.size - 1)
    quantiles = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return dict(zip(labels, [float(ordered.mean()), *map(float, quantiles)], strict=True))
