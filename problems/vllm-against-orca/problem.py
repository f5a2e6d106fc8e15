"""How many more requests a second vLLM takes than another system at the same latency per token.

A point has the keys prompts (whether vLLM computes them "first", in iterations of their own, or "beside" decoding),
lengths ("sharegpt" or "alpaca"), cv (coefficient of variation of prompts and answers), kv_tokens and level, the mean
normalised latency (seconds of latency a token of the answer) that is not to be exceeded, and may have law (in place of
a name in LENGTHS), context and requests, their number.

The requests of a replication are the same at all rates, only faster or slower, and the highest rate is found by
halving the interval of rates that holds it.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import InputError

HARDWARE = "opt-13b-a100-tp1"
MAX_BATCH = 256
CONTEXT = 2048
"""Most tokens of prompt and answer together."""
TOKEN_BUDGET = 2560
"""Prompt tokens of an iteration."""
LENGTHS = {
    "sharegpt": "lognormal:input_mean=161.31,output_mean=337.99,input_cv={cv},output_cv={cv}",
    "alpaca": "lognormal:input_mean=19.31,output_mean=58.45,input_cv={cv},output_cv={cv}",
}
RATE = 2.0
"""Requests a second of which mean_batch speaks."""
SLOWEST, FASTEST = 2.0**-8, 2.0**8
"""Requests a second between which the highest rate is sought."""
HALVINGS = 14


def simulate(point, policy, seed, jobs):
    """One replication of `jobs` requests."""
    key, jobs = tuple(sorted(point.items())), point.get("requests", jobs)
    systems = {"first": "vllm", "beside": "vllm:mechanism=sarathi"}
    vllm = systems[point["prompts"]]
    policy = vllm if policy == "vllm" else policy
    base, own = (_sustained(key, one, seed, jobs) for one in (vllm, policy))
    return {"rate_ratio": base / own, "sustained_per_s": own} | _served(key, policy, seed, jobs, RATE)[1]


@lru_cache(maxsize=4096)
def _sustained(key, policy, seed, n):
    """The highest rate at which the mean normalised latency is at most the level."""
    low, high = SLOWEST, FASTEST
    level = dict(key)["level"]
    if _served(key, policy, seed, n, low)[0] > level:
        raise InputError(f"a level of {level} s a token is exceeded even at {low:g} requests a second: raise it.")
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _served(key, policy, seed, n, middle)[0] <= level else (low, middle)
    return math.sqrt(low * high)


def _served(key, policy, seed, n, rate):
    """(mean normalised latency, metrics) at a rate, of all requests: runs are finite, as traces are."""
    point = dict(key)
    requests = _requests(point["lengths"], point["cv"], point.get("law"), point.get("context", CONTEXT), seed, n)
    arrival = requests.arrival_s / rate
    arrival[-1] = 1e9
    requests = replace(requests, arrival_s=arrival)
    setting = {"kv_tokens": point["kv_tokens"], "max_batch": MAX_BATCH, "token_budget": TOKEN_BUDGET}
    served = llm.serve(requests, llm.hardware_law(HARDWARE), policy, **setting)
    begin, first, finish = (one[:n] for one in (arrival, served.first_token_s, served.finish_s))
    metrics = {
        "mean_batch": float(np.sum(finish - first) / (finish.max() - begin[0])),
        "preemptions": float(served.preemptions_of[:n].mean()),
        "completed_share": float(np.mean(np.isfinite(finish))),
    }
    return float(np.mean((finish - begin) / requests.output_tokens[:n])), metrics


@lru_cache(maxsize=64)
def _requests(name, cv, law, context, seed, n):
    """n requests at a rate of one a second; longer ones than the model's context are cut, first the answer.

    One more, of the longest answer, comes when all are done: "max" reserves for as long an answer as there is any.
    """
    drawn = llm.generated("poisson:rate=1", law or LENGTHS[name].format(cv=cv), n + 1, seed)
    prompts = np.minimum(drawn.input_tokens, context // 2)
    answers = np.minimum(drawn.output_tokens, context - prompts)
    prompts[-1], answers[-1] = 1, context - 1
    return replace(drawn, input_tokens=prompts, output_tokens=answers)
