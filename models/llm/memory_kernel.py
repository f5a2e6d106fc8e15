# ruff: noqa: F821
"""Template of the engine's kernel, 2 of 3: who loses its place or its memory, and to whom.

The order of requests is (rank, number); numbers follow the arrivals. Victims are the worst in this order. What a
preempted request leaves in memory depends on `memory`: nothing (RECOMPUTE), nothing but a copy on the host
(SWAP), or all but the last blocks that others need (TAIL); these are taken from waiting requests before any more
is preempted.
"""

import numpy as np


@part
def worst_running(s, above):
    """The worst of the running requests whose rank is above `above`, or -1; of all of them if `above` is -inf."""
    found, found_rank = -1, above
    for k in range(s.count[RUNNING] + 1):
        i = s.lists[ACTIVE, k] if k < s.count[RUNNING] else s.count[PARTIAL]
        if i < 0 or (outranks(s, i, found_rank) and (i < found or s.real[i, BOUND] < found_rank)):
            continue
        value = rank_running(s, i)
        if value > found_rank or (value == found_rank and i > found and (found >= 0 or value == -np.inf)):
            found, found_rank = i, value
    return found


@part
def forget_kept(s, i):
    """Take a waiting request off the list of those that keep blocks."""
    tokens = s.job[i, HELD]
    s.job[i, ASIDE] = NOWHERE
    s.count[KEPT_BLOCKS] -= blocks(s, tokens)
    s.count[KEPT_TOKENS] -= tokens
    before, after = s.job[i, KEEPER_BEFORE], s.job[i, KEEPER]
    if before >= 0:
        s.job[before, KEEPER] = after
    if after >= 0:
        s.job[after, KEEPER_BEFORE] = before
    else:
        s.count[LAST_KEEPER] = before


@part
def keep(s, i, dropped):
    """Let a request that waits keep its blocks but for the last `dropped`; returns how many it keeps."""
    held = s.job[i, HELD]
    kept = blocks(s, held) - dropped
    s.job[i, HELD] = min(held, kept * s.block)
    s.count[DROPPED] += held - s.job[i, HELD]
    if kept > 0:
        s.job[i, ASIDE] = HERE
        last = s.count[LAST_KEEPER]
        s.job[i, KEEPER_BEFORE], s.job[i, KEEPER], s.count[LAST_KEEPER] = last, -1, i
        if last >= 0:
            s.job[last, KEEPER] = i
        s.count[KEPT_BLOCKS] += kept
        s.count[KEPT_TOKENS] += s.job[i, HELD]
    return kept


@part
def reclaim(s, wanted, spared):
    """Take `wanted` blocks, or all that there are, from waiting requests but `spared`, the worst first.

    Of a prefix cache, take those that nobody holds.
    """
    if s.shares:
        forget_nodes(s, wanted)
        return
    while wanted > 0:
        found, found_rank = -1, -np.inf
        i = s.count[LAST_KEEPER]
        while i >= 0:
            if i != spared:
                value = rank(s, i)
                if value > found_rank or (value == found_rank and i > found):
                    found, found_rank = i, value
            i = s.job[i, KEEPER_BEFORE]
        if found < 0:
            return
        dropped = min(wanted, blocks(s, s.job[found, HELD]))
        forget_kept(s, found)
        keep(s, found, dropped)
        s.count[FREE] += dropped
        wanted -= dropped


@inlined
def move_to_host(s, i):
    """Move the KV cache of a request that does not run to the host, within the next iteration or, if idle, before."""
    s.job[i, ASIDE] = HOST
    s.count[SWAPPED] += s.job[i, HELD]
    s.clock[TRANSFER] += s.job[i, HELD] * s.constants[SWAP_MS]


@part
def preempt(s, i, wanted):
    """Send a running request back to the waiting ones; under TAIL it gives `wanted` blocks if it has as many."""
    had = blocks_of(s, i)
    if s.job[i, STATE] == DECODES:
        leave(s, i)
    else:
        s.count[PARTIAL] = -1
    s.job[i, PREEMPTED] += 1
    s.real[i, LOST] = s.count[ITERATIONS]
    s.count[LOST_AT] = s.count[ITERATIONS] + 1
    s.real[i, SINCE] = s.clock[NOW]
    s.count[PREEMPTIONS] += 1
    if s.falls == SETTLED:
        s.count[FREED] += had
    held = s.job[i, HELD]
    if s.memory == TAIL:
        filled = blocks(s, held)
        s.count[FREE] += had - keep(s, i, min(max(wanted - (had - filled), 0), filled))
    else:
        s.count[FREE] += had
        if s.memory == SWAP:
            move_to_host(s, i)
        else:
            s.count[DROPPED] += held - s.job[i, SHARED] * s.node_blocks * s.block
            s.job[i, HELD] = 0
    if s.shares:
        let_go(s, i, s.count[ITERATIONS])
    enqueue(s, i)


@part
def make_room(s):
    """Preempt, the worst first, until the free blocks are enough for the next token of the rest."""
    while need_next(s) > s.count[FREE]:
        alone = s.count[RUNNING] + (1 if s.count[PARTIAL] >= 0 else 0) == 1
        if s.count[KEPT_BLOCKS] > 0 and (yields(s) or alone):
            reclaim(s, need_next(s) - s.count[FREE], -1)
        else:
            i = worst_running(s, -np.inf)
            preempt(s, i, need_next(s) - grows(s, i) - s.count[FREE])


@inlined
def lacking(s, i):
    """Free blocks that are missing to admit a waiting request (or at most 0)."""
    growing = need_next(s) if s.mixed else 0
    return blocks_to_start(s, i) + growing + s.watermark - s.count[FREE]


@inlined
def crowded(s, prompts):
    others = prompts + (1 if s.count[PARTIAL] >= 0 else 0)
    return s.count[RUNNING] + others + s.count[LOADING] >= s.most_running


@part
def preempt_for(s, i, value, prompts):
    """Preempt those that rank above `value` until request i can be admitted; none if all are not enough.

    Takes i off the queue first: who is preempted may rank before it there. Where ranks are SETTLED, whoever is
    admitted before i never ranks behind it, so that only what is freed adds to what i could get.
    """
    settled = s.falls == SETTLED
    if settled and s.count[BLOCKED] == i + 1 and s.count[FREED] < s.count[ENOUGH]:
        return False
    lacks = lacking(s, i) - (kept_by_others(s, i) if yields(s) else 0)
    enough = False
    for k in range(s.count[RUNNING] + 1):
        v = s.lists[ACTIVE, k] if k < s.count[RUNNING] else s.count[PARTIAL]
        if v >= 0 and not outranks(s, v, value) and rank_running(s, v) > value:
            lacks -= blocks_of(s, v) + (grows(s, v) if s.mixed else 0)
            enough = lacks <= 0
            if enough:
                break
    if not enough:
        if settled:
            s.count[BLOCKED], s.count[ENOUGH] = i + 1, s.count[FREED] + lacks
        return False
    dequeue(s)
    while True:
        lacks = lacking(s, i)
        if lacks > 0 and yields(s) and kept_by_others(s, i) > 0:
            reclaim(s, lacks, i)
        elif lacks <= 0 and not crowded(s, prompts):
            return True
        else:
            v = worst_running(s, value)
            preempt(s, v, lacks - (grows(s, v) if s.mixed else 0))


@inlined
def yields(s):
    """Whether blocks that nobody computes with are given up as soon as others need them.

    If not, they are contexts that a policy preserves through a call: these go only where nothing else could run.
    """
    return s.memory == TAIL or s.shares


@inlined
def kept_by_others(s, i):
    return s.count[KEPT_BLOCKS] - (blocks(s, s.job[i, HELD]) if s.job[i, ASIDE] == HERE else 0)


@inlined
def find_place(s, i, value, prompts):
    """Take the first waiting request, of rank `value`, off the queue if it can be admitted now.

    Makes its place where the policy may preempt for it.
    """
    lacks = lacking(s, i)
    idle = s.count[RUNNING] + prompts == 0 and s.count[PARTIAL] < 0
    if not crowded(s, prompts) and lacks <= (kept_by_others(s, i) if yields(s) or idle else 0):
        if lacks > 0:
            reclaim(s, lacks, i)
        dequeue(s)
        return True
    allowed = s.preempt == FOR_ANY or (s.preempt == FOR_BATCH and crowded(s, prompts))
    return allowed and preempt_for(s, i, value, prompts)
