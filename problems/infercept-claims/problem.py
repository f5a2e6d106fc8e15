"""Requests with API calls: InferCept against vLLM, and LAMPS against InferCept, in finite runs from an empty server.

A point has the keys kv_tokens and rate (requests per second); with alone = true a run is one request with one call.
"""

from functools import lru_cache

import numpy as np
from openqueues.models import llm

HARDWARE = "gptj-6b-a100-infercept"
VLLM, INFERCEPT = "discard:tail=1", "infercept"
MAX_BATCH = 256
OWN = ("mean_latency_s", "p99_latency_s", "mean_ttft_s", "mean_latency_without_calls_s", "completed_share")


def simulate(point, policy, seed, jobs):
    """One replication: what `policy` gives beside the same run under vLLM's rule and under InferCept's."""
    given = point["kv_tokens"], seed, jobs, bool(point.get("alone"))
    own, vllm, infercept = (_run(one, point["rate"], *given) for one in (policy, VLLM, INFERCEPT))
    return own | {
        "latency_ratio": vllm["mean_latency_s"] / own["mean_latency_s"],
        "completed_ratio": own["completed"] / vllm["completed"],
        "latency_saving": 100 * (1 - own["mean_latency_s"] / infercept["mean_latency_s"]),
        "ttft_saving": 100 * (1 - own["mean_ttft_s"] / infercept["mean_ttft_s"]),
    }


@lru_cache(maxsize=8)
def _run(policy, rate, kv_tokens, seed, jobs, alone):
    programs = _single() if alone else _programs(rate, seed, jobs)
    cluster = llm.Cluster([llm.Instance(HARDWARE, kv_tokens=kv_tokens, max_batch=MAX_BATCH)])
    served = llm.serve_cluster(programs, cluster, policy)
    found = llm.program_summary(served, programs)
    # All that ended before the last arrival; 1 keeps the ratio finite in runs in which nothing does.
    completed = np.count_nonzero(llm.program_finish(served, programs) <= programs.arrival_s[-1])
    return {key: found[key] for key in OWN} | {"completed": max(float(completed), 1.0)}


@lru_cache(maxsize=2)
def _programs(rate, seed, jobs):
    programs = llm.with_calls(f"poisson:rate={rate}", jobs, seed, data="fitted")
    return programs.with_requests(llm.predicted(programs.requests, "lognormal:sigma=0.3", seed))


def _single():
    """A prompt of 100 tokens, 11 written, a call of 2 s that returns 20, and 6 more."""
    requests = llm.Requests(np.zeros(2), np.array([100, 131]), np.array([11, 6]))
    return llm.Programs(
        requests,
        program=np.zeros(2, np.int64),
        after_start=np.array([0, 0, 1]),
        after=np.array([0]),
        delay_s=np.array([0.0, 2.0]),
        predicted_delay_s=np.array([0.0, 2.0]),
        continues=np.array([-1, 0]),
    )
