"""One server that takes requests in batches, in two settings. Times are in milliseconds, rates in requests a ms.

With the key `hardware`: Poisson arrivals, a batch of b takes alpha b + tau0. The rate is `rate`, or `load` over alpha;
`most`, where the point has it, is the largest batch of a policy that takes what waits. Else: lengths are uniform from
LOW to HIGH, batches of `batch` are full, and one takes as long as its longest request. The requests arrive at `load`
times the throughput of batches as long as their mean, batch / E[length], or, without `load`, are all there at 0.

A policy's `decide` gives the bin of a request; its parameters least and most (0: no limit) say how many of a bin make
a batch where the point does not, and a parameter `bins` is the point's.
"""

import math

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues.batch import BatchTime, serve_batches
from openqueues.models.queues.batch import simulate as run

HARDWARE = {"V100": (0.1438, 1.8874), "P4": (0.5833, 1.4284)}
"""alpha and tau0 in ms."""
LOW, HIGH = 1.0, 20.0
"""Shortest and longest time of a request among full batches."""


def simulate(point, policy, seed, jobs):
    """One replication: mean_latency_ms, p99_latency_ms, mean_batch, busy_share, throughput_per_ms, completed_share."""
    rule, bin_of = _rule(point, policy)
    if "hardware" in point:
        time, _, rate = _setting(point)
        found = run(lambda rng, n: np.zeros(n), rate, time, seed, jobs, bin_of=bin_of, **rule)
    else:
        time = BatchTime(per_token=1.0)
        rate = point["load"] * point["batch"] * 2 / (LOW + HIGH) if "load" in point else math.inf
        found = _full(point, rate, time, seed, jobs, bin_of, rule)
    return {
        "mean_latency_ms": found["mean_latency"],
        "p99_latency_ms": found["p99_latency"],
        "throughput_per_ms": found["throughput"],
        **{name: found[name] for name in ("mean_batch", "busy_share", "completed_share", "unstable")},
    }


def exact(point, policy):
    """By the chain of sizes for batches of all that wait, with Inoue's bound phi_ms; the throughput of full batches."""
    from openqueues.models.analysis import batch

    rule, bin_of = _rule(point, policy)
    if "hardware" not in point:
        if "load" in point:
            return None
        # Only bins of equal width, numbered from the shortest, have the closed form.
        numbers = bin_of(LOW + (HIGH - LOW) * (np.arange(4096) + 0.5) / 4096)
        bins = int(numbers[-1]) + 1
        if not np.array_equal(numbers, np.arange(4096) * bins // 4096):
            return None
        value = batch.multi_bin_throughput(LOW, HIGH, point["batch"], bins)
        return {"throughput_per_ms": (value, 0.0)}
    if rule["least"] != 1:
        return None
    time, (alpha, tau0), rate = _setting(point)
    one = np.ones(1)
    if rate >= batch.capacity(time, one, one, most=rule["most"]):
        return None
    found = batch.gather_all(rate, time, one, one, most=rule["most"])
    known = {
        "mean_latency_ms": (found.mean_latency, found.error),
        "mean_batch": (found.mean_batch, 1e-9 * found.mean_batch),
        "busy_share": (found.busy_share, 1e-9),
    }
    if rule["most"] is None:
        known["phi_ms"] = (min(batch.inoue_bounds(rate, alpha, tau0)), 0.0)
    return known


def _setting(point):
    """(time of a batch, (alpha, tau0), rate)."""
    if point["hardware"] not in HARDWARE:
        raise unknown("hardware", str(point["hardware"]), HARDWARE)
    alpha, tau0 = HARDWARE[point["hardware"]]
    rate = point["rate"] if "rate" in point else point["load"] / alpha
    return BatchTime(fixed=tau0, per_request=alpha), (alpha, tau0), rate


def _rule(point, policy):
    """What makes a batch, as serve_batches takes it, and the bin of each length."""
    read = read_policy(policy)
    if read.shape != "decision":
        raise InputError(
            f"policy '{read.name}' has a rank: one of this entry has SHAPE = 'decision' and returns a bin."
        )
    names = {}
    exec(compile(read.source, str(read.path), "exec"), names)
    values = {name: point.get(name, value) for name, value in read.parameters.items()}
    if "batch" in point:
        least = most = point["batch"]
    else:
        least, most = values.get("least", 1), values.get("most", 0)

    def bin_of(lengths):
        share = np.clip((lengths - LOW) / (HIGH - LOW), 0.0, 1.0)
        given = [share if name == "size" else values[name] for name in read.arguments]
        if "size" not in read.arguments:
            return np.full(len(share), int(names["decide"](*given)))
        place = read.arguments.index("size")
        return np.array([names["decide"](*given[:place], one, *given[place + 1 :]) for one in share.tolist()])

    return {"least": int(least), "most": int(most) or None}, bin_of


def _full(point, rate, time, seed, jobs, bin_of, rule):
    def draw(rng, n):
        return rng.uniform(LOW, HIGH, n)

    if rate < math.inf:
        return run(draw, rate, time, seed, jobs, bin_of=bin_of, **rule)
    from openqueues.models.streams import streams

    lengths = draw(streams(seed).sizes, jobs)
    bins = bin_of(lengths)
    # What a bin has beyond its last full batch is left out: it would be served in a smaller one.
    order = np.argsort(bins, kind="stable")
    counts = np.bincount(bins)
    place = np.arange(jobs) - np.repeat(np.cumsum(counts) - counts, counts)
    full = order[place < np.repeat(counts - counts % point["batch"], counts)]
    if not len(full):
        raise InputError(f"{jobs} requests fill no batch of {point['batch']}: give more jobs.")
    served = serve_batches(np.zeros(len(full)), lengths[full], time, bins=bins[full], **rule)
    end = served.finish.max()
    return {
        "mean_latency": float(served.finish.mean()),
        "p99_latency": float(np.quantile(served.finish, 0.99)),
        "mean_batch": len(full) / served.batches,
        "busy_share": served.busy / end,
        "throughput": len(full) / end,
        "completed_share": len(full) / jobs,
        "unstable": 0.0,
    }
