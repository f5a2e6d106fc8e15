"""The idealised server of unit_time.py with requests that call out: unit slots, a KV cache of so many tokens.

A request makes its output in segments, each one token a slot; after every segment but the last it makes a call that
takes a number of slots. With a context of c tokens (its prompt and what it has made), a segment of o tokens that starts
at slot t holds c + k tokens at time t + k and ends at t + o. During the call and until the next segment starts, the
context of C = c + o tokens is

    preserved   it holds C tokens; the next segment starts at once
    discarded   it holds nothing; the next segment first computes it again, ceil(C / chunk) slots in which it holds C
    swapped     it is moved out in ceil(C / swap) slots, in which it holds C, then holds nothing, and is moved in
                again in as many slots before the next segment makes tokens; swap = 0: this cannot be done

The tokens of all requests may never exceed the memory. A segment that has started is not stopped, and starts only if
the memory suffices at all times of its (known) life beside what has started and the contexts that are preserved. A
context is preserved, or moved out, only where that fits; else it is discarded. A preserved context may be discarded
later: by the policy's rule, or when nothing runs, no call is out, and nothing could start; then the context of the
last in the order goes first.

A policy is a file of SHAPE "decision": `decide` ranks what waits to start, the lowest first, from the columns of
COLUMNS. Its parameters say the rest:

    handling   preserve, discard, swap; min-waste: whichever takes the fewest slots of the context's memory by the
               predicted duration (INFERCEPT's rule where recomputation slows nobody else); ttl: preserve, and discard
               after `factor` times the slots of recomputation; lazy: preserve, and discard when the start of a
               waiting request needs the memory: first contexts in calls that are thought to last for more than
               `factor` times the slots of recomputation yet (once overdue, as long again as it is overdue), the
               longest first, then those of requests that wait behind that one, the last first; lazy-ttl: the same
               by how long the calls have lasted
    factor     default 1
    skip       whether requests behind the first that cannot start are tried too (default: no)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm import unit_time_calls_kernel as kernel
from openqueues.models.llm.unit_time import whole
from openqueues.models.policies import Policy

COLUMNS = (
    "arrival",
    "prompt",
    "context",  # tokens before the segment
    "output",  # tokens of the segment
    "output_left",  # tokens of this segment and those after it
    "calls_left",
    "delay",  # predicted slots of the call after the segment, 0 if there is none
    "delay_left",  # predicted slots of all calls to come
    "held",  # 1 if the context is preserved
    "restore",  # slots before the segment makes tokens, if it is not held
    "service_left",  # tokens times slots of this segment and those after it, with restore
    "call_left",  # tokens times predicted slots of the calls to come, each in its least wasteful handling
    "memory",
)
HANDLINGS = ("preserve", "discard", "swap", "min-waste", "ttl", "lazy", "lazy-ttl")
_PATIENCE = 20
# What only predictions tell: of outputs (exact here) and of calls.
_FORECASTS = frozenset({"output", "output_left", "calls_left", "delay", "delay_left", "service_left", "call_left"})


@dataclass(frozen=True, eq=False)
class Calls:
    """Requests with calls, in the order of arrival; int64 but for `told`."""

    arrival: np.ndarray
    """(n,) slots, ascending."""
    prompt: np.ndarray
    """(n,) tokens, at least 0; computed in no time, as in unit_time.py."""
    first: np.ndarray
    """(n + 1,) the segments of request i are first[i], ..., first[i + 1] - 1; at least one."""
    output: np.ndarray
    """(segments,) tokens, at least 1."""
    call: np.ndarray
    """(segments,) slots of the call after the segment, at least 1; 0 after the last of a request."""
    told: np.ndarray
    """(segments,) predictions of these, float64, at least 0."""

    def __len__(self) -> int:
        return len(self.arrival)

    @property
    def context(self) -> np.ndarray:
        """(segments,) tokens of the request before each segment."""
        before = np.concatenate([[0], np.cumsum(self.output)])[:-1]
        counts = np.diff(self.first)
        return before - np.repeat(before[self.first[:-1]], counts) + np.repeat(self.prompt, counts)


@dataclass(frozen=True, eq=False)
class Slots:
    start: np.ndarray
    """(segments,) slot of the start, -1 where the server gave up."""
    finish: np.ndarray
    """(n,) slot of completion, -1 where the server gave up."""
    preserved: int
    """Contexts preserved as their calls began."""
    discarded: int
    """Contexts discarded, then or later."""
    swapped: int
    recomputed: int
    """Slots of recomputation."""
    peak: int
    """Most tokens held at once."""

    @property
    def completed(self) -> np.ndarray:
        return self.finish >= 0


def calls(arrival, prompt, output, call, told=None) -> Calls:
    """Requests from lists: output[i] and call[i] hold numbers for each segment and each call of request i; told[i]
    the predictions of the latter (default: exact). Raises InputError for values that make no sense."""
    counts = [len(one) for one in output]
    for i, count in enumerate(counts):
        if count < 1 or len(call[i]) != count - 1 or (told is not None and len(told[i]) != count - 1):
            raise InputError(f"request {i} has {count} segments and {len(call[i])} calls: give one call less.")
    flat = np.array([x for one in call for x in (*one, 0)])
    made = Calls(
        whole("arrival", arrival, 0),
        whole("prompt", prompt, 0),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        whole("output", [x for one in output for x in one], 1),
        whole("call", flat, 0),
        np.array(flat if told is None else [x for one in told for x in (*one, 0)], np.float64),
    )
    check(made)
    return made


def serve_calls(requests: Calls, memory: int, policy: str | Policy, *, chunk: int, swap: int = 0) -> Slots:
    """Serve the requests to the end. chunk, swap: tokens that are computed again or moved in a slot.

    Raises InputError for values that make no sense, a request that can never fit and a policy that cannot be used.
    """
    chosen = policies.policy(policy) if isinstance(policy, str) else policy
    check(requests, memory, chunk, swap)
    handling, factor, skip = _setting(chosen)
    start, finish = np.empty(len(requests.output), np.int64), np.empty(len(requests), np.int64)
    count = np.zeros(7, np.int64)
    longest = (requests.prompt + np.add.reduceat(requests.output, requests.first[:-1])).sum()
    kernel.serve(
        requests.arrival,
        requests.prompt,
        requests.first,
        requests.output,
        requests.call,
        requests.told,
        _ranks(chosen, requests, memory, chunk, swap),
        (memory, chunk, swap, handling, factor, skip),
        int(requests.arrival[-1] + requests.call.sum()) + _PATIENCE * int(longest) + 1,
        start,
        finish,
        count,
    )
    names = (kernel.HOLDS, kernel.DROPS, kernel.SWAPS, kernel.RECOMPUTED, kernel.PEAK)
    return Slots(start, finish, *(int(count[one]) for one in names))


def columns(requests: Calls, memory: int, chunk: int, swap: int, held: bool) -> dict[str, np.ndarray]:
    """COLUMNS of every segment, float64, when its context is held and when it is not."""
    counts, first = np.diff(requests.first), requests.first[:-1]

    def left(values):
        """Sums over this segment of a request and those after it."""
        total = np.concatenate([[0.0], np.cumsum(values)])
        return np.repeat(total[requests.first[1:]], counts) - total[:-1]

    context, output = requests.context.astype(float), requests.output.astype(float)
    begins = np.zeros(len(output), bool)
    begins[first] = True
    again = np.ceil(context / chunk)
    moved = np.ceil(context / swap) if swap else np.full(len(output), np.inf)
    # Whoever waits without its context has it swapped or discarded by the cheaper way, or starts anew.
    restore = np.where(begins | held, 0.0, np.minimum(again, moved))
    after = context + output
    wasted = np.minimum(requests.told, np.ceil(after / chunk))
    wasted = np.minimum(wasted, 2 * np.ceil(after / swap)) if swap else wasted
    return {
        "arrival": np.repeat(requests.arrival, counts).astype(float),
        "prompt": np.repeat(requests.prompt, counts).astype(float),
        "context": context,
        "output": output,
        "output_left": left(output),
        "calls_left": left((requests.call > 0).astype(float)),
        "delay": requests.told.copy(),
        "delay_left": left(requests.told),
        "held": np.where(begins, 0.0, float(held)),
        "restore": restore,
        "service_left": left(context * output + output * (output + 1) / 2) + restore * context,
        "call_left": left(wasted * after),
        "memory": np.full(len(output), float(memory)),
    }


def check(requests: Calls, memory: int = 1 << 40, chunk: int = 1, swap: int = 0) -> None:
    """InputError for requests and numbers of the server that make no sense together."""
    for name, value, least in (("memory", memory, 1), ("chunk", chunk, 1), ("swap", swap, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is {value!r}: it must be a whole number of at least {least}.")
    if not len(requests) or np.any(np.diff(requests.arrival) < 0):
        raise InputError("arrival must hold at least one slot and ascend: sort the requests by arrival.")
    last = np.zeros(len(requests.output), bool)
    last[requests.first[1:] - 1] = True
    if np.any(requests.call[last] != 0) or np.any(requests.call[~last] < 1):
        raise InputError("call must be at least 1 slot after every segment but the last of a request.")
    if not np.all(np.isfinite(requests.told)) or np.any(requests.told < 0):
        raise InputError("told must hold a finite number of at least 0 for each call.")
    tokens = requests.prompt + np.add.reduceat(requests.output, requests.first[:-1])
    if np.any(tokens > memory):
        i = int(np.argmax(tokens > memory))
        raise InputError(f"request {i} can never fit: its {tokens[i]} tokens exceed the memory of {memory}: raise it.")


def _setting(policy: Policy) -> tuple[int, float, bool]:
    if policy.shape != "decision":
        raise InputError(f"policy '{policy.name}' has SHAPE = '{policy.shape}': the unit-time server takes 'decision'.")
    given = {"handling": "preserve", "factor": 1.0, "skip": False} | policy.parameters
    if given["handling"] not in HANDLINGS:
        raise unknown(f"handling of policy '{policy.name}'", str(given["handling"]), HANDLINGS)
    seen = sorted(_FORECASTS & set(policy.sees))
    told = seen[0] if seen else f"handling={given['handling']}" if given["handling"] in ("min-waste", "lazy") else ""
    if told and policy.information == "blind":
        raise InputError(f"policy '{policy.name}' goes by predictions ({told}): write INFORMATION = 'predictions'.")
    factor = given["factor"]
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor < np.inf:
        raise InputError(f"policy '{policy.name}': factor is {factor}: it must be a number of at least 0.")
    if not isinstance(given["skip"], bool):
        raise InputError(f"policy '{policy.name}': skip is {given['skip']}: it must be true or false.")
    return HANDLINGS.index(given["handling"]), float(factor), given["skip"]


def _ranks(policy: Policy, requests: Calls, memory: int, chunk: int, swap: int) -> np.ndarray:
    """(2, segments): decide(...) of every segment without and with its context."""
    scope: dict[str, Any] = {}
    exec(compile(policy.source, str(policy.path), "exec"), scope)
    own, n = policy.parameters, len(requests.output)
    ranks = np.empty((2, n))
    for held in (0, 1):
        known = columns(requests, memory, chunk, swap, bool(held))
        given = []
        for name in policy.arguments:
            if name not in own and name not in known:
                raise unknown(f"column in SEES of policy '{policy.name}'", name, COLUMNS)
            given.append([own[name]] * n if name in own else known[name].tolist())
        found = [scope["decide"](*values) for values in (zip(*given, strict=True) if given else [()] * n)]
        for rank in found:
            if isinstance(rank, bool) or not isinstance(rank, int | float | np.number) or np.isnan(rank):
                raise InputError(f"policy '{policy.name}': decide returned {rank!r}; it must return a number.")
        ranks[held] = found
    return ranks
