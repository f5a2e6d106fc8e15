"""What no policy can beat: volumes, capacities, and lower bounds on the mean latency.

Unit slots (unit_time.py; times in slots). A request of prompt s and output o has the volume
s o + (o^2 + o)/2, tokens times slots, and a memory of M tokens gives out at most M of it in a slot.

The engine (engine.py; times in seconds). `mean_latency_bound` is the largest of three bounds, each of which holds
for every policy and mechanism of the engine, for hardware without a table of times that would fall:

*   alone. A request needs a prefill and then one step for each further token. Its prefill takes at least
    prefill_step + prefill_token s + prefill_token2 s^2 and the tiles of s tokens, in however many chunks, since
    every chunk pays the first term and L2 adds up to s^2 (with a negative prefill_step only the compute line
    counts). A step that makes a further token, with K = input + made tokens, decodes in the first or the second
    regime, with prompts or without, or ends a prefill after a preemption, which computes at least one token: it
    takes the least of their times for this request alone (for the second regime, for from_batch requests).
*   memory. In each of these steps the request holds K tokens (its prompt in the step that ends its prefill), so that
    it takes at least the sum of K times the least step time of the cache, which gives out at most kv_tokens times
    the time. So no request ends earlier than on a machine of speed kv_tokens where jobs of these volumes may be
    split at will, and there no order beats shortest remaining processing time (Schrage 1968). For simultaneous
    requests in unit slots this is the bound of Kong, Qi, Ye and Zhou (arXiv 2606.22327).
*   compute. The time of a step is at least the sum over its requests of what each adds to it and of a share
    1/max_batch of the step's constant. So the requests are jobs on one machine of speed 1, with these sums over
    their steps as sizes, and again no order beats shortest remaining processing time.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.plans import DEFAULT_BATCH
from openqueues.models.llm.requests import Requests


def volume(prompt, output):
    """Tokens times unit slots that a request takes of the memory; arrays or numbers."""
    return prompt * output + (output * output + output) / 2


def volume_bound(prompt: np.ndarray, output: np.ndarray, memory: int) -> float:
    """Least total latency in slots of requests that all come at slot 0: (1/M) sum_j sum_(i <= j) vol_(i).

    Volumes ascend (Kong, Qi, Ye, Zhou, arXiv 2606.22327): when the j-th request ends, j volumes have been served.
    """
    return float(np.cumsum(np.sort(volume(np.asarray(prompt), np.asarray(output)))).sum() / memory)


def busy_time_bound(arrival: np.ndarray, prompt: np.ndarray, output: np.ndarray, memory: int) -> float:
    """Least total latency in slots of requests with arrival slots.

    Let the mean time of a request be the average time of its volume. A request that ends at C has the mean time
    C - o + sum_k (k - 1/2)(s + k)/vol, whatever the schedule, since its life is not interrupted. If volumes could be
    split at will and served at rate M, the sum of mean times would be least when always the smallest volume is
    served (an exchange of two pieces shows it; Goemans 1997 for machines). The sum of these mean times plus the
    fixed differences is a lower bound; it is rounded up, as latencies are whole. It is never below volume_bound: as a
    request holds at most M tokens, its volume lies on average at least vol/(2 M) before its end.
    """
    arrival, prompt, output = (np.asarray(v, np.float64) for v in (arrival, prompt, output))
    vol = volume(prompt, output)
    second = prompt * output**2 / 2 + output * (output + 1) * (2 * output + 1) / 6 - output * (output + 1) / 4
    total = float((output - second / vol - arrival).sum())
    waiting: list[tuple[float, int]] = []
    left = vol.copy()
    order = np.argsort(arrival, kind="stable")
    t, coming, n = 0.0, 0, len(arrival)
    while waiting or coming < n:
        if not waiting:
            t = max(t, arrival[order[coming]])
        while coming < n and arrival[order[coming]] <= t:
            heapq.heappush(waiting, (vol[order[coming]], int(order[coming])))
            coming += 1
        _, r = waiting[0]
        end = t + left[r] / memory
        if coming < n and arrival[order[coming]] < end:
            end = arrival[order[coming]]
            left[r] -= (end - t) * memory
        else:
            heapq.heappop(waiting)
        total += memory * (end * end - t * t) / 2 / vol[r]
        t = end
    return float(max(math.ceil(total - 1e-6 * max(1.0, abs(total))), output.sum()))


def flow_boundary(prompts: np.ndarray, outputs: np.ndarray, memory: int) -> float:
    """Largest arrival rate of each of several classes, requests a slot, that a memory can carry: M / sum of volumes.

    Dong and Cao (arXiv 2604.11001): sum over classes of rate times volume <= M is necessary for stability.
    """
    return memory / float(np.sum(volume(np.asarray(prompts), np.asarray(outputs))))


def flow_peak(prompts: np.ndarray, outputs: np.ndarray, budgets: np.ndarray) -> float:
    """Most tokens held when at most budgets[k] requests of class k start in a slot: sum of budgets times volumes."""
    return float(np.sum(np.asarray(budgets) * volume(np.asarray(prompts), np.asarray(outputs))))


def token_rate(hardware: Hardware, batch_tokens: int) -> float:
    """Tokens per ms of full batches, b / t_b: the boundary of Dai, Deng, Li and Peng (arXiv 2504.07347).

    With requests of p prompt and d answer tokens, arrival rates below b / t_b / (p + d) are stable for all policies
    that fill batches, and above it none is.
    """
    return batch_tokens / hardware.step_ms(batch_tokens, 0, 0, 0)


def request_rate(memory_tokens: float, step_s: float, prompt: np.ndarray, output: np.ndarray, chunk: int = 0) -> float:
    """Requests a second that the memory can carry: mu = M / (b E[g]) (Nie, Si, Zhou, arXiv 2605.04595).

    b = step_s is the mean time of a step, g the tokens times steps that a request holds: o (s + o/2), and with a
    prefill in chunks of `chunk` tokens the part that is there in each of its steps.
    """
    prompt, output = np.asarray(prompt, np.float64), np.asarray(output, np.float64)
    held = output * (prompt + output / 2)
    if chunk:
        steps = np.ceil(prompt / chunk)
        held = held + chunk * steps * (steps - 1) / 2 + prompt
    return float(memory_tokens / (step_s * held.mean()))


def mean_latency_bound(
    requests: Requests, hardware: Hardware, *, kv_tokens: int | None = None, max_batch: int | None = None
) -> dict[str, float]:
    """Lower bounds on the mean latency in seconds: {"alone", "memory", "compute", "best": the largest of them}.

    kv_tokens and max_batch: as in serve. Raises InputError for prompts that share prefixes, for whose reuse the bounds
    do not hold.
    """
    if len(requests.prefix_blocks):
        raise InputError("the requests have prefix_blocks: the bounds hold only where no prompt's KV is reused.")
    capacity = hardware.kv_tokens if kv_tokens is None else kv_tokens
    most = hardware.max_batch or DEFAULT_BATCH if max_batch is None else max_batch
    if capacity < 0 or most < 1:
        raise InputError("kv_tokens must be at least 0 and max_batch at least 1.")
    alone, held, work = _needs(requests, hardware, most)
    arrival = requests.arrival_s * 1000.0
    found = {
        "alone": float(alone.mean()),
        "memory": shortest_first(arrival, held / capacity) if capacity else 0.0,
        "compute": shortest_first(arrival, work),
    }
    found = {name: value / 1000.0 for name, value in found.items()}
    return found | {"best": max(found.values())}


def _needs(requests: Requests, hw: Hardware, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each request: least time alone (ms), least tokens times ms of the cache, least compute (ms)."""
    s = requests.input_tokens.astype(np.float64)
    more = (requests.output_tokens - 1).astype(np.float64)  # tokens after the first
    sum1 = more * s + more * (more + 1) / 2  # of K = s + 1, ..., s + more
    sum2 = more * s * s + s * more * (more + 1) + more * (more + 1) * (2 * more + 1) / 6  # of K^2
    tile = hw.tile_ms if hw.tile_tokens else 0.0
    least = (hw.table_ms[0] if hw.table_ms else 0.0) + tile
    floor = hw.compute_step_ms + hw.compute_token_ms
    end = hw.prefill_step_ms + hw.prefill_token_ms  # a step that ends a prefill, whatever it computes besides

    lines = [(hw.decode_step_ms + hw.decode_seq_ms, hw.kv_token_ms), (end, 0.0)]
    if hw.from_batch:
        lines.append((hw.decode2_step_ms + hw.decode2_seq_ms * hw.from_batch, hw.kv2_token_ms))
    constant, slope = _chord(lines, s, more)
    begin = hw.compute_step_ms + hw.compute_token_ms * s
    if hw.prefill_step_ms >= 0:
        tiles = np.ceil(s / hw.tile_tokens) if tile else 1.0
        chunks = hw.prefill_step_ms + hw.prefill_token_ms * s + hw.prefill_token2_ms * s * s
        begin = np.maximum(begin, chunks + least + tile * (tiles - 1.0))
    alone = begin + np.maximum((constant + least) * more + slope * sum1, floor * more)
    held = s * max(end + least, floor) + np.maximum((constant + least) * sum1 + slope * sum2, floor * sum1)

    work = hw.compute_step_ms / most * (more + 1) + hw.compute_token_ms * (s + more)
    if min(hw.decode_step_ms, hw.prefill_step_ms, hw.decode2_step_ms) >= 0:
        steps = min(hw.decode_step_ms, hw.prefill_step_ms)
        lines = [
            (steps / most + hw.decode_seq_ms, hw.kv_token_ms),
            (hw.prefill_step_ms / most + hw.prefill_token_ms, 0.0),
        ]
        if hw.from_batch:
            lines.append((hw.decode2_step_ms / most + hw.decode2_seq_ms, hw.kv2_token_ms))
        constant, slope = _chord(lines, s, more)
        added = hw.prefill_step_ms / most + hw.prefill_token_ms * s + hw.prefill_token2_ms * s * s
        per_token = hw.tile_ms / hw.tile_tokens if hw.tile_tokens else 0.0
        work = np.maximum(work, added + constant * more + slope * sum1 + per_token * (s + more))
    return alone, held, work


def _chord(lines: list[tuple[float, float]], s: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(constant, slope) of a line in K below the least of `lines` for K = s + 1, ..., s + more.

    The least of lines is concave, so that it lies above its chord.
    """
    low, high = (np.min([c + b * k for c, b in lines], axis=0) for k in (s + 1, s + np.maximum(more, 1)))
    slope = (high - low) / np.maximum(more - 1, 1)
    return low - slope * (s + 1), slope


def shortest_first(arrival: np.ndarray, size: np.ndarray) -> float:
    """Mean response time of jobs on one machine that serves the shortest remaining one; arrivals ascend."""
    left: list[float] = []
    t = total = 0.0
    for a, x in zip(arrival.tolist(), size.tolist(), strict=True):
        while left and t + left[0] <= a:
            t += heapq.heappop(left)
            total += t
        if left:
            # The job in service is the shortest: what is left of it stays below all others.
            heapq.heapreplace(left, left[0] - (a - t))
        t = a
        heapq.heappush(left, x)
    while left:
        t += heapq.heappop(left)
        total += t
    return (total - float(arrival.sum())) / len(arrival)
