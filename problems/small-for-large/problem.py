"""How many small servers replace one large one. A point has the keys pair, load and cv.

pair: a key of PAIRS. load: the rate over the capacity of the large server (models/llm/pools.py). cv: the coefficient of
variation of prompts and of answers. A point may have `alone`: then the requests come one at a time, and `lengths`. A
policy is a router (models/llm/routers) of the small servers.
"""

import math
from functools import lru_cache

from openqueues.models import llm
from openqueues.models.errors import unknown
from openqueues.models.llm import pools

A100, H100 = 2.21, 4.76
"""US dollars per GPU and hour, as in hardware.toml."""
PAIRS = {
    "opt-13b tp1": ("opt-13b-a100-tp4", 4 * A100, None, "opt-13b-a100-tp1", A100, None, 0.4, 0.05),
    "opt-13b tp2": ("opt-13b-a100-tp4", 4 * A100, None, "opt-13b-a100-tp2", 2 * A100, None, 0.4, 0.05),
    "opt-66b tp2": ("opt-66b-a100-tp8", 8 * A100, None, "opt-66b-a100-tp2", 2 * A100, None, 1.0, 0.1),
    "opt-66b tp4": ("opt-66b-a100-tp8", 8 * A100, None, "opt-66b-a100-tp4", 4 * A100, None, 1.0, 0.1),
    "llama2-70b": ("llama2-70b-h100-tp8", 8 * H100, 1_300_000, "llama2-70b-a100-tp4", 4 * A100, 450_000, 1.0, 0.1),
}
"""Of the large server, then of a small one: law, US dollars an hour, tokens of KV cache (None: the law's); and the
objectives for the first token and per further token, in s."""
MAX_BATCH = 128
PROMPT, ANSWER, LONGEST = 300, 100, 4000
EQUAL = 0.01
"""Servers are as good as another that has at most so much more of the requests within the objectives."""
MOST = 16
SAMPLE = 50_000
PREDICTIONS = "lognormal:sigma=0.5"


def simulate(point, policy, seed, jobs):
    """One replication: cost_ratio, the price of as many small servers as are as good over that of the large one."""
    if point["pair"] not in PAIRS:
        raise unknown("pair", str(point["pair"]), PAIRS)
    large, dear, much, small, cheap, little, ttft, tpot = PAIRS[point["pair"]]
    requests = _requests(point, jobs, seed)

    def served(law, count, kv_tokens):
        cluster = llm.Cluster([llm.Instance(law, count, kv_tokens=kv_tokens, max_batch=MAX_BATCH)])
        run = llm.serve_cluster(requests, cluster, "sarathi", policy, seed=seed)
        return llm.cluster_summary(run, requests, slo_ttft_s=ttft, slo_tpot_s=tpot)

    one = served(large, 1, much)
    least = 1 if "lengths" in point else least_count(point)
    for count in range(min(least, MOST), MOST + 1):
        many = served(small, count, little)
        if many["slo_share"] >= one["slo_share"] - EQUAL:
            break
    return {
        "cost_ratio": count * cheap / dear,
        "servers": count,
        "least_servers": least,
        "reached": float(many["slo_share"] >= one["slo_share"] - EQUAL),
        "slo_share": many["slo_share"],
        "large_slo_share": one["slo_share"],
        "latency_ratio": many["mean_latency_s"] / one["mean_latency_s"],
        "p99_latency_ratio": many["p99_latency_s"] / one["p99_latency_s"],
        "completed_share": many["completed_share"],
        "unstable": one["unstable"],
    }


def bound(point):
    """With fewer small servers their work alone is more than they can do."""
    _, dear, _, _, cheap, _, _, _ = PAIRS[point["pair"]]
    return {} if "lengths" in point else {"cost_ratio": (least_count(point) * cheap / dear, 0.0)}


def least_count(point):
    """Fewest small servers whose capacity is at least the rate."""
    one = pools.capacity([(llm.hardware_law(PAIRS[point["pair"]][3]), 1)], _typical(point["cv"]), MAX_BATCH)
    return math.ceil(_rate(point) / one)


def _rate(point):
    return point["load"] * pools.capacity(
        [(llm.hardware_law(PAIRS[point["pair"]][0]), 1)], _typical(point["cv"]), MAX_BATCH
    )


@lru_cache(maxsize=16)
def _typical(cv):
    return _drawn("closed", cv, SAMPLE, 1)


def _drawn(arrivals, cv, n, seed):
    """Requests cut at LONGEST tokens of prompt and answer together."""
    law = f"lognormal:input_mean={PROMPT},output_mean={ANSWER},input_cv={cv},output_cv={cv}"
    drawn = llm.generated(arrivals, law, n, seed)
    answer = drawn.output_tokens.clip(1, LONGEST // 2)
    prompt = drawn.input_tokens.clip(1, LONGEST - answer)
    return llm.Requests(drawn.arrival_s, prompt, answer)


def _requests(point, jobs, seed):
    if "lengths" in point:
        requests = llm.generated(point["arrivals"], point["lengths"], jobs, seed)
    else:
        requests = _drawn(f"poisson:rate={_rate(point)}", point["cv"], jobs, seed)
    return llm.predicted(requests, PREDICTIONS, seed)
