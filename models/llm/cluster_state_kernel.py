# ruff: noqa: F821
"""Template of the cluster's kernel, 1: several servers on one clock, and the events between them.

The servers share the tables job and real, since a request is at one of them at a time; all else of a server's state
stands in arrays whose first axis is the number of the instance, and `view` makes the engine's Server of it.

Iterations run when the clock of the cluster gets to their beginning, not before and not in parts: an instance whose
clock is ahead is in an iteration, and its state is that at the end of it. While an instance decodes with nothing else
to do, WAKE is the beginning of the iteration in which that changes, and nobody looks at it until then, unless
something is sent there (`touch`).
"""

from collections import namedtuple

import numpy as np

# More columns of job: the instance of a request, the one where its KV cache is, the next in a list of requests.
AT, SOURCE, BEHIND = range(15, 18)
# One more column of real: when the event of a request that is on its way is due; an event of another time is void.
DUE = 10
# More values of STATE: its KV cache is on its way, no instance can take it, the router refused it, nobody wants it.
LOADS, PARKED, REFUSED, CANCELLED = range(6, 10)
# Columns of fleet, integers of an instance: its policy and plan, the role that it changes to (-1: none) and whether it
# has begun to; requests that were sent there and have not left, how often one was sent, the number of the last time;
# of the list of KV caches to fetch the first, and how many; tokens held for others or on their way.
ROLE, MODEL, UP, POLICY, PLAN, NEXT_ROLE, SWITCHING, PRESENT, ROUTED, TURN, FETCH, FETCHES, MOVING = range(13)
# Columns of meter, floats of an instance, times in ms: when it has to be looked at, the last time that a request was
# sent there, when its link is free, when it has changed its role, its busy time when the controller was last asked, ms
# to send the KV of a token.
WAKE, ROUTED_AT, LINK_FREE, SWITCH_AT, BUSY_BEFORE, PRICE_PER_HOUR, LINK_MS = range(7)
# Entries of total; the first and the last of the parked requests; 1 + the instance or request that broke a rule.
EVENTS, FINISHED, TURNS, REFUSALS, PARK_FIRST, PARK_LAST, BROKEN, BROKEN_SCORE, MOST_PRESENT, SENT = range(10)
# Kinds of events; of several at one time the lower kind is first, then the lower number.
END, HANDED_OVER, LOADED, CHANGE, SWITCHED, TICK, ARRIVE = range(7)
_KIND = 1 << 40
MIXED, PREFILL, DECODE = range(3)
_LATE = 1e300  # ms; advance takes infinity for the end of all arrivals

Cluster = namedtuple(
    "Cluster",
    "ranks admits score_of job real queue lists phases count clock constants refresh_start refreshed "
    "tree path_start path leaving n every setting reserved fleet meter total events model_of values "
    "columns mark choices looks seed layers control_of controls switch_ms changes staged stages handles slots",
)


@inlined
def view(c, k):
    """The engine's Server of instance k."""
    p = c.setting[k]
    return Server(
        c.ranks[c.fleet[k, POLICY]],
        c.admits[c.fleet[k, POLICY]],
        c.job,
        c.real,
        c.queue[k],
        c.lists[k],
        c.phases[k],
        c.count[k],
        c.clock[k],
        c.constants[k],
        c.refresh_start,
        c.refreshed,
        c.tree[k],
        c.path_start,
        c.path,
        c.leaving[k],
        c.n,
        c.every,
        p[20],
        p[0],
        p[1],
        p[2],
        p[3],
        p[4] != 0,
        p[5] != 0,
        p[6],
        p[7] != 0,
        p[8] != 0,
        p[9] != 0,
        min(p[10], FALLING),
        p[11] != 0,
        p[12] != 0,
        p[13] != 0,
        p[14],
        p[15] != 0,
        p[16],
        p[17] != 0,
        p[18] != 0,
        p[19],
        c.fleet[k, ROLE] == PREFILL,
        c.staged,
        c.slots[c.fleet[k, POLICY], 0] != 0,
        c.stages.whole,
        c.stages.numbers,
        c.stages.progress,
        c.slots[c.fleet[k, POLICY], 1:],
    )


@inlined
def post(c, time, kind, number):
    """Add an event."""
    push(c.events, c.total[EVENTS], time, float(kind * _KIND + number))
    c.total[EVENTS] += 1


@part
def release(c, i, time):
    """Request i arrives at `time`, now or later."""
    c.job[i, STATE] = COMING
    c.real[i, DUE] = time
    post(c, time, ARRIVE, i)


@part
def run(c, k, until):
    """Run the iterations of instance k that begin before `until`; posts who ends and who is handed over in them."""
    s = view(c, k)
    advance(s, until)
    i = s.count[LAST_LOGGED]
    s.count[LAST_LOGGED] = -1
    while i >= 0:
        if s.job[i, STATE] == HANDED:
            c.fleet[k, MOVING] += s.job[i, HELD]
            s.real[i, DUE] = s.real[i, SINCE]
            post(c, s.real[i, SINCE], HANDED_OVER, i)
        else:
            post(c, s.real[i, FINISH], END, i)
        i = s.job[i, LOGGED]
    if s.count[FAILED] != 0:
        c.total[BROKEN] = k + 1
    if s.count[RUNNING] > 0 or s.count[PARTIAL] >= 0:
        c.meter[k, WAKE] = max(s.clock[NOW], s.clock[QUIET])
    elif s.count[WAITING] > 0 and s.clock[NOW] >= until:
        c.meter[k, WAKE] = s.clock[NOW]
    else:
        c.meter[k, WAKE] = np.inf


@part
def touch(c, k, time):
    """Bring instance k to `time`, or to the end of the iteration that it is in, and let it plan anew then."""
    if c.clock[k, NOW] < time:
        if c.count[k, RUNNING] > 0 or c.count[k, PARTIAL] >= 0 or c.meter[k, WAKE] < time:
            run(c, k, time)
        # What an idle instance moves to the host does not delay its next iteration.
        c.clock[k, TRANSFER] = max(c.clock[k, TRANSFER] - max(time - c.clock[k, NOW], 0.0), 0.0)
        c.clock[k, NOW] = max(c.clock[k, NOW], time)
    c.meter[k, WAKE], c.clock[k, QUIET] = c.clock[k, NOW], 0.0


@part
def first_awake(c):
    """The instance that has to be looked at next."""
    first = 0
    for k in range(1, c.meter.shape[0]):
        if c.meter[k, WAKE] < c.meter[first, WAKE]:
            first = k
    return first
