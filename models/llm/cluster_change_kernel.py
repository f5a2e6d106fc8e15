# ruff: noqa: F821
"""Template of the cluster's kernel, 4: instances go down and come up, and change their roles.

An instance that goes down does so at the end of the iteration that it is in. Its requests arrive anew then and have
lost their KV cache; those whose KV cache stands elsewhere are only routed again. A request that no instance can take is
parked until an instance comes up or has changed its role. Whoever waited for KV caches of the instance that went down
fetches others, if it has room, at once.

A controller says from time to time which share of the instances with a role should compute prompts. An instance that is
to change takes no more requests; when the last has left it, the change begins, and takes `switch_ms`; one that goes
down meanwhile has changed then.
"""

import numpy as np

# The places of a controller's columns in the order of controllers.COLUMNS.
C_SHARE, C_INSTANCES, C_CHANGING, C_NOW, C_INTERVAL = range(5)
C_PREFILL_TOKENS, C_DECODE_REQUESTS, C_PREFILL_BUSY, C_DECODE_BUSY = range(5, 9)
C_ARRIVED, C_ARRIVED_INPUT, C_ARRIVED_PREDICTED = range(9, 12)


@part
def unpark(c, time):
    """Let the parked requests be routed again."""
    i = c.total[PARK_FIRST]
    c.total[PARK_FIRST] = c.total[PARK_LAST] = -1
    while i >= 0:
        following = c.job[i, BEHIND]
        if c.job[i, STATE] == PARKED and c.job[i, SOURCE] < 0:
            release(c, i, time)
        elif c.job[i, STATE] == PARKED:
            c.job[i, STATE], c.real[i, DUE] = HANDED, time
            post(c, time, HANDED_OVER, i)
        i = following


@part
def unfetch(c, i):
    """The instance that a request was sent to, if it was, shall not fetch its KV cache, or not go on with it."""
    k = c.job[i, AT]
    if c.job[i, STATE] == LOADS:
        c.fleet[k, PRESENT] -= 1
        s = view(c, k)
        held = s.job[i, HELD]
        s.count[FREE] += blocks(s, held)
        s.count[LOADING] -= 1
        s.count[KEPT_TOKENS] -= held
        c.fleet[k, MOVING] -= held
        return
    before, other = -1, c.fleet[k, FETCH]
    while other >= 0 and other != i:
        before, other = other, c.job[other, BEHIND]
    if other == i:  # else the router is still to be asked, at this very time
        c.fleet[k, PRESENT] -= 1
        unlist(c, k, i, before)


@part
def lose(c, k, i, time):
    """Request i has lost its KV cache at instance k, which is down from `time` on."""
    s = view(c, k)
    held, made = held_of(s, i), made_of(s, i)
    s.count[DROPPED] += held
    s.job[i, HELD], s.job[i, MADE], s.job[i, SHARED], s.job[i, SOURCE], s.job[i, ASIDE] = 0, made, 0, -1, NOWHERE
    c.fleet[k, PRESENT] -= 1
    release(c, i, time)


@part
def empty(c, k):
    """Make instance k as new, but for what it has counted."""
    s = view(c, k)
    for place in (TOKENS, RUNNING, WAITING, ENDS, LEAST, KEPT_BLOCKS, KEPT_TOKENS, TWICE, LEAVING, WAITING_TOKENS):
        s.count[place] = 0
    s.count[FREE], s.count[PARTIAL], s.count[LAST_KEEPER] = s.total, -1, -1
    s.count[LOADING] = s.count[BLOCKED] = s.count[FRESH] = 0
    s.clock[TRANSFER] = 0.0
    for phase in range(s.block):
        s.phases[phase] = 0
    for node in range(s.tree.shape[0]):
        s.tree[node, HOLDERS], s.tree[node, CACHED], s.tree[node, QUEUED] = 0, 0, -1
    c.fleet[k, MOVING] = 0
    c.meter[k, WAKE], c.meter[k, LINK_FREE] = np.inf, 0.0


@part
def go_down(c, k, time):
    touch(c, k, time)
    now = c.clock[k, NOW]
    c.fleet[k, UP] = 0
    left = c.mark  # which instances have lost a KV cache that they were to fetch from here
    left[:] = 0
    for i in range(c.n):
        state, at, source = c.job[i, STATE], c.job[i, AT], c.job[i, SOURCE]
        if source == k:
            # Its KV stood here, whether or not it was sent elsewhere by now.
            if state == PARKED:
                c.count[k, DROPPED] += c.job[i, HELD]
                c.job[i, HELD], c.job[i, SHARED], c.job[i, SOURCE] = 0, 0, -1
                c.fleet[k, PRESENT] -= 1
            elif state == HANDED or state == LOADS:
                touch(c, at, time)
                unfetch(c, i)
                left[at] = 1
                lose(c, k, i, now)
        elif at == k and source >= 0 and (state == HANDED or state == LOADS):
            unfetch(c, i)
            c.job[i, STATE], c.real[i, DUE] = HANDED, now
            post(c, now, HANDED_OVER, i)
        elif at == k and source < 0 and (state == WAITS or state == PREFILLS or state == DECODES or state == HANDED):
            lose(c, k, i, now)
        elif at == k and c.job[i, ASIDE] != NOWHERE:
            # The context of a stage that has not arrived yet.
            c.count[k, DROPPED] += c.job[i, HELD]
            c.job[i, HELD], c.job[i, ASIDE] = 0, NOWHERE
    empty(c, k)
    for other in range(left.shape[0]):
        if left[other] == 1:
            fetch(c, other, time)
            begin_change(c, other, time)
    if c.fleet[k, NEXT_ROLE] >= 0:
        finish_change(c, k, time)


@part
def come_up(c, k, time):
    c.fleet[k, UP] = 1
    c.clock[k, NOW] = max(c.clock[k, NOW], time)
    unpark(c, time)


@part
def finish_change(c, k, time):
    """Instance k has its new role from now on."""
    c.fleet[k, ROLE], c.fleet[k, NEXT_ROLE], c.fleet[k, SWITCHING] = c.fleet[k, NEXT_ROLE], -1, 0
    unpark(c, time)


@part
def begin_change(c, k, time):
    """If instance k is to change its role and has no more requests, the change begins."""
    if c.fleet[k, NEXT_ROLE] >= 0 and c.fleet[k, SWITCHING] == 0 and c.fleet[k, PRESENT] == 0:
        c.fleet[k, SWITCHING] = 1
        begin = max(time, c.clock[k, NOW])
        c.meter[k, SWITCH_AT] = begin + c.switch_ms
        post(c, c.meter[k, SWITCH_AT], SWITCHED, k)


@inlined
def coming_role(c, k):
    return c.fleet[k, NEXT_ROLE] if c.fleet[k, NEXT_ROLE] >= 0 else c.fleet[k, ROLE]


@part
def change_roles(c, time, wanted, prefills):
    """Let as many instances change, those with the fewest requests first, as bring `wanted` to computing prompts."""
    while prefills != wanted:
        old, new = (DECODE, PREFILL) if prefills < wanted else (PREFILL, DECODE)
        best, back = -1, False
        for k in range(c.fleet.shape[0]):
            if c.fleet[k, UP] == 0 or coming_role(c, k) != old or c.fleet[k, SWITCHING] != 0:
                continue
            turns_back = c.fleet[k, NEXT_ROLE] >= 0  # it has still its other role, and is told to keep it
            fewer = best < 0 or c.fleet[k, PRESENT] < c.fleet[best, PRESENT]
            if best < 0 or (turns_back and not back) or (turns_back == back and fewer):
                best, back = k, turns_back
        if best < 0:
            return
        c.fleet[best, NEXT_ROLE] = -1 if back else new
        prefills += 1 if new == PREFILL else -1
        if back:
            unpark(c, time)
        else:
            begin_change(c, best, time)


@part
def tick(c, time):
    """Ask the controller; returns whether any instance is to change its role."""
    x = c.controls
    x[C_NOW], x[C_CHANGING] = time / 1000.0, 0.0
    able, coming, prefills, decodes = 0, 0, 0, 0
    tokens, requests, prefill_busy, decode_busy = 0.0, 0.0, 0.0, 0.0
    for k in range(c.fleet.shape[0]):
        if c.clock[k, NOW] < time and c.count[k, RUNNING] > 0:
            run(c, k, time)
        begin_change(c, k, time)
        busy = min((c.clock[k, BUSY] - c.meter[k, BUSY_BEFORE]) / (1000.0 * x[C_INTERVAL]), 1.0)
        c.meter[k, BUSY_BEFORE] = c.clock[k, BUSY]
        if c.fleet[k, UP] == 0 or c.fleet[k, ROLE] == MIXED:
            continue
        able += 1
        coming += 1 if coming_role(c, k) == PREFILL else 0
        x[C_CHANGING] += 1 if c.fleet[k, NEXT_ROLE] >= 0 else 0
        if c.fleet[k, ROLE] == PREFILL:
            prefills, tokens, prefill_busy = prefills + 1, tokens + to_compute(c, k), prefill_busy + busy
        else:
            decodes, requests, decode_busy = decodes + 1, requests + c.fleet[k, PRESENT], decode_busy + busy
    x[C_INSTANCES], x[C_SHARE] = able, coming / max(able, 1)
    x[C_PREFILL_TOKENS], x[C_PREFILL_BUSY] = tokens / max(prefills, 1), prefill_busy / max(prefills, 1)
    x[C_DECODE_REQUESTS], x[C_DECODE_BUSY] = requests / max(decodes, 1), decode_busy / max(decodes, 1)
    share = c.control_of(x.ctypes)
    x[C_ARRIVED] = x[C_ARRIVED_INPUT] = x[C_ARRIVED_PREDICTED] = 0.0
    if share != share:
        c.total[BROKEN_SCORE] = -1
        return False
    if able < 2:
        return False
    wanted = int(min(max(np.floor(share * able + 0.5), 1.0), able - 1.0))
    if wanted == coming:
        return False
    change_roles(c, time, wanted, coming)
    return True
