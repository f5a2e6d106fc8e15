"""Throughput with shared prefixes kept in the cache, against vLLM without it, on batches of prompts that begin alike.

A point has the keys workload (of WORKLOADS, or "shared", or "pair") and kv_tokens. "shared" has prompts of 1,024 tokens
with share of them common to all, and answers of `answer` tokens. All requests are there at time 0, in random order,
but for prompts that contain earlier answers, which come behind these. It may have batch and requests, their number.
"""

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import unknown
from openqueues.models.streams import streams

HARDWARE = "llama2-70b-a100-tp4"
MAX_BATCH = 256
BLOCK = 16
PROMPT = 1024
WORKLOADS = {
    "few-shot": "57 subjects, each with 5 examples of 128 tokens; a question of 96; an answer of 1 token",
    "choices": "20 examples of 80 tokens before all; a question of 64 and 4 endings of 32 to score, 1 token each",
    "tree": "examples of 800 tokens before all; a problem of 64; thoughts of 64 tokens, 4 after each, 3 deep",
    "chat-short": "4 turns of 256 to 512 tokens, answers of 8",
    "chat-long": "4 turns of 256 to 512 tokens, answers of 256 to 512",
    "nothing": "prompts of 512 tokens that share nothing, answers of 64",
}


def simulate(point, policy, seed, jobs):
    """One replication of about `jobs` requests: how many times as long vLLM takes for all of them."""
    hardware = llm.hardware_law(HARDWARE)
    requests = _requests(point, point.get("requests", jobs), streams(seed).routing)
    setting = {"kv_tokens": point["kv_tokens"], "max_batch": point.get("batch", MAX_BATCH), "block_tokens": BLOCK}
    own, base = (llm.serve(requests, hardware, one, **setting) for one in (policy, "vllm"))
    prompts = float(requests.input_tokens.sum())
    return {
        "throughput_ratio": base.makespan_s / own.makespan_s,
        "latency_ratio": base.finish_s.mean() / own.finish_s.mean(),
        "throughput_per_s": len(requests) / own.makespan_s,
        "reused_share": own.reused_tokens / prompts,
        "preemptions": own.preemptions / len(requests),
    }


def _requests(point, n, rng):
    """The requests of a workload: each is a list of parts, (name, tokens), in order, a depth, and an answer."""
    made = point["workload"]
    if made == "shared":
        head = round(point["share"] * PROMPT / BLOCK) * BLOCK
        rows = [([("all", head), (i, PROMPT - head)], 0, point["answer"]) for i in range(n)]
    elif made == "pair":
        rows = [([("all", 960), (i, 64)], 0, 1) for i in range(2)]
    elif made == "few-shot":
        rows = [([(("subject", i % 57), 640), (i, 96)], 0, 1) for i in range(n)]
    elif made == "choices":
        rows = [([("all", 1600), (("question", i // 4), 64), (i, 32)], 0, 1) for i in range(n)]
    elif made == "tree":
        rows = [row for problem in range(max(n // 84, 1)) for row in _tree(problem)]
    elif made in ("chat-short", "chat-long"):
        rows = [row for talk in range(max(n // 4, 1)) for row in _talk(talk, made, rng)]
    elif made == "nothing":
        rows = [([(i, 512)], 0, 64) for i in range(n)]
    else:
        raise unknown("workload", str(made), (*WORKLOADS, "shared", "pair"))
    order = np.lexsort((rng.random(len(rows)), [depth for _, depth, _ in rows]))
    return _with_blocks([rows[k] for k in order])


def _tree(problem):
    """84 thoughts of a problem: 4, then 4 after each of these, and again."""
    rows = []
    before = [[("all", 800), (("problem", problem), 64)]]
    for depth in range(3):
        rows += [(parts, depth, 64) for parts in before for _ in range(4)]
        before = [[*parts, (("thought", problem, depth, k, j), 64)] for k, parts in enumerate(before) for j in range(4)]
    return rows


def _talk(talk, made, rng):
    """The turns of a conversation: each prompt is all that was said before, and a question."""
    rows, parts = [], []
    for turn in range(4):
        question = int(rng.integers(256, 513))
        answer = 8 if made == "chat-short" else int(rng.integers(256, 513))
        parts = [*parts, ((talk, "question", turn), question)]
        rows.append((parts, turn, answer))
        parts = [*parts, ((talk, "answer", turn), answer)]
    return rows


def _with_blocks(rows):
    """The requests, with a block of the cache for each 16 tokens of a prompt that are the same in others, or its own.

    A block is named by what its first token belongs to and by its place, so that it is shared by prompts that have
    all of its tokens in common up to less than a block.
    """
    names, start, blocks, prompts = {}, [0], [], []
    for parts, _, _ in rows:
        edges = np.cumsum([0, *(tokens for _, tokens in parts)])
        for place in range(edges[-1] // BLOCK):
            # The block of the part to which its last token belongs.
            part = int(np.searchsorted(edges, (place + 1) * BLOCK, side="left")) - 1
            blocks.append(names.setdefault((parts[part][0], place), len(names)))
        start.append(len(blocks))
        prompts.append(int(edges[-1]))
    return llm.Requests(
        np.zeros(len(rows)),
        np.array(prompts),
        np.array([answer for _, _, answer in rows]),
        prefix_start=np.array(start),
        prefix_blocks=np.array(blocks, np.int64),
        prefix_block_tokens=BLOCK,
    )
