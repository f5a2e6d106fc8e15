"""Servers dedicated to prompts and to answers against pooled ones: the rate, and the objectives, that 90% keep.

A point has the key task (one of TASKS), and may have pooled (servers of the pooled organisation; as many as dedicated
ones if not given) and alone (true: one request). The policy is that of the pooled servers.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm import pools

SERVERS = 8
KEPT = 0.9
"""Share of the requests that must keep both objectives."""
HALVINGS = 9
HIGHEST, LOWEST = 1.5, 0.01
"""Rates between which the highest is sought, over one that no organisation exceeds for long (models/llm/pools.py)."""
WARM_UP = 10
BELOW = 0.75
"""Of the dedicated servers' highest rate, for slo_ratio_below."""
MOST_PROMPT, MOST_ANSWER = 1_536, 512
"""Of OPT, whose context is 2,048 tokens."""


@dataclass(frozen=True)
class Task:
    hardware: str
    lengths: str
    ttft_s: float
    tpot_s: float
    link: float = 300e9
    """Bytes a second that a server sends of KV caches."""
    kv_tokens: int | None = None
    max_batch: int = 256


def _opt(size, prompt, answer, ttft_s, tpot_s):
    return Task(f"opt-{size}", f"lognormal:input_mean={prompt},output_mean={answer}", ttft_s, tpot_s)


def _llama(lengths):
    return Task("llama2-70b-h100-tp4", lengths, 1.0, 0.075, 25e9, 450_000, 128)


TASKS = {
    "chat-13b": _opt("13b-a100-tp1", 755, 200, 0.25, 0.1),
    "chat-66b": _opt("66b-a100-tp4", 755, 200, 2.5, 0.15),
    "code-66b": _opt("66b-a100-tp4", 171, 98, 0.125, 0.2),
    "summary-66b": _opt("66b-a100-tp4", 1_738, 91, 15.0, 0.15),
    "azure-code": _llama("azure-code:data=fitted"),
    "azure-conv": _llama("azure-conv:data=fitted"),
}


def simulate(point, policy, seed, jobs):
    """One replication: the best dedicated organisation, found on the requests to come, beside the pooled one."""
    if point["task"] not in TASKS:
        raise unknown("task", str(point["task"]), TASKS)
    pooled = int(point.get("pooled", SERVERS))
    requests, most, best = _dedicated(point["task"], seed, jobs, bool(point.get("alone")))
    task = TASKS[point["task"]]
    own = _highest(requests, most, task, (0, pooled), policy)
    if not (own and best[0]):
        raise InputError(f"the objectives of task '{point['task']}' are kept at no rate: give easier ones.")

    def tightness(rate):
        """The pooled servers' factor of the objectives over the best dedicated ones', at this rate."""
        offered = _at(requests, rate)
        dedicated = min(_need(offered, task, (k, SERVERS)) for k in range(1, SERVERS))
        return _need(offered, task, (0, pooled), policy) / dedicated

    return {
        "rate_ratio": best[0] / own,
        "slo_ratio": tightness(best[0]),
        "slo_ratio_below": tightness(BELOW * best[0]),
        "pooled_rate_per_s": own,
        "dedicated_rate_per_s": best[0],
        "prefill_servers": best[1],
    }


@lru_cache(maxsize=64)
def _dedicated(name, seed, jobs, alone):
    """(requests at one a second, a rate that no organisation exceeds for long, (highest rate, servers for prompts))."""
    task = TASKS[name]
    if alone:
        requests = llm.generated("closed", "fixed:input=100,output=51", 1, seed)
    else:
        requests = llm.generated("poisson:rate=1", task.lengths, jobs, seed)
    if name.startswith(("chat", "code", "summary")):
        prompt, answer = requests.input_tokens, requests.output_tokens
        requests = replace(
            requests, input_tokens=np.minimum(prompt, MOST_PROMPT), output_tokens=np.minimum(answer, MOST_ANSWER)
        )
    most = pools.capacity([(llm.hardware_law(task.hardware), SERVERS)], requests, task.max_batch)
    best = (0.0, 0)
    # The likely ones first: the others then fail at the first rate that is tried.
    for k in sorted(range(1, SERVERS), key=lambda k: abs(2 * k - SERVERS)):
        best = max(best, (_highest(requests, most, task, (k, SERVERS), least=best[0]), k))
    return requests, most, best


def _highest(requests, most, task, organisation, policy="vllm", least=0.0):
    """The highest rate at which KEPT keep both objectives, by bisection of its logarithm; 0 if it is below `least`."""

    def kept(rate):
        return _need(_at(requests, rate), task, organisation, policy) <= 1

    low, high = max(least, LOWEST * most), HIGHEST * most
    if not kept(low):
        return 0.0
    if kept(high):
        return high
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low


def _at(requests, rate):
    return replace(requests, arrival_s=requests.arrival_s / rate)


def _need(requests, task, organisation, policy="vllm"):
    """The factor of both objectives that KEPT of the requests keep, after the warm-up."""
    served = llm.serve_cluster(requests, _cluster(task, *organisation), policy, "jsq")
    ttft = served.first_token_s - requests.arrival_s
    tpot = (served.finish_s - served.first_token_s) / np.maximum(requests.output_tokens - 1, 1)
    needs = np.maximum(ttft / task.ttft_s, tpot / task.tpot_s)[len(requests) // WARM_UP :]
    return float(np.quantile(needs, KEPT, method="higher"))


@lru_cache(maxsize=64)
def _cluster(task, prefill, servers):
    """So many servers, all for both phases (prefill = 0) or so many of them for prompts."""

    def made(count, role):
        return llm.Instance(task.hardware, count, role=role, kv_tokens=task.kv_tokens, max_batch=task.max_batch)

    if not prefill:
        return llm.Cluster([made(servers, "mixed")])
    parts = [made(prefill, "prefill"), made(servers - prefill, "decode")]
    return llm.Cluster(parts, transfer_bytes_per_s=task.link)
