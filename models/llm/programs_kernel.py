# ruff: noqa: F821
"""Template of the cluster's kernel: what follows from the end of a stage of a program.

When a stage ends, the policy says what becomes of its KV cache if another stage continues it; then the stages that
wait for it are released, if they wait for no more, and what nobody wants any longer is cancelled. All this happens at
the end of the iteration, in the order of the numbers of the stages that end at the same time, before any iteration
that begins then. Cancelled stages leave the queue at once, and the batch at the end of the iteration that runs then; a
stage that this iteration completes, and one whose KV cache moves between instances, is finished.

A context that is kept belongs to the stage that continues it: its tokens are in HELD and ASIDE says where, although
the stage may only arrive later. It arrives at the instance AT, unless its context was taken from it in the meantime.
"""

from collections import namedtuple

import numpy as np

# Further columns of stage, integers of a stage: how many of those that it waits for must still end; of those that wait
# for it how many are neither released nor cancelled; the stage that continues it (-1: none); tokens that count as
# served when it is done; whether fewer than all of those that it waits for are enough.
LACKS, WANTED, BY, SERVICE, EARLY = range(2, 7)
# Columns of progress, floats of a program: the first of policies.PROGRAM_COLUMNS.
ATTAINED, STAGES_DONE, REMAINING_WORK = range(3)
# Columns of numbers, floats of a stage: the others of policies.PROGRAM_COLUMNS, then the ms from release to arrival.
DELAY_MS = 8
# What becomes of a context.
PRESERVE_IT, DISCARD_IT, SWAP_IT = range(3)

# whole, numbers: the tables stage and stage_real of the engine; stage i waits for the stages in after from
# after_start[i] to below after_start[i + 1], and those in followers wait for it alike; wasted counts the tokens that
# cancelled stages had made.
Stages = namedtuple("Stages", "whole numbers progress after_start after followers_start followers wasted")


@part
def drop_context(c, i):
    """Free what is kept of the context of a stage that does not run; returns how many blocks that were."""
    s = view(c, c.job[i, AT])
    had = blocks(s, s.job[i, HELD]) if s.job[i, ASIDE] == HERE else 0
    if had > 0:
        forget_kept(s, i)
    s.count[FREE] += had
    s.job[i, ASIDE], s.job[i, HELD] = NOWHERE, 0
    return had


@part
def home(c, i, time):
    """The instance that holds the context of a request that arrives, -1 if none does.

    One that is to change its role takes no more requests: then the context is dropped.
    """
    if not c.staged or c.job[i, ASIDE] == NOWHERE:
        return -1
    k = c.job[i, AT]
    if c.fleet[k, NEXT_ROLE] < 0:
        return k
    touch(c, k, time)
    c.count[k, DROPPED] += c.job[i, HELD]
    drop_context(c, i)
    return -1


@part
def keep_context(c, i, by):
    """Stage i has ended, and stage `by` continues it: keep its context or not."""
    k = c.job[i, AT]
    s = view(c, k)
    x, progress = c.stages.numbers[i], c.stages.progress[c.stages.whole[i, PROGRAM]]
    held, partial = s.job[i, INPUT] + s.job[i, OUTPUT] - 1, s.count[PARTIAL]
    begun = s.job[partial, HELD] if partial >= 0 else 0
    swap_ms = s.constants[SWAP_MS] * held
    choice = c.handles[c.fleet[k, POLICY]](
        float(s.job[i, INPUT]),
        float(s.job[i, OUTPUT]),
        progress[ATTAINED],
        progress[STAGES_DONE],
        progress[REMAINING_WORK],
        x[0] + estimate_of(s, i, s.job[i, OUTPUT]),
        x[1],
        x[2],
        x[3],
        x[4],
        x[5],
        x[6],
        x[7],
        float(held),
        float(s.count[TOKENS] + begun),
        prefill_ms(s.constants, held, float(held) * held, 0, 0),
        swap_ms if swap_ms > 0 else np.inf,
        float(s.count[FREE] * s.block),
        float(s.total * s.block),
        float(s.count[RUNNING] + (1 if partial >= 0 else 0)),
        float(s.count[WAITING]),
        s.constants[THETA],
        s.constants[THETA + 1],
        s.constants[THETA + 2],
        s.constants[THETA + 3],
    )
    if choice == PRESERVE_IT or (choice == SWAP_IT and swap_ms > 0):
        s.job[by, HELD], s.job[by, AT] = held, k
        if choice == SWAP_IT:
            move_to_host(s, by)
        else:
            s.count[FREE] -= keep(s, by, 0)
    elif choice == DISCARD_IT:
        s.count[DROPPED] += held
    else:
        s.count[FAILED] = -3 if choice == SWAP_IT else -4
        c.total[BROKEN] = k + 1


@part
def forget_waiting(s, i):
    """Take a request out of the queue, wherever it stands in it."""
    waiting, kept = s.count[WAITING], 0
    for k in range(waiting):
        value, other = s.queue[k, RANK], s.queue[k, ARRIVAL]
        if int(other) != i:
            push(s.queue, kept, value, other)
            kept += 1
    s.count[WAITING] = kept
    s.count[WAITING_TOKENS] -= s.job[i, INPUT] + s.job[i, MADE]


@part
def cancel(c, i, time):
    """Take a stage that nobody wants out of the system, if it has not ended; returns whether it did."""
    state = c.job[i, STATE]
    if state == WAITS or state == PREFILLS or state == DECODES or c.job[i, ASIDE] == HERE:
        touch(c, c.job[i, AT], time)
    s = view(c, c.job[i, AT])
    state = s.job[i, STATE]
    if state == ENDED or state == HANDED or state == LOADS or state == REFUSED or state == CANCELLED:
        return False
    if state == PARKED and s.job[i, SOURCE] >= 0:
        return False
    had = blocks_of(s, i) if state == PREFILLS or state == DECODES else 0
    if state == WAITS:
        forget_waiting(s, i)
    elif state == DECODES:
        leave(s, i)
    elif state == PREFILLS:
        s.count[PARTIAL] = -1
    if had > 0 and s.shares:
        let_go(s, i, s.count[ITERATIONS])
    s.count[FREE] += had
    freed = had + drop_context(c, i)
    s.job[i, STATE] = CANCELLED
    if state == COMING:
        c.real[i, DUE] = np.nan
    elif state != PARKED:
        c.fleet[c.job[i, AT], PRESENT] -= 1
        begin_change(c, c.job[i, AT], time)
    if freed > 0:
        fetch(c, c.job[i, AT], time)
    c.stages.wasted[0] += s.job[i, MADE]
    c.stages.progress[c.stages.whole[i, PROGRAM], REMAINING_WORK] -= c.real[i, PREDICTED]
    return True


@part
def want_less(c, j):
    """Stage j waits for its predecessors no longer."""
    for k in range(c.stages.after_start[j], c.stages.after_start[j + 1]):
        c.stages.whole[c.stages.after[k], WANTED] -= 1


@part
def cancel_useless(c, j, time):
    """Stage j has been released before all that it waits for have ended: cancel what nobody wants any longer."""
    stage = c.stages.whole
    for i in range(j - 1, -1, -1):
        if stage[i, PROGRAM] != stage[j, PROGRAM]:
            break
        waited_for = c.stages.followers_start[i + 1] > c.stages.followers_start[i]
        if waited_for and stage[i, WANTED] == 0 and cancel(c, i, time) and stage[i, LACKS] > 0:
            want_less(c, i)


@part
def follow(c, i, time):
    """Stage i is done: release those that wait for no more."""
    for k in range(c.stages.followers_start[i], c.stages.followers_start[i + 1]):
        j = c.stages.followers[k]
        c.stages.whole[j, LACKS] -= 1
        if c.stages.whole[j, LACKS] == 0 and c.job[j, STATE] != CANCELLED:
            arrival = time + c.stages.numbers[j, DELAY_MS]
            c.real[j, ARRIVED] = arrival
            release(c, j, arrival)
            want_less(c, j)
            if c.stages.whole[j, EARLY] != 0:
                cancel_useless(c, j, time)


@part
def ended(c, i, time):
    """Request i has made its last token, and its KV cache has been freed."""
    if c.staged:
        stage, progress = c.stages.whole, c.stages.progress[c.stages.whole[i, PROGRAM]]
        progress[ATTAINED] += stage[i, SERVICE]
        progress[STAGES_DONE] += 1
        progress[REMAINING_WORK] -= c.real[i, PREDICTED]
        by = stage[i, BY]
        # In a prefix cache what is left of a stage is its prompt, for as long as nobody needs the blocks.
        shares = c.setting[c.job[i, AT], 15]
        if by >= 0 and shares == 0 and c.job[by, STATE] != CANCELLED:
            keep_context(c, i, by)
        follow(c, i, time)


@part
def refused(c, i, time):
    """The router has refused request i."""
    if c.staged:
        c.stages.progress[c.stages.whole[i, PROGRAM], REMAINING_WORK] -= c.real[i, PREDICTED]
        follow(c, i, time)
