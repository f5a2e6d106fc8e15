# ruff: noqa: F821
"""Template of the single-server kernel for ranks that may rise, fall, stay or jump while a job is served.

`rank_of` and `turn_of` come from the policy: between two turns, on a piece, a rank is monotone. When the rank
of the job in service rises through that of the first waiting job, the kernel finds the age at which it does.
Jobs whose ranks rise from the same level share the server, each at the pace that keeps the ranks equal; this
is done exactly, event by event, not by a quantum.

Jobs lie in slots: a job keeps there what is known of its piece, so that it is worked out once however often
the job is preempted. While all that share rise in straight lines, their ages follow from the level when they
are wanted. Whom an arrival preempts, one job or a group, is put aside whole on a stack: whatever is served
before it goes before it, so what was put aside last comes back first.
"""

import math

from numba import njit

SLOT = 2  # of a row of the heap
SIZE, PREDICTED, AGE, END, TOP, PACE = 2, 3, 4, 5, 6, 7  # of a job; RANK is its rank at AGE
MEMBERS, FIRST, GROUP_PACE = 2, 3, 4  # of what is put aside
# END: the age at which the piece ends; TOP: the rank just before it; PACE: service per unit of rank, 0 where
# the rank does not rise and NaN where it rises in a curve.


@njit(cache=True, nogil=True)
def rank_at(jobs, slot, age, theta):
    return rank_of(jobs[slot, SIZE], jobs[slot, PREDICTED], jobs[slot, ARRIVAL], age, theta)


@njit(cache=True, nogil=True)
def begin_piece(jobs, slot, theta):
    """Work out the piece that begins at the job's age; returns whether its ranks are numbers."""
    age, size = jobs[slot, AGE], jobs[slot, SIZE]
    rank = rank_at(jobs, slot, age, theta)
    turn = turn_of(size, jobs[slot, PREDICTED], jobs[slot, ARRIVAL], age, theta)
    end = min(size, turn if turn > age else math.inf)
    # The limit from the left, since the rank may jump at `end`; a hair below it, so that a rank that comes up to
    # that of a waiting job and stays there does not pass it by rounding: the tie goes by arrival.
    length = (end - age) * (1.0 - 1e-12)
    top = rank_at(jobs, slot, age + length, theta)
    rise = top - rank
    pace = 0.0
    if rise > 0.0:
        pace = length / rise
        scale = 1e-14 * max(abs(rank), abs(top))
        for part in (0.3819660112501051, 0.7243604219043741):
            if abs(rank_at(jobs, slot, age + part * length, theta) - (rank + part * rise)) > scale:
                pace = math.nan
    jobs[slot, RANK] = rank
    jobs[slot, END] = end
    jobs[slot, TOP] = top
    jobs[slot, PACE] = pace
    return rise == rise


@njit(cache=True, nogil=True)
def narrow(low, f_low, high, f_high, side, middle, f):
    """One step of regula falsi with the Illinois rule: the bracket with `middle` as its new end."""
    if f > 0.0:
        return low, 0.5 * f_low if side == 1 else f_low, middle, f, 1
    return middle, f, high, 0.5 * f_high if side == -1 else f_high, -1


@njit(cache=True, nogil=True)
def age_at(jobs, slot, level, theta):
    """The age at which the job's rising rank reaches `level`, which lies between RANK and TOP."""
    low, high = jobs[slot, AGE], jobs[slot, END]
    f_low, f_high = jobs[slot, RANK] - level, jobs[slot, TOP] - level
    if f_low >= 0.0:
        return low
    if f_high <= 0.0:
        return high
    pace = jobs[slot, PACE]
    if pace == pace:
        return min(low - f_low * pace, high)
    scale = 1e-14 * max(abs(level), f_high - f_low)
    side = 0
    for _ in range(200):
        middle = low - f_low * (high - low) / (f_high - f_low)
        if not (low < middle < high):
            return min(max(middle, low), high)
        f = rank_at(jobs, slot, middle, theta) - level
        if abs(f) <= scale or high - low <= 1e-15 * high:
            return middle
        low, f_low, high, f_high, side = narrow(low, f_low, high, f_high, side, middle, f)
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def service_to(jobs, group, start, end, level, theta):
    """Total service that lifts every job of group[start:end] to `level`."""
    total = 0.0
    for m in range(start, end):
        total += age_at(jobs, group[m], level, theta) - jobs[group[m], AGE]
    return total


@njit(cache=True, nogil=True)
def level_after(jobs, group, start, end, level, target, needed, budget, theta):
    """The level that a group reaches with `budget` of service, less than `needed` for `target`."""
    low, f_low = level, -budget
    high, f_high = target, needed - budget
    side = 0
    for _ in range(200):
        middle = low - f_low * (high - low) / (f_high - f_low)
        if not (low < middle < high):
            return min(max(middle, low), high)
        f = service_to(jobs, group, start, end, middle, theta) - budget
        if abs(f) <= 1e-14 * needed:
            return middle
        low, f_low, high, f_high, side = narrow(low, f_low, high, f_high, side, middle, f)
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def settle(jobs, group, start, end, level, theta):
    """Bring the ages of the jobs in group[start:end] up to their common level."""
    for m in range(start, end):
        slot = group[m]
        jobs[slot, AGE] = age_at(jobs, slot, level, theta)
        jobs[slot, RANK] = level


@njit(cache=True, nogil=True)
def outlook(jobs, group, start, end):
    """(place of the job whose piece ends first, service per unit of rank: NaN if one rises in a curve)."""
    first, pace = start, 0.0
    for m in range(start, end):
        pace += jobs[group[m], PACE]
        if jobs[group[m], TOP] < jobs[group[first], TOP]:
            first = m
    return first, pace


@njit(cache=True, nogil=True)
def wait(jobs, heap, waiting, slot):
    heap[push(heap, waiting, jobs[slot, RANK], jobs[slot, ARRIVAL]), SLOT] = slot


@njit(cache=True, nogil=True)
def stack_leads(stack, depth, heap, waiting):
    """Whether the next to be served was put aside, and does not come from the heap."""
    if depth == 0 or waiting == 0:
        return depth > 0
    top = stack[depth - 1]
    return goes_before(top[RANK], top[ARRIVAL], heap[0, RANK], heap[0, ARRIVAL])


@njit(cache=True, nogil=True)
def refuse(jobs, slot, clock):
    """Leave the job whose rank is not a number where the caller looks for it."""
    clock[7:11] = jobs[slot, ARRIVAL : AGE + 1]
    return -1


@njit(cache=True, nogil=True)
def serve(theta, gaps, sizes, predictions, heap, jobs, group, free, stack, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    As the falling kernel, with heap (m, 3), jobs (m, 8), group (m,), free (m,) and stack (m, 5). The jobs in
    service are group[start:start + members]; several share the level in clock[1], one alone has the RANK of
    its AGE. clock[3]: work in the system.
    count: [waiting, members, slots ever used, free ones among these, depth of the stack, start].
    """
    now, level, work = clock[0], clock[1], clock[3]
    area_number, area_work = clock[4], clock[5]
    waiting, members, used, spare, depth, start = count[0], count[1], count[2], count[3], count[4], count[5]
    present = used - spare
    first, pace = outlook(jobs, group, start, start + members)
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        if i < n:
            gap = gaps[i]
            area_work += gap * (work - 0.5 * gap) if gap < work else 0.5 * work * work
            work = max(work - gap, 0.0)
        while members > 0 and now < arrival:
            budget = arrival - now
            from_stack = stack_leads(stack, depth, heap, waiting)
            next_rank = stack[depth - 1, RANK] if from_stack else (heap[0, RANK] if waiting > 0 else math.inf)
            if members == 1:
                slot = group[start]
                age = jobs[slot, AGE]
                joins = jobs[slot, PACE] != 0.0 and next_rank < jobs[slot, TOP]
                target = next_rank if joins else jobs[slot, TOP]
                stop = age_at(jobs, slot, target, theta) if joins else jobs[slot, END]
                if stop - age > budget:
                    jobs[slot, AGE] = age + budget
                    jobs[slot, RANK] = rank_at(jobs, slot, age + budget, theta)
                    if math.isnan(jobs[slot, RANK]):
                        return refuse(jobs, slot, clock)
                    area_number += present * budget if i < n else 0.0
                    now = arrival
                    break
                jobs[slot, AGE] = stop
                jobs[slot, RANK] = target
                needed = stop - age
            else:
                target = jobs[group[first], TOP]
                joins = next_rank < target
                target = max(next_rank if joins else target, level)
                straight = pace == pace
                if straight:
                    needed = (target - level) * pace
                else:
                    needed = service_to(jobs, group, start, start + members, target, theta)
                if needed > budget:
                    if straight:
                        level += budget / pace
                    else:
                        level = level_after(jobs, group, start, start + members, level, target, needed, budget, theta)
                        settle(jobs, group, start, start + members, level, theta)
                    area_number += present * budget if i < n else 0.0
                    now = arrival
                    break
                if not straight:
                    settle(jobs, group, start, start + members, target, theta)
            area_number += present * needed if i < n else 0.0
            now += needed
            level = target
            end = start + members
            if joins:
                if from_stack:
                    depth -= 1
                    joined = int(stack[depth, MEMBERS])
                    other_pace, other_first = stack[depth, GROUP_PACE], int(stack[depth, FIRST])
                    slot = group[other_first]
                else:
                    joined = 0
                    slot = int(heap[0, SLOT])
                    other_pace, other_first = jobs[slot, PACE], end
                    pop(heap, waiting)
                    waiting -= 1
                if other_pace != 0.0:
                    if joined == 0:
                        group[end] = slot
                        members += 1
                    else:
                        start -= joined
                        members += joined
                    pace += other_pace
                    if jobs[slot, TOP] < jobs[group[first], TOP]:
                        first = other_first
                    if pace != pace:
                        settle(jobs, group, start, start + members, level, theta)
                else:
                    settle(jobs, group, start, end, level, theta)
                    for m in range(start, end):
                        wait(jobs, heap, waiting, group[m])
                        waiting += 1
                    start -= joined
                    group[start] = slot
                    members = 1
                    first, pace = start, 0.0
                continue
            slot = group[first]
            jobs[slot, AGE] = jobs[slot, END]
            leaves = jobs[slot, AGE] >= jobs[slot, SIZE]
            if leaves:
                done[completed, 0] = now - jobs[slot, ARRIVAL]
                done[completed, 1] = jobs[slot, SIZE]
                done[completed, 2] = jobs[slot, ARRIVAL]
                completed += 1
                free[spare] = slot
                spare += 1
                present -= 1
            else:
                if not begin_piece(jobs, slot, theta):
                    return refuse(jobs, slot, clock)
                rank = jobs[slot, RANK]
                if members > 1 and (rank < level or (rank == level and jobs[slot, PACE] == 0.0)):
                    group[first] = group[end - 1]
                    settle(jobs, group, start, end - 1, level, theta)
                    for m in range(start, end - 1):
                        wait(jobs, heap, waiting, group[m])
                        waiting += 1
                    group[start] = slot
                    members = 1
                elif rank > (level if members > 1 else next_rank):
                    wait(jobs, heap, waiting, slot)
                    waiting += 1
                    leaves = True
            if leaves:
                members -= 1
                group[first] = group[end - 1]
                if members == 1:
                    settle(jobs, group, start, start + 1, level, theta)
                elif members == 0 and stack_leads(stack, depth, heap, waiting):
                    depth -= 1
                    members = int(stack[depth, MEMBERS])
                    start -= members
                    level = stack[depth, RANK]
                elif members == 0 and waiting > 0:
                    group[start] = int(heap[0, SLOT])
                    pop(heap, waiting)
                    waiting -= 1
                    members = 1
            first, pace = outlook(jobs, group, start, start + members)
        if i == n:
            break
        if spare > 0:
            spare -= 1
            slot = free[spare]
        else:
            slot = used
            used += 1
        present += 1
        jobs[slot, ARRIVAL] = arrival
        jobs[slot, SIZE] = sizes[i]
        jobs[slot, PREDICTED] = predictions[i]
        jobs[slot, AGE] = 0.0
        if not begin_piece(jobs, slot, theta):
            return refuse(jobs, slot, clock)
        now = arrival
        if members == 0:
            work = sizes[i]
        else:
            work += sizes[i]
            rank = jobs[slot, RANK]
            served = level if members > 1 else jobs[group[start], RANK]
            if rank > served or (rank == served and not NEWEST_FIRST):
                wait(jobs, heap, waiting, slot)
                waiting += 1
                continue
            stack[depth, RANK] = served
            stack[depth, ARRIVAL] = jobs[group[first], ARRIVAL]
            stack[depth, MEMBERS] = members
            stack[depth, FIRST] = first
            stack[depth, GROUP_PACE] = pace
            depth += 1
            start += members
        group[start] = slot
        members = 1
        first, pace = start, jobs[slot, PACE]
    clock[0], clock[1], clock[3], clock[4], clock[5] = now, level, work, area_number, area_work
    count[0], count[1], count[2], count[3], count[4], count[5] = waiting, members, used, spare, depth, start
    return completed
