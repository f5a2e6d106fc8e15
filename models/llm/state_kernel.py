# ruff: noqa: F821
"""Template of the engine's kernel, 1 of 3: the state of the server, the ranks, the KV cache.

A running request makes one token in each decoding step, all of them together. So nothing is counted up per
token: CLOCK counts the steps in which the batch decoded, and a request that decodes keeps in HELD its tokens
in the KV cache less the clock; its end is a fixed reading of the clock, kept in a heap.

Pages: a request needs a new block in the step in which the tokens that it holds fill its blocks. `phases`
counts the running requests by (tokens held - CLOCK) mod block, so the need of any step, and the growth over
many steps, are read off it.
"""

import warnings
from collections import namedtuple

import numpy as np
from numba import njit
from numba.core.errors import NumbaExperimentalFeatureWarning

# The policy's rank is handed to the kernel as a function, a feature that numba still calls experimental.
warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)

# Columns of job, one row of integers a request. FROM counts the tokens that a running request had made when it was
# admitted. KEEPER and KEEPER_BEFORE link the requests that wait and keep blocks, LOGGED those that ended or were
# handed over, see LAST_KEEPER and LAST_LOGGED; links are numbers of requests, -1 at the end of a list. ASIDE says
# where the tokens in HELD of a waiting request are: NOWHERE for what it shares, HERE in blocks that it keeps, HOST.
INPUT, OUTPUT, MADE, HELD, STATE, PLACE, RESERVED, PREEMPTED, KEEPER, UNTIL, SHARED, FROM = range(12)
KEEPER_BEFORE, LOGGED, ASIDE = range(12, 15)
NOWHERE, HERE, HOST = range(3)
# Columns of real, one row of floats a request; times in ms; LOST is the last step in which it was preempted,
# BOUND the last rank that was computed since it runs, infinity before, a bound until CLOCK is at UNTIL, SINCE when
# it began to wait, or, while it runs, how long it had waited when it was admitted.
ARRIVED, PREDICTED, KIND, DEADLINE, PRICE, FIRST, FINISH, LOST, BOUND, SINCE = range(10)
# Entries of count. LEAST: what any waiting request lacks in blocks is at least that (with `timed` only).
FREE, TOKENS, CLOCK, RUNNING, PARTIAL, WAITING, ENDS, NEXT, LEAST, KEPT_BLOCKS, KEPT_TOKENS = range(11)
FAILED, DONE, ITERATIONS, PREEMPTIONS, DROPPED, SWAPPED, PEAK, TWICE, LEAVING, REUSED = range(11, 21)
# Admissions so far; running requests and free blocks at the beginning of the iteration, for ranks.
PICKS, SEEN_BATCH, SEEN_FREE = range(21, 24)
# Of the waiting requests the tokens of prompt and answer so far; requests whose KV cache is on its way here, which have
# a place in the batch; the last of the lists in job.
WAITING_TOKENS, LOADING, LAST_KEEPER, LAST_LOGGED = range(24, 28)
# With falls = SETTLED: blocks that completions and preemptions have freed so far; 1 + the waiting request for which
# nobody's place was enough, or 0, and FREED from which on it may be.
FREED, BLOCKED, ENOUGH = range(28, 31)
# Requests that decode, but have no token yet: all of their prompt was the context of another one.
FRESH = 31
# 1 + the iteration of the last preemption: an iteration that could not begin goes on when KV caches have arrived.
LOST_AT = 32
COUNTS = 33
# Entries of clock, in ms: now, transfers of swapped KV in this step, busy time, integrals over time and steps; when
# the last step of the last jump begins if nothing comes in between.
NOW, TRANSFER, BUSY, AREA_TOKENS, COMPUTED, QUIET = range(6)
# Values of STATE; of a request that waits, HELD is what it has swapped out or kept.
COMING, WAITS, PREFILLS, DECODES, ENDED, HANDED = range(6)
# Whom a policy preempts: nobody, running requests where batch or memory is full, only where the batch is full.
FOR_NONE, FOR_ANY, FOR_BATCH = range(3)
# Values of falls: ranks of running requests may rise; they fall, but perhaps as a request starts or its prediction is
# renewed; they only fall, and memory is freed by completions and preemptions only, as in a single engine.
RISING, FALLING, SETTLED = range(3)
# Memory on preemption.
RECOMPUTE, SWAP, TAIL = range(3)
_ID = 25  # bits of a request's number in an entry of `ends`

# Rows of lists: the heap of the ends, the requests that decode, the prompts admitted in this step; of peak_tokens.
ENDING, ACTIVE, ADMITTED, HORIZON, SIZE = range(5)
# Programs (programs_kernel.py), whose tables are empty for an engine that serves requests: of stage the columns that
# say the program of a request and whether its prompt is a context and nothing more. The columns of progress, one row a
# program, are the first SHIFTING of policies.PROGRAM_COLUMNS, which change as its stages end; those of stage_real, one
# row a stage, are the others, REMAINING_PATH without the stage itself.
PROGRAM, WHOLE = range(2)
SHIFTING, REMAINING_PATH = 3, 4
# What follows the coefficients of timing.py in constants.
SWAP_MS, THETA = 15, 16

Server = namedtuple(
    "Server",
    "rank_of admit_of job real queue lists phases count clock constants refresh_start refreshed "
    "tree path_start path leaving "
    "n every total block most_running budget watermark "
    "mixed drain preempt paged restless timed falls renews asks peaks memory shares node_blocks sees_cached picky "
    "most_preemptions hands staged shifts stage stage_real progress slots",
)
# A part (timing.py) that is worth the time to compile it into each caller.
inlined = njit(forceinline=True, **PART)


@inlined
def held_of(s, i):
    """Tokens of a request in the KV cache."""
    return s.job[i, HELD] + s.count[CLOCK] if s.job[i, STATE] == DECODES else s.job[i, HELD]


@inlined
def made_of(s, i):
    """Output tokens that a request has made; a decoding one holds all but the last in the KV cache."""
    if s.job[i, STATE] == DECODES:
        return s.job[i, HELD] + s.count[CLOCK] - s.job[i, INPUT] + 1
    return s.job[i, MADE]


@inlined
def estimate_of(s, i, made):
    """The current estimate of the tokens still to make: the last one renewed, counted down since."""
    entries = s.refresh_start[i + 1] - s.refresh_start[i] if s.every > 0 else 0
    renewed = min(made // s.every, entries) if entries > 0 else 0
    if renewed == 0:
        return s.real[i, PREDICTED] - made
    return s.refreshed[s.refresh_start[i] + renewed - 1] - (made - renewed * s.every)


@inlined
def cached_of(s, i):
    """Prompt tokens that a waiting request would find in the prefix cache; that a running one shares."""
    if not s.sees_cached:
        return 0
    nodes = s.job[i, SHARED] if s.job[i, STATE] != WAITS else found_nodes(s, i)
    return nodes * s.node_blocks * s.block


@inlined
def columns(s, i, made, running):
    """The columns of a request that has made so many tokens, now, in the order of policies.COLUMNS without `score`."""
    now, arrived = s.clock[NOW] / 1000.0, s.real[i, ARRIVED] / 1000.0
    # A running request keeps how long it had waited when it was admitted.
    idle = s.real[i, SINCE] if running > 0 else s.clock[NOW] - s.real[i, SINCE]
    return (
        arrived,
        float(s.job[i, INPUT]),
        float(s.job[i, OUTPUT]),
        float(s.job[i, OUTPUT] - made),
        s.real[i, PREDICTED],
        estimate_of(s, i, made),
        float(made),
        s.real[i, KIND],
        s.real[i, DEADLINE],
        s.real[i, PRICE],
        float(cached_of(s, i)),
        running,
        now,
        now - arrived,
        float(s.job[i, PREEMPTED]),
        idle / 1000.0,
        float(made - s.job[i, FROM]) if running > 0 else 0.0,
        float(s.count[PICKS]),
    )


@inlined
def parameters(s):
    """The policy's own numbers."""
    return s.constants[THETA], s.constants[THETA + 1], s.constants[THETA + 2], s.constants[THETA + 3]


@inlined
def only_context(s, i):
    """Whether the whole prompt of a stage is the context of the one that it continues, so that it need only decode."""
    return s.staged and s.stage[i, WHOLE] == 1


@part
def of_program(s, i, made, column):
    """A column of the program of a request (policies.PROGRAM_COLUMNS, counted from 1); 0 for the column 0."""
    if column == 0:
        return 0.0
    if column <= SHIFTING:
        return s.progress[s.stage[i, PROGRAM], column - 1]
    value = s.stage_real[i, column - 1 - SHIFTING]
    return value + estimate_of(s, i, made) if column == REMAINING_PATH else value


@inlined
def rank_at(s, i, made, running):
    """The policy's rank of a request that has made so many tokens, now."""
    seen = (float(s.count[SEEN_BATCH]), float(s.count[SEEN_FREE] * s.block))
    own = (
        of_program(s, i, made, s.slots[0]) if s.staged else 0.0,
        of_program(s, i, made, s.slots[1]) if s.staged else 0.0,
        of_program(s, i, made, s.slots[2]) if s.staged else 0.0,
        of_program(s, i, made, s.slots[3]) if s.staged else 0.0,
    )
    return s.rank_of(*columns(s, i, made, running), *seen, *own, *parameters(s))


@inlined
def rank(s, i):
    """The rank of a request as it is now; infinity where it is not a number, so that the step can be ended."""
    state = s.job[i, STATE]
    value = rank_at(s, i, made_of(s, i), 1.0 if state == DECODES or state == PREFILLS else 0.0)
    if value != value:
        s.count[FAILED] = i + 1
        return np.inf
    return value


@inlined
def outranks(s, i, value):
    """Whether a running request's rank is not above `value` for sure: where ranks fall, the last one is a bound."""
    return s.falls != RISING and s.real[i, BOUND] <= value and s.count[CLOCK] < s.job[i, UNTIL]


@inlined
def rank_running(s, i):
    """The rank of a running request, remembered as a bound until its prediction is renewed."""
    s.real[i, BOUND] = rank(s, i)
    s.job[i, UNTIL] = s.count[CLOCK] + s.every - made_of(s, i) % s.every if s.every > 0 else 1 << 60
    return s.real[i, BOUND]


@inlined
def blocks(s, tokens):
    return (tokens + s.block - 1) // s.block


@inlined
def blocks_to_start(s, i):
    """Blocks that a waiting request lacks for all its tokens so far and the one that it makes next."""
    if not s.paged:
        return s.job[i, RESERVED]
    lacks = blocks(s, s.job[i, INPUT] + s.job[i, MADE])
    return lacks - blocks(s, s.job[i, HELD]) if s.job[i, ASIDE] == HERE else lacks - s.job[i, SHARED] * s.node_blocks


@part
def enqueue(s, i):
    """Put a request among the waiting ones."""
    s.job[i, STATE] = WAITS
    push(s.queue, s.count[WAITING], rank(s, i), float(i))
    s.count[WAITING] += 1
    s.count[WAITING_TOKENS] += s.job[i, INPUT] + s.job[i, MADE]
    if s.timed:
        s.count[LEAST] = min(s.count[LEAST], blocks_to_start(s, i))


@inlined
def dequeue(s):
    """Take the first of the waiting requests off the queue."""
    i = int(s.queue[0, ARRIVAL])
    s.count[WAITING_TOKENS] -= s.job[i, INPUT] + s.job[i, MADE]
    pop(s.queue, s.count[WAITING])
    s.count[WAITING] -= 1


@inlined
def log(s, i):
    """Note that a request has ended here or was handed over, for whoever runs this server."""
    s.job[i, LOGGED] = s.count[LAST_LOGGED]
    s.count[LAST_LOGGED] = i


@part
def rank_again(s):
    """Order the waiting requests anew, for ranks that change with time or the state."""
    waiting = s.count[WAITING]
    s.count[LEAST] = 1 << 60
    for k in range(waiting):
        i = int(s.queue[k, ARRIVAL])
        push(s.queue, k, rank(s, i), float(i))
        s.count[LEAST] = min(s.count[LEAST], blocks_to_start(s, i))


@inlined
def blocks_of(s, i):
    """Blocks of a running request alone: for its whole prompt while that is computed."""
    if not s.paged:
        return s.job[i, RESERVED]
    if s.job[i, STATE] == PREFILLS:
        return blocks(s, s.job[i, INPUT] + s.job[i, MADE]) - s.job[i, SHARED] * s.node_blocks
    return blocks(s, held_of(s, i)) - s.job[i, SHARED] * s.node_blocks


@inlined
def grows(s, i):
    """1 if the request needs a new block in the next decoding step, else 0."""
    if not s.paged or s.job[i, STATE] != DECODES:
        return 0
    return 1 if held_of(s, i) % s.block == 0 else 0


@inlined
def need_next(s):
    """Blocks that the running requests need for their next decoding step."""
    return s.phases[-s.count[CLOCK] % s.block] if s.paged else 0


@inlined
def growth(s, steps):
    """Blocks that the running requests take over so many decoding steps."""
    if not s.paged:
        return 0
    cycles = steps // s.block
    total = cycles * s.count[RUNNING]
    phase = -s.count[CLOCK] % s.block
    for _ in range(steps - cycles * s.block):
        total += s.phases[phase]
        phase = phase - 1 if phase > 0 else s.block - 1
    return total


@inlined
def fitting_steps(s, steps):
    """The most decoding steps, up to `steps`, for which the free blocks are enough."""
    free, running = s.count[FREE], s.count[RUNNING]
    if not s.paged or free >= running * blocks(s, steps):
        return steps
    fitting = free // running * s.block
    free -= free // running * running
    phase = -s.count[CLOCK] % s.block
    while fitting < steps and s.phases[phase] <= free:
        free -= s.phases[phase]
        fitting += 1
        phase = phase - 1 if phase > 0 else s.block - 1
    return fitting


@inlined
def ends_add(s, key):
    """Add an entry to the heap of the clock readings at which the running requests end."""
    ends, i = s.lists[ENDING], s.count[ENDS]
    while i > 0 and ends[(i - 1) >> 1] > key:
        ends[i] = ends[(i - 1) >> 1]
        i = (i - 1) >> 1
    ends[i] = key
    s.count[ENDS] += 1


@inlined
def ends_drop(s):
    """Take the first entry off that heap."""
    ends = s.lists[ENDING]
    s.count[ENDS] -= 1
    last = s.count[ENDS]
    key = ends[last]
    i, child = 0, 1
    while child < last:
        if child + 1 < last and ends[child + 1] < ends[child]:
            child += 1
        if ends[child] >= key:
            break
        ends[i] = ends[child]
        i, child = child, 2 * child + 1
    ends[i] = key


@inlined
def end_of(s, i):
    """The reading of the clock at which a decoding request has made its last token."""
    return s.job[i, INPUT] + s.job[i, OUTPUT] - 1 - s.job[i, HELD]


@inlined
def first_end(s):
    """The first reading of the clock at which a running request ends; forgets those that were preempted."""
    while True:
        end, i = s.lists[ENDING, 0] >> _ID, s.lists[ENDING, 0] & ((1 << _ID) - 1)
        if s.job[i, STATE] == DECODES and end_of(s, i) == end:
            return end
        ends_drop(s)


@inlined
def join(s, i):
    """Let a request decode, from the tokens in HELD on."""
    held = s.job[i, HELD]
    s.job[i, STATE] = DECODES
    s.count[FRESH] += 1 if s.job[i, MADE] == 0 else 0
    s.real[i, BOUND] = np.inf
    s.job[i, HELD] = held - s.count[CLOCK]
    s.phases[s.job[i, HELD] % s.block] += 1
    s.count[TOKENS] += held
    s.job[i, PLACE] = s.count[RUNNING]
    s.lists[ACTIVE, s.count[RUNNING]] = i
    s.count[RUNNING] += 1
    if s.count[ENDS] == s.lists.shape[1]:
        s.count[ENDS] = 0
        for k in range(s.count[RUNNING] - 1):
            ends_add(s, end_of(s, s.lists[ACTIVE, k]) << _ID | s.lists[ACTIVE, k])
    ends_add(s, end_of(s, i) << _ID | i)


@inlined
def leave(s, i):
    """Take a decoding request out of the batch; its tokens are in HELD and MADE again."""
    s.phases[s.job[i, HELD] % s.block] -= 1
    s.job[i, HELD] += s.count[CLOCK]
    s.job[i, MADE] = s.job[i, HELD] - s.job[i, INPUT] + 1
    s.count[FRESH] -= 1 if s.job[i, MADE] == 0 else 0
    s.count[TOKENS] -= s.job[i, HELD]
    s.count[RUNNING] -= 1
    last = s.lists[ACTIVE, s.count[RUNNING]]
    s.lists[ACTIVE, s.job[i, PLACE]] = last
    s.job[last, PLACE] = s.job[i, PLACE]
