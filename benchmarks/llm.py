"""The speed of the LLM engine on one core: requests a second with full metrics, the checks and the conversion included.

    python benchmarks/llm.py [--repeat 7] [--requests 50000]

50,000 requests, Poisson arrivals, log-normal lengths (mean 900 prompt and 200 output tokens), Llama-2-7B on an
A100 in round numbers. KV cache: never full, so small that it is often full, or too small for the load.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import table
from openqueues.models.llm.engine import serve
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.metrics import metrics
from openqueues.models.llm.requests import Requests

LAW = Hardware(
    name="a100",
    prefill_step_ms=7.0,
    prefill_token_ms=0.05,
    decode_step_ms=12.0,
    decode_seq_ms=0.05,
    kv_token_ms=2e-4,
    kv_bytes_per_token=524288.0,
    swap_bytes_per_s=32e9,
)
# name: (policy, arrivals a second, KV tokens, token budget)
CASES = {
    "vLLM FCFS, KV never full": ("vllm", 5.0, 400_000, None),
    "vLLM FCFS, KV often full": ("vllm", 5.0, 40_000, None),
    "vLLM FCFS, overload": ("vllm", 6.5, 30_000, None),
    "SPRPT, preemption, KV never full": ("sprpt:preempt=true", 5.0, 400_000, None),
    "SPRPT, preemption, KV often full": ("sprpt:preempt=true", 4.0, 40_000, None),
    "SPRPT, preemption, overload": ("sprpt:preempt=true", 6.5, 30_000, None),
    "TRAIL, refreshed, KV often full": ("trail:preempt=true", 4.0, 40_000, None),
    "SRPT, swap, KV often full": ("srpt:memory=swap,preempt=true", 4.5, 40_000, None),
    "SPRPT, tail, KV often full": ("sprpt:memory=tail,preempt=true", 4.5, 40_000, None),
    "Sarathi FCFS, KV never full": ("sarathi", 5.0, 400_000, 512),
    "Sarathi SPRPT, KV often full": ("sprpt:mechanism=sarathi,preempt=true", 4.0, 40_000, 512),
    "Orca FCFS": ("orca:reserve=pow2", 4.0, 60_000, None),
    "Sarathi FCFS planned, KV often full": ("dai", 4.0, 40_000, None),
    "SLAI planned, KV often full": ("slai", 4.0, 40_000, None),
    "FasterTransformer": ("fastertransformer", 1.0, 400_000, None),
}


def lognormal(rng: np.random.Generator, mean: float, sigma: float, n: int) -> np.ndarray:
    values = np.exp(rng.normal(np.log(mean) - sigma * sigma / 2, sigma, n))
    return np.maximum(np.round(values), 1).astype(np.int64)


def trace(rate: float, n: int, seed: int, renewed: bool) -> Requests:
    rng = np.random.default_rng(seed)
    outputs = np.minimum(lognormal(rng, 200, 0.9, n), 4000)
    start = refreshed = None
    every = 8 if renewed else 0
    if renewed:
        start = np.concatenate([[0], np.cumsum(outputs // every)])
        which = np.repeat(np.arange(n), outputs // every)
        left = outputs[which] - every * (np.arange(start[-1]) - start[which] + 1)
        refreshed = left * np.exp(rng.normal(0, 0.3, start[-1]))
    return Requests(
        np.cumsum(rng.exponential(1 / rate, n)),
        np.minimum(lognormal(rng, 900, 1.0, n), 8000),
        outputs,
        predicted_output_tokens=outputs * np.exp(rng.normal(0, 0.5, n)),
        refresh_every=every,
        refreshed_start=start,
        refreshed=refreshed,
    )


def measured(name: str, requests: Requests) -> tuple[float, dict[str, float]]:
    """CPU seconds of a run of a case with full metrics, and these. The engine counts requests, tokens and blocks."""
    policy, _, kv_tokens, budget = CASES[name]
    begin = time.process_time()
    served = serve(requests, LAW, policy, kv_tokens=kv_tokens, max_batch=128, token_budget=budget)
    result = metrics(served, requests, slo_ttft_s=1.0, slo_tpot_s=0.1)
    return time.process_time() - begin, result


def rows_of(n: int, repeat: int, only: str = "") -> list[dict[str, Any]]:
    """A row per case: the median of `repeat` runs on traces of their own, after one to warm up."""
    rows = []
    for name in CASES:
        if only in name:
            runs = [measured(name, trace(CASES[name][1], n, seed, "refreshed" in name)) for seed in range(repeat + 1)]
            speeds = [n / seconds / 1e6 for seconds, _ in runs[1:]]
            result = runs[-1][1]
            row = {"case": name, "million requests/s": statistics.median(speeds)}
            row |= {"slowest": min(speeds), "fastest": max(speeds), "mean latency, s": result["mean_latency_s"]}
            row |= {key: int(result[key]) for key in ("preemptions", "iterations")}
            rows.append(row | {"mean batch": result["mean_batch"]})
    return rows


def llm(quick: bool) -> list[dict[str, Any]]:
    """Language model serving: 50,000 requests of 900 prompt and 200 output tokens on average (log-normal), Poisson
    arrivals, Llama-2-7B on an A100 in round numbers; KV cache never full, often full, or too small for the load.
    Million requests a second of CPU time with full metrics; every run is counted through for conservation."""
    return rows_of(10_000 if quick else 50_000, 3 if quick else 15)


def million(n: int) -> dict[str, Any]:
    """CPU seconds and most memory, in MB, of n requests in this process, which has served a few before."""

    def now() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    name = "vLLM FCFS, KV often full"
    measured(name, trace(5.0, 1000, 0, False))
    start = now()
    requests = trace(5.0, n, 1, False)
    made = now()
    seconds, result = measured(name, requests)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"case": name, "requests": n, "iterations": int(result["iterations"]), "seconds": seconds}
    row |= {"program, MB": start, "requests made, MB more": made - start, "most while served, MB more": peak - made}
    return row | {"bytes a request": (peak - start) * 2**20 / n}


def llm_memory(quick: bool) -> list[dict[str, Any]]:
    """Language model serving: memory for many requests, each size in a process of its own."""
    rows = []
    for n in (200_000,) if quick else (200_000, 1_000_000):
        child = [sys.executable, __file__, "--million", "--requests", str(n)]
        rows.append(json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--million", action="store_true", help="time and memory of one run, as JSON")
    options = parser.parse_args()
    if options.million:
        print(json.dumps(million(options.requests)))
        return
    print(f"load of the machine {os.getloadavg()[0]:.1f}; CPU time, {options.repeat} runs on fresh traces")
    print(table(rows_of(options.requests, options.repeat, options.only)))


if __name__ == "__main__":
    main()
