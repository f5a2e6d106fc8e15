"""Random traces, laws and settings of the LLM engine, and policies as a contributor might write them."""

from __future__ import annotations

import numpy as np
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.plans import MECHANISMS, MEMORY, RESERVE
from openqueues.models.llm.requests import Requests

# Policies of a contributor: a rank that rises while a request runs, ones that change with time, a static one.
OWN = {
    "las": 'SEES = ("generated",)\nSHAPE = "order"\n\ndef rank(generated):\n    return generated\n',
    "steps": 'SEES = ("generated", "running")\nSHAPE = "order"\nPARAMETERS = {"q": 3}\n\n'
    "def rank(generated, running, q):\n    return generated // q - running\n",
    "aging": 'SEES = ("left", "waited")\nSHAPE = "order"\nPARAMETERS = {"a": 20.0}\n\n'
    "def rank(left, waited, a):\n    return left - a * waited\n",
    "kinds": 'SEES = ("kind", "deadline", "input_tokens")\nSHAPE = "falling order"\n\n'
    "def rank(kind, deadline, input_tokens):\n    return kind * 100 + min(deadline, 50.0) + input_tokens\n",
    "alpha": 'SEES = ("arrival", "free_tokens", "kv_tokens", "batch", "admitted")\nSHAPE = "falling order"\n'
    'PARAMETERS = {"alpha": 0.3}\n\ndef rank(arrival):\n    return arrival\n\n'
    "def admit(free_tokens, kv_tokens, batch, admitted, alpha):\n"
    "    return batch == 0 or (free_tokens >= alpha * kv_tokens and admitted < 2)\n",
    "gather": 'SEES = ("arrival", "waiting", "batch", "waited", "needed_tokens", "admitted_tokens")\n'
    'SHAPE = "order"\n\n'
    "def rank(arrival):\n    return arrival\n\n"
    "def admit(waiting, batch, waited, needed_tokens, admitted_tokens):\n"
    "    return batch == 0 or waiting >= 3 or waited > 0.05 or needed_tokens + admitted_tokens < 20\n",
    "restive": 'SEES = ("left", "running")\nSHAPE = "falling order"\n\n'
    "def rank(left, running):\n    return left + 6 * running\n",
    "prefix": 'SEES = ("cached", "arrival")\nSHAPE = "order"\n\n'
    "def rank(cached, arrival):\n    return -cached + 10 * arrival\n",
    "rounds": 'SEES = ("turn_tokens", "running")\nSHAPE = "order"\nPARAMETERS = {"q": 3}\n\n'
    "def rank(turn_tokens, running, q):\n    return turn_tokens // q - running\n",
    "shorter": 'SEES = ("left", "running", "free_tokens", "batch", "preempted")\nSHAPE = "falling order"\n\n'
    "def rank(left, running, free_tokens, batch, preempted):\n"
    "    return -1.0 if running > 0 and (free_tokens < 5 * batch or preempted > 2) else left\n",
    "newest": 'SEES = ("arrival",)\nSHAPE = "falling order"\n\ndef rank(arrival):\n    return -arrival\n',
}


def hardware(rng: np.random.Generator) -> Hardware:
    """A law of one of its forms; half of them in whole numbers, so that events coincide exactly."""
    whole = rng.random() < 0.5

    def number(high):
        return float(rng.integers(0, high + 1)) if whole else float(rng.uniform(0, high))

    law = {"prefill_step_ms": 1 + number(9), "decode_step_ms": 1 + number(9), "decode_seq_ms": number(2)}
    law |= {"prefill_token_ms": number(2), "prefill_token2_ms": number(1) * 0.0625, "kv_token_ms": number(1) * 0.125}
    form = rng.integers(6)
    if form == 1:
        law |= {"from_batch": int(rng.integers(1, 5)), "decode2_step_ms": 1 + number(5), "kv2_token_ms": number(1)}
    elif form == 2:
        law |= {"tile_tokens": int(rng.integers(1, 9)), "tile_ms": 1 + number(5)}
    elif form == 3:
        law |= {"table_tokens": (2.0, 4.0, 12.0), "table_ms": (1.0, 1.0 + number(4), 9.0)}
    elif form == 4:
        law |= {"compute_step_ms": 1 + number(20), "compute_token_ms": number(4)}
    elif form == 5:
        law |= {"prefill_step_ms": -number(8), "decode_step_ms": -number(8), "compute_step_ms": 1 + number(2)}
    if form in (0, 5):
        law["mixed_step_ms"] = 3.0 + 2.0 * abs(law["decode_step_ms"])
    return Hardware(name="test", kv_bytes_per_token=1000.0, swap_bytes_per_s=1000.0 * rng.integers(200, 3000), **law)


def trace(rng: np.random.Generator) -> Requests:
    n = int(rng.integers(1, 26))
    span = float(rng.choice([0, 5 * n, 40 * n, 200 * n]))
    arrivals = np.sort(rng.integers(0, span + 1, n) if rng.random() < 0.5 else rng.uniform(0, span, n)) / 1000.0
    outputs = rng.integers(1, int(rng.choice([2, 8, 40])), n)
    every, start, renewed = int(rng.choice([0, 1, 3, 8])), None, None
    if every:
        entries = outputs // every - rng.integers(0, 2, n) * (outputs > every)
        start = np.concatenate([[0], np.cumsum(entries)])
        renewed = rng.integers(0, 30, start[-1]).astype(float)
    inputs = rng.integers(1, int(rng.choice([2, 10, 60])), n)
    lists = [rng.integers(0, int(rng.choice([1, 2, 3])), rng.integers(0, 16)) for _ in range(n)]
    return Requests(
        arrivals,
        inputs,
        outputs,
        prefix_start=np.cumsum([0, *map(len, lists)]),
        prefix_blocks=np.concatenate(lists),
        prefix_block_tokens=12,
        predicted_output_tokens=np.round(outputs * rng.lognormal(0, 0.8, n), int(rng.integers(0, 3))),
        kind=rng.integers(0, 2, n),
        deadline_s=rng.choice([1.0, 20.0, np.inf], n),
        price=rng.uniform(0, 1, n),
        refresh_every=every,
        refreshed_start=start,
        refreshed=renewed,
    )


def setting(rng: np.random.Generator, requests: Requests) -> tuple[dict, dict]:
    """(the engine's switches, the arguments of serve)."""
    mechanism = str(rng.choice(list(MECHANISMS)))
    paged = mechanism in ("vllm", "sarathi")
    switches = {
        "mechanism": mechanism,
        "memory": str(rng.choice(MEMORY)) if paged else "recompute",
        "preempt": mechanism != "fastertransformer" and [False, True, True, "batch"][rng.integers(4)],
        "reserve": str(rng.choice(RESERVE)),
        "prefix_cache": False,
    }
    block = int(rng.choice([1, 2, 3, 4, 16]))
    if paged and block < 16 and rng.random() < 0.4:
        switches |= {"prefix_cache": True, "memory": "recompute"}
    need = int(np.max(-(-(requests.input_tokens + requests.output_tokens) // block)))
    capacity = (need + int(rng.integers(0, need * int(rng.choice([1, 1, 4])) + 1))) * block + int(rng.integers(block))
    share = float(rng.choice([0, 0.01, 0.1]))
    while need + int(share * (capacity // block)) * paged > capacity // block:
        capacity += block
    budget = rng.choice([None, None, 1, 5, 17, 64])
    arguments = {
        "kv_tokens": 0 if rng.random() < 0.1 else capacity,
        "max_batch": int(rng.choice([1, 2, 3, 5, 8, 100])),
        "token_budget": None if budget is None else int(budget),
        "block_tokens": block,
        "watermark": share,
    }
    return switches, arguments
