"""Unit-time requests that make API calls: policies against the optimum in hindsight and proven bounds.

A point has the keys n, calls (short or long), arrivals (together or spread) and may have error (parameter of the
lognormal error of predicted durations, default 0), chunk and swap (numbers in place of those of the law) and room (a
factor of the memory).

    n = 3 or 4     that many requests, small enough for the optimum; the reference is that optimum, or
                   the best schedule found where NODES starts were too few for a proof
    n = "many"     40 requests; the reference is a proven lower bound on the total latency of the instance
    n = "search"   three requests, changed in `steps` steps so as to make the policy's ratio to the optimum worse; a
                   replication is one search

With the key `recompute` a point is a family of 30 requests that are alike instead: see _alike.

An optimum costs a search, so a replication has at most INSTANCES instances, whatever `jobs` says.
"""

import math
from functools import lru_cache

import numpy as np
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.streams import streams

INSTANCES = 10
NODES, FEWER = 300_000, 30_000  # starts tried for the proof of an optimum; in a search
LAWS = {  # memory, prompt, most segments, most output (None: what fits), chunk, swap, slots of the arrivals
    "few": ((20, 30), (1, 5), 3, None, 4, 8, 30),
    "many": ((60, 100), (1, 10), 4, 12, 8, 16, None),
}
LONGEST = {"few": {"short": 5, "long": 25}, "many": {"short": 5, "long": 50}}
ALIKE = 30
KEYS = ("n", "calls", "arrivals", "error", "chunk", "swap", "room", "steps", "recompute")


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of problem.toml, and proven_share, the instances whose reference is proven."""
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    chosen = policies.policy(policy)
    if "recompute" in point:
        return _alike(point["recompute"], chosen)
    n, few = point["n"], point["n"] != "many"
    if n not in (2, 3, 4, "many", "search") or isinstance(n, bool):
        raise InputError(f"n is {n!r}: it must be 2, 3, 4, 'many' or 'search'.")
    for key, known in (("calls", LONGEST["few"]), ("arrivals", ("together", "spread"))):
        if point[key] not in known:
            raise unknown(f"value of {key}", str(point[key]), known)
    if n == "search":
        return _searched(point, chosen, seed)
    rows = []
    for number in range(min(jobs, INSTANCES)):
        requests, setting = _instance(tuple(sorted(point.items())), seed + number)
        rows.append(_compared(requests, setting, chosen, few, NODES))
    return _metrics(rows)


def bound(point):
    """No schedule beats an optimum or a proven bound."""
    return None if "recompute" in point else {"ratio": (1.0, 0.0)}


def _metrics(rows):
    """The metrics of rows (ratio, mean latency, share of calls whose context was discarded, whether proven)."""
    ratio, latency, discarded, proven = np.array(rows, float).T
    if not np.all(np.isfinite(ratio)):
        raise InputError("the server gave up: a request was never served.")
    return {
        "ratio": float(ratio.mean()),
        "worst_ratio": float(ratio.max()),
        "mean_latency": float(latency.mean()),
        "discarded": float(discarded.mean()),
        "proven_share": float(proven.mean()),
        "completed_share": 1.0,
        "unstable": 0.0,
    }


def _compared(requests, setting, chosen, few, nodes):
    """(ratio, mean latency, share of calls whose context was discarded, whether the reference is proven)."""
    from openqueues.models.llm.hindsight_calls import latency_bound, optimum
    from openqueues.models.llm.unit_time_calls import serve_calls

    memory, chunk, swap = setting
    served = serve_calls(requests, memory, chosen, chunk=chunk, swap=swap)
    if not served.completed.all():
        return math.inf, math.inf, math.nan, False
    total = int((served.finish - requests.arrival).sum())
    reference, proven = latency_bound(requests, memory), True
    if few:
        best = optimum(requests, memory, chunk=chunk, swap=swap, nodes=nodes, known=total)
        reference, proven = best.total, best.proven
    calls = max(int((requests.call > 0).sum()), 1)
    return total / reference, total / len(requests), served.discarded / calls, proven


@lru_cache(maxsize=256)
def _instance(key, seed):
    """(requests, (memory, chunk, swap)) of a point: all numbers are drawn uniformly."""
    from openqueues.models.llm.hindsight_calls import volume_of
    from openqueues.models.llm.unit_time_calls import calls

    point = dict(key)
    kind = "many" if point["n"] == "many" else "few"
    sizes, prompts, segments, most, chunk, swap, slots = LAWS[kind]
    n = {"many": 40, "search": 3}.get(point["n"], point["n"])
    drawn = streams(seed)
    memory = int(drawn.sizes.integers(sizes[0], sizes[1] + 1))
    chunk, swap = point.get("chunk", chunk), point.get("swap", swap)
    prompt, output, call, told = [], [], [], []
    for _ in range(n):
        count = int(drawn.sizes.integers(1, segments + 1))
        prompt.append(int(drawn.sizes.integers(prompts[0], prompts[1] + 1)))
        largest = (memory - prompt[-1]) // count if most is None else most
        output.append(drawn.sizes.integers(1, largest + 1, count).tolist())
        lasts = drawn.routing.integers(1, LONGEST[kind][point["calls"]] + 1, count - 1)
        call.append(lasts.tolist())
        told.append((lasts * np.exp(point.get("error", 0) * drawn.predictions.standard_normal(count - 1))).tolist())
    arrival = np.zeros(n, np.int64)
    if point["arrivals"] == "spread":
        if slots is None:  # as many as the memory needs for what is held
            slots = int(volume_of(calls(arrival, prompt, output, call)).sum() / memory)
        arrival = np.sort(drawn.gaps.integers(0, slots + 1, n))
    return calls(arrival, prompt, output, call, told), (memory * point.get("room", 1), chunk, swap)


def _searched(point, chosen, seed):
    """The worst instance found by changing one number at a time; changes that make it no better are kept."""
    from openqueues.models.llm.unit_time_calls import calls

    (requests, setting), generator = _instance(tuple(sorted(point.items())), seed), streams(seed).routing
    longest, steps = LONGEST["few"][point["calls"]], point["steps"]
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise InputError(f"steps is {steps!r}: it must be a whole number of at least 0.")
    worst = _compared(requests, setting, chosen, True, FEWER)
    for _ in range(steps):
        i = int(generator.integers(len(requests)))
        rows = [slice(requests.first[k], requests.first[k + 1]) for k in range(len(requests))]
        arrival, prompt = requests.arrival.tolist(), requests.prompt.tolist()
        output = [requests.output[row].tolist() for row in rows]
        call = [requests.call[row].tolist()[:-1] for row in rows]
        part = int(generator.integers(4))
        if part == 0 and point["arrivals"] == "spread":
            arrival[i] = int(generator.integers(0, LAWS["few"][6] + 1))
        elif part == 1:
            prompt[i] = int(generator.integers(0, setting[0] // 2))
        elif part == 2 and call[i]:
            call[i][int(generator.integers(len(call[i])))] = int(generator.integers(1, longest + 1))
        else:
            output[i][int(generator.integers(len(output[i])))] = int(generator.integers(1, setting[0] // 2))
        if prompt[i] + sum(output[i]) > setting[0]:
            continue
        order = np.argsort(arrival, kind="stable")
        changed = calls(*([one[k] for k in order] for one in (arrival, prompt, output, call)))
        found = _compared(changed, setting, chosen, True, FEWER)
        if found[-1] and (found[0] >= worst[0] or not worst[-1]):
            requests, worst = changed, found
    return _metrics([worst])


def _alike(recompute, chosen):
    """30 requests that are alike: a token, a call, a token; the memory holds one context, and computing it again takes
    `recompute` slots. The worst duration of the call of some, the same for all, by the ratio to the better of two
    schedules: one request after another, each context preserved; and all first tokens, then one after another, each
    context computed again. So this ratio is at most that to the optimum.
    """
    from openqueues.models.llm.unit_time_calls import calls, serve_calls

    r, n = recompute, ALIKE
    if isinstance(r, bool) or not isinstance(r, int) or r < 2:
        raise InputError(f"recompute is {r!r}: it must be a whole number of slots, at least 2.")
    found = []
    for last in sorted({1, 2, r // 2, r - 1, r, r + 1, 2 * r, 4 * r} - {0}):
        preserved = (2 + last) * n * (n + 1) // 2
        end, again = 0, 0
        for k in range(1, n + 1):
            end = max(end, n, k + last) + r + 1
            again += end
        requests = calls([0] * n, [r - 1] * n, [[1, 1]] * n, [[last]] * n)
        served = serve_calls(requests, r + 1, chosen, chunk=1)
        total = int(served.finish.sum()) if served.completed.all() else math.inf
        found.append((total / min(preserved, again), total / n, served.discarded / n, True))
    return _metrics([max(found)])
