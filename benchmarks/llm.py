"""The speed of the LLM engine on one core: requests a second with full metrics, the checks and the conversion included.

    python benchmarks/llm.py [--repeat 7] [--requests 50000]

50,000 requests, Poisson arrivals, log-normal lengths (mean 900 prompt and 200 output tokens), Llama-2-7B on an
A100 in round numbers. KV cache: never full, so small that it is often full, or too small for the load.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print(f"load of the machine {os.getloadavg()[0]:.1f}; CPU time, median of {options.repeat} runs (fresh traces)")
    print(f"{'case':34}  M req/s    min    max  latency s  preempt.  iterations batch")
    for name, (policy, rate, kv_tokens, budget) in CASES.items():
        if options.only not in name:
            continue
        times, result = [], {}
        for seed in range(-1, options.repeat):
            requests = trace(rate, options.requests, seed + 1, "refreshed" in name)
            begin = time.process_time()
            served = serve(requests, LAW, policy, kv_tokens=kv_tokens, max_batch=128, token_budget=budget)
            result = metrics(served, requests, slo_ttft_s=1.0, slo_tpot_s=0.1)
            times.append(time.process_time() - begin)
        speeds = [options.requests / one / 1e6 for one in times[1:]]
        print(
            f"{name:34} {statistics.median(speeds):8.2f} {min(speeds):6.2f} {max(speeds):6.2f} "
            f"{result['mean_latency_s']:10.2f} {result['preemptions']:9} {result['iterations']:11} "
            f"{result['mean_batch']:.1f}"
        )


if __name__ == "__main__":
    main()
