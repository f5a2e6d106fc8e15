"""What queueing theory says about two stations in tandem (models/queues/tandem.py), without simulation.

Every theory is a function of (Demand, Tandem) that returns the mean time to the end of the prompt and the mean latency,
in s, infinity where it says that the system is not stable. Orders other than first come first served matter to
`priority` alone.

    alone         Nobody else is there.
    product_form  Jackson and Burke: exact for exponential prompts and answers, Poisson arrivals and room for all. The
                  answer station is a birth-death process whose rate depends on the number present, spread evenly over
                  the servers; with one server and a batch without limit this is exact for every law of answers.
    distserve     The formula of DistServe: an M/D/1 queue per prompt server at the mean prompt; the answers as a fluid,
                  a batch of constant size.
    decomposition The parametric decomposition of Whitt's QNA: waiting times corrected by the squared coefficients of
                  variation (scv) of arrivals and sizes; the prompt station's departures have the scv
                  1 + (1 - u^2)(ca - 1) + u^2 (cs - 1) / sqrt(servers) at utilisation u.
    bottleneck    Heavy traffic: only the station with the higher utilisation has a queue, and its arrivals have the scv
                  of those from outside (the heavy-traffic bottleneck phenomenon).
    blocking      decomposition, where the time that a prompt server stays blocked counts as service. The answer
                  station with the blocked requests is a birth-death process; exact capacity for exponential sizes and
                  one prompt server.
    priority      blocking, with the waiting at each station scaled by the ratio of the order's to that of first come
                  first served in M/G/1 at the station's utilisation.

Pooled: with batch 1 an M/G/k queue of prompt plus answer. With larger batches prompts queue as at servers of their own,
and answers are made at the speed that the prompts' share of the time leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.queues.tandem import ORDERS, Tandem

Prediction = tuple[float, float]
_UNSTABLE = math.inf, math.inf


@dataclass(frozen=True)
class Demand:
    """What is asked for: arrivals a second (Poisson); prompt in s and answer in tokens by mean and scv.

    correlation is that of prompt and answer themselves, which only a pooled server of one request feels. prompts and
    answers name the laws for `priority`, which needs more than two moments.
    """

    rate: float
    prompt: float
    answer: float
    prompt_scv: float = 1.0
    answer_scv: float = 1.0
    correlation: float = 0.0
    order: str = "fcfs"
    prompts: str = "exponential"
    answers: str = "exponential"

    def __post_init__(self):
        for name in ("rate", "prompt", "answer"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} of a demand is {getattr(self, name)}: it must be a finite number above 0.")
        if not (self.prompt_scv >= 0 and self.answer_scv >= 0):
            raise InputError("prompt_scv and answer_scv of a demand must be at least 0.")
        if self.order not in ORDERS:
            raise unknown("order", str(self.order), ORDERS)


@dataclass(frozen=True)
class Station:
    """Means of a birth-death station: requests in service, waiting for it and blocked before it; share blocked."""

    served: float
    waiting: float
    blocked: float = 0.0
    share: float = 0.0


def predict(theory: str, demand: Demand, tandem: Tandem) -> Prediction:
    """(mean time to the end of the prompt, mean latency) by the theory of this name."""
    if theory not in THEORIES:
        raise unknown("theory", theory, THEORIES)
    return THEORIES[theory](demand, tandem)


def alone(demand: Demand, tandem: Tandem) -> Prediction:
    return demand.prompt, demand.prompt + tandem.transfer + demand.answer * tandem.step(1)


def product_form(demand: Demand, tandem: Tandem) -> Prediction:
    if tandem.pooled and tandem.batch == 1:
        return _one_by_one(demand, tandem, 1.0)
    return _decomposed(demand, tandem, 1.0, lambda station: 1.0)


def decomposition(demand: Demand, tandem: Tandem) -> Prediction:
    if tandem.pooled and tandem.batch == 1:
        return _one_by_one(demand, tandem, _scv_of_both(demand, tandem))
    use = demand.rate * demand.prompt / tandem.prompt_servers
    into = departure_scv(use, 1.0, demand.prompt_scv, tandem.prompt_servers)
    return _decomposed(demand, tandem, demand.prompt_scv, lambda use2: _waiting_factor(use2, into, demand.answer_scv))


def distserve(demand: Demand, tandem: Tandem) -> Prediction:
    servers = tandem.prompt_servers
    use = demand.rate * demand.prompt / servers
    if demand.rate >= tandem.capacity(demand.prompt, demand.answer):
        return _UNSTABLE
    if tandem.pooled and tandem.batch == 1:
        both = demand.prompt + demand.answer * tandem.step(1)
        waiting = both * (demand.rate * both / servers) / (2 * (1 - demand.rate * both / servers))
        return waiting + demand.prompt, waiting + both
    first = demand.prompt + use * demand.prompt / (2 * (1 - use))
    step = _fluid_step(demand, tandem, 1 - use if tandem.pooled else 1.0)
    return first, first + tandem.transfer + demand.answer * step


def bottleneck(demand: Demand, tandem: Tandem) -> Prediction:
    if tandem.pooled:
        return decomposition(demand, tandem)
    use1 = demand.rate * demand.prompt / tandem.prompt_servers
    use2 = demand.rate * demand.answer * tandem.token / tandem.answer_servers
    if max(use1, use2) >= 1:
        return _UNSTABLE
    first, answer = demand.prompt, demand.answer * _fluid_step(demand, tandem, 1.0)
    if use1 >= use2:
        first += (1 + demand.prompt_scv) / 2 * _queue(demand.rate, demand.prompt, tandem.prompt_servers)
    if use2 >= use1:
        answers = _answers(demand, tandem, 1.0)
        answer = (answers.served + (1 + demand.answer_scv) / 2 * answers.waiting) / demand.rate
    return first, first + tandem.transfer + answer


def blocking(demand: Demand, tandem: Tandem) -> Prediction:
    return _blocked(demand, tandem, 1.0, 1.0)


def priority(demand: Demand, tandem: Tandem) -> Prediction:
    if tandem.pooled or demand.order in ("fcfs", "total"):
        return blocking(demand, tandem)
    use1 = demand.rate * demand.prompt / tandem.prompt_servers
    use2 = demand.rate * demand.answer * tandem.token / tandem.answer_servers
    if max(use1, use2) >= 1:
        return _UNSTABLE
    policy = "sjf" if demand.order == "stage" else "srpt"
    return _blocked(demand, tandem, _order(demand.prompts, use1, policy), _order(demand.answers, use2, policy))


THEORIES: dict[str, Callable[[Demand, Tandem], Prediction]] = {
    function.__name__: function
    for function in (alone, product_form, distserve, decomposition, bottleneck, blocking, priority)
}


def departure_scv(use: float, scv_in: float, scv: float, servers: int = 1) -> float:
    """Squared coefficient of variation of the times between departures, by QNA; exact for M/G/1."""
    return 1 + (1 - use**2) * (scv_in - 1) + use**2 * (scv - 1) / math.sqrt(servers)


def saturated(demand: Demand, tandem: Tandem) -> float:
    """Requests a second that leave when prompts never run out; exact for exponential sizes and one prompt server."""
    return _flow(demand, tandem, tandem.prompt_servers / demand.prompt)[0]


def _one_by_one(demand, tandem, scv):
    both = demand.prompt + demand.answer * tandem.step(1)
    if demand.rate * both >= tandem.prompt_servers:
        return _UNSTABLE
    waiting = (1 + scv) / 2 * _queue(demand.rate, both, tandem.prompt_servers)
    return waiting + demand.prompt, waiting + both


def _scv_of_both(demand, tandem):
    one, two = demand.prompt * math.sqrt(demand.prompt_scv), demand.answer * math.sqrt(demand.answer_scv)
    two *= tandem.step(1)
    variance = one**2 + two**2 + 2 * demand.correlation * one * two
    return variance / (demand.prompt + demand.answer * tandem.step(1)) ** 2


def _decomposed(demand, tandem, prompt_scv, answer_factor):
    """Both stations by themselves; answer_factor(utilisation) multiplies the waiting of the answers."""
    use = demand.rate * demand.prompt / tandem.prompt_servers
    if demand.rate >= tandem.capacity(demand.prompt, demand.answer):
        return _UNSTABLE
    slow = 1 - use if tandem.pooled else 1.0
    first = demand.prompt + (1 + prompt_scv) / 2 * _queue(demand.rate, demand.prompt, tandem.prompt_servers)
    answers = _answers(demand, tandem, slow)
    use2 = demand.rate * demand.answer * tandem.token / (slow * (tandem.answer_servers or tandem.prompt_servers))
    answer = (answers.served + answer_factor(use2) * answers.waiting) / demand.rate
    return first, first + tandem.transfer + answer


def _blocked(demand, tandem, order1, order2):
    """decomposition with blocked time as service, and waiting multiplied by what the order makes of it."""
    if tandem.pooled or tandem.places == math.inf:
        first, latency = decomposition(demand, tandem)
        if tandem.pooled or first == math.inf or order1 == order2 == 1.0:
            return first, latency
    top = tandem.prompt_servers / demand.prompt
    if tandem.places < math.inf:
        if _flow(demand, tandem, top)[0] <= demand.rate:
            return _UNSTABLE
        low = 0.0
        for _ in range(60):  # the arrivals that the answer station needs while nothing is blocked
            middle = (low + top) / 2
            low, top = (middle, top) if _flow(demand, tandem, middle)[0] < demand.rate else (low, middle)
        answers = _flow(demand, tandem, top)[1]
    else:
        answers = _answers(demand, tandem, 1.0)
    blocked = answers.blocked / demand.rate
    busy = demand.prompt + blocked
    use = demand.rate * busy / tandem.prompt_servers
    if use >= 1:
        return _UNSTABLE
    variance = demand.prompt_scv * demand.prompt**2
    if blocked > 0:  # blocked for an exponential time with probability `share`
        variance += 2 * blocked**2 / answers.share - blocked**2
    scv = variance / busy**2
    first = demand.prompt + order1 * (1 + scv) / 2 * _queue(demand.rate, busy, tandem.prompt_servers)
    into = departure_scv(
        demand.rate * demand.prompt / tandem.prompt_servers, 1.0, demand.prompt_scv, tandem.prompt_servers
    )
    use2 = demand.rate * demand.answer * tandem.token / tandem.answer_servers
    factor = order2 * _waiting_factor(use2, into, demand.answer_scv)
    answer = (answers.served + factor * answers.waiting) / demand.rate
    return first, first + blocked + tandem.transfer + answer


def _waiting_factor(use, scv_in, scv):
    """Waiting over that of M/M/1, by Kraemer and Langenbach-Belz as QNA uses it."""
    factor = (scv_in + scv) / 2
    if scv_in < 1 and use > 0 and scv_in + scv > 0:
        factor *= math.exp(-2 * (1 - use) * (1 - scv_in) ** 2 / (3 * use * (scv_in + scv)))
    return factor


def _fluid_step(demand, tandem, slow):
    """Time of a token where every server's batch has the size that keeps up with the arrivals, at least one."""
    flow = demand.rate * demand.answer / (slow * (tandem.answer_servers or tandem.prompt_servers))
    step = tandem.step0 / (1 - flow * tandem.step1) if flow * tandem.step1 < 1 else math.inf
    return min(max(step, tandem.step(1)), tandem.step(tandem.batch)) / slow


def _queue(rate, mean, servers):
    """Mean wait in M/M/c (Erlang's C)."""
    found = _open(rate, 1 / mean * np.arange(1, servers + 1))
    return found.waiting / rate


def _speeds(demand, tandem, slow):
    """Completions a second with 1, 2, ... requests at the answer station, spread evenly over its servers."""
    servers = tandem.answer_servers or tandem.prompt_servers
    present = np.arange(1, servers * tandem.batch + 1)
    few, more = np.divmod(present, servers)
    with np.errstate(invalid="ignore", divide="ignore"):
        speed = (servers - more) * np.where(few > 0, few / (tandem.step0 + tandem.step1 * few), 0.0)
    speed += more * (few + 1) / (tandem.step0 + tandem.step1 * (few + 1))
    return slow * speed / demand.answer


def _answers(demand, tandem, slow):
    return _open(demand.rate, _speeds(demand, tandem, slow))


def _open(rate, speeds):
    """The station with Poisson arrivals and room for all; speeds (N,) with 1..N requests, the last one for more."""
    if rate >= speeds[-1]:
        return Station(math.inf, math.inf)
    present = np.arange(len(speeds) + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log(rate / speeds))))
    weight = np.exp(logs - logs.max())
    ratio = rate / speeds[-1]
    beyond = weight[-1] * ratio / (1 - ratio)
    total = weight.sum() + beyond
    served = (present * weight).sum() + len(speeds) * beyond
    return Station(served / total, beyond / (1 - ratio) / total)


def _flow(demand, tandem, arrivals):
    """(requests a second, Station) of the answer station with the blocked ones before it.

    Requests come at the rate `arrivals` while no prompt server is blocked, and in proportion to those that are not.
    """
    speeds = _speeds(demand, tandem, 1.0)
    places, before = int(tandem.places), tandem.prompt_servers
    present = np.arange(places + before + 1)
    down = speeds[np.minimum(present[1:], len(speeds)) - 1]
    up = arrivals * (1 - np.maximum(present - places, 0) / before)
    logs = np.concatenate(([0.0], np.cumsum(np.log(up[:-1] / down))))
    chance = np.exp(logs - logs.max())
    chance /= chance.sum()
    flow = float((chance * up).sum())
    blocked = float((chance * np.maximum(present - places, 0)).sum())
    served = float((chance * np.minimum(present, len(speeds))).sum())
    waiting = float((chance * np.maximum(np.minimum(present, places) - len(speeds), 0)).sum())
    return flow, Station(served, waiting, blocked, float((chance * up)[places:].sum()) / flow)


@lru_cache(maxsize=256)
def _order(law, use, policy):
    """Waiting under an order over that of first come first served, in M/G/1 with sizes of mean 1."""
    from openqueues.models.analysis import mean_response
    from openqueues.models.laws import joint_law

    joint = joint_law(law, "exact")
    size = joint.sizes.mean
    waits = [mean_response(joint, use, one).mean_response - size for one in (policy, "fcfs")]
    return waits[0] / waits[1] if waits[1] > 0 else 1.0
