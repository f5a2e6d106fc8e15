"""The LLM engine said slowly: every iteration walked, every list sorted anew, in plain Python.

The meaning of models/llm/engine.py, word for word its docstring; the kernel must give the same results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.llm.policies import COLUMNS, STATE


@dataclass
class Request:
    number: int
    arrival: float  # ms
    input: int
    output: int
    made: int = 0
    held: int = 0  # tokens in the KV cache, on the host while swapped out
    blocks: int = 0  # blocks on the accelerator
    decodes: bool = False
    runs: bool = False
    preemptions: int = 0
    lost_in: int = -1  # the iteration in which it was preempted
    first_s: float = math.nan
    finish_s: float = math.nan
    reserved: int = 0
    since: float = math.nan  # ms, when it began to wait
    idle: float = math.nan  # ms that it had waited when it was last admitted
    begin: int = 0  # tokens that it had made then
    rank: float = math.nan  # while it waits, as of the beginning of the iteration, or of its preemption

    @property
    def target(self) -> int:
        """Tokens in the cache once the next token can be made."""
        return self.input + self.made


class SlowEngine:
    """Requests under a policy, given as the functions of its file and its parameters, in one of the mechanisms."""

    def __init__(self, requests, hardware, policy, parameters, switches, *, token_budget, watermark, **limits):
        """switches: mechanism, memory, preempt, reserve, ...; limits: kv_tokens, max_batch, block_tokens."""
        self.law, self.policy, self.parameters, self.data = hardware, policy, parameters, requests
        mechanism, self.memory, self.preempts, reserve, *_ = switches.values()
        kv_tokens, self.max_batch, self.block = (limits[key] for key in ("kv_tokens", "max_batch", "block_tokens"))
        self.mixed, self.drain = mechanism in ("orca", "sarathi"), mechanism == "fastertransformer"
        self.paged = mechanism in ("vllm", "sarathi")
        self.budget = token_budget or {"vllm": 4096, "sarathi": 512}.get(mechanism, math.inf)
        self.capacity = kv_tokens // self.block if kv_tokens else 10**15
        self.spare = int(watermark * self.capacity) if self.paged and kv_tokens else 0
        self.requests, self.waiting, self.running, self.hands = [], [], [], False  # hands: they decode elsewhere
        longest = int(max(requests.output_tokens))
        for i in range(len(requests)):
            output = int(requests.output_tokens[i])
            one = Request(i, float(requests.arrival_s[i] * 1000.0), int(requests.input_tokens[i]), output)
            answer = {"max": longest, "oracle": output, "pow2": min(longest, 2 ** math.ceil(math.log2(output)))}
            one.reserved = min(self.blocks(one.input + answer[reserve]), self.capacity)
            self.requests.append(one)
            one.since = one.arrival
        self.now, self.picks, self.seen = self.requests[0].arrival, 0, {}
        self.preemptions = self.recomputed_tokens = self.swapped_tokens = self.peak_kv_tokens = 0
        self.iteration = self.computed = self.area = self.busy = self.transfer = 0
        self.swap_ms = 1000.0 * hardware.kv_bytes_per_token / (hardware.swap_bytes_per_s or math.inf)

    def estimate(self, one: Request) -> float:
        data, every = self.data, self.data.refresh_every
        estimate = data.predicted_output_tokens[one.number]
        for made in range(1, one.made + 1):
            estimate -= 1
            renewed = data.refreshed_start[one.number] + made // every - 1 if every else 0
            if every and made % every == 0 and renewed < data.refreshed_start[one.number + 1]:
                estimate = data.refreshed[renewed]
        return estimate

    def columns(self, one: Request) -> dict[str, float]:
        data, i, now, arrival = self.data, one.number, self.now / 1000.0, one.arrival / 1000.0
        guess, left = float(data.predicted_output_tokens[i]), float(one.output - one.made)
        values = (arrival, float(one.input), float(one.output), left, guess, self.estimate(one), float(one.made))
        values += (float(data.kind[i]), data.deadline_s[i], data.price[i], 0.0, float(one.runs), now, now - arrival)
        idle = (one.idle if one.runs else self.now - one.since) / 1000.0
        values += (guess, float(one.preemptions), idle, float(one.runs * (one.made - one.begin)), float(self.picks))
        return dict(zip(COLUMNS, values, strict=True))

    def call(self, function, columns: dict[str, float]) -> float:
        """A function of the policy, which takes columns and parameters by name."""
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        return function(**{name: self.parameters[name] if name in self.parameters else columns[name] for name in names})

    def rank(self, one: Request) -> float:
        return self.call(self.policy["rank"], self.columns(one) | self.seen)

    def rank_again(self) -> None:
        for one in self.waiting:
            one.rank = self.rank(one)

    def order(self, one: Request):
        return (self.rank(one) if one.runs else one.rank, one.number)

    def blocks(self, tokens: int) -> int:
        return -(-tokens // self.block)

    @property
    def free(self) -> int:
        return self.capacity - sum(one.blocks for one in self.requests)

    def grows(self, one: Request) -> int:
        return int(self.paged and one.decodes and one.held % self.block == 0)

    def need(self) -> int:
        return sum(self.grows(one) for one in self.running)

    def keepers(self, spared=None) -> list[Request]:
        return [one for one in self.waiting if one.blocks and one is not spared]

    def kept(self, spared=None) -> int:
        return sum(one.blocks for one in self.keepers(spared))

    def cut(self, one: Request, dropped: int) -> None:
        """Drop the last blocks of a waiting request."""
        one.blocks -= dropped
        held = min(one.held, one.blocks * self.block)
        self.recomputed_tokens += one.held - held
        one.held = held

    def reclaim(self, wanted: int, spared=None) -> None:
        for worst in sorted(self.keepers(spared), key=self.order, reverse=True):
            dropped = max(0, min(wanted, worst.blocks))
            self.cut(worst, dropped)
            wanted -= dropped

    def preempt(self, one: Request, wanted: int) -> None:
        self.running.remove(one)
        one.runs = one.decodes = False
        one.lost_in, one.preemptions, one.since = self.iteration, one.preemptions + 1, self.now
        self.preemptions += 1
        if self.memory == "tail":
            wanted -= one.blocks - self.blocks(one.held)
            one.blocks = self.blocks(one.held)
            self.cut(one, min(max(wanted, 0), one.blocks))
        elif self.memory == "swap":
            one.blocks = 0
            self.swapped_tokens += one.held
            self.transfer += one.held * self.swap_ms
        else:
            self.recomputed_tokens += one.held
            one.blocks = one.held = 0
        self.gone(one)
        one.rank = self.rank(one)
        self.waiting.append(one)

    def make_room(self) -> None:
        while self.need() > self.free:
            if self.kept():
                self.reclaim(self.need() - self.free)
            else:
                worst = max(self.running, key=self.order)
                self.preempt(worst, self.need() - self.grows(worst) - self.free)

    def lacking(self, one: Request) -> int:
        blocks = self.blocks(one.target) - one.blocks if self.paged else one.reserved
        return blocks + self.spare + self.mixed * self.need() - self.free

    def find_place(self, one: Request, admitted: list[Request]) -> bool:
        def crowded():
            return len(self.running) + len(admitted) >= self.max_batch

        if not crowded() and self.lacking(one) <= self.kept(one):
            self.reclaim(self.lacking(one), one)
            return True
        worse = [other for other in self.running if self.rank(other) > one.rank]
        room = sum(other.blocks + self.mixed * self.grows(other) for other in worse)
        if self.preempts == "batch" and not crowded():
            return False
        if not (self.preempts and worse and self.lacking(one) <= room + self.kept(one)):
            return False
        while True:
            self.reclaim(self.lacking(one), one)
            if self.lacking(one) <= 0 and not crowded():
                return True
            worst = max((other for other in worse if other.runs), key=self.order)
            self.preempt(worst, self.lacking(one) - self.mixed * self.grows(worst))

    def may_admit(self, one: Request, admitted: list[Request]) -> bool:
        if "admit" not in self.policy:
            return True
        members = [*self.running, *admitted, one]
        left = [max(1, math.ceil(self.estimate(other))) for other in members]
        peak = max(sum(members[k].target + j - 1 for k in range(len(left)) if left[k] >= j) for j in left)
        tokens = sum(other.target - other.held for other in admitted)
        state = (one.target, self.free * self.block, self.capacity * self.block, len(self.running) + len(admitted))
        state += (len(self.waiting), len(admitted), tokens, peak)
        return self.call(self.policy["admit"], self.columns(one) | dict(zip(STATE, state, strict=True)))

    def starts(self, one: Request, admitted: list[Request]) -> bool:
        """Let the first waiting request start, if it may."""
        promised = sum(1 if other.decodes else other.target - other.held for other in self.running + admitted)
        resumes = one.made > 0 and one.held == one.target - 1 and not self.hands
        if self.mixed and promised >= self.budget:
            return False
        if not self.mixed and not resumes and admitted:
            if sum(other.target - other.held for other in [*admitted, one]) > self.budget:
                return False
        if one.lost_in == self.iteration or not self.may_admit(one, admitted) or not self.find_place(one, admitted):
            return False
        self.waiting.remove(one)
        one.idle, one.begin, self.picks = self.now - one.since, one.made, self.picks + 1
        self.transfer += one.held * self.swap_ms if self.memory == "swap" else 0.0
        one.runs, one.decodes = True, resumes
        one.blocks = one.reserved if not self.paged else self.blocks(one.held if resumes else one.target)
        (self.running if resumes else admitted).append(one)
        if "picks" in self.policy["rank"].__code__.co_varnames:
            self.rank_again()
        return True

    def admit(self) -> list[Request]:
        """Admit waiting requests; returns those whose prompts are to be computed."""
        admitted: list[Request] = []
        while self.waiting and not (self.drain and self.running):
            if not self.starts(min(self.waiting, key=self.order), admitted):
                break
        return admitted

    def store(self, computed: list[Request]) -> None:
        """For a prefix cache (slow_llm_prefix.py), as the next two."""

    def gone(self, one: Request) -> None: ...

    def shared_twice(self) -> int:
        return 0

    def step(self) -> bool:
        """Walk one iteration; False if nothing can run."""
        self.seen = {"batch": float(len(self.running)), "free_tokens": float(self.free * self.block)}
        self.rank_again()
        if self.mixed:
            self.make_room()
        admitted = self.admit()
        if not self.mixed and not admitted:
            self.make_room()
        decoding = [one for one in self.running if one.decodes and (self.mixed or not admitted)]
        prompts = [one for one in self.running if not one.decodes] + admitted
        self.running += admitted
        left = self.budget - len(decoding) if self.mixed else math.inf
        chunks = []
        for one in prompts:
            end = min(one.target, one.held + max(left, 0))
            chunks.append((one.held, end))
            left -= end - one.held
            one.held = end
        if not self.running:
            return False
        assert decoding or any(end > start for start, end in chunks), "a step without work"
        for one in decoding:
            one.blocks += self.grows(one)
            one.held += 1
        prompt_tokens = sum(end - start for start, end in chunks)
        squares = sum(end**2 - start**2 for start, end in chunks)
        assert self.free >= 0, "more blocks than there are"
        attended = sum(one.held for one in decoding)
        ms = self.transfer + self.law.step_ms(prompt_tokens, squares, len(decoding), attended)
        resident = sum(one.held for one in self.running + self.keepers()) - self.shared_twice()
        self.peak_kv_tokens = max(self.peak_kv_tokens, resident)
        self.area += resident * ms
        self.now, self.busy = self.now + ms, self.busy + ms
        self.computed += len(decoding) + sum(end > start for start, end in chunks)
        self.iteration, self.transfer = self.iteration + 1, 0.0
        computed = [one for one in prompts if one.held == one.target]
        self.store(computed)
        for one in decoding + computed:
            one.made, one.decodes = one.made + 1, True
            one.first_s = self.now / 1000.0 if one.made == 1 else one.first_s
        for one in [one for one in self.running if one.decodes and one.made == one.output]:
            self.running.remove(one)
            assert math.isnan(one.finish_s), "served twice"
            one.finish_s, one.blocks, one.runs = self.now / 1000.0, 0, False
            self.gone(one)
        return True

    def serve(self) -> SlowEngine:
        """Serve all; returns itself, with the fields of Served."""
        coming = list(self.requests)
        while coming or self.waiting or self.running:
            if not self.waiting and not self.running:
                self.now = max(self.now, coming[0].arrival)
            while coming and coming[0].arrival <= self.now:
                self.waiting.append(coming.pop(0))
            if (self.waiting or self.running) and not self.step():
                self.now = coming[0].arrival
        assert self.free + self.kept() == self.capacity, "blocks were not freed"
        makespan = self.now - self.requests[0].arrival
        self.first_token_s, self.finish_s, self.preemptions_of = (
            np.array([getattr(one, key) for one in self.requests]) for key in ("first_s", "finish_s", "preemptions")
        )
        self.iterations, self.makespan_s, self.busy_s = self.iteration, makespan / 1000.0, self.busy / 1000.0
        self.mean_kv_tokens, self.mean_batch = self.area / makespan, self.computed / self.iteration
        return self
