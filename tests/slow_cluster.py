"""A cluster said slowly: the slow engines of tests/slow_llm.py, walked step by step on one clock.

The meaning of models/llm/cluster.py and routers; the kernel must give the same results.
"""

from __future__ import annotations

import math

import numpy as np

ROLES = ("mixed", "prefill", "decode")
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

    def __init__(self, engines, requests, score, parameters, *, seed, instances, values=None, wanted=None):
        """instances: (role, model, price) of each engine; values (n, 4), wanted (n,) as in serve_cluster."""
        self.engines, self.data, self.score, self.parameters, self.seed = engines, requests, score, parameters, seed
        self.instances = instances
        n = len(requests)
        self.values = np.zeros((n, 4)) if values is None else values
        self.wanted = np.full(n, -1) if wanted is None else wanted
        self.own = [list(engine.requests) for engine in engines]  # each engine's copies of all requests
        for engine in engines:
            engine.requests = []
        self.instance = np.full(n, -1)
        self.turn, self.turns = [0] * len(engines), 0
        self.routed, self.routed_at = [0] * len(engines), [-math.inf] * len(engines)
        self.events = sorted((float(one.arrival), one.number) for one in self.own[0])

    def walk(self, k: int, until: float) -> None:
        """The steps of an engine that begin before `until`."""
        engine = self.engines[k]
        while engine.now < until and (engine.waiting or engine.running):
            if not engine.step():
                break

    def fits(self, k: int, i: int) -> bool:
        engine, one = self.engines[k], self.own[k][i]
        return engine.blocks(one.input + one.output) + engine.spare <= engine.capacity

    def requests_at(self, k: int, time: float) -> int:
        here = [one for one in self.engines[k].requests if self.instance[one.number] == k]
        return sum(not one.finish_s <= time / 1000.0 for one in here)

    def columns(self, k: int, i: int, time: float) -> dict[str, float]:
        engine, one, data = self.engines[k], self.own[k][i], self.data
        role, model, price = self.instances[k]
        decoding = [other for other in engine.running if other.decodes]
        partial = [other for other in engine.running if not other.decodes]
        kept = sum(other.held for other in engine.waiting if engine.memory == "tail")
        waiting_tokens = sum(other.target for other in engine.waiting) - kept
        waiting_tokens += sum(other.target - other.held for other in partial)
        attended = sum(other.held for other in decoding)
        present = engine.running + engine.waiting
        law = engine.law
        found = engine.found(one) * engine.tokens if hasattr(engine, "found") else 0
        return {
            "input_tokens": float(one.input),
            "predicted": float(data.predicted_output_tokens[i]),
            "kind": float(data.kind[i]),
            "phase": 0.0,
            "generated": float(one.made),
            "deadline": float(data.deadline_s[i]),
            "now": time / 1000.0,
            **{f"value{j}": float(self.values[i, j]) for j in range(4)},
            "index": float(k),
            "role": float(ROLES.index(role)),
            "model": float(model),
            "requests": float(self.requests_at(k, time)),
            "waiting": float(len(engine.waiting)),
            "waiting_tokens": float(waiting_tokens),
            "held_tokens": float(sum(other.held for other in engine.running) + kept - engine.shared_twice()),
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
            "max_batch": float(engine.max_batch),
            "instances": float(len(self.engines)),
            "draw": uniform(self.seed, i, k, 1),
        }

    def choose(self, i: int, time: float) -> int:
        names = self.score.__code__.co_varnames[: self.score.__code__.co_argcount]
        fitting = [k for k in range(len(self.engines)) if self.fits(k, i)]
        fitting = [k for k in fitting if self.wanted[i] in (-1, self.instances[k][1])]
        mean = sum(self.requests_at(k, time) for k in fitting) / len(fitting)
        choices = int(self.parameters["choices"])
        if 0 < choices < len(fitting):
            fitting = sorted(fitting, key=lambda k: uniform(self.seed, i, k, 0))[:choices]
        scores = []
        for k in sorted(fitting):
            columns = self.columns(k, i, time) | {"mean_requests": mean} | self.parameters
            score = float(self.score(**{name: columns[name] for name in names}))
            if score < math.inf:
                scores.append((score, self.turn[k], k))
        return min(scores)[2] if scores else -1

    def serve(self) -> SlowCluster:
        for time, i in self.events:
            for k in range(len(self.engines)):
                self.walk(k, time)
            k = self.choose(i, time)
            if k < 0:
                continue
            engine, one = self.engines[k], self.own[k][i]
            engine.now = max(engine.now, time)
            engine.requests.append(one)
            engine.waiting.append(one)
            self.instance[i] = k
            self.turns += 1
            self.turn[k], self.routed_at[k] = self.turns, time
            self.routed[k] += 1
        for k in range(len(self.engines)):
            self.walk(k, math.inf)
        ends = [self.own[max(k, 0)][i] for i, k in enumerate(self.instance)]
        self.first_token_s, self.finish_s, self.preemptions_of = (
            np.array([getattr(one, key) for one in ends]) for key in ("first_s", "finish_s", "preemptions")
        )
        return self
