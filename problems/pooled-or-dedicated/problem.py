"""The same servers pooled, or dedicated to prompts and to answers. A point has the keys mix, load and link_gb_per_s.

mix: the workload, one of MIXES. load: the rate over the capacity that no organisation exceeds (models/llm/pools.py).
link_gb_per_s: 1e9 bytes a second that a server sends of KV caches; 0: no time. A point may have arrivals and lengths
(texts of laws) in place of mix and load, and `prefill`, the servers for prompts of a policy with the parameter
`dedicated`. A policy is a decision (policies/) that sees of each organisation `prefill`, the servers that compute
prompts (0: all do both), `chunks` (1 where they do so in chunks), `servers`, `prompt_work` and `answer_work` (mean s of
a server that a request needs of each phase), `rate` (requests a second) and `missed`, the share of the requests to come
that would miss an objective.
"""

from functools import lru_cache, partial

from openqueues.models import llm
from openqueues.models.errors import unknown
from openqueues.models.llm import pools
from openqueues.models.policies import policy as read_policy

HARDWARE = "llama2-70b-h100-tp4"
SERVERS = 8
KV_TOKENS = 450_000
MAX_BATCH = 128
TTFT_S, TPOT_S = 1.0, 0.075
CODE, CONVERSATION = "azure-code:data=fitted", "azure-conv:data=fitted"
LONG = "lognormal:input_mean=250,output_mean=500"
MIXES = {
    "code": (CODE, CODE, 0.0),
    "half": (CODE, CONVERSATION, 0.5),
    "conv": (CONVERSATION, CONVERSATION, 0.0),
    "long": (LONG, LONG, 0.0),
}
"""Lengths, other lengths, and the share of the requests that have these, in order of the share of work in answers."""
SAMPLE = 50_000
HOPELESS = 1.5
"""An organisation with so many times more work for a phase than its servers do misses all; it is not tried."""
METRICS = ("slo_share", "mean_latency_s", "p99_latency_s", "mean_ttft_s", "p99_ttft_s", "mean_tpot_s", "p99_tpot_s")


def simulate(point, policy, seed, jobs):
    """One replication: slo_share, the requests that keep both objectives; latencies; the servers for prompts."""
    chooses = read_policy(pools.filled(policy, **({"dedicated": point["prefill"]} if "prefill" in point else {})))
    requests, rate, (prompt_work, answer_work) = _offered(point, jobs, seed)
    link = 0 if "free_links" in chooses.parameters else point["link_gb_per_s"]
    serve = lru_cache(None)(partial(_served, requests, link))

    def missed(prefill, chunks):
        busiest = max(prompt_work / prefill, answer_work / (SERVERS - prefill)) if prefill else 0.0
        return 1.0 if rate * busiest > HOPELESS else 1 - serve(prefill, chunks)["slo_share"]

    options = [(0, 0), (0, 1)] + [(prefill, 0) for prefill in range(1, SERVERS)]
    seen = {"servers": SERVERS, "prompt_work": prompt_work, "answer_work": answer_work, "rate": rate}
    columns = [{"prefill": one[0], "chunks": one[1], "missed": partial(missed, *one)} | seen for one in options]
    prefill, chunks = options[pools.chosen(chooses, columns)]
    found = serve(prefill, chunks)
    return {name: found[name] for name in (*METRICS, "completed_share", "unstable")} | {"prefill_servers": prefill}


def bound(point):
    """No more than all requests keep their objectives."""
    return {"slo_share": (1.0, 0.0)}


def organisation(prefill, link):
    """SERVERS servers, all of them for both phases (prefill = 0) or so many for prompts."""
    made = partial(llm.Instance, HARDWARE, kv_tokens=KV_TOKENS, max_batch=MAX_BATCH)
    if not prefill:
        return llm.Cluster([made(SERVERS)])
    parts = [made(prefill, role="prefill"), made(SERVERS - prefill, role="decode")]
    return llm.Cluster(parts, transfer_bytes_per_s=1e9 * link) if link else llm.Cluster(parts)


def _served(requests, link, prefill, chunks):
    served = llm.serve_cluster(requests, organisation(prefill, link), "sarathi" if chunks else "vllm", "jsq")
    return llm.cluster_summary(served, requests, slo_ttft_s=TTFT_S, slo_tpot_s=TPOT_S)


def _offered(point, jobs, seed):
    """(the requests, their rate, mean s of a server that one needs of each phase)."""
    if "lengths" in point:
        requests = llm.generated(point["arrivals"], point["lengths"], jobs, seed)
        return requests, len(requests) / requests.arrival_s[-1], _work(requests)
    if point["mix"] not in MIXES:
        raise unknown("mix", str(point["mix"]), MIXES)
    first, second, share = MIXES[point["mix"]]
    typical, most = _typical(point["mix"])
    rate = point["load"] * most
    drawn = [llm.generated(f"poisson:rate={rate}", law, jobs, seed) for law in (first, second)]
    return pools.blended(drawn[0].arrival_s, *drawn, share, seed), rate, _work(typical)


@lru_cache(maxsize=16)
def _typical(mix):
    """(many requests of the mix, the rate of such that no organisation exceeds)."""
    first, second, share = MIXES[mix]
    drawn = [llm.generated("closed", law, SAMPLE, 1) for law in (first, second)]
    requests = pools.blended(drawn[0].arrival_s, *drawn, share, 1)
    return requests, pools.capacity([(llm.hardware_law(HARDWARE), SERVERS)], requests, MAX_BATCH)


def _work(requests):
    """Of a prompt alone, and of an answer in the largest batch within TPOT_S."""
    law = llm.hardware_law(HARDWARE)
    prompts, answers = float(requests.input_tokens.mean()), float((requests.output_tokens - 1).mean())
    batch = pools.full_batch(law, prompts + answers / 2, TPOT_S, MAX_BATCH)
    return (law.prefill_step_ms + law.prefill_token_ms * prompts) / 1000, answers * TPOT_S / batch
