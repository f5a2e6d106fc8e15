"""Servers that move between prompts and answers while the workload drifts. A point has the keys period and leaving.

period: seconds in which the mix goes from `azure-code` to `azure-conv` and back. leaving: servers that are away for
AWAY of every CYCLE periods. A point may have arrivals and lengths (texts of laws) instead; then nothing drifts. A
policy is a controller (models/llm/controllers); with a parameter `pooled` it is of servers that do both phases.
"""

import math

import numpy as np
from openqueues.models import llm
from openqueues.models.llm import pools
from openqueues.models.policies import policy as read_policy

HARDWARE = "llama2-70b-h100-tp4"
SERVERS, FIRST = 8, 5
"""Servers, and those of them that compute prompts at first."""
KV_TOKENS = 450_000
MAX_BATCH = 128
LINK = 25e9
TTFT_S, TPOT_S = 1.0, 0.075
EVERY_S, SWITCH_S = 5.0, 5.0
RATE = 22.0
CODE, CONVERSATION = "azure-code:data=fitted", "azure-conv:data=fitted"
AWAY, CYCLE = 0.25, 0.5
"""In periods: how long servers are away, and from one departure to the next."""
APART_S = 1.0
"""Between two that leave."""
LEAVE = (7, 0, 6)
"""Which go, in this order: of the decoding ones and of those that compute prompts at first in turn."""
PREDICTIONS = "lognormal:sigma=0.5"
METRICS = ("slo_share", "mean_latency_s", "p99_latency_s", "mean_ttft_s", "p99_ttft_s", "mean_tpot_s", "p99_tpot_s")


def simulate(point, policy, seed, jobs):
    """One replication: slo_share, latencies, tokens computed again per request."""
    requests = _requests(point, jobs, seed)
    served = llm.serve_cluster(requests, *_organisation(point, policy, requests.arrival_s[-1]), "jsq")
    found = llm.cluster_summary(served, requests, slo_ttft_s=TTFT_S, slo_tpot_s=TPOT_S)
    return {name: found[name] for name in (*METRICS, "completed_share", "recomputed_tokens", "unstable")}


def bound(point):
    """No more than all requests keep their objectives."""
    return {"slo_share": (1.0, 0.0)}


def share_of(time, period):
    """The share of conversations: 0 in the first and the last eighth of a period, 1 in the middle quarter."""
    return np.clip(1.5 - 4 * np.abs(np.mod(time / period, 1.0) - 0.5), 0.0, 1.0)


def _requests(point, jobs, seed):
    """About `jobs` requests: a multiple of three periods after the first tenth of the time.

    So each third of the time in which growth of the backlog is looked for has the same load.
    """
    if "lengths" in point:
        return llm.predicted(llm.generated(point["arrivals"], point["lengths"], jobs, seed), PREDICTIONS, seed)
    period = point["period"]
    until = 3 * period * max(round(0.9 * jobs / (RATE * 3 * period)), 1) / 0.9
    n = math.ceil(RATE * until + 8 * math.sqrt(RATE * until) + 10)
    code, conversation = (llm.generated(f"poisson:rate={RATE}", law, n, seed) for law in (CODE, CONVERSATION))
    mixed = pools.blended(code.arrival_s, code, conversation, share_of(code.arrival_s, period), seed)
    kept = mixed.arrival_s <= until
    mixed = llm.Requests(mixed.arrival_s[kept], mixed.input_tokens[kept], mixed.output_tokens[kept])
    return llm.predicted(mixed, PREDICTIONS, seed)


def _organisation(point, policy, until):
    """(the cluster, the policy of its servers)."""
    made = {"kv_tokens": KV_TOKENS, "max_batch": MAX_BATCH}
    events = _events(point, until)
    if "pooled" in read_policy(policy).parameters:
        return llm.Cluster([llm.Instance(HARDWARE, SERVERS, **made)], events=events), "sarathi"
    cluster = llm.Cluster(
        [
            llm.Instance(HARDWARE, FIRST, role="prefill", **made),
            llm.Instance(HARDWARE, SERVERS - FIRST, role="decode", **made),
        ],
        transfer_bytes_per_s=LINK,
        events=events,
        control=pools.filled(policy, answer=_answer(), period=point.get("period", 1.0)),
        control_every_s=EVERY_S,
        switch_s=SWITCH_S,
    )
    return cluster, "vllm"


def _events(point, until):
    going = LEAVE[: point.get("leaving", 0)]
    if not going:
        return ()
    cycle, away = CYCLE * point["period"], AWAY * point["period"]
    starts = [cycle * (0.5 + k) for k in range(math.ceil(until / cycle))]
    times = [(t + late, what) for t in starts for late, what in ((0.0, "down"), (away, "up"))]
    return tuple((t + place * APART_S, k, what) for t, what in times for place, k in enumerate(going))


def _answer():
    """Time of a token of an answer, in the largest batch within TPOT_S, over that of a token of a prompt."""
    law = llm.hardware_law(HARDWARE)
    return 1000 * TPOT_S / pools.full_batch(law, 1600, TPOT_S, MAX_BATCH) / law.prefill_token_ms
