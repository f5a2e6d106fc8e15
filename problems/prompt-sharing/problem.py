"""Prompts that begin alike, and the order in which they are served. A point has the keys prompts and load.

prompts: "documents" (questions about documents of applications: a tree of three levels), "conversations" (each turn
begins with all turns before it) or "three" (two prompts that begin alike and one between them, one at a time, with a
cache that holds one prompt). load: the rate as a share of that in RATES. A policy with a parameter `prompt` gets what a
token of a prompt costs the server, in tokens of an answer.
"""

import math

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.replication import WARM_UP
from openqueues.models.streams import derive_seed, streams

HARDWARE = "llama2-70b-a100-tp4"
MAX_BATCH = 48
KV_TOKENS = 120_000
CONTEXT = 4096
BLOCK = 64
"""Tokens of a prefix block."""
APPLICATIONS, DOCUMENTS = 20, 20
"""Applications, of popularity 1/1, 1/2, ..., and documents of each, equally popular."""
SYSTEM_BLOCKS, DOCUMENT_BLOCKS = 8, 16
LENGTHS = "lognormal:input_mean=150,output_mean=100"
"""Tokens of a question and its answer."""
TURNS, THINK_S = 5, 60.0
"""Mean turns of a conversation, and mean time from the arrival of one to that of the next."""
PREDICTIONS = "lognormal:sigma=0.5"
RATES = {"documents": 2.7, "conversations": 3.1}
"""Requests a second about which the backlog of first come first served begins to grow."""
PROMPTS = ("documents", "conversations", "three")


def simulate(point, policy, seed, jobs):
    """One replication: TTFT, latency, and reused_share, the prompt tokens found in the cache."""
    hardware = llm.hardware_law(HARDWARE)
    made, kv_tokens, batch = point["prompts"], KV_TOKENS, MAX_BATCH
    if made == "three":
        requests, kv_tokens, batch = _three(), 1008, 1
    elif made == "documents":
        requests = _documents(point["load"] * RATES[made], jobs, seed)
    elif made == "conversations":
        requests = _conversations(point["load"] * RATES[made], jobs, seed)
    else:
        raise unknown("value of prompts", str(made), PROMPTS)
    requests = llm.predicted(requests, PREDICTIONS, seed)
    token_ms = hardware.decode_step_ms / MAX_BATCH + hardware.decode_seq_ms + hardware.kv_token_ms * 1500
    policy = llm.completed(policy, prefix_cache=True, prompt=hardware.prefill_token_ms / token_ms)
    served = llm.serve(requests, hardware, policy, kv_tokens=kv_tokens, max_batch=batch)
    found = llm.summary(served, requests)
    names = ("mean_ttft_s", "p99_ttft_s", "mean_latency_s", "preemptions", "unstable")
    return {name: found[name] for name in names} | {
        "longest_ttft_s": float(np.max((served.first_token_s - requests.arrival_s)[len(requests) // WARM_UP :])),
        "reused_share": served.reused_tokens / float(requests.input_tokens.sum()),
    }


def bound(point):
    """A first token ends an iteration, and none is shorter than the compute line's constant."""
    return {"mean_ttft_s": (llm.hardware_law(HARDWARE).compute_step_ms / 1000, 0.0)}


def _documents(rate, n, seed):
    """Each prompt is the blocks of an application, then those of one of its documents, then a question of its own."""
    drawn = llm.generated(f"poisson:rate={rate}", LENGTHS, n, seed)
    rng = streams(seed).routing
    weights = 1 / np.arange(1, APPLICATIONS + 1)
    application = rng.choice(APPLICATIONS, n, p=weights / weights.sum())
    document = application * DOCUMENTS + rng.integers(DOCUMENTS, size=n)
    head = application[:, None] * SYSTEM_BLOCKS + np.arange(SYSTEM_BLOCKS)
    body = APPLICATIONS * SYSTEM_BLOCKS + document[:, None] * DOCUMENT_BLOCKS + np.arange(DOCUMENT_BLOCKS)
    blocks = np.hstack([head, body])
    shared = blocks.shape[1]
    return llm.Requests(
        drawn.arrival_s,
        shared * BLOCK + np.minimum(drawn.input_tokens, CONTEXT // 4),
        np.minimum(drawn.output_tokens, CONTEXT // 4),
        prefix_start=shared * np.arange(n + 1),
        prefix_blocks=blocks.ravel(),
        prefix_block_tokens=BLOCK,
    )


def _conversations(rate, n, seed):
    """About n turns; a prompt is the system's blocks, all questions and answers before it, and its question.

    A conversation ends before the turn that does not fit into the context. The clock is scaled by a few percent so that
    the rate is as given whatever the numbers of turns came out.
    """
    until = n / rate
    count = max(n // TURNS, 1)
    rng = streams(seed).routing
    # Conversations that began before time 0 make the rate the same from the start.
    early = 5 * TURNS * THINK_S
    count = math.ceil(count * (1 + early / until))
    begin = np.sort(rng.uniform(-early, until, count))
    turns = rng.geometric(1 / TURNS, count)
    owner = np.repeat(np.arange(count), turns)
    first = np.repeat(np.cumsum(turns) - turns, turns)
    total = len(owner)
    pauses = np.where(np.arange(total) == first, 0.0, rng.exponential(THINK_S, total))
    passed = np.cumsum(pauses)
    arrival = begin[owner] + passed - passed[first]
    drawn = llm.generated("closed", LENGTHS, total, derive_seed("turns", seed))
    question, answer = (np.minimum(one, CONTEXT // 8) for one in (drawn.input_tokens, drawn.output_tokens))
    text = np.cumsum(question + answer)
    prompt = SYSTEM_BLOCKS * BLOCK + text - (text - question - answer)[first] - answer
    kept = (prompt + answer <= CONTEXT) & (arrival >= 0) & (arrival <= until)
    if not kept.any():
        raise InputError("no turn of a conversation arrives in the time simulated: ask for more jobs.")
    order = np.argsort(arrival[kept], kind="stable")
    owner, arrival, prompt, answer = (one[kept][order] for one in (owner, arrival, prompt, answer))
    arrival = arrival * len(arrival) / (rate * until)
    full = prompt // BLOCK
    start = np.concatenate([[0], np.cumsum(full)])
    place = np.arange(start[-1]) - np.repeat(start[:-1], full)
    own = SYSTEM_BLOCKS + np.repeat(owner, full) * (CONTEXT // BLOCK) + place
    return llm.Requests(
        arrival,
        prompt,
        answer,
        prefix_start=start,
        prefix_blocks=np.where(place < SYSTEM_BLOCKS, place, own),
        prefix_block_tokens=BLOCK,
    )


def _three():
    """Prompts of 1,000 tokens, all there at 0: the first and the third share 960, the second nothing."""
    blocks = np.arange(15)
    return llm.Requests(
        np.zeros(3),
        np.full(3, 1000),
        np.ones(3, np.int64),
        prefix_start=15 * np.arange(4),
        prefix_blocks=np.concatenate([blocks, 15 + blocks, blocks]),
        prefix_block_tokens=BLOCK,
    )
