"""Random programs, policies that handle contexts as a contributor might write them, and both engines on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from llm_cases import hardware, setting
from openqueues.models.errors import InputError
from openqueues.models.llm import policies
from openqueues.models.llm.cluster import Cluster, Instance, serve_cluster
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.requests import Requests
from slow_programs import SlowPrograms

_FCFS = 'SEES = ("arrival",)\nSHAPE = "falling order"\n\ndef rank(arrival):\n    return arrival\n\n'
OWN = {
    "preserved": f"{_FCFS}def handle():\n    return 0\n",
    "swapped": f"{_FCFS}def handle():\n    return 2\n",
    "each": 'SEES = ("program_arrival", "held_tokens", "delay", "others_tokens", "free_tokens", "waiting", "batch")\n'
    'SHAPE = "falling order"\n\ndef rank(program_arrival):\n    return program_arrival\n\n'
    "def handle(held_tokens, delay, others_tokens, free_tokens, waiting, batch):\n"
    "    if free_tokens < 2 * held_tokens or waiting > 3 * batch + 2:\n        return 1\n"
    "    return 2 if delay * 1000.0 > 20.0 + others_tokens else 0\n",
    "costs": 'SEES = ("attained", "predicted_delay", "recompute_ms", "swap_ms", "held_tokens", "kv_tokens")\n'
    'SHAPE = "order"\n\ndef rank(attained):\n    return attained\n\n'
    "def handle(predicted_delay, recompute_ms, swap_ms, held_tokens, kv_tokens):\n"
    "    keep = predicted_delay * 1000.0 * held_tokens / kv_tokens\n"
    "    return 0 if keep < min(recompute_ms, 2 * swap_ms) else (1 if recompute_ms < 2 * swap_ms else 2)\n",
    "path": 'SEES = ("remaining_path", "stages_done", "value1")\nSHAPE = "order"\n\n'
    "def rank(remaining_path, stages_done, value1):\n    return remaining_path - 5.0 * stages_done + value1\n\n"
    "def handle(value1):\n    return 0 if value1 < 1 else 1\n",
    "work": 'SEES = ("remaining_work", "delay", "now", "running")\nSHAPE = "order"\nPARAMETERS = {"b": 7.0}\n\n'
    "def rank(remaining_work, delay, now, running, b):\n    return remaining_work + b * delay - 9.0 * running\n\n"
    "def handle(delay):\n    return 0\n",
}


def programs(rng: np.random.Generator) -> Programs:
    """Up to eight programs of up to seven stages, times often in whole ms so that events coincide."""
    count, whole = int(rng.integers(1, 9)), rng.random() < 0.5
    arrival = np.sort(rng.integers(0, int(rng.choice([1, 60, 600])) + 1, count)).astype(float)
    program, inputs, outputs, after, need, continues = [], [], [], [], [], []
    for p in range(count):
        first = len(program)
        shape = rng.integers(3)
        for k in range(int(rng.integers(1, 8))):
            earlier = np.arange(first, first + k)
            if shape == 0:
                waits = earlier[-1:]
            else:
                waits = earlier[rng.random(k) < rng.choice([0.3, 0.7])]
            free = [j for j in waits if j not in continues]
            before = int(free[-1]) if free and rng.random() < 0.6 else -1
            continues.append(before)
            after.append(waits)
            need.append(len(waits) if before >= 0 or not len(waits) else int(rng.integers(1, len(waits) + 1)))
            context = inputs[before] + outputs[before] if before >= 0 else 0
            inputs.append(context + int(rng.integers(0 if context else 1, int(rng.choice([2, 12, 30])))))
            outputs.append(int(rng.integers(1, int(rng.choice([2, 6, 25])))))
            program.append(p)
    n = len(program)
    delay = rng.choice([0.0, 0.0, 1.0, 7.0, 90.0], n) if whole else rng.uniform(0, 60, n) * (rng.random(n) < 0.6)
    return Programs(
        Requests(
            arrival[program] / 1000.0,
            inputs,
            outputs,
            predicted_output_tokens=np.round(outputs * rng.lognormal(0, 0.5, n), int(rng.integers(0, 3))),
        ),
        program=program,
        after_start=np.cumsum([0, *map(len, after)]),
        after=np.concatenate(after).astype(int),
        need=need,
        delay_s=delay / 1000.0,
        predicted_delay_s=np.round(delay * rng.lognormal(0, 0.5, n)) / 1000.0,
        continues=continues,
        values=rng.integers(0, 3, (n, 2)).astype(float),
    )


def compare(seed: int, folder) -> dict[str, int]:
    """One random case in both engines; returns what happened in it."""
    rng = np.random.default_rng(seed)
    given, law = programs(rng), hardware(rng)
    if not all(float(16 * value).is_integer() for value in law.coefficients()[0]):
        # Equal delays after equal steps meet other ends but for rounding, which both engines do in their own way.
        given = replace(given, delay_s=given.delay_s * rng.uniform(0.9, 1.1, len(given)))
    switches, arguments = setting(rng, given.requests)
    switches |= {"mechanism": str(rng.choice(["vllm", "sarathi"])), "prefix_cache": False}
    # All mechanisms here have pages, so that the watermark needs room.
    block = arguments["block_tokens"]
    need = int(np.max(-(-(given.requests.input_tokens + given.requests.output_tokens) // block)))
    while arguments["kv_tokens"] and need + int(arguments["watermark"] * (arguments["kv_tokens"] // block)) > (
        arguments["kv_tokens"] // block
    ):
        arguments["kv_tokens"] += block
    if rng.random() < 0.5:
        switches["memory"] = "recompute"
    if rng.random() < 0.5:
        switches["preempt"] = False
    name = str(folder / f"{rng.choice(list(OWN))}.py")
    policy = name + ":" + ",".join(f"{key}={str(value).lower()}" for key, value in switches.items())
    story = f"seed {seed}: {policy} {arguments}"
    block, watermark = arguments.pop("block_tokens"), arguments.pop("watermark")
    cluster = Cluster([Instance(law, **arguments)])
    try:
        fast = serve_cluster(given, cluster, policy, block_tokens=block, watermark=watermark)
    except InputError as error:
        assert "preempts without end" in str(error), story
        return {}
    read = policies.policy(policy)
    space: dict = {}
    exec(read.source, space)
    own = {key: value for key, value in read.parameters.items() if key not in switches}
    slow = SlowPrograms(given, law, space, own, switches, block_tokens=block, watermark=watermark, **arguments).serve()
    cancelled = [i in slow.cancelled for i in range(len(given))]
    assert fast.cancelled.tolist() == cancelled, story
    for key in ("first_token_s", "finish_s", "arrival_s"):
        mine, theirs = getattr(fast, key), getattr(slow, key)
        # What a cancelled stage had done by then is not told.
        wrong = ~(np.isclose(mine, theirs, rtol=1e-9, atol=0, equal_nan=True) | cancelled)
        assert not wrong.any(), f"{story}: {key} {np.flatnonzero(wrong)} {mine[wrong]} {theirs[wrong]}"
    assert fast.preemptions_of.tolist() == slow.preemptions_of.tolist(), story
    for key in ("iterations", "preemptions", "recomputed_tokens", "swapped_tokens", "peak_kv_tokens"):
        assert getattr(fast, key)[0] == getattr(slow, key), f"{story}: {key}"
    assert fast.wasted_tokens == slow.wasted_tokens, story
    assert np.isclose(fast.busy_s[0], slow.busy_s, rtol=1e-9), story
    return {"cancelled": sum(cancelled), "preemptions": slow.preemptions, "swapped": slow.swapped_tokens}
