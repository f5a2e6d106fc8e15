# ruff: noqa: F821
"""Template of the single-server kernel for ranks that may rise, fall, stay or jump while a job is served.

`rank_of` and `turn_of` come from the policy: between two turns a rank is monotone. When the rank of the job
in service rises through that of the first waiting job, the kernel finds the age at which it does. Jobs whose
ranks rise from the same level share the server, each at the pace that keeps the ranks equal; this is done
exactly, event by event, not by a quantum.

The state is that of the falling kernel, but the jobs in service are a group: `group[:members]` holds their
slots, AGE their attained service now, and clock[1] the level that a group of two or more has reached.
"""

import math

from numba import njit


@njit(cache=True, nogil=True)
def rank_at(jobs, slot, age, theta):
    return rank_of(jobs[slot, SIZE], jobs[slot, PREDICTED], jobs[slot, ARRIVAL], age, theta)


@njit(cache=True, nogil=True)
def piece_end(jobs, slot, theta):
    """The age at which the monotone piece of this job's rank ends: its next turn or its completion."""
    age = jobs[slot, AGE]
    turn = turn_of(jobs[slot, SIZE], jobs[slot, PREDICTED], jobs[slot, ARRIVAL], age, theta)
    return min(jobs[slot, SIZE], turn if turn > age else math.inf)


@njit(cache=True, nogil=True)
def rank_before(jobs, slot, end, theta):
    """The rank just before age `end`: the limit from the left, since the rank may jump there."""
    age = jobs[slot, AGE]
    return rank_at(jobs, slot, end - 1e-12 * (end - age), theta)


@njit(cache=True, nogil=True)
def age_at(jobs, slot, level, end, theta):
    """The age in [AGE, end] at which a rising rank reaches `level`; exact at once where the rank is linear.

    Regula falsi with the Illinois rule, on a piece where the rank rises from at most to at least `level`.
    """
    low = jobs[slot, AGE]
    high = end
    f_low = rank_at(jobs, slot, low, theta) - level
    f_high = rank_before(jobs, slot, end, theta) - level
    if f_low >= 0.0:
        return low
    if f_high <= 0.0:
        return high
    scale = max(abs(level), f_high - f_low)
    side = 0
    for _ in range(200):
        middle = low - f_low * (high - low) / (f_high - f_low)
        if not (low < middle < high):
            return middle if low <= middle <= high else 0.5 * (low + high)
        f = rank_at(jobs, slot, middle, theta) - level
        if abs(f) <= 1e-14 * scale or high - low <= 1e-15 * high:
            return middle
        if f > 0.0:
            high, f_high = middle, f
            if side == 1:
                f_low *= 0.5
            side = 1
        else:
            low, f_low = middle, f
            if side == -1:
                f_high *= 0.5
            side = -1
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def service_to(jobs, group, members, level, theta):
    """Total service that lifts every job of the group to `level`."""
    total = 0.0
    for m in range(members):
        slot = group[m]
        total += age_at(jobs, slot, level, piece_end(jobs, slot, theta), theta) - jobs[slot, AGE]
    return total


@njit(cache=True, nogil=True)
def level_after(jobs, group, members, level, target, needed, budget, theta):
    """The level that a group reaches with `budget` of service, less than `needed` for `target`."""
    low, f_low = level, -budget
    high, f_high = target, needed - budget
    side = 0
    for _ in range(200):
        middle = low - f_low * (high - low) / (f_high - f_low)
        if not (low < middle < high):
            return middle if low <= middle <= high else low
        f = service_to(jobs, group, members, middle, theta) - budget
        if abs(f) <= 1e-14 * needed:
            return middle
        if f > 0.0:
            high, f_high = middle, f
            if side == 1:
                f_low *= 0.5
            side = 1
        else:
            low, f_low = middle, f
            if side == -1:
                f_high *= 0.5
            side = -1
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def rises(jobs, slot, theta):
    """Whether the rank of this job goes up from where it is."""
    end = piece_end(jobs, slot, theta)
    return rank_before(jobs, slot, end, theta) > rank_at(jobs, slot, jobs[slot, AGE], theta)


@njit(cache=True, nogil=True)
def serve(
    theta, gaps, sizes, predictions, jobs, heap_rank, heap_slot, free, group, clock, count, drain, done
):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    Arguments as in the falling kernel, and group (m,). clock: [now, level of the group, unused, work in the
    system, area of number, area of work]. count: [waiting, members, free slots].
    Returns the number of completions, or -1 - slot when the rank of the job in that slot was not a number.
    """
    now, level, work = clock[0], clock[1], clock[3]
    area_number, area_work = clock[4], clock[5]
    waiting, members, spare = count[0], count[1], count[2]
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
            finished = -1
            if members == 1:
                slot = group[0]
                age = jobs[slot, AGE]
                rank = rank_at(jobs, slot, age, theta)
                if math.isnan(rank):
                    return -1 - slot
                if waiting > 0 and rank > heap_rank[0]:
                    group[0] = heap_slot[0]
                    pop(heap_rank, heap_slot, jobs, waiting)
                    push(heap_rank, heap_slot, jobs, waiting - 1, rank, slot)
                    continue
                end = piece_end(jobs, slot, theta)
                whole = end - age <= budget
                stop = end if whole else age + budget
                if waiting > 0 and rank_before(jobs, slot, stop, theta) > heap_rank[0]:
                    level = heap_rank[0]
                    stop = age_at(jobs, slot, level, stop, theta)
                    step = stop - age
                    jobs[slot, AGE] = stop
                    other = heap_slot[0]
                    pop(heap_rank, heap_slot, jobs, waiting)
                    waiting -= 1
                    area_number += (waiting + 2) * step if i < n else 0.0
                    now = min(now + step, arrival)
                    if rises(jobs, other, theta):
                        group[1] = other
                        members = 2
                    else:
                        push(heap_rank, heap_slot, jobs, waiting, level, slot)
                        waiting += 1
                        group[0] = other
                    continue
                jobs[slot, AGE] = stop
                area_number += (waiting + 1) * (stop - age) if i < n else 0.0
                now = now + (end - age) if whole else arrival
                if stop >= jobs[slot, SIZE]:
                    finished = 0
            else:
                target = heap_rank[0] if waiting > 0 else math.inf
                first = -1
                for m in range(members):
                    top = rank_before(jobs, group[m], piece_end(jobs, group[m], theta), theta)
                    if math.isnan(top):
                        return -1 - group[m]
                    if top < target:
                        target = top
                        first = m
                target = max(target, level)
                needed = service_to(jobs, group, members, target, theta)
                if needed > budget:
                    level = level_after(jobs, group, members, level, target, needed, budget, theta)
                    for m in range(members):
                        slot = group[m]
                        jobs[slot, AGE] = age_at(jobs, slot, level, piece_end(jobs, slot, theta), theta)
                    area_number += (waiting + members) * budget if i < n else 0.0
                    now = arrival
                    break
                for m in range(members):
                    slot = group[m]
                    end = piece_end(jobs, slot, theta)
                    jobs[slot, AGE] = end if m == first else age_at(jobs, slot, target, end, theta)
                area_number += (waiting + members) * needed if i < n else 0.0
                now += needed
                level = target
                if first < 0:
                    other = heap_slot[0]
                    pop(heap_rank, heap_slot, jobs, waiting)
                    waiting -= 1
                    if rises(jobs, other, theta):
                        group[members] = other
                        members += 1
                    else:
                        for m in range(members):
                            push(heap_rank, heap_slot, jobs, waiting, level, group[m])
                            waiting += 1
                        group[0] = other
                        members = 1
                    continue
                slot = group[first]
                if jobs[slot, AGE] >= jobs[slot, SIZE]:
                    finished = first
                else:
                    rank = rank_at(jobs, slot, jobs[slot, AGE], theta)
                    if rank > level:
                        members -= 1
                        group[first] = group[members]
                        push(heap_rank, heap_slot, jobs, waiting, rank, slot)
                        waiting += 1
                    elif rank < level or not rises(jobs, slot, theta):
                        for m in range(members):
                            if m != first:
                                push(heap_rank, heap_slot, jobs, waiting, level, group[m])
                                waiting += 1
                        group[0] = slot
                        members = 1
            if finished >= 0:
                slot = group[finished]
                done[completed, 0] = now - jobs[slot, ARRIVAL]
                done[completed, 1] = jobs[slot, SIZE]
                done[completed, 2] = jobs[slot, ARRIVAL]
                completed += 1
                free[spare] = slot
                spare += 1
                members -= 1
                group[finished] = group[members]
                if members == 0 and waiting > 0:
                    group[0] = heap_slot[0]
                    pop(heap_rank, heap_slot, jobs, waiting)
                    waiting -= 1
                    members = 1
        if i == n:
            break
        spare -= 1
        slot = free[spare]
        jobs[slot, ARRIVAL] = arrival
        jobs[slot, SIZE] = sizes[i]
        jobs[slot, PREDICTED] = predictions[i]
        jobs[slot, AGE] = 0.0
        now = arrival
        work += sizes[i]
        if members == 0:
            work = sizes[i]
            group[0] = slot
            members = 1
            continue
        rank = rank_at(jobs, slot, 0.0, theta)
        if math.isnan(rank):
            return -1 - slot
        served = level if members > 1 else rank_at(jobs, group[0], jobs[group[0], AGE], theta)
        if rank < served or (NEWEST_FIRST and rank == served):
            for m in range(members):
                push(heap_rank, heap_slot, jobs, waiting, served, group[m])
                waiting += 1
            group[0] = slot
            members = 1
        else:
            push(heap_rank, heap_slot, jobs, waiting, rank, slot)
            waiting += 1
    clock[0], clock[1], clock[3], clock[4], clock[5] = now, level, work, area_number, area_work
    count[0], count[1], count[2] = waiting, members, spare
    return completed
