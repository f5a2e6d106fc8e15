"""Answers of random length that are cut at a limit of tokens: one request at a time, or batches. Times are in seconds.

A point has limit (tokens) and rate (requests a second). With `patience` a request leaves when it has waited that long.
`fcfs` serves one request at a time, A seconds a token; policies of this entry serve batches of the time BATCH. A point
with the key `identity` is a number of IDENTITIES instead.
"""

import math

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues.batch import BatchTime
from openqueues.models.queues.batch import simulate as run
from openqueues.models.streams import streams

MU, SIGMA = 7.0, 0.7
"""Of the logarithm of an answer's tokens."""
A = 0.0225
"""Seconds a token, one request at a time."""
BATCH = BatchTime(per_request=0.05, per_token=0.022, per_both=0.0005)
IDENTITIES = ("delay-cut", "loss-rise", "not-cut")
RATES = {"delay-cut": 1 / 40, "loss-rise": 1 / 25}


def simulate(point, policy, seed, jobs):
    """One replication: mean_wait_s of who is served, mean_latency_s, loss (share that left), cut_share, mean_batch."""
    names = ("mean_wait_s", "mean_latency_s", "loss", "cut_share", "mean_batch", "completed_share", "unstable")
    limit, rate = _limit(point), point["rate"]
    if _batches(policy):
        found = run(lambda rng, n: _tokens(rng, n, limit), rate, BATCH, seed, jobs, **_rule(policy))
        shares = (0.0, _cut(limit), found["mean_batch"], found["completed_share"], found["unstable"])
        return dict(zip(names, (found["mean_wait"], found["mean_latency"], *shares), strict=True))
    source = streams(seed)
    gaps = source.gaps.standard_exponential(jobs) / rate
    sizes = A * _tokens(source.sizes, jobs, limit)
    waits = _waits(gaps.tolist(), sizes.tolist(), point.get("patience", math.inf))
    counted = np.arange(jobs) >= jobs // 10
    served = counted & np.isfinite(waits)
    stays = served.sum() / counted.sum()
    # Without patience the work that is left at the end of an overloaded run is of the order of all work.
    unstable = "patience" not in point and waits[-1] > 0.02 * gaps.sum()
    latency = (waits + sizes)[served].mean()
    values = (waits[served].mean(), latency, 1 - stays, _cut(limit), 1.0, stays, float(unstable))
    return dict(zip(names, map(float, values), strict=True))


def exact(point, policy):
    """The same by formula: Pollaczek and Khinchine, a renewal equation with patience, the chain of batch sizes."""
    from openqueues.models.analysis import batch

    if "identity" in point:
        return {"value": (_identity(point["identity"]), 1e-6)}
    limit, rate = _limit(point), point["rate"]
    tokens, weights = batch.clipped(MU, SIGMA, limit)
    if _batches(policy):
        rule = _rule(policy)
        if rate >= batch.capacity(BATCH, tokens, weights, most=rule["most"], elastic=rule["elastic"]):
            return None
        found = batch.gather_all(rate, BATCH, tokens, weights, **rule)
        return {
            "mean_wait_s": (found.mean_wait, found.error),
            "mean_latency_s": (found.mean_latency, found.error),
            "mean_batch": (found.mean_batch, 1e-9 * found.mean_batch),
        }
    cut = {"cut_share": (_cut(limit), 0.0)}
    if "patience" in point:
        found = _impatient(limit, rate, point["patience"])
        return cut | {"loss": found["loss"], "mean_wait_s": found["served_wait"]}
    wait = _delay(limit, rate)
    return cut | ({"mean_wait_s": (wait, 0.0)} if math.isfinite(wait) else {})


def _limit(point):
    limit = point.get("limit")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InputError(f"limit is {limit!r}: it must be a whole number of tokens of at least 1.")
    return limit


def _batches(policy):
    read = read_policy(policy)
    if read.shape != "decision" and read.name != "fcfs":
        raise InputError(f"policy '{read.name}' is not served here: use fcfs, or one with a parameter 'elastic'.")
    return read.shape == "decision"


def _rule(policy):
    """What makes a batch: as many as a parameter `batch` says, else all that wait."""
    given = read_policy(policy).parameters
    size = given.get("batch")
    return {"least": int(size or 1), "most": int(size) if size else None, "elastic": bool(given.get("elastic", False))}


def _tokens(rng, n, limit):
    return np.minimum(np.ceil(np.exp(MU + SIGMA * rng.standard_normal(n))), limit)


def _cut(limit):
    """Share of the answers that are longer than the limit."""
    return 0.5 * math.erfc((math.log(limit) - MU) / SIGMA / math.sqrt(2))


def _waits(gaps, sizes, patience):
    """The wait of each of the requests, first come first served; nan for who leaves."""
    work, waits = 0.0, []
    for gap, size in zip(gaps, sizes, strict=True):
        work = max(work - gap, 0.0)
        if work <= patience:
            waits.append(work)
            work += size
        else:
            waits.append(math.nan)
    return np.array(waits)


def _delay(limit, rate):
    """Mean wait by Pollaczek and Khinchine; infinite where the server has more work than time."""
    from openqueues.models.analysis import batch

    tokens, weights = batch.clipped(MU, SIGMA, limit)
    load = rate * A * float(weights @ tokens)
    second = A * A * float(weights @ tokens**2)
    return rate * second / (2 * (1 - load)) if load < 1 else math.inf


def _impatient(limit, rate, patience):
    from openqueues.models.analysis import batch
    from openqueues.models.analysis.impatience import impatient

    tokens, weights = batch.clipped(MU, SIGMA, limit)
    return impatient(rate, A * tokens, weights, patience)


def _identity(name):
    """In percent: delay saved by 1600 for 3000 tokens, loss added by 3000 for 1300, answers within 1600 tokens."""
    if name == "delay-cut":
        rate = RATES[name]
        return 100 * (1 - _delay(1600, rate) / _delay(3000, rate))
    if name == "loss-rise":
        many, few = (_impatient(limit, RATES[name], 60.0)["loss"][0] for limit in (3000, 1300))
        return 100 * (1 - few / many)
    if name == "not-cut":
        return 100 * (1 - _cut(1600))
    raise unknown("identity", str(name), IDENTITIES)
