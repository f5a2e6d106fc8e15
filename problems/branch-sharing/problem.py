"""Branches of one request that share the KV cache of its prompt. A point has the keys branches, prompt and load.

branches: chains of thought of a question, all there when it arrives; it is done when the last of them is. prompt: its
tokens. load: of the engine, about, if its batch were full and prompts computed once a question. With `alone` questions
never meet and all chains have that many tokens.
"""

import numpy as np
from openqueues.models import llm
from openqueues.models.llm.questions import questions

HARDWARE = "llama2-70b-h100-tp8"
MAX_BATCH = 64
KV_TOKENS = 120_000
TOKEN_BUDGET = 2_048
BUDGET = 4_096
BLOCK = 16
SAMPLE = 20_000
"""Questions, for the bound."""


def simulate(point, policy, seed, jobs):
    """One replication of about `jobs` branches: latency of questions, and memory next to that without sharing."""
    hardware = llm.hardware_law(HARDWARE)
    branches = point["branches"]
    requests = _requests(point, hardware, max(jobs // branches, 20), seed)
    setting = {"kv_tokens": KV_TOKENS, "max_batch": MAX_BATCH, "token_budget": TOKEN_BUDGET}
    served = llm.serve(requests, hardware, llm.completed(policy, mechanism="sarathi"), **setting)
    found = llm.summary(served, requests)
    arrival = requests.arrival_s[::branches]
    finish = served.finish_s.reshape(-1, branches).max(axis=1)
    counted = slice(len(arrival) // 10, None)
    latency = (finish - arrival)[counted]
    alone = _longest_s(point["prompt"], requests.output_tokens.reshape(-1, branches), hardware)[counted]
    return {
        "mean_latency_s": latency.mean(),
        "p99_latency_s": np.quantile(latency, 0.99),
        "stretch": latency.mean() / alone.mean(),
        "mean_kv_tokens": served.mean_kv_tokens,
        "peak_kv_tokens": served.peak_kv_tokens,
        "preemptions": found["preemptions"],
        "mean_batch": found["mean_batch"],
        "completed_share": found["completed_share"],
        "unstable": found["unstable"],
    }


def bound(point):
    """The prompt must be computed once, and each further token of the longest branch takes a step of its own."""
    found = {"stretch": (1.0, 0.0)}
    if "alone" not in point:
        longest = _longest_s(point["prompt"], _tokens(point, SAMPLE, 1)[1], llm.hardware_law(HARDWARE))
        found["mean_latency_s"] = (float(longest.mean()), float(3 * longest.std() / SAMPLE**0.5))
    return found


def _longest_s(prompt, tokens, hardware):
    """(questions,) s: none ends sooner than its longest branch in an empty engine; tokens (questions, branches)."""
    more = tokens.max(axis=1) - 1.0
    ms = hardware.prefill_step_ms + hardware.prefill_token_ms * prompt
    ms += more * (hardware.decode_step_ms + hardware.decode_seq_ms)
    return (ms + hardware.kv_token_ms * (more * prompt + more * (more + 1) / 2)) / 1000


def _tokens(point, n, seed):
    """(the questions, tokens of their chains)."""
    asked = questions(n, seed, most=point["branches"])
    tokens = np.minimum(asked.tokens, BUDGET)
    return asked, np.full_like(tokens, point["alone"]) if "alone" in point else tokens


def _requests(point, hardware, n, seed):
    branches, prompt = point["branches"], point["prompt"]
    asked, tokens = _tokens(point, n, seed)
    answer = tokens.mean()
    step_ms = hardware.decode_step_ms / MAX_BATCH + hardware.decode_seq_ms
    step_ms += hardware.kv_token_ms * (prompt + answer / 2)
    rate = point["load"] * 1000 / (hardware.prefill_token_ms * prompt + branches * answer * step_ms)
    when = "deterministic:rate=0.001" if "alone" in point else f"poisson:rate={rate}"
    arrival = llm.generated(when, "fixed:input=1,output=1", n, seed).arrival_s
    blocks = prompt // BLOCK
    own = (np.arange(n)[:, None] * blocks + np.arange(blocks)).repeat(branches, axis=0)
    return llm.Requests(
        arrival.repeat(branches),
        np.full(n * branches, prompt),
        tokens.ravel(),
        predicted_output_tokens=asked.predicted_tokens.repeat(branches),
        prefix_start=blocks * np.arange(n * branches + 1),
        prefix_blocks=own.ravel(),
        prefix_block_tokens=BLOCK,
    )
