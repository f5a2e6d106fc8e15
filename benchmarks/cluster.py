"""The speed of a cluster on one core: requests a second, the checks and the conversion included.

    python benchmarks/cluster.py [--repeat 3] [--requests 100000]

64 instances of Llama-2-70B on four A100, Poisson arrivals with the lengths of the Azure conversation trace, and
predictions with an error; about 2 requests a second and instance.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from measure import table
from openqueues.models import llm

LAW = "llama2-70b-a100-tp4"
MIXED = llm.Cluster([llm.Instance(LAW, 64, kv_tokens=200_000)])
SPLIT = llm.Cluster(
    [llm.Instance(LAW, 44, role="prefill", kv_tokens=200_000), llm.Instance(LAW, 20, role="decode", kv_tokens=200_000)],
    transfer_bytes_per_s=25e9,
)
# name: (cluster, policy, router, arrivals a second)
CASES = {
    "64 mixed, vLLM, JSQ": (MIXED, "vllm", "jsq", 120.0),
    "64 mixed, Sarathi, JSQ": (MIXED, "sarathi", "jsq", 120.0),
    "64 mixed, SPRPT, JSQ": (MIXED, "sprpt", "jsq", 120.0),
    "64 mixed, vLLM, JSQ, light load": (MIXED, "vllm", "jsq", 40.0),
    "64 mixed, vLLM, two choices": (MIXED, "vllm", "powerofd", 120.0),
    "64 mixed, vLLM, most free KV": (MIXED, "vllm", "kv", 120.0),
    "64 mixed, vLLM, least predicted work": (MIXED, "vllm", "tokens", 120.0),
    "44 prefill and 20 decode, vLLM, JSQ": (SPLIT, "vllm", "jsq", 120.0),
}


def measured(name: str, n: int, seed: int) -> tuple[float, dict[str, float]]:
    """CPU seconds of a run with its metrics, and these. The cluster counts requests, tokens and blocks."""
    cluster, policy, router, rate = CASES[name]
    requests = llm.generated(f"poisson:rate={rate}", "azure-conv", n, seed)
    requests = llm.predicted(requests, "lognormal:sigma=0.5", seed)
    begin = time.process_time()
    served = llm.serve_cluster(requests, cluster, policy, router)
    result = llm.cluster_summary(served, requests)
    return time.process_time() - begin, result | {"iterations": float(served.iterations.sum())}


def rows_of(n: int, repeat: int, only: str = "") -> list[dict[str, Any]]:
    """A row per case: the median of `repeat` runs on traces of their own, after a short one to compile."""
    rows = []
    for name in CASES:
        if only in name:
            measured(name, 1000, 0)
            runs = [measured(name, n, seed) for seed in range(1, repeat + 1)]
            seconds = [spent for spent, _ in runs]
            result = runs[-1][1]
            row = {"case": name, "CPU seconds": statistics.median(seconds)}
            row |= {"least": min(seconds), "most": max(seconds), "million requests/s": n / row["CPU seconds"] / 1e6}
            row |= {"mean latency, s": result["mean_latency_s"], "iterations": int(result["iterations"])}
            rows.append(row | {"mean batch": result["mean_batch"], "unstable": bool(result["unstable"])})
    return rows


def cluster(quick: bool) -> list[dict[str, Any]]:
    """Clusters of 64 instances, 100,000 requests: CPU seconds on one core with full metrics. Poisson arrivals, the
    lengths of the Azure conversation trace, Llama-2-70B on four A100; every run is counted through for conservation."""
    return rows_of(10_000 if quick else 100_000, 2 if quick else 5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    given = parser.parse_args()
    print(table(rows_of(given.requests, given.repeat, given.only)))
