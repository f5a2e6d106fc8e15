"""A cluster said slowly: the slow engines of tests/slow_llm.py, walked step by step on one clock.

The meaning of models/llm/cluster.py and routers; the kernel must give the same results.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

ROLES = ("mixed", "prefill", "decode")
# Of several events at one time the first in this list comes first, then the lowest number.
END, HANDED_OVER, LOADED, CHANGE, SWITCHED, TICK, ARRIVE = range(7)
_ALL = (1 << 64) - 1


def mixed_bits(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _ALL
    return x ^ (x >> 31)


def uniform(seed: int, i: int, k: int, salt: int) -> float:
    golden = 0x9E3779B97F4A7C15
    x = mixed_bits((seed + (i + 1) * golden) & _ALL)
    x = mixed_bits((x + (4 * k + salt + 1) * golden) & _ALL)
    return (x >> 11) * 2.0**-53


class SlowCluster:
    """Slow engines that have been given the same requests, and the functions and parameters of a router."""

    def __init__(self, engines, requests, score, parameters, *, seed, instances, values, link_ms, turns=None):
        """instances: (role, model, price) of each; values (n, 4) as in serve_cluster.

        link_ms: of an instance and a number of tokens, the time to send their KV cache. turns: a generator that
        turns round an order in ten where an iteration and an event are at the same time but for rounding.
        """
        self.engines, self.data, self.score, self.parameters, self.seed = engines, requests, score, parameters, seed
        self.instances, self.link_ms, self.turns_round = instances, link_ms, turns
        self.role = [""] * len(engines)
        for k, (role, _, _) in enumerate(instances):
            self.take_role(k, role)
        n = len(requests)
        self.values = values
        self.own = [list(engine.requests) for engine in engines]  # each engine's copies of all requests
        self.most = [engine.max_batch for engine in engines]
        for engine in engines:
            engine.requests = []
        self.instance = np.full(n, -1)
        self.turn, self.turns = [0] * len(engines), 0
        self.routed, self.routed_at = [0] * len(engines), [-math.inf] * len(engines)
        self.present, self.stuck, self.link_free = ([0] * len(engines) for _ in range(3))
        self.fetching = [[] for _ in engines]  # requests whose KV an instance has to fetch
        self.loading = [0] * len(engines)
        self.source: dict[int, int] = {}  # of requests whose KV is to move: the instance where it is
        self.refused: set[int] = set()
        self.transferred = 0
        self.events: list[tuple[float, int, int]] = []
        self.due: dict[int, tuple[float, int]] = {}  # the event that a request waits for; any other is void
        for one in self.own[0]:
            self.post(float(one.arrival), ARRIVE, one.number)

    def take_role(self, k: int, role: str) -> None:
        self.role[k], self.engines[k].hands = role, role == "prefill"

    def post(self, time: float, kind: int, i: int) -> None:
        self.due[i] = (time, kind)
        heapq.heappush(self.events, (time, kind, i))

    def latest(self, i: int):
        """A request as it was where it was sent last."""
        return self.own[max(int(self.instance[i]), 0)][i]

    def step(self, k: int) -> None:
        """One iteration of an engine; posts who ended in it and who is handed over."""
        engine = self.engines[k]
        self.stuck[k] = not engine.step()
        for one in engine.requests:
            if one.finish_s == engine.now / 1000.0 and one.blocks == 0 and (END, one.number) not in self.posted:
                self.posted.add((END, one.number))
                heapq.heappush(self.events, (engine.now, END, one.number))
        if self.role[k] == "prefill":
            for one in [one for one in engine.running if one.decodes]:
                engine.running.remove(one)
                one.runs, one.since = False, engine.now
                self.source[one.number] = k
                self.post(engine.now, HANDED_OVER, one.number)

    def touch(self, k: int, time: float) -> None:
        """Let an engine take notice of a change at `time`, or at the end of the iteration that it is in."""
        engine = self.engines[k]
        # What an idle instance moves to the host does not delay its next iteration.
        engine.transfer = max(engine.transfer - max(time - engine.now, 0.0), 0.0)
        engine.now = max(engine.now, time)
        self.stuck[k] = False

    def may_take(self, k: int, i: int, phase: int) -> bool:
        engine, one = self.engines[k], self.latest(i)
        tokens = one.input + (one.made if self.role[k] == "prefill" else one.output)
        fits = engine.blocks(tokens) + engine.spare <= engine.capacity
        return fits and self.role[k] != ("prefill" if phase else "decode")

    def columns(self, k: int, i: int, phase: int, time: float) -> dict[str, float]:
        engine, data = self.engines[k], self.data
        one = self.latest(i)
        _, model, price = self.instances[k]
        decoding = [other for other in engine.running if other.decodes]
        partial = [other for other in engine.running if not other.decodes]
        kept = self.kept(k)
        begun = sum(other.held for other in partial)
        attended = sum(other.held for other in decoding)
        present = engine.running + engine.waiting + [self.at_source(j) for j in self.fetching[k]]
        law = engine.law
        found = engine.found(one) * engine.tokens if hasattr(engine, "found") else 0
        return {
            "input_tokens": float(one.input),
            "predicted": float(data.predicted_output_tokens[i]),
            "kind": float(data.kind[i]),
            "phase": float(phase),
            "generated": float(one.made),
            "deadline": float(data.deadline_s[i]),
            "now": time / 1000.0,
            **{f"value{j}": float(self.values[i, j]) for j in range(4)},
            "index": float(k),
            "role": float(ROLES.index(self.role[k])),
            "model": float(model),
            "requests": float(self.present[k]),
            "waiting": float(len(engine.waiting) + len(self.fetching[k])),
            "waiting_tokens": float(self.to_compute(k)),
            "held_tokens": float(attended + begun + kept + self.moving(k) - engine.shared_twice()),
            "free_tokens": float(engine.free * engine.block),
            "kv_tokens": float(engine.capacity * engine.block),
            "predicted_left": float(sum(max(engine.estimate(other), 0.0) for other in present)),
            "prefill_ms": law.step_ms(one.target, one.target**2, 0, 0),
            "decode_ms": law.step_ms(0, 0, len(decoding) + 1, attended + len(decoding) + one.target),
            "busy_ms": max(engine.now - time, 0.0),
            "routed": float(self.routed[k]),
            "since_routed": (time - self.routed_at[k]) / 1000.0,
            "cached": float(found),
            "price": float(price),
            "batch": float(len(engine.running)),
            "max_batch": float(self.most[k]),
            "instances": float(len(self.engines)),
            "draw": uniform(self.seed, i, k, 2 * phase + 1),
        }

    def kept(self, k: int) -> int:
        """Tokens that waiting requests keep."""
        return sum(one.held for one in self.engines[k].waiting if self.engines[k].memory == "tail")

    def to_compute(self, k: int) -> int:
        """Tokens of prompts, and of answers whose KV was dropped, still to compute."""
        waiting, running = self.engines[k].waiting, self.engines[k].running
        begun = sum(one.target - one.held for one in running if not one.decodes)
        return sum(one.target for one in waiting) - self.kept(k) + begun

    def at_source(self, i: int):
        return self.own[self.source[i]][i]

    def moving(self, k: int) -> int:
        """Tokens of an instance that are held for others, or on their way to it."""
        engine = self.engines[k]
        others = [one for one in engine.requests if one not in engine.running and one not in engine.waiting]
        return sum(one.held for one in others if math.isnan(one.finish_s))

    def choose(self, i: int, phase: int, time: float) -> int | None:
        """The instance that the router gives a request: None if none can take it, -1 if the router refuses."""
        names = self.score.__code__.co_varnames[: self.score.__code__.co_argcount]
        fitting = [k for k in range(len(self.engines)) if self.may_take(k, i, phase)]
        if not fitting:
            return None
        mean = sum(self.present[k] for k in fitting) / len(fitting)
        choices = int(self.parameters["choices"])
        if 0 < choices < len(fitting):
            fitting = sorted(fitting, key=lambda k: uniform(self.seed, i, k, 2 * phase))[:choices]
        scores = []
        for k in sorted(fitting):
            columns = self.columns(k, i, phase, time) | {"mean_requests": mean} | self.parameters
            score = float(self.score(**{name: columns[name] for name in names}))
            if score < math.inf:
                scores.append((score, self.turn[k], k))
        return min(scores)[2] if scores else -1

    def send(self, k: int, i: int, time: float) -> None:
        """Account for a request that is sent to an instance, which gets its own copy of what was done."""
        self.touch(k, time)
        here, there = self.own[k][i], self.latest(i)
        for name in ("made", "first_s", "preemptions", "since"):
            setattr(here, name, getattr(there, name))
        self.instance[i] = k
        self.turns += 1
        self.turn[k], self.routed_at[k] = self.turns, time
        self.routed[k] += 1
        self.present[k] += 1

    def arrive(self, i: int, time: float) -> None:
        k = self.choose(i, 0, time)
        if k is None:
            self.park(i)
        elif k < 0:
            self.refused.add(i)
        else:
            self.send(k, i, time)
            self.own[k][i].since = time
            self.engines[k].requests.append(self.own[k][i])
            self.engines[k].waiting.append(self.own[k][i])

    def park(self, i: int) -> None:
        raise AssertionError("an instance that can take the request is always there")

    def leave_source(self, i: int, time: float) -> None:
        one, k = self.at_source(i), self.source[i]
        self.touch(k, time)
        one.blocks = one.held = 0
        self.engines[k].gone(one)
        self.engines[k].requests.remove(one)
        self.present[k] -= 1
        del self.source[i]

    def send_on(self, i: int, time: float) -> None:
        k = self.choose(i, 1, time)
        if k is None:
            self.park(i)
        elif k < 0:
            self.refused.add(i)
            self.leave_source(i, time)
        else:
            self.send(k, i, time)
            self.fetching[k].append(i)
            self.fetch(k, time)

    def fetch_rank(self, k: int, i: int) -> float:
        """The rank at instance k of a request whose KV it has to fetch.

        `cached` is what it shares where that is, but nothing for an instance that has no prefix cache itself.
        """
        engine, source = self.engines[k], self.engines[self.source[i]]
        shared = source.held_by[i] * source.tokens if hasattr(source, "held_by") and hasattr(engine, "held_by") else 0
        columns = engine.columns(self.own[k][i]) | {"cached": float(shared)}
        return engine.call(engine.policy["rank"], columns | engine.seen)

    def fetch(self, k: int, time: float) -> None:
        engine = self.engines[k]
        if self.fetching[k]:
            self.touch(k, time)
        while self.fetching[k] and len(engine.running) < engine.max_batch:
            i = min(self.fetching[k], key=lambda j: (self.fetch_rank(k, j), j))
            one, source = self.own[k][i], self.source[i]
            if engine.lacking(one) > engine.kept():
                break
            engine.reclaim(engine.lacking(one))
            self.fetching[k].remove(i)
            one.held = one.target - 1
            one.blocks = engine.blocks(one.held)
            engine.requests.append(one)
            engine.max_batch -= 1
            self.link_free[source] = max(time, self.link_free[source]) + self.link_ms(source, one.held)
            self.post(self.link_free[source], LOADED, i)

    def loaded(self, i: int, time: float) -> None:
        self.leave_source(i, time)
        k = int(self.instance[i])
        self.touch(k, time)
        engine, one = self.engines[k], self.own[k][i]
        engine.max_batch += 1
        engine.picks += 1
        self.transferred += one.held
        one.runs = one.decodes = True
        one.idle, one.begin = engine.now - one.since, one.made
        engine.running.append(one)

    def begins(self, k: int, time: float) -> bool:
        """Whether the next iteration of an engine begins before the next event, which is at `time`."""
        now = self.engines[k].now
        if self.turns_round is None or not math.isclose(now, time, rel_tol=1e-12):
            return now < time
        # What an iteration has brought about itself comes before the next one.
        own = any(kind in (END, HANDED_OVER) and self.instance[i] == k and at == now for at, kind, i in self.events)
        return (now < time) != (not own and self.turns_round.random() < 0.1)

    def serve(self) -> SlowCluster:
        self.posted = set()
        while True:
            time = self.events[0][0] if self.events else math.inf
            busy = [k for k, one in enumerate(self.engines) if (one.waiting or one.running) and not self.stuck[k]]
            early = [k for k in busy if self.begins(k, time)]
            if early:
                self.step(min(early, key=lambda k: self.engines[k].now))
                continue
            if not self.events:
                break
            time, kind, i = heapq.heappop(self.events)
            self.happen(time, kind, i)
        ends = [self.latest(i) for i in range(len(self.data))]
        self.first_token_s, self.finish_s, self.preemptions_of = (
            np.array([getattr(one, key) for one in ends]) for key in ("first_s", "finish_s", "preemptions")
        )
        return self

    def happen(self, time: float, kind: int, i: int) -> None:
        if kind == END:
            self.present[self.instance[i]] -= 1
            self.fetch(int(self.instance[i]), time)
        elif self.due.get(i) == (time, kind):
            del self.due[i]
            {ARRIVE: self.arrive, HANDED_OVER: self.send_on, LOADED: self.loaded}[kind](i, time)
