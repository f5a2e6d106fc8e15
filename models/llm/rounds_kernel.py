# ruff: noqa: F821
"""Template of the kernel of policies that plan iterations, 2 of 2: the rules of a plan, and carrying it out."""

import numpy as np
from numba import njit


@part
def pages(s, tokens):
    return (tokens + s.block - 1) // s.block


@part
def fail(s, rule, i, said, allowed):
    s.count[FAILED], s.count[CULPRIT], s.count[SAID], s.count[ALLOWED] = rule, i, said, allowed


@part
def check_entry(s, i, said):
    """Whether a request's entry of the plan breaks a rule by itself: the rule, or 0."""
    if said < SWAP_IN:
        return UNKNOWN_CODE
    if said == EVICT and s.job[i, HELD] + s.job[i, HOST] == 0:
        return NOTHING_TO_DROP
    if said == SWAP_OUT and s.swap_ms < 0:
        return NO_HOST
    if said == SWAP_OUT and s.job[i, HELD] == 0:
        return NOTHING_TO_MOVE
    if said == SWAP_IN and s.job[i, HOST] == 0:
        return NOT_ON_HOST
    return TOO_MANY_TOKENS if said > lacks(s, i) else 0


@part
def check_plan(s):
    """Find the first rule that the plan breaks. Returns (requests computed, blocks in use after it)."""
    requests, tokens, used = 0, 0, s.count[USED]
    for place in range(s.count[PRESENT]):
        i, said = s.who[place], s.plan[place]
        if said == 0:
            continue
        rule = check_entry(s, i, said)
        if rule > 0:
            fail(s, rule, i, said, lacks(s, i))
            return 0, 0
        if said == EVICT or said == SWAP_OUT:
            used -= pages(s, s.job[i, HELD])
        elif said > 0:
            requests += 1
            tokens += said
            if requests > s.most:
                fail(s, TOO_MANY_REQUESTS, i, requests, s.most)
                return 0, 0
            if tokens > s.budget:
                fail(s, OVER_BUDGET, i, tokens, s.budget)
                return 0, 0
    for place in range(s.count[PRESENT]):
        i, said = s.who[place], s.plan[place]
        if said > 0 or said == SWAP_IN:
            after = s.job[i, HELD] + s.job[i, HOST] + max(said, 0)
            used += pages(s, after) - pages(s, s.job[i, HELD])
            if used > s.total:
                fail(s, OVER_MEMORY, i, used, s.total)
                return 0, 0
    return requests, used


@part
def take_away(s, i, said):
    """Evict a request or move its KV to the host."""
    held = s.job[i, HELD]
    s.count[TOKENS] -= held
    s.job[i, HELD] = 0
    s.job[i, PREEMPTED] += 1
    s.count[PREEMPTIONS] += 1
    if said == SWAP_OUT:
        s.job[i, HOST] = held
        s.count[SWAPPED] += held
        return held
    s.count[DROPPED] += held + s.job[i, HOST]
    s.job[i, HOST] = s.job[i, DECODES] = 0
    return 0


@part
def bring_back(s, i):
    """Move the KV of a request from the host; returns its tokens."""
    moved = s.job[i, HOST]
    s.job[i, HELD] += moved
    s.job[i, HOST] = 0
    s.count[TOKENS] += moved
    return moved


@part
def carry_out(s, used):
    """Move and compute what the plan says; returns the time that it takes and whether any KV was dropped or moved."""
    out, out_blocks, needed, ahead = 0, 0, 0, 0
    new, squares, decoding, attended, moved = 0, 0.0, 0, 0, False
    for place in range(s.count[PRESENT]):
        i, said = s.who[place], s.plan[place]
        if said == 0:
            continue
        if said < 0:
            moved = True
        if said == EVICT or said == SWAP_OUT:
            out_blocks += pages(s, s.job[i, HELD]) if said == SWAP_OUT else 0
            out += take_away(s, i, said)
        elif said == SWAP_IN:
            ahead += bring_back(s, i)
        else:
            needed += bring_back(s, i)
            start = s.job[i, HELD]
            s.job[i, HELD] += said
            s.count[TOKENS] += said
            if s.job[i, DECODES] > 0:
                decoding += 1
                attended += start + said
            else:
                new += said
                squares += said * float(2 * start + said)
    s.count[USED] = used
    if used + out_blocks > s.total:
        needed += out
    else:
        ahead += out
    ms = 0.0
    if new > 0:
        ms = prefill_ms(s.constants, new, squares, decoding, attended)
    elif decoding > 0:
        floor, const, slope = decode_line(s.constants, decoding)
        ms = max(floor, const + slope * attended)
    return max(ms + needed * s.swap_ms, (needed + ahead) * s.swap_ms), moved


@part
def spend_round(s, ms):
    s.clock[NOW] += ms
    s.clock[AREA_TOKENS] += ms * s.count[TOKENS]
    s.count[PEAK] = max(s.count[PEAK], s.count[TOKENS])


@part
def harvest(s):
    """The requests whose tokens have all been computed make one; those that made their last leave."""
    first = -1
    for place in range(s.count[PRESENT]):
        i, said = s.who[place], s.plan[place]
        if said == 0:
            continue
        if said > 0 and lacks(s, i) == 0:
            s.job[i, MADE] += 1
            s.job[i, DECODES] = 1
            s.real[i, LAST] = s.clock[NOW]
            if s.job[i, MADE] == 1:
                s.real[i, FIRST] = s.clock[NOW]
            if s.job[i, MADE] == s.job[i, OUTPUT]:
                s.real[i, FINISH] = s.clock[NOW]
                s.count[USED] -= pages(s, s.job[i, HELD])
                s.count[TOKENS] -= s.job[i, HELD]
                s.job[i, HELD] = 0
                s.finished[s.count[DONE] % FINISHED] = s.job[i, OUTPUT]
                s.count[DONE] += 1
                first = place if first < 0 else first
        renew(s, place)
    if first >= 0:
        close_gaps(s, first)


@part
def wait(s, wish, moved):
    """Nothing is computed: go on to the next arrival or to the time (s) for which the policy asked."""
    now = s.clock[NOW]
    arrival = s.real[s.count[NEXT], ARRIVED] if s.count[NEXT] < s.n else np.inf
    until = max(wish * 1000.0, now) if wish < np.inf else np.inf
    # The clock is in ms, and the policy must find that its time has come.
    while until < np.inf and until / 1000.0 < wish:
        until = np.nextafter(until, np.inf)
    s.count[IDLE] = 0 if moved or arrival <= until else s.count[IDLE] + 1
    until = min(until, arrival)
    if until == np.inf or until <= now:
        if not moved and until == np.inf:
            fail(s, STANDS_STILL, s.who[0], s.count[PRESENT], 0)
        elif not moved:
            fail(s, AT_ONCE, s.who[0], s.count[PRESENT], 0)
        return
    if s.count[IDLE] > MOST_IDLE:
        fail(s, WAITS_WITHOUT_END, s.who[0], MOST_IDLE, 0)
    spend_round(s, until - now)


@part
def one_round(s):
    """Ask the policy once, and do what it says if it may be done."""
    present = s.count[PRESENT]
    s.plan[:present] = 0
    look(s)
    s.state[11] = 0.0  # the policy's wrapper sets it when decide has returned
    wish = s.decide(
        s.table.ctypes,
        s.state.ctypes,
        s.plan.ctypes,
        s.memory.ctypes,
        s.finished.ctypes,
        s.law.ctypes,
        s.theta.ctypes,
        present,
        s.n,
        min(s.count[DONE], FINISHED),
        len(s.constants),
    )
    if s.state[11] != 1.0:
        fail(s, RAISED, s.who[0], 0, 0)
        return
    if wish != wish:
        fail(s, NOT_A_NUMBER, s.who[0], 0, 0)
        return
    requests, used = check_plan(s)
    if s.count[FAILED] > 0:
        return
    ms, moved = carry_out(s, used)
    spend_round(s, ms)
    s.clock[BUSY] += ms
    if s.count[PREEMPTIONS] > s.most_preemptions:
        fail(s, PREEMPTS_WITHOUT_END, s.who[0], s.count[PREEMPTIONS], 0)
    elif requests > 0:
        s.count[ITERATIONS] += 1
        s.count[IDLE] = 0
        s.clock[COMPUTED] += requests
        s.clock[LAST_STEP] = ms
        harvest(s)
    else:
        if moved:
            harvest(s)
        wait(s, wish, moved)


@njit(cache=True, nogil=True)
def serve(decide, job, real, seen, constants, theta, refresh_start, refreshed, every, setting, swap_ms, spare):
    """Serve all requests; fills job and real, and returns (count, clock).

    decide: the policy's wrapper (rounds.decide_of). job (n, 7) and real (n, 11): see rounds_view_kernel.py. seen: the
    columns that the policy sees, numbers of policies.ROUND_COLUMNS. constants: coefficients and table (timing.py).
    setting: block, all blocks, most requests and tokens of an iteration, most preemptions. swap_ms: time to move a
    token's KV, below 0 without a host. spare: the watermark in tokens.
    """
    n = job.shape[0]
    block, total, most, budget, most_preemptions = setting
    count, clock = np.zeros(16, np.int64), np.zeros(5)
    table, state = np.zeros((len(seen), n)), np.zeros(12)
    who, plan = np.zeros(n, np.int64), np.zeros(n, np.int64)
    arrays = (job, real, table, seen, who, plan, state, np.zeros(1024), np.zeros(FINISHED))
    s = Rounds(
        decide,
        *arrays,
        constants,
        constants.copy(),  # what the policy is shown, which it might write to
        theta,
        refresh_start,
        refreshed,
        count,
        clock,
        n,
        every,
        total,
        block,
        most,
        budget,
        swap_ms,
        most_preemptions,
    )
    state[7] = spare
    clock[NOW] = real[0, ARRIVED]
    while count[DONE] < n and count[FAILED] == 0:
        if count[PRESENT] == 0:
            clock[NOW] = max(clock[NOW], real[count[NEXT], ARRIVED])
        while count[NEXT] < n and real[count[NEXT], ARRIVED] <= clock[NOW]:
            appear(s, count[NEXT])
            count[NEXT] += 1
        one_round(s)
    return count, clock
