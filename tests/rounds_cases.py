"""For tests of policies that plan iterations: three mechanisms of the engine of ranks, random plans, small traces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from openqueues.models.llm.engine import serve
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests

STEP = Hardware(name="step", compute_step_ms=1.0)
SWAPS = replace(STEP, kv_bytes_per_token=1000.0, swap_bytes_per_s=2e6)  # half a ms a token


def some(arrival_ms, inputs, outputs, **more) -> Requests:
    given = {"predicted_output_tokens": np.array(outputs, float)} | more
    return Requests(np.array(arrival_ms) / 1000.0, np.array(inputs), np.array(outputs), **given)


def served_ms(requests, policy, law=STEP, **setting):
    """(first tokens, ends) in ms."""
    served = serve(requests, law, policy, **setting)
    return [round(one, 9) for one in served.first_token_s * 1000], [round(one, 9) for one in served.finish_s * 1000]


BLOCKS = """
def blocks(tokens, block):
    return (tokens + block - 1.0) // block
"""

VLLM = f'''"""vLLM first come first served, planned: whole prompts first, else a decoding step."""

SEES = ("todo", "held", "decoding")
SHAPE = "rounds"
PARAMETERS = {{"chunk": 4096}}

{BLOCKS}

def decide(view, plan, chunk):
    block, free, running = view.block_tokens, view.free_tokens // view.block_tokens, 0
    for k in range(plan.size):
        running += 1 if view.decoding[k] > 0.0 else 0
    prompts, promised = 0, 0.0
    for k in range(plan.size):
        if view.decoding[k] == 0.0:
            needed = blocks(view.todo[k], block)
            if prompts > 0 and promised + view.todo[k] > chunk:
                break
            if running + prompts >= view.max_batch or needed + view.spare_tokens // block > free:
                break
            plan[k] = int(view.todo[k])
            prompts, promised, free = prompts + 1, promised + view.todo[k], free - needed
    if prompts > 0:
        return 0.0
    need = 0.0
    for k in range(plan.size):
        if view.decoding[k] > 0.0:
            plan[k] = 1
            need += 1.0 if view.held[k] % block == 0.0 else 0.0
    k = plan.size - 1
    while need > free:
        if plan[k] == 1:
            plan[k] = -1
            free += blocks(view.held[k], block)
            need -= 1.0 if view.held[k] % block == 0.0 else 0.0
        k -= 1
    return math.inf
'''.replace("SEES", "import math\n\nSEES", 1)

SARATHI = f'''"""Sarathi-Serve first come first served, planned."""

SEES = ("todo", "held", "decoding")
SHAPE = "rounds"
PARAMETERS = {{"chunk": 512}}

{BLOCKS}

def decide(view, plan, chunk):
    block = view.block_tokens
    free, spare = view.free_tokens // block, view.spare_tokens // block
    need, running, begun = 0.0, 0, -1
    for k in range(plan.size):
        if view.decoding[k] > 0.0:
            plan[k] = 1
            running += 1
            need += 1.0 if view.held[k] % block == 0.0 else 0.0
        elif view.held[k] > 0.0:
            begun = k
            free -= blocks(view.held[k] + view.todo[k], block) - blocks(view.held[k], block)
    k = plan.size - 1
    while need > free:
        if plan[k] == 1:
            plan[k] = -1
            running -= 1
            free += blocks(view.held[k], block)
            need -= 1.0 if view.held[k] % block == 0.0 else 0.0
        elif k == begun:
            plan[k] = -1
            begun = -1
            free += blocks(view.held[k] + view.todo[k], block)
        k -= 1
    left = chunk - running - (view.todo[begun] if begun >= 0 else 0.0)
    prompts = 0
    for k in range(plan.size):
        if view.held[k] == 0.0 or plan[k] == -1:
            needed = blocks(view.todo[k], block)
            crowded = running + prompts + (1 if begun >= 0 else 0) >= view.max_batch
            if left <= 0.0 or plan[k] == -1 or crowded or needed + need + spare > free:
                break
            plan[k] = int(min(view.todo[k], left))
            prompts, free, left = prompts + 1, free - needed, left - view.todo[k]
    if begun >= 0 and running < chunk:
        plan[begun] = int(min(view.todo[begun], chunk - running))
    return 0.0
'''

ORCA = f'''"""Orca first come first served, planned: memory reserved for the longest answer."""

SEES = ("todo", "held", "decoding", "input_tokens")
SHAPE = "rounds"
PARAMETERS = {{"longest": 40}}

{BLOCKS}

def decide(view, plan, longest):
    block, total = view.block_tokens, view.kv_tokens // view.block_tokens
    free, running = total, 0
    for k in range(plan.size):
        if view.decoding[k] > 0.0:
            plan[k] = 1
            running += 1
            free -= min(total, blocks(view.input_tokens[k] + longest, block))
    for k in range(plan.size):
        if view.decoding[k] == 0.0:
            needed = min(total, blocks(view.input_tokens[k] + longest, block))
            if running >= view.max_batch or needed > free:
                break
            plan[k] = int(view.todo[k])
            running, free = running + 1, free - needed
    return 0.0
'''

# With wild = 0 it keeps to the rules; wild is the probability that an entry is anything.
FUZZ = f'''"""Random plans, of random numbers of its own."""

SEES = ("todo", "held", "host", "decoding", "estimate", "left", "last_token", "note1", "finished", "preempted", "kind")
SHAPE = "rounds"
PARAMETERS = {{"start": 1, "wild": 0.0, "swap": 1.0}}

{BLOCKS}

def draw(memory):
    memory[0] = (memory[0] * 16807.0) % 2147483647.0
    return memory[0] / 2147483647.0


def decide(view, plan, start, wild, swap):
    memory, block = view.memory, view.block_tokens
    if memory[0] == 0.0:
        memory[0] = 1.0 + start
    free, width, tokens, some = view.free_tokens // block, 0.0, 0.0, False
    for k in range(plan.size):
        view.note1[k] += 1.0
        u, held, host, todo = draw(memory), view.held[k], view.host[k], view.todo[k]
        if draw(memory) < wild:
            plan[k] = int(draw(memory) * 9.0) - 4 + int(view.note1[k]) % 2
            some = True
        elif u < 0.03 and held + host > 0.0:
            plan[k] = -1
            free += blocks(held, block)
        elif u < 0.06 and held > 0.0 and swap > 0.0:
            plan[k] = -2
            free += blocks(held, block)
        elif u < 0.15 and host > 0.0 and blocks(host, block) <= free:
            plan[k] = -3
            free -= blocks(host, block)
        elif u > 0.3 and width < view.max_batch and tokens < view.budget:
            said = min(min(1.0 + (draw(memory) * todo) // 1.0, todo), view.budget - tokens)
            needed = blocks(held + host + said, block) - blocks(held, block)
            if needed <= free:
                plan[k] = int(said)
                free, width, tokens, some = free - needed, width + 1.0, tokens + said, True
    if not some and wild == 0.0 and view.free_tokens < block * 3:
        for k in range(plan.size):
            plan[k] = -1 if view.held[k] > 0.0 else 0
    seen = view.estimate.sum() + view.left.sum() + view.last_token.sum() + view.finished.sum() + view.preempted.sum()
    if draw(memory) < wild / 20.0:
        return math.nan if draw(memory) < 0.5 else view.now
    return view.now + 0.001 + 0.01 * ((seen + view.kind.sum()) % 1.0)
'''.replace("SEES", "import math\n\nSEES", 1)
