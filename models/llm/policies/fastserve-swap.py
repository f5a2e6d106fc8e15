"""FastServe with proactive swapping: queues of doubling quanta; the KV of those behind moves to the host ahead of time.

Wu et al.: Fast distributed inference serving for large language models (2023), with the numbers of the published code.
Queue p has a quantum of base_ms 2^p. A request joins the first whose quantum is at least the time of its prompt alone,
and the next one when the iterations in which it took part since have lasted as long as its quantum; every `every`
iterations those that have not been in one for starve_s join queue 0. The first by queue and arrival are in the
iteration. Those behind them are moved to the host, the last first, as far as the iteration needs their room, and then
until the share `ahead` of memory is free; in an iteration in which nobody is moved out the first of those on the host
are moved back while as much stays free. The policy fastserve only moves or drops what must give way.
"""

import numpy as np
from openqueues.models.llm.planning import SWAP_IN, SWAP_OUT, blocks, step_ms

SEES = ("todo", "held", "host", "input_tokens", "note0", "note1", "note2", "note3")
SHAPE = "rounds"
PARAMETERS = {"base_ms": 10.0, "starve_s": 3.0, "every": 1000, "ahead": 0.05}


def decide(view, plan, base_ms, starve_s, every, ahead):
    # note0: 1 + queue, note1: ms in it, note2: s when it last took part, note3: whether it did so the last time.
    # memory[0]: the iteration in which the starved were promoted last.
    queue, spent, last, n, block = view.note0, view.note1, view.note2, plan.size, view.block_tokens
    promotes = view.iteration >= view.memory[0] + every
    if promotes:
        view.memory[0] = view.iteration
    for k in range(n):
        if queue[k] == 0.0:
            tokens = view.input_tokens[k]
            prompt_ms = step_ms(view.law, tokens, tokens * tokens, 0, 0.0)
            queue[k], last[k] = 1.0, view.now
            while base_ms * 2.0 ** (queue[k] - 1.0) < prompt_ms:
                queue[k] += 1.0
        if view.note3[k] > 0.0:
            spent[k] += view.last_step_ms
            last[k] = view.now
            if spent[k] >= base_ms * 2.0 ** (queue[k] - 1.0):
                queue[k], spent[k] = queue[k] + 1.0, 0.0
        elif promotes and view.now - last[k] >= starve_s:
            queue[k], spent[k], last[k] = 1.0, 0.0, view.now
        view.note3[k] = 0.0
    order = np.argsort(queue, kind="mergesort")
    free, left, width, victim, place = view.free_tokens // block, view.budget, 0, n - 1, 0
    while place < n and place <= victim and width < view.max_batch and left >= 1.0:
        k = order[place]
        said = min(view.todo[k], left)
        needed = blocks(view.held[k] + view.host[k] + said, block) - blocks(view.held[k], block)
        room = free
        for other in range(place + 1, victim + 1):
            room += blocks(view.held[order[other]], block)
        if needed > room:
            break
        while needed > free:
            if view.held[order[victim]] > 0.0:
                plan[order[victim]] = SWAP_OUT
                free += blocks(view.held[order[victim]], block)
            victim -= 1
        plan[k] = int(said)
        view.note3[k] = 1.0
        free, left, width, place = free - needed, left - said, width + 1, place + 1
    spare = np.floor(ahead * (view.kv_tokens // block))
    while free < spare and victim >= place:
        if view.held[order[victim]] > 0.0:
            plan[order[victim]] = SWAP_OUT
            free += blocks(view.held[order[victim]], block)
        victim -= 1
    quiet = not (plan == SWAP_OUT).any()
    while quiet and place < n:
        needed = blocks(view.host[order[place]], block)
        if needed > free - spare:
            break
        if needed > 0.0:
            plan[order[place]] = SWAP_IN
            free -= needed
        place += 1
    return 0.0
