"""Preemption thresholds under light and heavy memory pressure. A point has the keys pressure and c (and rate, lengths).

A policy with a parameter c gets the point's; one with `most` gets the largest batch. The policy `learned` gets the c
of CHOICES with the least mean latency over LESSON requests of the same law, drawn from a seed of their own.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from openqueues.models import llm
from openqueues.models.policies import is_path, split_path
from openqueues.models.streams import derive_seed

HARDWARE = "gptj-6b-a100-mars"
MEMORY = {"light": {"kv_tokens": 0, "max_batch": 32}, "heavy": {"kv_tokens": 7168, "max_batch": 32}}
ARRIVALS = "gamma:rate={rate},shape=0.2"
LENGTHS = "lognormal:input_mean=100,output_mean=150"
PREDICTIONS = "lognormal:sigma=0.5,every=8,refreshed_sigma=0.25"
RATE = 8.5
MOST_TOKENS = 2000
CHOICES = (0.0, 0.25, 0.5, 0.8, 1.0)
LESSON = 2000


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.llm.replication."""
    if is_path(policy) and Path(split_path(policy)[0]).stem == "learned" and not split_path(policy)[1]:
        lesson = _requests(point, min(LESSON, jobs), derive_seed("lesson", seed))
        means = [_served(point, f"{policy}:c={c}", lesson)["mean_latency_s"] for c in CHOICES]
        policy = f"{policy}:c={CHOICES[int(np.argmin(means))]}"
    return _served(point, policy, _requests(point, jobs, seed))


def _requests(point, n, seed):
    arrivals = point.get("arrivals", ARRIVALS).format(rate=point.get("rate", RATE))
    requests = llm.generated(arrivals, point.get("lengths", LENGTHS), n, seed)
    # A longer request would not fit beside others where memory is short.
    requests = replace(
        requests,
        input_tokens=np.minimum(requests.input_tokens, MOST_TOKENS),
        output_tokens=np.minimum(requests.output_tokens, MOST_TOKENS),
    )
    return llm.predicted(requests, PREDICTIONS, seed)


def _served(point, policy, requests):
    memory = MEMORY[point["pressure"]]
    policy = llm.completed(policy, c=point["c"], most=memory["max_batch"], mechanism="sarathi")
    return llm.replication(requests, llm.hardware_law(HARDWARE), policy, **memory)
