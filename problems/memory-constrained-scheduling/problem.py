"""Unit-time requests that share a KV cache: policies against the optimum in hindsight, and capacity identities.

A point has the keys model (1: all come at slot 0; 2: Poisson arrivals) and n ("study" for the sizes of the study, or
that many requests, for which the optimum is proven), and may have prompts ("one": all prompts of an instance are
equal, the default; "each": drawn for each request, up to half the memory), interval (the share by which the predicted
interval reaches below and above the output; default 0), memory, prompt, output (numbers in place of the laws) and room
(a factor of the memory). A point with the key `identity` is a formula of IDENTITIES instead.

The reference of an instance costs a search, so a replication has at most INSTANCES instances, whatever `jobs` says.
"""

import math
from functools import lru_cache

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.streams import streams

INSTANCES = 10
MOVES = 4000  # orders tried by the search for a good schedule of a large instance
NODES = 20_000_000  # starts tried for a proof
CLASSES = (10, 10, 10), (20, 40, 60)  # prompts and outputs of Dong and Cao's three classes
IDENTITIES = ("dong-cao-boundary", "dong-cao-peak", "dai-tokens-per-ms", "dai-requests-per-s")


def simulate(point, policy, seed, jobs):
    """One replication of min(jobs, INSTANCES) instances.

    ratio: mean over the instances of the policy's total latency to the reference's, which is the optimum where
    proven_share is 1, else the best schedule found; ratio_bound: to a proven lower bound; optimal_share: instances in
    which the policy is as good as the reference; mean_latency in slots, by instance; restarts a request. unstable
    where a policy never ends an instance.
    """
    from openqueues.models.llm.bounds import busy_time_bound
    from openqueues.models.llm.unit_time import serve_slots

    reach = point.get("interval", 0.0)
    if not 0 <= reach < 1:
        raise InputError(f"interval is {reach}: it must be from 0 to below 1.")
    names = ("ratio", "ratio_bound", "optimal_share", "proven_share", "mean_latency", "restarts")
    rows = []
    for number, best in enumerate(_references(_key(point), seed, min(jobs, INSTANCES))):
        arrival, prompt, output, memory = _instance(_key(point), seed, number)
        lower = np.maximum(np.floor((1 - reach) * output), 1)
        upper = np.ceil((1 + reach) * output)
        served = serve_slots(arrival, prompt, output, output, memory, policy, lower=lower, upper=upper)
        if not served.completed.all():
            return dict.fromkeys(names, math.nan) | {"unstable": 1.0}
        total = int((served.finish - arrival).sum())
        bound = busy_time_bound(arrival, prompt, output, memory)
        mean = total / len(arrival)
        rows.append((total / best[0], total / bound, total == best[0], best[1], mean, served.restarts.mean()))
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True)) | {"unstable": 0.0}


def exact(point, policy):
    """{"value": (the identity's number, 0)} where the point names one."""
    if "identity" not in point:
        return None
    from openqueues.models.llm import hardware_law
    from openqueues.models.llm.bounds import flow_boundary, flow_peak, token_rate

    tokens = token_rate(hardware_law("codellama-34b-a100-dai"), 512)
    values = (
        flow_boundary(*CLASSES, 16492),
        flow_peak(*CLASSES, (4, 4, 4)),
        tokens,
        1000 * tokens / 200,
    )
    if point["identity"] not in IDENTITIES:
        raise unknown("identity", str(point["identity"]), IDENTITIES)
    return {"value": (values[IDENTITIES.index(point["identity"])], 0.0)}


def bound(point):
    """No schedule beats a proven optimum, and none the bound."""
    if "identity" in point:
        return None
    return {"ratio_bound": (1.0, 0.0)} | ({} if point["n"] == "study" else {"ratio": (1.0, 0.0)})


def upper_bounds(policy, against, limits):
    """Published upper bounds on the ratio to the optimum within the limits of `openqueues attack`, by name.

    Both are for requests that all come at slot 0. SVF with peaks of at most the share `fill` of the memory: Kong, Qi,
    Ye, Zhou. A_max with intervals whose ends are at most a factor of `ends` apart, one prompt: Chen, Ye, Zhou.
    """
    if limits["last_arrival"] > 0:
        return {}
    fill, ends = limits.get("fill", 1.0), limits.get("ends", 1.0)
    if policy == "svf" and fill < 1 and ends == 1:
        return {"published": 1 + 2 / (1 - fill)}
    if policy == "a-max" and limits.get("one_prompt"):
        return {"published": ends * (1 + ends) / 2}
    return {}


def _key(point):
    """What an instance depends on, fit as a key of caches."""
    model, n = point.get("model"), point.get("n")
    if model not in (1, 2):
        raise InputError(f"model is {model!r}: it must be 1 (all at slot 0) or 2 (Poisson arrivals).")
    if n != "study" and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 12):
        raise InputError(f"n is {n!r}: it must be 'study' or a number of requests from 1 to 12.")
    prompts = point.get("prompts", "one")
    if prompts not in ("one", "each"):
        raise unknown("value of prompts", str(prompts), ("one", "each"))
    return model, n, prompts, point.get("memory"), point.get("prompt"), point.get("output"), point.get("room", 1)


def _instance(key, seed, number):
    """(arrival, prompt, output, memory): the laws of the synthetic study of Jaillet et al."""
    model, n, prompts, memory, prompt, output, room = key
    drawn = streams(seed + number)
    sizes = drawn.sizes
    memory = int(sizes.integers(30, 51)) if memory is None else memory
    prompt = int(sizes.integers(1, 6)) if prompt is None else prompt
    if model == 1:
        arrival = np.zeros(sizes.integers(40, 61) if n == "study" else n, np.int64)
    else:
        slots, rate = int(sizes.integers(40, 61)), sizes.uniform(0.5, 1.5)
        counts = drawn.gaps.poisson(rate, slots if n == "study" else 40 * n)
        arrival = np.repeat(np.arange(len(counts)), counts)
        arrival = arrival if n == "study" else arrival[:n]
    each = np.full(len(arrival), prompt) if prompts == "one" else sizes.integers(1, memory // 2 + 1, len(arrival))
    lengths = sizes.integers(1, memory - each + 1) if output is None else np.full(len(arrival), output)
    return arrival, each, lengths, memory * room


@lru_cache(maxsize=256)
def _references(key, seed, instances):
    """(total latency, whether proven) of the best schedule known of each instance."""
    from openqueues.models.llm.hindsight import optimum

    nodes = 0 if key[1] == "study" else NODES
    found = (optimum(*_instance(key, seed, k), moves=MOVES, nodes=nodes, seed=seed + k) for k in range(instances))
    return [(best.total, best.proven) for best in found]
