# ruff: noqa: F821
"""Template of the cluster's kernel, 2: the columns of routers, and which instance gets a request."""

import numpy as np

# The places of the columns in the order of routers.COLUMNS: of the request, of the instance; then parameters.
R_INPUT, R_PREDICTED, R_KIND, R_PHASE, R_GENERATED, R_DEADLINE, R_NOW, R_VALUE = range(8)
R_INDEX, R_ROLE, R_MODEL, R_REQUESTS, R_WAITING, R_WAITING_TOKENS, R_HELD, R_FREE, R_KV = range(11, 20)
R_PREDICTED_LEFT, R_PREFILL_MS, R_DECODE_MS, R_BUSY_MS, R_ROUTED, R_SINCE_ROUTED, R_CACHED = range(20, 27)
R_PRICE, R_BATCH, R_MAX_BATCH, R_MEAN_REQUESTS, R_INSTANCES, R_DRAW = range(27, 33)
# Bits of `looks`: the router sees what changes from one step to the next; columns that take time to find.
LOOK_MOVING, LOOK_LEFT, LOOK_PREFILL, LOOK_DECODE, LOOK_CACHED, LOOK_DRAW = 1, 2, 4, 8, 16, 32
_GOLDEN, _MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@part
def mixed_bits(x):
    """The output function of SplitMix64 (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


@part
def uniform(seed, i, k, salt):
    """A number that looks uniform on [0, 1), the same whenever asked for the same request, instance and salt."""
    x = mixed_bits(np.uint64(seed) + np.uint64(i + 1) * _GOLDEN)
    x = mixed_bits(x + np.uint64(4 * k + salt + 1) * _GOLDEN)
    return np.float64(x >> np.uint64(11)) * 2.0**-53


@inlined
def may_take(c, k, i, phase):
    """Whether instance k is up and of the right role and model, and request i fits in its KV cache."""
    role = c.fleet[k, ROLE]
    if c.fleet[k, UP] == 0 or c.fleet[k, NEXT_ROLE] >= 0 or role == (DECODE if phase == 0 else PREFILL):
        return False
    if c.model_of[i] >= 0 and c.model_of[i] != c.fleet[k, MODEL]:
        return False
    tokens = c.job[i, INPUT] + (c.job[i, MADE] if role == PREFILL else c.job[i, OUTPUT])
    block = c.setting[k, 0]
    return (tokens + block - 1) // block + c.setting[k, 3] <= c.setting[k, 20]


@part
def narrow(c, i, phase):
    """Leave `choices` of the marked instances, drawn at random."""
    for _ in range(c.choices):
        best, lowest = -1, 2.0
        for k in range(c.mark.shape[0]):
            if c.mark[k] == 1:
                draw = uniform(c.seed, i, k, 2 * phase)
                if draw < lowest:
                    best, lowest = k, draw
        c.mark[best] = 2
    for k in range(c.mark.shape[0]):
        c.mark[k] //= 2


@part
def left_at(c, k):
    """Estimated tokens still to make of all that are at instance k."""
    s = view(c, k)
    left = 0.0
    for j in range(s.count[RUNNING]):
        i = s.lists[ACTIVE, j]
        left += max(estimate_of(s, i, made_of(s, i)), 0.0)
    for j in range(s.count[WAITING]):
        i = int(s.queue[j, ARRIVAL])
        left += max(estimate_of(s, i, s.job[i, MADE]), 0.0)
    i = s.count[PARTIAL]
    if i >= 0:
        left += max(estimate_of(s, i, s.job[i, MADE]), 0.0)
    i = c.fleet[k, FETCH]
    while i >= 0:
        left += max(estimate_of(s, i, s.job[i, MADE]), 0.0)
        i = s.job[i, BEHIND]
    return left


@part
def cached_at(c, k, i):
    """Prompt tokens of request i in the prefix cache of instance k."""
    s = view(c, k)
    return found_nodes(s, i) * s.node_blocks * s.block if s.shares else 0


@inlined
def to_compute(c, k):
    """Tokens at instance k that are not in its KV cache, but those of requests whose KV it fetches."""
    # Contexts kept for stages that have not arrived yet count among the kept tokens, too.
    tokens = max(c.count[k, WAITING_TOKENS] - (c.count[k, KEPT_TOKENS] - c.fleet[k, MOVING]), 0)
    i = c.count[k, PARTIAL]
    return tokens if i < 0 else tokens + c.job[i, INPUT] + c.job[i, MADE] - c.job[i, HELD]


@inlined
def describe(c, k, i, phase, time):
    """Fill the columns of instance k."""
    x, count, block = c.columns, c.count[k], c.setting[k, 0]
    tokens = c.job[i, INPUT] + c.job[i, MADE]
    partial = count[PARTIAL]
    begun = 0 if partial < 0 else c.job[partial, HELD]
    x[R_INDEX] = k
    x[R_ROLE] = c.fleet[k, ROLE]
    x[R_MODEL] = c.fleet[k, MODEL]
    x[R_REQUESTS] = c.fleet[k, PRESENT]
    x[R_WAITING] = count[WAITING] + c.fleet[k, FETCHES]
    x[R_WAITING_TOKENS] = to_compute(c, k)
    x[R_HELD] = count[TOKENS] + count[KEPT_TOKENS] - count[TWICE] + begun
    x[R_FREE] = float(count[FREE]) * block
    x[R_KV] = float(c.setting[k, 20]) * block
    if c.looks & LOOK_LEFT:
        x[R_PREDICTED_LEFT] = left_at(c, k)
    if c.looks & LOOK_PREFILL:
        x[R_PREFILL_MS] = prefill_ms(c.constants[k], tokens, float(tokens) * tokens, 0, 0)
    if c.looks & LOOK_DECODE:
        floor, const, slope = decode_line(c.constants[k], count[RUNNING] + 1)
        x[R_DECODE_MS] = max(floor, const + slope * (count[TOKENS] + count[RUNNING] + tokens))
    x[R_BUSY_MS] = max(c.clock[k, NOW] - time, 0.0)
    x[R_ROUTED] = c.fleet[k, ROUTED]
    x[R_SINCE_ROUTED] = (time - c.meter[k, ROUTED_AT]) / 1000.0
    if c.looks & LOOK_CACHED:
        x[R_CACHED] = cached_at(c, k, i)
    x[R_PRICE] = c.meter[k, PRICE_PER_HOUR]
    x[R_BATCH] = count[RUNNING] + (1 if partial >= 0 else 0)
    x[R_MAX_BATCH] = c.setting[k, 1]
    if c.looks & LOOK_DRAW:
        x[R_DRAW] = uniform(c.seed, i, k, 2 * phase + 1)


@part
def choose(c, i, phase, time):
    """The instance that the router gives request i: -1 if none can take it, -2 if the router refuses."""
    fitting, load = 0, 0
    for k in range(c.mark.shape[0]):
        c.mark[k] = 1 if may_take(c, k, i, phase) else 0
        fitting += c.mark[k]
        load += c.mark[k] * c.fleet[k, PRESENT]
    if fitting == 0:
        return -1
    if 0 < c.choices < fitting:
        narrow(c, i, phase)
    x = c.columns
    x[R_INPUT], x[R_GENERATED], x[R_PHASE], x[R_NOW] = c.job[i, INPUT], c.job[i, MADE], phase, time / 1000.0
    x[R_PREDICTED], x[R_KIND], x[R_DEADLINE] = c.real[i, PREDICTED], c.real[i, KIND], c.real[i, DEADLINE]
    for j in range(4):
        x[R_VALUE + j] = c.values[i, j]
    x[R_MEAN_REQUESTS] = load / fitting
    x[R_INSTANCES] = c.mark.shape[0]
    best, lowest = -2, np.inf
    for k in range(c.mark.shape[0]):
        if c.mark[k] == 0:
            continue
        if c.looks & LOOK_MOVING and c.clock[k, NOW] < time and c.count[k, RUNNING] > 0:
            run(c, k, time)
        describe(c, k, i, phase, time)
        score = c.score_of(x.ctypes)
        if score != score:
            c.total[BROKEN_SCORE] = i + 1
        if score < lowest or (score == lowest and best >= 0 and c.fleet[k, TURN] < c.fleet[best, TURN]):
            best, lowest = k, score
    return best


@part
def park(c, i):
    """Let a request that no instance can take wait for a change."""
    c.job[i, STATE] = PARKED
    c.job[i, BEHIND] = -1
    last = c.total[PARK_LAST]
    if last >= 0:
        c.job[last, BEHIND] = i
    else:
        c.total[PARK_FIRST] = i
    c.total[PARK_LAST] = i


@part
def refuse(c, i, time):
    """The router wants a request nowhere."""
    c.job[i, STATE] = REFUSED
    c.total[REFUSALS] += 1
    refused(c, i, time)


@part
def send(c, k, i, time):
    """Account for a request that is sent to instance k."""
    touch(c, k, time)
    c.job[i, AT] = k
    c.total[TURNS] += 1
    c.fleet[k, TURN] = c.total[TURNS]
    c.fleet[k, ROUTED] += 1
    c.fleet[k, PRESENT] += 1
    c.meter[k, ROUTED_AT] = time
    c.total[MOST_PRESENT] = max(c.total[MOST_PRESENT], c.fleet[k, PRESENT])


@part
def arrive(c, i, time):
    """A request that has to compute its prompt arrives: send it to an instance."""
    k = home(c, i, time)
    kept = k >= 0
    if not kept:
        k = choose(c, i, 0, time)
    if k == -1:
        park(c, i)
    elif k == -2:
        refuse(c, i, time)
    else:
        send(c, k, i, time)
        s = view(c, k)
        if not kept:
            s.job[i, HELD] = 0
        s.real[i, SINCE], s.real[i, LOST] = time, np.nan
        if not s.paged:
            s.job[i, RESERVED] = c.reserved[c.fleet[k, PLAN], i]
        enqueue(s, i)
