# ruff: noqa: F821
"""Template of the kernel of policies that plan iterations, 1 of 2: the state of the server, what the policy sees.

rounds.py says what it means; timing.py comes before it.

The requests present stand in `who` in order of arrival, their columns in `table`, a row for each column that the
policy sees and a place for each request; only what an iteration changed is written anew. tests/slow_rounds.py says
the same step by step.
"""

import warnings
from collections import namedtuple

import numpy as np
from numba.core.errors import NumbaExperimentalFeatureWarning

# The policy's function is handed to the kernel, a feature that numba still calls experimental.
warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)

# Columns of job, integers, and of real, floats; times in ms. HOST: tokens whose KV is on the host. DECODES: whether all
# tokens but the last one made have been computed since its KV was last dropped.
INPUT, OUTPUT, MADE, HELD, HOST, DECODES, PREEMPTED = range(7)
ARRIVED, PREDICTED, LOW, HIGH, KIND, DEADLINE, PRICE, DRAW, LAST, FIRST, FINISH = range(11)
# Entries of count.
USED, TOKENS, NEXT, PRESENT, DONE, FAILED, CULPRIT, SAID, ALLOWED = range(9)
ITERATIONS, PREEMPTIONS, DROPPED, SWAPPED, PEAK, IDLE = range(9, 15)
# Entries of clock, in ms: now, busy, integrals over time and over steps, the last step, all steps.
NOW, BUSY, AREA_TOKENS, COMPUTED, LAST_STEP = range(5)
# What a plan may say of a request beside a number of tokens.
EVICT, SWAP_OUT, SWAP_IN = -1, -2, -3
# Values of FAILED: the rule that was broken.
(
    RAISED,
    NOT_A_NUMBER,
    UNKNOWN_CODE,
    NOTHING_TO_DROP,
    NOTHING_TO_MOVE,
    NOT_ON_HOST,
    NO_HOST,
    TOO_MANY_TOKENS,
    TOO_MANY_REQUESTS,
    OVER_BUDGET,
    OVER_MEMORY,
    STANDS_STILL,
    AT_ONCE,
    WAITS_WITHOUT_END,
    PREEMPTS_WITHOUT_END,
) = range(1, 16)
MOST_IDLE = 1_000_000  # how often in a row a policy may ask for time alone
FINISHED = 1000  # answers that ended lately which a policy can look at
# The first columns change while a request is served, the last ones are the policy's own: policies.ROUND_COLUMNS.
CHANGING, OWN = 9, 21

Rounds = namedtuple(
    "Rounds",
    "decide job real table seen who plan state memory finished constants law theta refresh_start refreshed count clock "
    "n every total block most budget swap_ms most_preemptions",
)


@part
def round_estimate(s, i):
    """The current estimate of the tokens still to make: the last one renewed, counted down since."""
    made = s.job[i, MADE]
    entries = s.refresh_start[i + 1] - s.refresh_start[i] if s.every > 0 else 0
    renewed = min(made // s.every, entries) if entries > 0 else 0
    if renewed == 0:
        return s.real[i, PREDICTED] - made
    return s.refreshed[s.refresh_start[i] + renewed - 1] - (made - renewed * s.every)


@part
def lacks(s, i):
    """Tokens to compute of a request until it makes its next one; those on the host are computed."""
    return s.job[i, INPUT] + s.job[i, MADE] - s.job[i, HELD] - s.job[i, HOST]


@part
def changing_value(s, i, column):
    """A column that serving changes, in the order of policies.ROUND_COLUMNS."""
    if column == 0:
        return float(s.job[i, HELD])
    if column == 1:
        return float(s.job[i, HOST])
    if column == 2:
        return float(lacks(s, i))
    if column == 3:
        return float(s.job[i, DECODES])
    if column == 4:
        return float(s.job[i, MADE])
    if column == 5:
        return float(s.job[i, OUTPUT] - s.job[i, MADE])
    if column == 6:
        return round_estimate(s, i)
    if column == 7:
        return float(s.job[i, PREEMPTED])
    return s.real[i, LAST] / 1000.0


@part
def fixed_value(s, i, column):
    """A column that stays as it is."""
    if column == 9:
        return float(i)
    if column == 10:
        return s.real[i, ARRIVED] / 1000.0
    if column == 11:
        return float(s.job[i, INPUT])
    if column == 12:
        return float(s.job[i, OUTPUT])
    if column == 13 or column == 14:
        return s.real[i, PREDICTED]
    return s.real[i, LOW + column - 15] if column < OWN else 0.0


@part
def renew(s, place):
    """Write anew what serving changes of the request at this place."""
    for row in range(len(s.seen)):
        if s.seen[row] < CHANGING:
            s.table[row, place] = changing_value(s, s.who[place], s.seen[row])


@part
def appear(s, i):
    """A request arrives: the last in order."""
    place = s.count[PRESENT]
    s.who[place] = i
    s.real[i, LAST] = s.real[i, ARRIVED]
    for row in range(len(s.seen)):
        if s.seen[row] >= CHANGING:
            s.table[row, place] = fixed_value(s, i, s.seen[row])
    renew(s, place)
    s.count[PRESENT] += 1


@part
def close_gaps(s, first):
    """Take the requests that have finished, from place `first` on, out of the order."""
    kept = first
    for place in range(first, s.count[PRESENT]):
        if s.job[s.who[place], MADE] < s.job[s.who[place], OUTPUT]:
            s.who[kept] = s.who[place]
            for row in range(len(s.seen)):
                s.table[row, kept] = s.table[row, place]
            kept += 1
    s.count[PRESENT] = kept


@part
def look(s):
    """The state that the policy sees, in the order of policies.ROUND_STATE."""
    state, steps = s.state, s.count[ITERATIONS]
    state[0] = s.clock[NOW] / 1000.0
    state[1] = float(steps)
    state[2] = float(s.budget) if s.budget < 1 << 60 else np.inf
    state[3] = float(s.most)
    state[4] = float((s.total - s.count[USED]) * s.block)
    state[5] = float(s.total * s.block)
    state[6] = float(s.block)
    state[8] = s.clock[LAST_STEP]
    state[9] = s.clock[BUSY] / steps if steps > 0 else 0.0
    state[10] = float(s.count[DONE])
