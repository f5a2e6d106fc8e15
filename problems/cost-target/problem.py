"""One replica that is paid by the hour, under a cap on the cost of 1,000 requests. A point has hardware, budget, swing.

The cap in US dollars says how many requests an hour the replica has to serve. Their rate swings by the share `swing`
about the mean with period PERIOD_S. A point may have arrivals (the text of a law) and lengths instead. A policy with a
parameter `patience` gets the objective of the time to first token, one with `most` the batch of `largest_batch`.
"""

import math

import numpy as np
from openqueues.models import llm
from openqueues.models.streams import streams

MAX_BATCH = 128
CONTEXT = 4096
"""Most tokens of a request, prompt and answer."""
LENGTHS = "azure-conv:data=fitted"
PROMPT, ANSWER = 1155, 211
"""Mean tokens of these lengths."""
TTFT_S, TPOT_S = 2.0, 0.15
PERIOD_S = 600.0
PREDICTIONS = "lognormal:sigma=0.5"


def simulate(point, policy, seed, jobs):
    """One replication: slo_share, the requests that keep both objectives; usd_per_1000 as paid; latencies."""
    hardware = llm.hardware_law(point["hardware"])
    requests = _requests(point, hardware, jobs, seed)
    policy = llm.completed(policy, patience=TTFT_S, most=largest_batch(hardware))
    served = llm.serve(requests, hardware, policy, kv_tokens=0, max_batch=MAX_BATCH)
    found = llm.summary(served, requests, slo_ttft_s=TTFT_S, slo_tpot_s=TPOT_S)
    names = ("slo_share", "mean_latency_s", "p99_latency_s", "p99_ttft_s", "mean_tpot_s", "p99_tpot_s", "unstable")
    paid = hardware.usd(served.makespan_s)
    return {name: found[name] for name in names} | {
        "usd_per_1000": 1000 * paid / len(requests),
        "usd_per_million_tokens": 1e6 * paid / served.output_tokens,
    }


def bound(point):
    """No more than all requests keep their objectives."""
    return {"slo_share": (1.0, 0.0)}


def rate_of(hardware, budget):
    """Requests a second at which 1,000 of them cost `budget`."""
    return 1000 * hardware.price_per_hour / 3600 / budget


def largest_batch(hardware):
    """Most requests that can run at once with TPOT_S per token while the prompts of their successors are computed.

    A step of b requests makes the tokens of b / ANSWER of them, whose successors' prompts take the server in between.
    """
    held = PROMPT + ANSWER / 2
    prompt = (hardware.prefill_token_ms * PROMPT + max(hardware.prefill_step_ms, 0)) / ANSWER
    each = hardware.decode_seq_ms + hardware.kv_token_ms * held + prompt
    return min(int((1000 * TPOT_S - hardware.decode_step_ms) / each), MAX_BATCH)


def _requests(point, hardware, jobs, seed):
    """About `jobs` requests, over whole periods: three after the first tenth of the time, or a multiple of three.

    So each third of the time in which growth of the backlog is looked for has the same load.
    """
    if "arrivals" in point:
        drawn = llm.generated(point["arrivals"], point["lengths"], jobs, seed)
        return llm.predicted(drawn, PREDICTIONS, seed)
    rate, swing = rate_of(hardware, point["budget"]), point["swing"]
    until = 3 * PERIOD_S * max(round(0.9 * jobs / (rate * 3 * PERIOD_S)), 1) / 0.9
    mean = rate * until
    when = np.cumsum(streams(seed).gaps.standard_exponential(math.ceil(mean + 8 * math.sqrt(mean) + 10)))
    # Time at which the integral of the rate comes to `when`, to a thousandth of a period.
    time = np.linspace(0, until, math.ceil(1000 * until / PERIOD_S))
    turn = 2 * math.pi / PERIOD_S
    arrival = np.interp(when[when <= mean], rate * (time + swing / turn * (1 - np.cos(turn * time))), time)
    lengths = llm.generated("closed", LENGTHS, len(arrival), seed)
    answer = np.minimum(lengths.output_tokens, CONTEXT // 2)
    prompt = np.minimum(lengths.input_tokens, CONTEXT - answer)
    return llm.predicted(llm.Requests(arrival, prompt, answer), PREDICTIONS, seed)
