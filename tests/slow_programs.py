"""Programs on one instance said slowly: SlowEngine with stages that are released, kept contexts and cancellation.

The meaning of models/llm/programs.py and programs_kernel.py; the kernel must give the same results. All that happens at
the end of an iteration is done in the order of the numbers of the stages that it completed.
"""

from __future__ import annotations

import math

import numpy as np
from slow_llm import Request, SlowEngine

PRESERVE, DISCARD, SWAP = range(3)


class SlowPrograms(SlowEngine):
    """Programs under a policy whose file may have `handle`."""

    def __init__(self, programs, hardware, policy, parameters, switches, **arguments):
        super().__init__(programs.requests, hardware, policy, parameters, switches, **arguments)
        self.programs = programs
        n = len(programs)
        self.after = [programs.after[programs.after_start[i] : programs.after_start[i + 1]].tolist() for i in range(n)]
        self.next = [[j for j in range(n) if i in self.after[j]] for i in range(n)]
        self.released, self.done, self.cancelled = set(), set(), set()
        self.host = set()  # stages whose tokens are on the host
        self.arrivals: dict[int, float] = {}  # ms, of the released stages that have not arrived
        self.due_s = programs.requests.arrival_s.copy()  # of a released stage its arrival
        self.arrival_s = np.full(n, math.nan)
        self.ended: list[Request] = []
        self.wasted_tokens = 0
        self.admitting: list[Request] = []
        for i in range(n):
            if not self.after[i]:
                self.release(i, self.requests[i].arrival)

    # Columns.

    def columns(self, one):
        programs, i = self.programs, one.number
        mine = np.flatnonzero(programs.program == programs.program[i]).tolist()
        done = [j for j in mine if j in self.done]
        work = programs.requests.predicted_output_tokens
        by = int(programs.continued_by[i])
        guess = programs.predicted_delay_s
        own = self.due_s[i]
        columns = super().columns(one)
        columns |= {"arrival": own, "waited": self.now / 1000.0 - own}
        columns |= {
            "program_arrival": programs.requests.arrival_s[i],
            "attained": float(sum(programs.new_tokens[j] + programs.requests.output_tokens[j] for j in done)),
            "stages_done": float(len(done)),
            "remaining_path": columns["estimate"] + self.beyond(i),
            "remaining_work": float(sum(work[j] for j in mine if j not in self.done and j not in self.cancelled)),
            "delay": programs.delay_s[by] if by >= 0 else 0.0,
            "predicted_delay": guess[by] if by >= 0 and guess is not None else 0.0,
        }
        return columns | {f"value{k}": value for k, value in enumerate(programs.values[i].tolist())}

    def beyond(self, i):
        work = self.programs.requests.predicted_output_tokens
        return max((work[j] + self.beyond(j) for j in self.next[i]), default=0.0)

    # Stages.

    def release(self, i, time):
        self.released.add(i)
        self.arrivals[i] = time + self.programs.delay_s[i] * 1000.0
        self.due_s[i] = self.arrivals[i] / 1000.0

    def complete(self, one):
        """What the end of a stage brings about."""
        i = one.number
        self.done.add(i)
        by = int(self.programs.continued_by[i])
        if by >= 0 and by not in self.cancelled:
            self.keep_context(one, self.requests[by])
        for j in self.next[i]:
            ready = sum(before in self.done for before in self.after[j])
            if j not in self.released and j not in self.cancelled and ready >= self.programs.need[j]:
                self.release(j, self.now)
                self.cancel_useless()

    def cancel_useless(self):
        for i in range(len(self.requests) - 1, -1, -1):
            wanted = any(j not in self.released and j not in self.cancelled for j in self.next[i])
            ended = not math.isnan(self.requests[i].finish_s)
            if self.next[i] and not wanted and not ended and i not in self.cancelled:
                self.cancel(self.requests[i])

    def cancel(self, one):
        self.cancelled.add(one.number)
        self.arrivals.pop(one.number, None)
        self.wasted_tokens += one.made
        if one in self.running:
            self.running.remove(one)
        if one in self.waiting:
            self.waiting.remove(one)
        one.runs = one.decodes = False
        one.blocks = one.held = 0
        self.host.discard(one.number)

    # Contexts.

    def keep_context(self, one, by):
        choice, held = DISCARD, one.input + one.output - 1
        if "handle" in self.policy:
            state = {
                "held_tokens": float(held),
                "others_tokens": float(sum(other.held for other in self.running)),
                "free_tokens": float(self.free * self.block),
                "kv_tokens": float(self.capacity * self.block),
                "recompute_ms": self.law.step_ms(held, held**2, 0, 0),
                "swap_ms": held * self.swap_ms if self.swap_ms > 0 else math.inf,
                "waiting": float(len(self.waiting)),
                "batch": float(len(self.running)),
            }
            choice = int(self.call(self.policy["handle"], self.columns(one) | state))
        if choice == DISCARD:
            self.recomputed_tokens += held
            return
        by.held = held
        if choice == PRESERVE:
            by.blocks = self.blocks(held)
            return
        self.host.add(by.number)
        self.swapped_tokens += held
        self.transfer += held * self.swap_ms

    def keepers(self, spared=None):
        kept = [one for one in self.requests if one.blocks and one not in self.running and one not in self.admitting]
        return [one for one in kept if one is not spared]

    def kept(self, spared=None):
        """Blocks that others may have: those of kept contexts only where nothing else could run."""
        soft = self.memory == "tail" or not (self.running or self.admitting)
        return super().kept(spared) if soft else 0

    def reclaim(self, wanted, spared=None):
        if wanted > 0 and self.kept(spared):
            super().reclaim(wanted, spared)

    def order(self, one):
        waits = one in self.waiting
        return (one.rank if waits else self.rank(one), one.number)

    def make_room(self):
        while self.need() > self.free:
            if self.memory == "tail" and self.kept():
                self.reclaim(self.need() - self.free)
            elif len(self.running) == 1 and self.keepers():
                super().reclaim(self.need() - self.free)
            else:
                worst = max(self.running, key=self.order)
                self.preempt(worst, self.need() - self.grows(worst) - self.free)

    def preempt(self, one, wanted):
        super().preempt(one, wanted)
        if self.memory == "swap":
            self.host.add(one.number)

    def starts(self, one, admitted):
        self.admitting = admitted
        promised = sum(1 if other.decodes else other.target - other.held for other in self.running + admitted)
        whole = self.programs.continues[one.number] >= 0 and self.programs.new_tokens[one.number] == 0
        resumes = one.held == one.target - 1 and (one.made > 0 or whole)
        if self.mixed and promised >= self.budget:
            return False
        if not self.mixed and not resumes and admitted:
            if sum(other.target - other.held for other in [*admitted, one]) > self.budget:
                return False
        if one.lost_in == self.iteration or not self.may_admit(one, admitted) or not self.find_place(one, admitted):
            return False
        self.waiting.remove(one)
        one.idle, one.begin, self.picks = self.now - one.since, one.made, self.picks + 1
        if one.number in self.host:
            self.host.remove(one.number)
            self.transfer += one.held * self.swap_ms
        one.runs, one.decodes = True, resumes
        one.blocks = one.reserved if not self.paged else self.blocks(one.held if resumes else one.target)
        (self.running if resumes else admitted).append(one)
        if "picks" in self.policy["rank"].__code__.co_varnames:
            self.rank_again()
        return True

    def gone(self, one):
        if not math.isnan(one.finish_s):
            self.ended.append(one)

    def step(self):
        self.admitting = []
        went = super().step()
        self.admitting = []
        self.arrive(lambda time: time < self.now)
        for one in sorted(self.ended, key=lambda one: one.number):
            one.decodes = False
            self.complete(one)
        self.ended = []
        return went

    def arrive(self, comes):
        for i in sorted(self.arrivals, key=lambda i: (self.arrivals[i], i)):
            if comes(self.arrivals[i]):
                one = self.requests[i]
                one.since, self.arrival_s[i] = self.arrivals[i], self.arrivals[i] / 1000.0
                del self.arrivals[i]
                one.rank = self.rank(one)
                self.waiting.append(one)

    def idle(self, until):
        """Nothing runs: what is moved to the host is moved meanwhile."""
        self.transfer = max(self.transfer - max(until - self.now, 0.0), 0.0)
        self.now = max(self.now, until)

    def serve(self):
        while self.arrivals or self.waiting or self.running:
            if not self.waiting and not self.running:
                self.idle(min(self.arrivals.values()))
            self.arrive(lambda time: time <= self.now)
            if (self.waiting or self.running) and not self.step():
                self.idle(min(self.arrivals.values()))
        assert self.free == self.capacity, "blocks were not freed"
        assert self.done | self.cancelled == set(range(len(self.requests))), "stages were lost"
        makespan = self.now - self.requests[0].arrival
        self.first_token_s, self.finish_s, self.preemptions_of = (
            np.array([getattr(one, key) for one in self.requests]) for key in ("first_s", "finish_s", "preemptions")
        )
        self.iterations, self.makespan_s, self.busy_s = self.iteration, makespan / 1000.0, self.busy / 1000.0
        self.mean_kv_tokens, self.mean_batch = self.area / makespan, self.computed / self.iteration
        return self
