"""The engine of policies that plan iterations, said slowly: one object a request, every sum taken anew.

The meaning of models/llm/rounds.py, word for word its docstring; the kernel must give the same results.
"""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass, field

import numpy as np
from openqueues.models.llm.policies import ROUND_STATE
from openqueues.models.llm.rounds import draws

EVICT, SWAP_OUT, SWAP_IN = -1, -2, -3
NOTES = ("note0", "note1", "note2", "note3")


class Broken(Exception):
    """A rule that the plan breaks: words that the engine's message must hold."""


@dataclass
class Request:
    number: int
    arrival: float  # ms
    input: int
    output: int
    draw: float
    made: int = 0
    held: int = 0
    host: int = 0
    decodes: bool = False
    preemptions: int = 0
    last: float = math.nan  # ms
    first_s: float = math.nan
    finish_s: float = math.nan
    notes: list = field(default_factory=lambda: [0.0] * 4)

    @property
    def todo(self) -> int:
        return self.input + self.made - self.held - self.host


class SlowRounds:
    """Requests under a policy, given as the text of its file and its parameters."""

    def __init__(self, requests, hardware, source, sees, parameters, *, seed=0, **limits):
        self.data, self.law, self.sees, self.parameters = requests, hardware, sees, parameters
        space: dict = {}
        exec(source, space)
        # What is compiled for policies (planning.py) runs as plain Python here.
        space |= {name: one.py_func for name, one in space.items() if hasattr(one, "py_func")}
        if "step_ms" in space:
            space["step_ms"] = lambda law, *numbers: hardware.step_ms(*numbers)
        self.decide = space["decide"]
        fields = [*sees, *ROUND_STATE, "memory", "law"]
        self.View = namedtuple("View", fields)
        self.block, self.most = limits["block_tokens"], limits["max_batch"]
        self.budget = limits["token_budget"] or math.inf
        kv_tokens = limits["kv_tokens"]
        self.total = kv_tokens // self.block if kv_tokens else (1 << 60) // self.block
        self.spare = int(limits["watermark"] * self.total) * self.block if kv_tokens else 0
        self.swaps = hardware.kv_bytes_per_token > 0 and hardware.swap_bytes_per_s > 0
        self.swap_ms = 1000.0 * hardware.kv_bytes_per_token / hardware.swap_bytes_per_s if self.swaps else 0.0
        uniform = draws(len(requests), seed)
        self.requests = [
            Request(i, float(requests.arrival_s[i] * 1000.0), int(requests.input_tokens[i]), int(output), uniform[i])
            for i, output in enumerate(requests.output_tokens)
        ]
        line, tokens, times = hardware.coefficients()
        self.coefficients = np.concatenate([line, np.zeros(5), [len(tokens)], tokens, times])
        self.memory, self.ended = np.zeros(1024), []
        self.now, self.present = self.requests[0].arrival, []
        self.busy = self.area = self.computed = self.last_step = 0.0
        self.iterations = self.preemptions = self.recomputed_tokens = self.swapped_tokens = self.peak_kv_tokens = 0
        self.story = []  # (now, {request: entry of the plan}) of each time that the policy was asked

    def estimate(self, one: Request) -> float:
        data, every = self.data, self.data.refresh_every
        estimate = data.predicted_output_tokens[one.number]
        for made in range(1, one.made + 1):
            estimate -= 1
            renewed = data.refreshed_start[one.number] + made // every - 1 if every else 0
            if every and made % every == 0 and renewed < data.refreshed_start[one.number + 1]:
                estimate = data.refreshed[renewed]
        return estimate

    def column(self, one: Request, name: str) -> float:
        data, i = self.data, one.number
        own = {"held": one.held, "host": one.host, "todo": one.todo, "decoding": one.decodes, "generated": one.made}
        own |= {"left": one.output - one.made, "preempted": one.preemptions, "request": i, "draw": one.draw}
        own |= {"last_token": one.last / 1000.0, "arrival": one.arrival / 1000.0, "input_tokens": one.input}
        own |= {"output_tokens": one.output, **dict(zip(NOTES, one.notes, strict=True))}
        if name in own:
            return float(own[name])
        given = {"predicted": "predicted_output_tokens", "score": "predicted_output_tokens", "deadline": "deadline_s"}
        given |= {"predicted_low": "predicted_low_tokens", "predicted_high": "predicted_high_tokens"}
        return self.estimate(one) if name == "estimate" else float(getattr(data, given.get(name, name))[i])

    def pages(self, tokens: int) -> int:
        return -(-tokens // self.block)

    def used(self) -> int:
        return sum(self.pages(one.held) for one in self.requests)

    def view(self):
        columns = {}
        for name in self.sees:
            values = self.ended[-1000:] if name == "finished" else [self.column(one, name) for one in self.present]
            columns[name] = np.array(values, float)
        free = (self.total - self.used()) * self.block
        mean = self.busy / self.iterations if self.iterations else 0.0
        state = (self.now / 1000.0, self.iterations, self.budget, self.most, free, self.total * self.block, self.block)
        state += (self.spare, self.last_step, mean, len(self.ended))
        fields = columns | dict(zip(ROUND_STATE, map(float, state), strict=True))
        fields |= {"memory": self.memory, "law": self.coefficients}
        return self.View(**fields)

    def check(self, plan: dict[int, int]) -> None:
        """Raise Broken for the first rule that the plan, {place: what it says}, breaks."""
        running, tokens, after = 0, 0, self.used()
        for place, said in plan.items():
            one = self.present[place]
            if said < SWAP_IN:
                raise Broken(f"plans {said} for request {one.number}:")
            if said == EVICT and not one.held and not one.host:
                raise Broken(f"evicts request {one.number},")
            if said == SWAP_OUT and not self.swaps:
                raise Broken(f"swaps out request {one.number}, but hardware")
            if said == SWAP_OUT and not one.held:
                raise Broken(f"swaps out request {one.number}, which")
            if said == SWAP_IN and not one.host:
                raise Broken(f"swaps in request {one.number},")
            if said > one.todo:
                raise Broken(f"plans {said} tokens of request {one.number}, which lacks {one.todo} ")
            running, tokens = running + (said > 0), tokens + max(said, 0)
            if running > self.most:
                raise Broken(f"plans {running} requests in an iteration, of which {one.number} is")
            if tokens > self.budget:
                raise Broken(f"plans {tokens} tokens in an iteration, of which those of request {one.number} ")
            after -= self.pages(one.held) if said in (EVICT, SWAP_OUT) else 0
        for place, said in plan.items():
            one = self.present[place]
            if said > 0 or said == SWAP_IN:
                after += self.pages(one.held + one.host + max(said, 0)) - self.pages(one.held)
                if after > self.total:
                    raise Broken(f"needs {after} blocks of memory for its plan, and those of request {one.number} ")

    def move(self, plan: dict[int, int]) -> tuple[int, int]:
        """Evict, swap out and swap in; returns (tokens whose move the iteration waits for, all tokens moved)."""
        awaited, out, ahead, out_pages = 0, 0, 0, 0
        for place, said in plan.items():
            one = self.present[place]
            if said in (EVICT, SWAP_OUT):
                self.preemptions, one.preemptions = self.preemptions + 1, one.preemptions + 1
            if said == EVICT:
                self.recomputed_tokens += one.held + one.host
                one.held = one.host = 0
                one.decodes = False
            elif said == SWAP_OUT:
                out, out_pages = out + one.held, out_pages + self.pages(one.held)
                one.held, one.host = 0, one.held
            elif one.host:
                awaited, ahead = awaited + one.host * (said > 0), ahead + one.host * (said == SWAP_IN)
                one.held, one.host = one.host, 0
        self.swapped_tokens += out
        grown = sum(self.pages(one.held + max(plan.get(place, 0), 0)) for place, one in enumerate(self.present))
        if grown + out_pages > self.total:
            return awaited + out, awaited + out + ahead
        return awaited, awaited + out + ahead

    def compute(self, plan: dict[int, int]) -> float:
        """Compute the tokens of the plan; returns the time without moves."""
        new = squares = decoding = attended = 0
        for place, said in plan.items():
            one = self.present[place]
            if said <= 0:
                continue
            start, one.held = one.held, one.held + said
            if one.decodes:
                decoding, attended = decoding + 1, attended + one.held
            else:
                new, squares = new + said, squares + one.held**2 - start**2
        return self.law.step_ms(new, squares, decoding, attended) if new or decoding else 0.0

    def harvest(self, plan: dict[int, int]) -> None:
        for place in plan:
            one = self.present[place]
            if plan[place] <= 0 or one.todo > 0:
                continue
            one.made, one.decodes, one.last = one.made + 1, True, self.now
            one.first_s = self.now / 1000.0 if one.made == 1 else one.first_s
            if one.made == one.output:
                assert math.isnan(one.finish_s), "served twice"
                one.finish_s, one.held = self.now / 1000.0, 0
                self.ended.append(one.output)
        self.present = [one for one in self.present if one.made < one.output]

    def wait(self, wish: float, moved: bool, coming: list[Request]) -> None:
        arrival = coming[0].arrival if coming else math.inf
        until = max(wish * 1000.0, self.now)
        while until < math.inf and until / 1000.0 < wish:
            until = np.nextafter(until, math.inf)
        until = min(arrival, until)
        if self.now < until < math.inf:
            self.spend(until - self.now)
        elif not moved:
            raise Broken("none is to come" if until == math.inf else "to be asked again at once")

    def spend(self, ms: float) -> None:
        held = sum(one.held for one in self.requests)
        self.now, self.area, self.peak_kv_tokens = self.now + ms, self.area + ms * held, max(self.peak_kv_tokens, held)

    def ask(self, coming: list[Request]) -> None:
        """Ask the policy once and do what it says."""
        plan, view = np.zeros(len(self.present), np.int64), self.view()
        wish = float(self.decide(view, plan, *self.parameters))
        for place, one in enumerate(self.present):
            one.notes = [getattr(view, name)[place] if name in self.sees else 0.0 for name in NOTES]
        if math.isnan(wish):
            raise Broken("is not a number")
        wanted = {place: int(said) for place, said in enumerate(plan) if said}
        self.story.append((self.now, {self.present[place].number: said for place, said in wanted.items()}))
        self.check(wanted)
        awaited, moved = self.move(wanted)
        ms = self.compute(wanted)
        assert self.used() <= self.total, "more blocks than there are"
        ms = max(ms + awaited * self.swap_ms, moved * self.swap_ms)
        self.spend(ms)
        self.busy += ms
        running = sum(said > 0 for said in wanted.values())
        if running:
            self.iterations, self.computed, self.last_step = self.iterations + 1, self.computed + running, ms
            self.harvest(wanted)
        else:
            self.wait(wish, bool(wanted), coming)

    def serve(self) -> SlowRounds:
        """Serve all; returns itself, with the fields of Served. Raises Broken for a plan that breaks a rule."""
        coming = list(self.requests)
        while coming or self.present:
            if not self.present:
                self.now = max(self.now, coming[0].arrival)
            while coming and coming[0].arrival <= self.now:
                self.present.append(coming.pop(0))
                self.present[-1].last = self.present[-1].arrival
            self.ask(coming)
        assert self.used() == 0, "blocks were not freed"
        makespan = self.now - self.requests[0].arrival
        self.first_token_s, self.finish_s, self.preemptions_of = (
            np.array([getattr(one, key) for one in self.requests]) for key in ("first_s", "finish_s", "preemptions")
        )
        self.makespan_s, self.busy_s = makespan / 1000.0, self.busy / 1000.0
        self.mean_kv_tokens, self.mean_batch = self.area / makespan, self.computed / self.iterations
        return self
