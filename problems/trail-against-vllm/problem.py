"""TRAIL against first come first served: finite runs of Alpaca-like requests, from an empty server to the last token.

A point has the keys requests (in a run), rate (of arrivals, per second), step_ms (constant of a step), mechanism (vllm
or sarathi) and predictions (trail, or perfect: TRAIL+), and may have c and memory (of policies that leave them open),
arrivals, lengths and batch. A replication is as many runs as `jobs` allows, and every run is served twice: by the
policy, and first come first served.
"""

from dataclasses import replace

import numpy as np
from openqueues.models import llm
from openqueues.models.streams import derive_seed, streams

HARDWARE = (
    "prefill_step_ms={step},prefill_token_ms=0.085,decode_step_ms={step},decode_seq_ms=0.05,kv_token_ms=8e-5,"
    "kv_tokens=400000,kv_bytes_per_token=131072"
)
"""Llama-3 8B on an A100-80, assumed: see problem.toml."""
MAX_BATCH = 48
MOST_RUNS = 100
PROMPTS = "lognormal:input_mean=35,input_cv=0.5,output_mean=1"
ANSWERS = (2, 15, 22, 41, 57, 75, 97, 125, 167, 220, 274, 330, 382, 427, 476, 504, 512, 512, 512, 512, 512)
"""Tokens of an answer, quantiles 0, 0.05, ..., 1 of 408 of the rows of the authors' trace; at most 512."""


def simulate(point, policy, seed, jobs):
    """One replication: seconds of the policy, and how many times as long they are first come first served."""
    hardware = llm.hardware_law(HARDWARE.format(step=point["step_ms"]))
    policy = llm.completed(policy, **{key: point[key] for key in ("mechanism", "c", "memory") if key in point})
    runs = []
    for requests in _runs(point, min(max(1, jobs // point["requests"]), MOST_RUNS), seed):
        both = [
            llm.metrics(llm.serve(requests, hardware, one, max_batch=point.get("batch", MAX_BATCH)), requests)
            for one in (policy, f"vllm:mechanism={point['mechanism']}")
        ]
        runs.append([(one["mean_latency_s"], one["mean_ttft_s"], one["p99_latency_s"]) for one in both])
        runs[-1].append((both[0]["preemptions"] / len(requests), both[0]["makespan_s"], both[0]["completed_share"]))
    own, base, more = np.mean(runs, axis=0)
    return {
        "latency_ratio": base[0] / own[0],
        "ttft_ratio": base[1] / own[1],
        "p99_ratio": base[2] / own[2],
        "mean_latency_s": own[0],
        "mean_ttft_s": own[1],
        "baseline_latency_s": base[0],
        "baseline_ttft_s": base[1],
        "preemptions": more[0],
        "makespan_s": more[1],
        "completed_share": more[2],
    }


def _runs(point, count, seed):
    """The requests of each run. Predictions are made for all at once, since a classifier's error is set by all."""
    n = point["requests"]
    drawn = llm.generated("closed", point.get("lengths", PROMPTS), n * count, seed)
    answers = drawn.output_tokens
    if "lengths" not in point:
        levels = np.linspace(0, 1, len(ANSWERS))
        answers = np.rint(np.interp(streams(seed).routing.random(n * count), levels, ANSWERS)).astype(np.int64)
    whole = llm.predicted(replace(drawn, output_tokens=answers), point["predictions"], seed)
    for number in range(count):
        own = slice(n * number, n * (number + 1))
        start = whole.refreshed_start[own.start : own.stop + 1]
        arrivals = point.get("arrivals", f"poisson:rate={point['rate']}")
        yield llm.Requests(
            llm.arrivals_law(arrivals).draw(streams(derive_seed("run", seed, number)).gaps, n),
            whole.input_tokens[own],
            whole.output_tokens[own],
            whole.predicted_output_tokens[own],
            refresh_every=whole.refresh_every,
            refreshed_start=start - start[0],
            refreshed=whole.refreshed[start[0] : start[-1]],
        )
