"""Servers of two kinds, and where each phase is served. A point has the keys mix, fleet and load.

mix: the workload, one of MIXES. fleet: one of FLEETS, of about the same price. load: the rate over the capacity of the
fleet of fast servers alone (models/llm/pools.py), so that all fleets meet the same requests. A point may have arrivals
and lengths (texts of laws) in place of mix and load. A policy is a decision (policies/) that sees of each placement
`dedicated` (0: all servers do both phases), `by_delay` (how requests are routed, 0: shortest queue), `fast_prompts` and
`slow_prompts`, the servers of each kind for prompts, of `fast` and `slow`; `busiest`, the time that the busier phase
is busy by the mean work; and `missed`, the share of the requests to come that would miss an objective.
"""

from functools import lru_cache, partial

from openqueues.models import llm
from openqueues.models.errors import unknown
from openqueues.models.llm import pools

FAST, SLOW = "llama2-70b-h100-tp4", "llama2-70b-a100-tp4"
FLEETS = {"8+0": (8, 0), "6+4": (6, 4), "4+8": (4, 8), "2+13": (2, 13), "0+17": (0, 17)}
"""Servers of each kind: 146.9 to 153.0 US dollars an hour."""
KV_TOKENS = 450_000
MAX_BATCH = 128
LINK = 25e9
TTFT_S, TPOT_S = 2.0, 0.1
CODE, CONVERSATION = "azure-code:data=fitted", "azure-conv:data=fitted"
LONG = "lognormal:input_mean=250,output_mean=500"
MIXES = {"code": CODE, "conv": CONVERSATION, "long": LONG}
SAMPLE = 50_000
TRIED = 6
"""Dedicated placements that hindsight tries, the least busy ones."""
METRICS = ("slo_share", "mean_latency_s", "p99_latency_s", "mean_ttft_s", "p99_ttft_s", "mean_tpot_s", "p99_tpot_s")


def simulate(point, policy, seed, jobs):
    """One replication: good_per_usd, requests within both objectives per US dollar; latencies; the placement."""
    fleet = _fleet(point)
    requests, rate = _offered(point, jobs, seed)
    serve = lru_cache(None)(partial(_served, requests, fleet))
    options = _placements(fleet)
    busy = [rate * _busiest(point, fleet, *one[2:]) if one[0] else 0.0 for one in options]
    tried = sorted(range(len(options)), key=lambda place: (options[place][0], busy[place]))[: TRIED + 2]
    columns = [
        {
            **dict(zip(("dedicated", "by_delay", "fast_prompts", "slow_prompts"), one, strict=True)),
            **{"fast": fleet[0], "slow": fleet[1], "busiest": busy[place]},
            "missed": partial(lambda place, one: 1 - serve(*one)["slo_share"] if place in tried else 1.0, place, one),
        }
        for place, one in enumerate(options)
    ]
    took = options[pools.chosen(policy, columns)]
    found = serve(*took)
    good = found["slo_share"] * found["completed_share"] * rate * 3600 / price(fleet)
    return {name: found[name] for name in (*METRICS, "completed_share", "unstable")} | {
        "good_per_usd": good,
        "fast_prompts": took[2],
        "slow_prompts": took[3],
    }


def bound(point):
    """All requests within the objectives, but no more than the fleet can carry, per US dollar."""
    if "lengths" in point:
        return {}
    fleet, requests = _fleet(point), _typical(point["mix"])
    servers = [(llm.hardware_law(law), count) for law, count in zip((FAST, SLOW), fleet, strict=True) if count]
    most = pools.capacity(servers, requests, MAX_BATCH)
    return {"good_per_usd": (min(most, _rate(point)) * 3600 / price(fleet), 0.0)}


def price(fleet):
    """US dollars an hour."""
    return sum(llm.hardware_law(law).price_per_hour * count for law, count in zip((FAST, SLOW), fleet, strict=True))


def _fleet(point):
    if point["fleet"] not in FLEETS:
        raise unknown("fleet", str(point["fleet"]), FLEETS)
    return FLEETS[point["fleet"]]


def _placements(fleet):
    """(dedicated, by_delay, fast_prompts, slow_prompts): the pooled ones, and all with a server for each phase."""
    fast, slow = fleet
    split = [(1, 1, a, b) for a in range(fast + 1) for b in range(slow + 1) if 0 < a + b < fast + slow]
    return [(0, 0, 0, 0), (0, 1, 0, 0), *split]


def _busiest(point, fleet, fast_prompts, slow_prompts):
    """Seconds that the busier phase needs for a mean request."""
    (prompt_fast, answer_fast), (prompt_slow, answer_slow) = _work(point)
    prompts = fast_prompts / prompt_fast + slow_prompts / prompt_slow
    answers = (fleet[0] - fast_prompts) / answer_fast + (fleet[1] - slow_prompts) / answer_slow
    return 1 / min(prompts, answers)


def _served(requests, fleet, dedicated, by_delay, fast_prompts, slow_prompts):
    made = {"kv_tokens": KV_TOKENS, "max_batch": MAX_BATCH}
    parts = []
    for law, count, prompts in zip((FAST, SLOW), fleet, (fast_prompts, slow_prompts), strict=True):
        roles = {"prefill": prompts, "decode": count - prompts} if dedicated else {"mixed": count}
        parts += [llm.Instance(law, number, role=role, **made) for role, number in roles.items() if number]
    router = "delay:answer=30" if by_delay else "jsq"
    cluster = llm.Cluster(parts, transfer_bytes_per_s=LINK)
    served = llm.serve_cluster(requests, cluster, "vllm" if dedicated else "sarathi", router)
    return llm.cluster_summary(served, requests, slo_ttft_s=TTFT_S, slo_tpot_s=TPOT_S)


def _offered(point, jobs, seed):
    """(the requests, their rate)."""
    if "lengths" in point:
        requests = llm.generated(point["arrivals"], point["lengths"], jobs, seed)
        return requests, len(requests) / requests.arrival_s[-1]
    rate = _rate(point)
    return llm.generated(f"poisson:rate={rate}", MIXES[point["mix"]], jobs, seed), rate


def _rate(point):
    requests = _typical(point["mix"])
    return point["load"] * pools.capacity([(llm.hardware_law(FAST), FLEETS["8+0"][0])], requests, MAX_BATCH)


@lru_cache(maxsize=16)
def _typical(mix):
    """Many requests of the mix."""
    if mix not in MIXES:
        raise unknown("mix", str(mix), MIXES)
    return llm.generated("closed", MIXES[mix], SAMPLE, 1)


def _work(point):
    """Of each kind, (s of a mean prompt alone, s of a mean answer in the largest batch within TPOT_S)."""
    requests = llm.generated("closed", point["lengths"], 10, 1) if "lengths" in point else _typical(point["mix"])
    prompts, answers = float(requests.input_tokens.mean()), float((requests.output_tokens - 1).mean())
    found = []
    for law in map(llm.hardware_law, (FAST, SLOW)):
        batch = pools.full_batch(law, prompts + answers / 2, TPOT_S, MAX_BATCH)
        step = law.decode_step_ms + batch * (law.decode_seq_ms + law.kv_token_ms * (prompts + answers / 2))
        found.append((law.step_ms(prompts, prompts**2, 0, 0) / 1000, max(answers, 1e-9) * step / batch / 1000))
    return found
