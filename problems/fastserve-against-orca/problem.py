"""FastServe against Orca: finite runs from an empty server, where memory is ample and where it is short.

A point has the keys requests (in a run), batch (most that run at once), kv_tokens (of the cache; 0: no limit), cv
(coefficient of variation of the answers) and rate (a share of what Orca can serve, see `_capacity`), and may have
arrivals and lengths. A replication is as many runs as `jobs` allows, and every run is served twice: by the policy, and
by Orca. A policy with the parameters prompt_ms and token_ms gets the hardware's.
"""

from dataclasses import replace

import numpy as np
from openqueues.models import llm
from openqueues.models.streams import derive_seed

HARDWARE = "opt-13b-a100-tp1"
LENGTHS = "lognormal:input_mean=100,output_mean=200,output_cv={cv}"
MOST_PROMPT, MOST_ANSWER = 512, 2048
MOST_RUNS = 20
TOKEN_BUDGET = 2048
"""Prompt tokens of a step: several whole prompts."""


def simulate(point, policy, seed, jobs):
    """One replication: seconds of the policy, and how many times as long they are under Orca."""
    hardware = llm.hardware_law(HARDWARE)
    batch = point["batch"]
    token_ms = hardware.decode_step_ms + batch * hardware.decode_seq_ms
    policy = llm.completed(policy, prompt_ms=hardware.prefill_token_ms, token_ms=token_ms)
    setting = {"max_batch": batch, "kv_tokens": point["kv_tokens"], "token_budget": TOKEN_BUDGET}
    runs = []
    for number in range(min(max(1, jobs // point["requests"]), MOST_RUNS)):
        requests = _requests(point, hardware, derive_seed("run", seed, number))
        run = []
        for one in (policy, "orca"):
            served = llm.serve(requests, hardware, one, **setting)
            latency = served.finish_s - requests.arrival_s
            run.append((latency.mean(), *np.quantile(latency, (0.95, 0.99)), served.preemptions / len(requests)))
        runs.append(run)
    own, base = np.mean(runs, axis=0)
    return {
        "mean_ratio": base[0] / own[0],
        "p95_ratio": base[1] / own[1],
        "p99_ratio": base[2] / own[2],
        "mean_latency_s": own[0],
        "orca_latency_s": base[0],
        "preemptions": own[3],
    }


def _requests(point, hardware, seed):
    lengths = point.get("lengths", LENGTHS.format(cv=point["cv"]))
    drawn = llm.generated(point.get("arrivals", "poisson:rate=1"), lengths, point["requests"], seed)
    requests = replace(
        drawn,
        input_tokens=np.minimum(drawn.input_tokens, MOST_PROMPT),
        output_tokens=np.minimum(drawn.output_tokens, MOST_ANSWER),
    )
    rate = point["rate"] * _capacity(requests, hardware, point)
    return replace(requests, arrival_s=requests.arrival_s / rate)


def _capacity(requests, hardware, point):
    """About how many of these requests Orca can serve a second: its batch is full, and limited by what it reserves."""
    prompt, answer = requests.input_tokens.astype(float), requests.output_tokens.astype(float)
    batch = point["batch"]
    if point["kv_tokens"]:
        batch = min(batch, point["kv_tokens"] / (prompt.mean() + answer.max()))
    held = prompt.mean() + np.mean(answer**2) / (2 * answer.mean())
    token_ms = hardware.decode_step_ms / batch + hardware.decode_seq_ms + hardware.kv_token_ms * held
    return 1000 / (hardware.prefill_token_ms * prompt.mean() + token_ms * answer.mean())
