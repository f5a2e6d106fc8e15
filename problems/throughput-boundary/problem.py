"""How much a server of one language model can take, by rounds of tokens and by the iteration engine.

A point has one of the settings

    share      Poisson arrivals at this share of the boundary, requests of `lengths` (prompt+decoding tokens, LENGTHS)
    five       the example of five requests; each replication is the same
    gap_ms     equal gaps, with prompt, decode and most (requests in progress); each replication is the same
    ratio      memory: all requests are there at 0; see RATIOS

and in the first three the keys server ("rounds": rounds.py, "engine": openqueues.models.llm) and budget (tokens a
round). In the engine the first token comes with the end of the prompt, so that an answer has one token more than
decoding steps. A policy has the rule of its name in rounds; others run only in the engine.
"""

import math
from functools import lru_cache

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import InputError, unknown

from .rounds import RULES, serve

LAW = "codellama-34b-a100-dai"
LENGTHS = {"100+100": (100, 100), "129+112": (129, 112), "128+128": (128, 128)}
MOST_JOBS = 6000
FIVE = [0.0, 0.0, 0.0, 1.5, 1.5], [1] * 5, [2, 4, 3, 1, 1]
"""Arrivals in ms, prompts and decoding tokens; A, B and C compute their prompts in a round that is not counted."""
FIVE_BUDGET = {"sarathi": 4, "orca": 5, "vllm": 4, "fastertransformer": 4}

KV_TOKENS = 131_000
CHUNK = 2048
LLAMA = "prefill_step_ms=12,decode_step_ms=12,prefill_token_ms=0.09,decode_seq_ms=0.05,kv_token_ms=0.0001"
RATIOS = {"1:1": (1600, 1600), "2:1": (2133, 1067), "1:2": (1067, 2133)}
"""Longest prompt and answer; both are uniform from 10 tokens on."""


def simulate(point, policy, seed, jobs):
    """One replication: growth_per_ms (tokens), batches, throughput_per_s, of_boundary, memory_share, done_share.

    growth_per_ms is of the unprocessed tokens while 45% to 90% of the requests arrive; of_boundary, of the rate of
    completions there, the share of what the formula says; done_share, of the requests up to then that are done;
    memory_share 0 where memory has no limit.
    """
    if "ratio" in point:
        return _memory(point, policy, seed, min(jobs, MOST_JOBS))
    arrival, prompt, decode, rate = _requests(point, seed, min(jobs, MOST_JOBS))
    run = {"rounds": _by_rounds, "engine": _by_engine}
    if point["server"] not in run:
        raise unknown("server", str(point["server"]), run)
    finish, batches, processed = run[point["server"]](point, policy, arrival, prompt, decode)
    growth = throughput = 0.0
    begin, end = arrival[len(arrival) * 45 // 100], arrival[_last(arrival)]
    if "five" not in point:
        span = end - begin
        came = (prompt + decode)[(arrival > begin) & (arrival <= end)].sum() / span
        if point.get("share", 0.0) > 1:
            # Where all is busy what came is the noise: its mean is known.
            came = point["share"] * _boundary(point)[0]
        growth = came - (processed(end) - processed(begin)) / span
        throughput = 1000 * np.count_nonzero((finish > begin) & (finish <= end)) / span
    return {
        "growth_per_ms": float(growth),
        "batches": float(batches),
        "throughput_per_s": float(throughput),
        "of_boundary": float(throughput / rate),
        "memory_share": 0.0,
        "done_share": float(np.count_nonzero(finish <= end) / np.count_nonzero(arrival <= end)),
    }


def exact(point, policy):
    """The boundary in requests a second; for policies that fill each batch, the growth in the limit of large times."""
    if "share" not in point:
        return None
    tokens, rate = _boundary(point)
    known = {"boundary_per_s": (rate, 0.0)}
    if policy in ("sarathi", "orca"):
        known["growth_per_ms"] = (max(point["share"] - 1, 0.0) * tokens, 0.0)
    return known


def _boundary(point):
    """(tokens a ms of full batches, requests a second) by Theorem 2 of Dai et al."""
    from openqueues.models.llm.bounds import token_rate

    tokens = token_rate(llm.hardware_law(LAW), point["budget"])
    if "lengths" in point:
        if point["lengths"] not in LENGTHS:
            raise unknown("lengths", str(point["lengths"]), LENGTHS)
        size = sum(LENGTHS[point["lengths"]])
    else:
        size = point["prompt"] + point["decode"]
    return tokens, 1000 * tokens / size


def _requests(point, seed, jobs):
    """(arrival in ms, prompt, decode, requests a second at the boundary)."""
    if "five" in point:
        return (*map(np.array, FIVE), 1.0)
    _, boundary = _boundary(point)
    if "share" in point:
        law = f"poisson:rate={boundary * point['share']}"
        arrival = 1000 * llm.generated(law, "fixed:input=1,output=1", jobs, seed).arrival_s
        prompt, decode = LENGTHS[point["lengths"]]
    else:
        arrival = point["gap_ms"] * np.arange(1.0, jobs + 1)
        prompt, decode = point["prompt"], point["decode"]
    return arrival, np.full(jobs, prompt), np.full(jobs, decode), boundary


def _last(arrival):
    """The last request of the window in which we look: arrivals go on after it, as they did before."""
    return len(arrival) * 9 // 10


def _by_rounds(point, policy, arrival, prompt, decode):
    """(finish in ms, batches, tokens processed by a time) by rounds.py."""
    if policy not in RULES:
        raise InputError(f"rounds know {', '.join(RULES)}, not '{policy}': run it where server is engine.")
    if "five" in point:
        served = serve(arrival, prompt, decode, policy, FIVE_BUDGET[policy], lambda tokens: 1.0)
        return served.finish, len(served.end) - 1, None
    law, budget = llm.hardware_law(LAW), point["budget"]
    times = [law.step_ms(tokens, 0, 0, 0) for tokens in range(budget + 1)]
    most = point.get("most", math.inf)
    served = serve(arrival, prompt, decode, policy, budget, times.__getitem__, most, until=arrival[_last(arrival)])
    total = np.append(0, np.cumsum(served.prompts + served.decoded))
    return served.finish, len(served.end), lambda t: total[np.searchsorted(served.end, t, "right")]


def _by_engine(point, policy, arrival, prompt, decode):
    """The same by the engine; what is processed by a time is taken to grow evenly between first and last token."""
    requests = llm.Requests(arrival / 1000, prompt, decode + 1)
    if "five" in point:
        budget = FIVE_BUDGET.get(policy) if policy in ("orca", "sarathi") else None
        served = llm.serve(requests, llm.Hardware(compute_step_ms=1.0), policy, token_budget=budget)
        return 1000 * served.finish_s, served.iterations - 1, None
    budget = point["budget"]
    most = point.get("most", budget)
    served = llm.serve(requests, llm.hardware_law(LAW), policy, kv_tokens=0, max_batch=most, token_budget=budget)
    first, finish = 1000 * served.first_token_s, 1000 * served.finish_s

    def processed(t):
        return float((prompt * (first <= t) + decode * np.clip((t - first) / (finish - first), 0.0, 1.0)).sum())

    return finish, served.iterations, processed


def _memory(point, policy, seed, jobs):
    """What `jobs` more requests take when as many have been served before: the end of the run cancels."""
    runs = [_saturated(point["ratio"], policy, seed, n) for n in (jobs, 2 * jobs)]
    (span, busy, steps, area), (span2, busy2, steps2, area2) = runs
    step_s = (busy2 - busy) / (steps2 - steps)
    throughput = jobs / (span2 - span)
    theory = KV_TOKENS / (step_s * lifetime(*RATIOS[point["ratio"]]))
    return {
        "growth_per_ms": 0.0,
        "batches": float(steps2 - steps),
        "throughput_per_s": throughput,
        "of_boundary": throughput / theory,
        "memory_share": (area2 - area) / (span2 - span) / KV_TOKENS,
        "done_share": 1.0,
    }


def _saturated(ratio, policy, seed, n):
    """(seconds, busy seconds, iterations, resident tokens times seconds) of n requests that are all there at 0."""
    if ratio not in RATIOS:
        raise unknown("ratio", str(ratio), RATIOS)
    prompt, answer = RATIOS[ratio]
    law = f"uniform:input_low=10,input_high={prompt},output_low=10,output_high={answer}"
    requests = llm.generated("closed", law, n, seed)
    setting = {"kv_tokens": KV_TOKENS, "max_batch": 4096, "token_budget": CHUNK}
    served = llm.serve(requests, llm.hardware_law(LLAMA), policy, **setting)
    return served.makespan_s, served.busy_s, served.iterations, served.mean_kv_tokens * served.makespan_s


@lru_cache
def lifetime(prompt, answer, low=10):
    """E[g]: tokens in memory over the steps of a request's life, lengths uniform from `low` to `prompt` and `answer`.

    A prompt is computed in steps of CHUNK tokens; then each token of the answer is a step with one token more.
    """
    s, o = np.arange(low, prompt + 1.0), np.arange(low, answer + 1.0)
    steps = np.ceil(s / CHUNK)
    filling = CHUNK * steps * (steps - 1) / 2 + s
    return float(filling.mean() + o.mean() * s.mean() + np.mean(o * (o + 1) / 2))
