"""Requests with API calls among machines that host end points of two qualities.

A point has the keys contexts (discard: each piece of a request is routed; infercept: a request stays where its context
is kept), rate (requests per second and machine) and price (mean worth of the quality of a call, in s). With alone =
true a run is one request with one call.
"""

from functools import lru_cache

import numpy as np
from openqueues.models import llm
from openqueues.models.llm.calls import CLASSES
from openqueues.models.llm.replication import WARM_UP
from openqueues.models.streams import derive_seed

HARDWARE = "gptj-6b-a100-infercept"
GOOD, POOR = 2, 2
KV_TOKENS, MAX_BATCH = 25_000, 256
SAMPLE, FEW = 10_000, 3_000
"""Requests for the bound, and for the calls of a class."""


def simulate(point, policy, seed, jobs):
    """One replication: seconds of a request beside its calls, and the worth of the quality that these lose."""
    programs, calls = _alone() if point.get("alone") else _programs(point, seed, jobs)
    machine = {"kv_tokens": KV_TOKENS, "max_batch": MAX_BATCH}
    cluster = llm.Cluster(
        [llm.Instance(HARDWARE, count=GOOD, **machine), llm.Instance(HARDWARE, count=POOR, model=1, **machine)]
    )
    served = llm.serve_cluster(programs, cluster, point["contexts"], llm.router(policy), seed=seed)
    found = llm.program_summary(served, programs)
    counted = programs.program >= programs.count // WARM_UP
    poor = calls & (served.instance >= GOOD) & counted
    lost = float(programs.values[poor, 1].sum()) / (programs.count - programs.count // WARM_UP)
    return {
        "cost_s": found["mean_latency_without_calls_s"] + lost,
        "mean_latency_without_calls_s": found["mean_latency_without_calls_s"],
        "lost_s": lost,
        "poor_share": float(poor.sum()) / float((calls & counted).sum()),
        "mean_ttft_s": found["mean_ttft_s"],
        "recomputed_tokens": found["recomputed_tokens"],
        "completed_share": found["completed_share"],
    }


def bound(point):
    """No router costs less than requests that never meet, with good end points and nothing computed twice."""
    if point.get("alone"):
        return None
    seconds = least_s(_sample(SAMPLE))
    return {"cost_s": (float(seconds.mean()), float(3 * seconds.std() / SAMPLE**0.5))}


def least_s(programs):
    """(programs,) s beside their calls of requests that never meet: each new token of a prompt is computed once."""
    law, requests = llm.hardware_law(HARDWARE), programs.requests
    step = law.decode_step_ms + law.decode_seq_ms
    alone = law.prefill_step_ms + law.prefill_token_ms * programs.new_tokens + (requests.output_tokens - 1) * step
    return np.add.reduceat(alone, programs.begins[:-1]) / 1000


def _programs(point, seed, jobs):
    """(the requests, which stages end with a call), with the values that the statement names."""
    rate = point["rate"] * (GOOD + POOR)
    programs = llm.with_calls(f"poisson:rate={rate}", jobs, seed, data="fitted")
    programs = programs.with_requests(llm.predicted(programs.requests, "lognormal:sigma=0.3", seed))
    rng = np.random.default_rng(derive_seed("worth", seed))
    worth = point["price"] * rng.standard_exponential(programs.count)[programs.program]
    return _valued(programs, worth, point["contexts"])


def _valued(programs, worth, contexts):
    by = programs.continued_by
    calls = by >= 0
    kinds = programs.values[:, 0].astype(int)
    # What is kept decides all calls to come, of which the mean of the class is known; else the choice is for one call.
    expected = _calls_of_class()[kinds] if contexts != "discard" else np.ones(len(programs))
    delay = np.where(calls, programs.predicted_delay_s[by], 0.0)
    values = np.stack([kinds, worth, np.where(calls, expected, 0.0), delay], axis=1)
    return llm.Programs(
        programs.requests,
        program=programs.program,
        after_start=programs.after_start,
        after=programs.after,
        delay_s=programs.delay_s,
        predicted_delay_s=programs.predicted_delay_s,
        continues=programs.continues,
        values=values,
    ), calls


@lru_cache(maxsize=2)
def _sample(count):
    return llm.with_calls("closed", count, 1, data="fitted")


@lru_cache(maxsize=1)
def _calls_of_class():
    programs = _sample(FEW)
    kinds = programs.values[:, 0].astype(int)
    calls = np.bincount(kinds, programs.continued_by >= 0, minlength=len(CLASSES))
    return calls / np.bincount(kinds[programs.begins[:-1]], minlength=len(CLASSES))


def _alone():
    """A prompt of 100 tokens, 11 written, a call of 2 s that returns 20, and 6 more."""
    programs = llm.Programs(
        llm.Requests(
            np.zeros(2), np.array([100, 131]), np.array([11, 6]), predicted_output_tokens=np.array([11.0, 6.0])
        ),
        program=np.zeros(2, np.int64),
        after_start=np.array([0, 0, 1]),
        after=np.array([0]),
        delay_s=np.array([0.0, 2.0]),
        predicted_delay_s=np.array([0.0, 2.0]),
        continues=np.array([-1, 0]),
        values=np.zeros((2, 1)),
    )
    return _valued(programs, np.ones(2), "discard")
