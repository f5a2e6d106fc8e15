"""One replication of an entry about the LLM engine: warm-up, metrics and the rule of instability, for all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from openqueues.models.llm import policies
from openqueues.models.llm.engine import Served, serve
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.metrics import metrics
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy, is_path, split_path
from openqueues.models.spec import parse_spec

WARM_UP = 10
"""The first n // WARM_UP of n requests are served and not counted."""
GROWTH, SHARE = 1.25, 0.02


def completed(policy: str, **values: float | str | bool) -> str:
    """The specification of a policy with parameters that an entry's point sets: completed("trail", c=0.5).

    A parameter of the policy is added unless the specification gives it; a switch of the engine (mechanism, memory,
    preempt, ...) unless the policy's file sets it too; what the policy does not take is left out, as are the switches
    for one that plans its iterations itself.
    """
    path, rest = split_path(policy) if is_path(policy) else ("", policy)
    _, given = parse_spec(f"policy{rest}" if path else rest, "policy")
    read = policies.policy(policy)
    added = []
    for key, value in values.items():
        if key in policies.SWITCHES and read.shape == "rounds":
            continue
        if (key not in read.parameters) if key in policies.SWITCHES else (key in read.parameters and key not in given):
            added.append(f"{key}={str(value).lower() if isinstance(value, bool) else value}")
    return policy + (("," if given else ":") + ",".join(added) if added else "")


def replication(
    requests: Requests,
    hardware: Hardware,
    policy: str | Policy,
    *,
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
    **setting,
) -> dict[str, float]:
    """Serve the requests and return `summary`; `setting` goes to serve (kv_tokens, max_batch, token_budget, ...)."""
    served = serve(requests, hardware, policy, **setting)
    return summary(served, requests, slo_ttft_s=slo_ttft_s, slo_tpot_s=slo_tpot_s)


def summary(
    served: Served,
    requests: Requests,
    *,
    only: np.ndarray | None = None,
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
) -> dict[str, float]:
    """The metrics of a replication, of the requests after the warm-up, of them `only` those (n,) where it is true.

    Keys: mean_, p50_, p90_ and p99_ of latency_s, ttft_s and tpot_s as in metrics.py (nan where there is nothing to
    average); mean_slowdown, the mean of latency over output tokens, in s per token; completed_share and slo_share,
    those that keep both objectives, of the counted requests; over all requests preemptions and recomputed_tokens and
    swapped_tokens, each per request, throughput_per_s, output_tokens_per_s, mean_batch, mean_kv_tokens,
    peak_kv_tokens, busy_share; and unstable, see `growing`.
    """
    n = len(requests)
    counted = np.arange(n) >= n // WARM_UP
    if only is not None:
        counted &= only
    part = replace(
        served,
        first_token_s=served.first_token_s[counted],
        finish_s=served.finish_s[counted],
        preemptions_of=served.preemptions_of[counted],
    )
    kept = Requests(requests.arrival_s[counted], requests.input_tokens[counted], requests.output_tokens[counted])
    found = metrics(part, kept, slo_ttft_s=slo_ttft_s, slo_tpot_s=slo_tpot_s)
    whole = served.makespan_s if served.makespan_s > 0 else np.nan
    result = {
        name: value
        for name, value in found.items()
        if name.endswith(("latency_s", "ttft_s", "tpot_s")) or name == "completed_share"
    }
    return result | {
        "mean_slowdown": float(np.nanmean((part.finish_s - kept.arrival_s) / kept.output_tokens)),
        "slo_share": found["goodput_per_s"] * whole / len(kept),
        "preemptions": served.preemptions / n,
        "recomputed_tokens": served.recomputed_tokens / n,
        "swapped_tokens": served.swapped_tokens / n,
        "throughput_per_s": int(np.count_nonzero(~np.isnan(served.finish_s))) / whole,
        "output_tokens_per_s": found["output_tokens_per_s"],
        "mean_batch": found["mean_batch"],
        "mean_kv_tokens": found["mean_kv_tokens"],
        "peak_kv_tokens": found["peak_kv_tokens"],
        "busy_share": found["busy_share"],
        "unstable": float(growing(requests.arrival_s, served.finish_s)),
    }


def growing(arrival_s: np.ndarray, finish_s: np.ndarray) -> bool:
    """Whether the backlog grows: the number of requests present rises from each third of the time to the next.

    The first tenth of the time from the first to the last arrival is left out. Of the mean numbers present in the
    thirds of the rest each must exceed the one before by a factor GROWTH, and the last the first by SHARE of the
    requests that arrive between their middles: less growth is within the noise of a stable queue. A backlog that
    grows in proportion to time has the factors 2.2 and 1.5. Latencies say less: a policy that puts long requests off
    gives those that come last no longer ones. arrival_s, finish_s: (n,), nan for a request that does not finish.
    """
    begin, end = arrival_s[0], arrival_s[-1]
    if not end > begin:
        return False
    until = np.where(np.isnan(finish_s), np.inf, finish_s)
    edges = begin + (end - begin) * np.array([0.1, 0.4, 0.7, 1.0])
    present = [
        float(np.sum(np.clip(np.minimum(until, high) - np.maximum(arrival_s, low), 0.0, None)) / (high - low))
        for low, high in zip(edges, edges[1:], strict=False)
    ]
    between = 0.6 * len(arrival_s)
    rises = present[1] > GROWTH * present[0] and present[2] > GROWTH * present[1]
    return rises and present[2] - present[0] > SHARE * between
