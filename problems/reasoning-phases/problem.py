"""Reasoning programs, which expand and aggregate in turn, on one engine. A point has the keys work and load.

work: "majority" (8 chains and a vote), "tree" (rounds of 6 steps, each followed by a score), "search" (Monte Carlo tree
search with 3 simulations under way), "mix" (a third each), or "fixed" (two chains of 11 tokens after a prompt of 100,
and a vote). load: of the engine, about, if its batch were full and nothing cached. A policy whose information is
"oracle" is told the true lengths in place of the predicted ones. Chains are stopped after BUDGET tokens.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import unknown
from openqueues.models.llm.program_metrics import program_finish, program_summary
from openqueues.models.llm.questions import questions
from openqueues.models.llm.reasoning import majority, search, tree
from openqueues.models.llm.reasoning_mix import mixed
from openqueues.models.streams import streams

HARDWARE = "llama2-70b-h100-tp8"
MAX_BATCH = 24
KV_TOKENS = 120_000
TOKEN_BUDGET = 2_048
BUDGET = 4_096
MOST = 600
"""Programs of a replication."""
CHAINS, WIDTH, ROUNDS, SIMULATIONS, AT_ONCE = 8, 6, 3, 9, 3
WORKS = ("majority", "tree", "search", "mix", "fixed")


def simulate(point, policy, seed, jobs):
    """One replication of so many programs: latency of programs, and `stretch`, over that of their critical paths."""
    hardware = llm.hardware_law(HARDWARE)
    reasoned = _programs(point["work"], float(point["load"]), min(jobs, MOST), seed)
    programs = reasoned.programs
    if llm.policy(policy).information == "oracle":
        requests = programs.requests
        programs = programs.with_requests(
            replace(requests, predicted_output_tokens=requests.output_tokens.astype(float))
        )
    cluster = llm.Cluster([llm.Instance(HARDWARE, kv_tokens=KV_TOKENS, max_batch=MAX_BATCH, token_budget=TOKEN_BUDGET)])
    served = llm.serve_cluster(programs, cluster, llm.completed(policy, prefix_cache=True, mechanism="sarathi"))
    found = program_summary(served, programs)
    counted = slice(programs.count // 10, None)
    latency = (program_finish(served, programs) - programs.arrival_s)[counted]
    names = ("mean_latency_s", "p99_latency_s", "preemptions", "mean_batch", "completed_share", "unstable")
    return {name: found[name] for name in names} | {
        "stretch": latency.mean() / alone(programs, hardware)[counted].mean(),
        "accuracy": 100 * reasoned.right()[counted].mean(),
        "reused_share": served.reused_tokens.sum() / programs.requests.input_tokens.sum(),
    }


def alone(programs, hardware):
    """(programs,) s: no policy is faster, since each token after a stage's first takes a decoding step of its own."""
    step_ms = hardware.decode_step_ms + hardware.decode_seq_ms
    path = programs.path((programs.requests.output_tokens - 1) * step_ms / 1000)
    return np.maximum.reduceat(path, programs.begins[:-1])


def bound(point):
    """No mean is below that of the critical paths."""
    return {"stretch": (1.0, 0.0)}


@lru_cache(maxsize=64)
def _programs(work, load, n, seed):
    if work not in WORKS:
        raise unknown("value of work", str(work), WORKS)
    asked = questions(n, seed, most=CHAINS)
    asked = replace(asked, tokens=np.minimum(asked.tokens, BUDGET))
    if work == "fixed":
        asked = replace(asked, prompt=np.full(n, 100), tokens=np.full((n, CHAINS), 11))
    ways = {
        "majority": lambda asked, when: majority(asked, when, CHAINS, seed),
        "tree": lambda asked, when: tree(asked, when, seed, width=WIDTH, rounds=ROUNDS),
        "search": lambda asked, when: search(asked, when, seed, simulations=SIMULATIONS, at_once=AT_ONCE),
        "fixed": lambda asked, when: majority(asked, when, 2, seed),
    }
    # Drawn once at rate 1; the rate then stretches the time. Those of fixed lengths never meet if the load is small.
    if work == "mix":
        kind = np.random.default_rng(seed).permutation(np.arange(n) % 3)
        parts = [ways[one](asked.take(kind == k), "closed") for k, one in enumerate(("majority", "tree", "search"))]
        reasoned = mixed(parts, kind, llm.arrivals_law("poisson:rate=1").draw(streams(seed).gaps, n))
    else:
        reasoned = ways[work](asked, "deterministic:rate=1" if work == "fixed" else "poisson:rate=1")
    programs = reasoned.programs
    hardware = llm.hardware_law(HARDWARE)
    prompt, answer = programs.requests.input_tokens, programs.requests.output_tokens
    step_ms = hardware.decode_step_ms / MAX_BATCH + hardware.decode_seq_ms
    busy_ms = hardware.prefill_token_ms * np.sum(programs.new_tokens) + np.sum(
        answer * (step_ms + hardware.kv_token_ms * (prompt + answer / 2))
    )
    rate = load * 1000 * programs.count / busy_ms
    requests = replace(programs.requests, arrival_s=programs.requests.arrival_s / rate)
    return replace(reasoned, programs=programs.with_requests(requests))
