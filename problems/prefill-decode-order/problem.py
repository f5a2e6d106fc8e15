"""Equal total sizes split into prompt and answer. A point has the keys hardware, sizes, split and load.

A policy with a parameter `prompt` gets what a token of a prompt costs the server, in tokens of an answer, by the
hardware's law at a full batch.
"""

from dataclasses import replace

import numpy as np
from openqueues.models import llm
from openqueues.models.streams import streams

MAX_BATCH = 32
MEAN = 600
MOST = 8000
SHARES = {"same": (0.3,), "mixed": (0.05, 0.25, 0.6)}
"""Shares of the total that are answer, equally likely: 0.3 on average."""
SIZES = {"equal": f"fixed:input=1,output={MEAN}", "light": 0.5, "heavy": 2}
PREDICTIONS = "lognormal:sigma=0.5"


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.llm.replication."""
    hardware = llm.hardware_law(point["hardware"])
    cost = _costs(hardware)
    requests = _requests(point, cost, jobs, seed)
    policy = llm.completed(policy, prompt=cost[0] / cost[1])
    return llm.replication(requests, hardware, policy, kv_tokens=0, max_batch=MAX_BATCH)


def _costs(hardware):
    """Milliseconds of the server that a token of a prompt, and one of an answer in a full batch, take."""
    held = 0.85 * MEAN
    token = hardware.decode_step_ms / MAX_BATCH + hardware.decode_seq_ms + hardware.kv_token_ms * held
    return hardware.prefill_token_ms, token


def _requests(point, cost, n, seed):
    shares = np.array(SHARES[point["split"]])
    if "lengths" in point:
        return llm.generated(point["arrivals"], point["lengths"], n, seed)
    share = shares.mean()
    rate = 1000 * point["load"] / (MEAN * ((1 - share) * cost[0] + share * cost[1]))
    law = SIZES[point["sizes"]]
    law = law if isinstance(law, str) else f"lognormal:input_mean=1,output_mean={MEAN},output_cv={law}"
    requests = llm.generated(f"gamma:rate={rate},shape=0.2", law, n, seed)
    total = np.clip(requests.output_tokens, 20, MOST)
    answer = np.maximum(np.rint(total * shares[streams(seed).routing.integers(len(shares), size=n)]), 1)
    requests = replace(requests, input_tokens=total - answer, output_tokens=answer)
    return llm.predicted(requests, PREDICTIONS, seed)
