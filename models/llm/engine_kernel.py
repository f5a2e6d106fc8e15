# ruff: noqa: F821
"""Template of the engine's kernel, 3 of 3: admission, the steps, and the jump over steps that are alike.

Between an admission and the next event that can change the plan (a completion, a block that is missing, an
arrival that could be admitted, for some policies any step) the same requests decode, so `jump` goes over all
those steps at once. tests/slow_llm.py says the same step by step.
"""

import numpy as np
from numba import njit


@part
def peak_tokens(s, i, prompts):
    """Most tokens resident at once if i starts now: a request makes its j-th token from now with target + j - 1."""
    members = s.count[RUNNING] + prompts + 2
    horizon, size = s.lists[HORIZON], s.lists[SIZE]
    for k in range(members):
        if k < s.count[RUNNING]:
            v = s.lists[ACTIVE, k]
        elif k < members - 2:
            v = s.lists[ADMITTED, k - s.count[RUNNING]]
        else:
            v = s.count[PARTIAL] if k == members - 2 else i
        made = made_of(s, v) if v >= 0 else 0
        horizon[k] = max(int(np.ceil(estimate_of(s, v, made))), 1) if v >= 0 else 0
        size[k] = s.job[v, INPUT] + made - 1 if v >= 0 else 0
    peak = 0
    for k in range(members):
        tokens = 0
        for other in range(members):
            if horizon[other] >= horizon[k]:
                tokens += size[other] + horizon[k]
        peak = max(peak, tokens if horizon[k] > 0 else 0)
    return peak


@part
def may_admit(s, i, prompts, promised):
    """Whether the policy lets the first waiting request start in this step."""
    made = s.job[i, MADE]
    state = (
        float(s.job[i, INPUT] + made),
        float(s.count[FREE] * s.block),
        float(s.total * s.block),
        float(s.count[RUNNING] + prompts + (1 if s.count[PARTIAL] >= 0 else 0)),
        float(s.count[WAITING]),
        float(prompts),
        float(promised),
        float(peak_tokens(s, i, prompts)) if s.peaks else 0.0,
    )
    return s.admit_of(*columns(s, i, made, 0.0), *state, *parameters(s)) != 0.0


@inlined
def budget_left(s, promised):
    """Prompt tokens that a mixed step can still take when `promised` are to be computed for those admitted in it."""
    if not s.mixed:
        return 1
    left = s.budget - s.count[RUNNING] - promised
    i = s.count[PARTIAL]
    return left if i < 0 else left - (s.job[i, INPUT] + s.job[i, MADE] - s.job[i, HELD])


@inlined
def admit(s):
    """Admit waiting requests, the first in order first, until one is blocked; returns how many prompts to compute.

    One that was preempted in this very step is blocked.
    """
    prompts, promised = 0, 0
    if s.drain and s.count[RUNNING] > 0:
        return 0
    while s.count[WAITING] > 0 and budget_left(s, promised) > 0:
        value, i = s.queue[0, RANK], int(s.queue[0, ARRIVAL])
        if s.shares:
            hold_prefix(s, i)
        tokens = s.job[i, INPUT] + s.job[i, MADE] - s.job[i, HELD]
        # Where requests are handed over, one that lacks a token is handed over when that is computed, too.
        resumes = tokens == 1 and not s.hands and (s.job[i, MADE] > 0 or only_context(s, i))
        fits = s.mixed or resumes or prompts == 0 or promised + tokens <= s.budget
        lost = s.real[i, LOST] == s.count[ITERATIONS]
        allowed = fits and not lost and not (s.asks and not may_admit(s, i, prompts, promised))
        if not (allowed and find_place(s, i, value, prompts)):
            if s.shares:
                let_go(s, i, -1)
                s.job[i, HELD] = 0
            break
        s.count[PICKS] += 1
        if s.falls == SETTLED and s.count[BLOCKED] == i + 1:
            s.count[BLOCKED] = 0
        s.job[i, FROM] = s.job[i, MADE]
        s.real[i, SINCE] = s.clock[NOW] - s.real[i, SINCE]
        if s.shares:
            s.count[REUSED] += s.job[i, HELD]
        lacked = blocks_to_start(s, i)
        if resumes and s.paged:
            lacked = blocks(s, s.job[i, HELD]) if s.job[i, ASIDE] == HOST else 0
        if s.job[i, ASIDE] == HERE:
            forget_kept(s, i)
        elif s.job[i, ASIDE] == HOST:
            s.job[i, ASIDE] = NOWHERE
            s.clock[TRANSFER] += s.job[i, HELD] * s.constants[SWAP_MS]
        if resumes:
            join(s, i)
        else:
            s.job[i, STATE] = PREFILLS
            s.real[i, BOUND] = np.inf
            s.lists[ADMITTED, prompts] = i
            prompts += 1
            promised += tokens
        s.count[FREE] -= lacked
        if s.picky:
            rank_again(s)
    return prompts


@inlined
def complete(s, i, had):
    """A request has made its last token."""
    s.job[i, STATE] = ENDED
    s.real[i, FINISH] = s.clock[NOW]
    s.count[FREE] += had
    if s.falls == SETTLED:
        s.count[FREED] += had
    s.count[DONE] += 1
    log(s, i)
    if s.shares:
        let_go(s, i, s.count[ITERATIONS])


@inlined
def hand_over(s, i):
    """A request has its first token and decodes elsewhere: it keeps its blocks here until its KV cache is fetched."""
    s.job[i, STATE] = HANDED
    s.real[i, SINCE] = s.clock[NOW]
    s.count[KEPT_TOKENS] += s.job[i, HELD]
    log(s, i)


@inlined
def decoded(s, steps):
    """The running requests have made `steps` tokens each: count them, free what ends."""
    s.count[FREE] -= growth(s, steps)
    s.count[CLOCK] += steps
    s.count[TOKENS] += steps * s.count[RUNNING]
    if s.count[FRESH] > 0:
        s.count[FRESH] = 0
        for k in range(s.count[RUNNING]):
            if s.real[s.lists[ACTIVE, k], FIRST] != s.real[s.lists[ACTIVE, k], FIRST]:
                s.real[s.lists[ACTIVE, k], FIRST] = s.clock[NOW]
    while s.count[RUNNING] > 0 and first_end(s) <= s.count[CLOCK]:
        i = s.lists[ENDING, 0] & ((1 << _ID) - 1)
        ends_drop(s)
        had = blocks_of(s, i)
        leave(s, i)
        complete(s, i, had)


@inlined
def spend(s, ms, area, steps, computed, peak):
    """Account for steps that took `ms`: integral of resident tokens, requests computed, most tokens resident."""
    s.clock[NOW] += ms
    s.clock[BUSY] += ms
    s.clock[AREA_TOKENS] += area
    s.clock[COMPUTED] += computed
    s.clock[TRANSFER] = 0.0
    s.count[ITERATIONS] += steps
    s.count[PEAK] = max(s.count[PEAK], peak)


@inlined
def prefill(s, prompts):
    """One step with the prompt begun before, those just admitted and, in a mixed step, a token of each that decodes."""
    decoding = s.count[RUNNING] if s.mixed else 0
    left = s.budget - decoding if s.mixed else 1 << 60
    begun = s.count[PARTIAL]
    new, squares, written, computed = 0, 0.0, 0, decoding
    for k in range(-1, prompts):
        i = begun if k < 0 else s.lists[ADMITTED, k]
        if i >= 0:
            start = s.job[i, HELD]
            end = min(s.job[i, INPUT] + s.job[i, MADE], start + left)
            s.job[i, HELD] = end
            left -= end - start
            new += end - start
            squares += (end - start) * float(end + start)
            written += end
            computed += 1 if end > start else 0
    attended = s.count[TOKENS] + decoding
    resident = attended + written + s.count[KEPT_TOKENS] - s.count[TWICE]
    ms = prefill_ms(s.constants, new, squares, decoding, attended) + s.clock[TRANSFER]
    spend(s, ms, ms * resident, 1, computed, resident)
    s.clock[QUIET] = s.clock[NOW]
    if decoding > 0:
        decoded(s, 1)
    s.count[PARTIAL] = -1
    for k in range(-1, prompts):
        i = begun if k < 0 else s.lists[ADMITTED, k]
        if i < 0:
            continue
        if s.job[i, HELD] < s.job[i, INPUT] + s.job[i, MADE]:
            s.count[PARTIAL] = i
            continue
        if s.shares:
            store_prefix(s, i)
        had = blocks_of(s, i)
        s.job[i, MADE] += 1
        if s.job[i, MADE] == 1:
            s.real[i, FIRST] = s.clock[NOW]
        if s.job[i, MADE] == s.job[i, OUTPUT]:
            complete(s, i, had)
        elif s.hands:
            hand_over(s, i)
        else:
            join(s, i)


@inlined
def matters(s, i):
    """Whether request i, arriving while the batch decodes, could change the plan."""
    if s.drain or budget_left(s, 0) <= 0:
        return False
    if s.preempt == FOR_NONE and (crowded(s, 0) or (not s.shares and lacking(s, i) > s.count[KEPT_BLOCKS])):
        return False
    return s.count[WAITING] == 0 or s.timed or rank(s, i) < s.queue[0, RANK]


@inlined
def nobody_fits(s):
    """Whether no waiting request can start before one that runs has ended, whatever their order."""
    if s.preempt != FOR_NONE or s.asks or s.count[RUNNING] == 0 or (s.mixed and need_next(s) > s.count[FREE]):
        return False
    if s.drain or crowded(s, 0) or budget_left(s, 0) <= 0:
        return True
    return not s.shares and s.count[LEAST] + s.watermark > s.count[FREE] + s.count[KEPT_BLOCKS]


@part
def steps_to_rise(s, steps):
    """The steps, at most `steps`, until a renewed prediction puts a running request behind the first that waits."""
    value = s.queue[0, RANK]
    for k in range(s.count[RUNNING]):
        i = s.lists[ACTIVE, k]
        made = made_of(s, i)
        entries = s.refresh_start[i + 1] - s.refresh_start[i]
        at = (made // s.every + 1) * s.every
        while at - made < steps and at <= entries * s.every:
            if rank_at(s, i, at, 1.0) > value:
                steps = at - made
            at += s.every
    return steps


@part
def steps_until(floor, first, growing, most, ms):
    """The fewest of `most` decoding steps that take `ms` or longer, at least one; `most` if all are shorter."""
    steps = decode_steps(floor, first, growing, most, ms)
    while steps > 1 and decode_ms(floor, first, growing, steps - 1) >= ms:
        steps -= 1
    while steps < most and decode_ms(floor, first, growing, steps) < ms:
        steps += 1
    return steps


@inlined
def jump(s, one, until):
    """Decode with the present batch until the plan can change or `until`, one step at least (if `one`, at most)."""
    running = s.count[RUNNING]
    steps = 1
    if not (one or s.count[FRESH] > 0 or (s.restless and s.count[WAITING] > 0 and not (s.timed and nobody_fits(s)))):
        steps = fitting_steps(s, first_end(s) - s.count[CLOCK])
        if s.renews and s.count[WAITING] > 0 and (s.preempt == FOR_ANY or crowded(s, 0)):
            steps = steps_to_rise(s, steps)
    floor, const, growing = decode_line(s.constants, running)
    attended = s.count[TOKENS] + running
    first, growing = const + growing * attended, growing * running
    start = s.clock[NOW] + s.clock[TRANSFER]
    ms = decode_ms(floor, first, growing, steps)
    s.clock[QUIET] = start + decode_ms(floor, first, growing, steps - 1)
    if steps > 1 and start + ms > until:
        steps = steps_until(floor, first, growing, steps, until - start)
        ms = decode_ms(floor, first, growing, steps)
    while steps > 1 and s.count[NEXT] < s.n:
        i = s.count[NEXT]
        arrival = s.real[i, ARRIVED]
        if start + ms < arrival:
            break
        if matters(s, i):
            steps = steps_until(floor, first, growing, steps, arrival - start)
            ms = decode_ms(floor, first, growing, steps)
            break
        s.count[NEXT] += 1
        enqueue(s, i)
    partial = s.count[PARTIAL]
    resident = attended + s.count[KEPT_TOKENS] - s.count[TWICE] + (s.job[partial, HELD] if partial >= 0 else 0)
    area = decode_area(floor, first, growing, steps, resident, running) + s.clock[TRANSFER] * resident
    ms += s.clock[TRANSFER]
    spend(s, ms, area, steps, float(steps) * running, resident + (steps - 1) * running)
    decoded(s, steps)


@inlined
def advance(s, until):
    """Run the iterations that begin before `until` (ms): the last of them may end after it.

    Stops before when all is done, when nothing runs and no request is to come from the table of arrivals, or when a
    rule is broken: FAILED is 1 + the request whose rank was not a number, -1 when requests wait although the policy
    will not be asked again (until is infinite), -2 after more than most_preemptions.
    """
    while s.count[DONE] < s.n and s.count[FAILED] == 0 and s.clock[NOW] < until:
        while s.count[NEXT] < s.n and s.real[s.count[NEXT], ARRIVED] <= s.clock[NOW]:
            s.count[NEXT] += 1
            enqueue(s, s.count[NEXT] - 1)
        if s.timed:
            s.count[SEEN_BATCH] = s.count[RUNNING] + (1 if s.count[PARTIAL] >= 0 else 0)
            s.count[SEEN_FREE] = s.count[FREE]
            if not nobody_fits(s):
                rank_again(s)
        elif s.shifts:
            rank_again(s)
        if s.mixed:
            make_room(s)
        prompts = admit(s)
        if prompts > 0 or (s.count[PARTIAL] >= 0 and s.count[RUNNING] < s.budget):
            prefill(s, prompts)
        elif s.count[RUNNING] > 0:
            if not s.mixed:
                make_room(s)
            if s.count[RUNNING] == 0:
                break  # KV caches on their way have taken the memory; the last that ran waits for them
            jump(s, s.count[LOST_AT] == s.count[ITERATIONS] + 1, until)
        elif s.count[NEXT] < s.n:
            s.clock[NOW] = s.real[s.count[NEXT], ARRIVED]
        else:
            if until == np.inf:
                s.count[FAILED] = -1
            break
        if s.count[PREEMPTIONS] > s.most_preemptions:
            s.count[FAILED] = -2


@njit(cache=True, nogil=True)
def serve(
    rank_of,
    admit_of,
    job,
    real,
    constants,
    refresh_start,
    refreshed,
    tree,
    path_start,
    path,
    every,
    programs,
    setting,
    blocks_free,
):
    """Serve all requests; fills HELD, MADE, PREEMPTED of job and FIRST, FINISH of real, and returns (count, clock).

    rank_of, admit_of: the policy's functions. programs: (stage, stage_real, progress, slots) of stages.py. job (n, 15),
    real (n, 10): see state_kernel.py; in ms. constants: the coefficients, time to swap a token, four numbers of the
    policy, the table. setting: (block, most running, budget, watermark) and the switches below. FAILED: see advance.
    """
    n = job.shape[0]
    block, most_running, budget, watermark = setting[:4]
    mixed, drain, may_preempt, paged, restless, timed, falls, renews, asks, peaks, memory = setting[4:15]
    shares, node_blocks, sees_cached, picky, most_preemptions = setting[15:]
    places = min(n, most_running) + 1
    count, clock = np.zeros(COUNTS, np.int64), np.zeros(6)
    count[FREE], count[PARTIAL], count[LAST_KEEPER], count[LAST_LOGGED] = blocks_free, -1, -1, -1
    queue, lists, phases = np.empty((n + 1, 2)), np.empty((5, 2 * places + 64), np.int64), np.zeros(block, np.int64)
    limits = (n, every, blocks_free, block, most_running, budget, watermark)
    switches = (mixed != 0, drain != 0, may_preempt, paged != 0)
    more = (restless != 0, timed != 0, falls, renews != 0, asks != 0, peaks != 0)
    arrays = (job, real, queue, lists, phases, count, clock, constants, refresh_start, refreshed)
    prefix = (tree, path_start, path, np.empty((2 * tree.shape[0] + 64 if shares else 0, 2)))
    s = Server(
        rank_of,
        admit_of,
        *arrays,
        *prefix,
        *limits,
        *switches,
        *more,
        memory,
        shares != 0,
        node_blocks,
        sees_cached != 0,
        picky != 0,
        most_preemptions,
        False,
        programs[0].shape[0] > 0,
        False,
        *programs,
    )
    clock[NOW] = real[0, ARRIVED]
    advance(s, np.inf)
    return count, clock
