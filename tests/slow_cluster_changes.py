"""The slow cluster with instances that go down and come up, and controllers that change roles.

The meaning of models/llm/cluster_change_kernel.py and controllers; the kernel must give the same results.
"""

from __future__ import annotations

import heapq
import math
from itertools import pairwise

from slow_cluster import ARRIVE, CHANGE, END, HANDED_OVER, LOADED, SWITCHED, TICK, SlowCluster


class SlowChangingCluster(SlowCluster):
    """A slow cluster whose instances are not always up and do not always keep their roles."""

    def __init__(self, *arguments, changes=(), control=None, every_ms=0.0, switch_ms=0.0, **options):
        """changes: (time in s, instance, "up" or "down"). control: (function, parameters) of a controller or None."""
        super().__init__(*arguments, **options)
        self.changes, self.control, self.every, self.switch_ms = changes, control, every_ms, switch_ms
        count = len(self.engines)
        self.up, self.next_role = [True] * count, [None] * count
        self.changed_at: list[float | None] = [None] * count  # the end of a change that has begun
        self.parked: set[int] = set()
        self.left = len(self.data)  # requests that have neither ended nor been refused
        self.went: list[list[float]] = [[-math.inf] for _ in range(count)]  # ms, came up, went down, came up, ...
        self.busy_before, self.moves = [0.0] * count, 0
        self.arrived, self.to_arrive = [], set(range(len(self.data)))
        for number, (time, _, _) in enumerate(changes):
            heapq.heappush(self.events, (time * 1000.0, CHANGE, number))
        if control is not None:
            heapq.heappush(self.events, (self.own[0][0].arrival + every_ms, TICK, 0))

    def may_take(self, k, i, phase):
        return self.up[k] and self.next_role[k] is None and super().may_take(k, i, phase)

    def park(self, i):
        self.parked.add(i)

    def unpark(self, time):
        for i in self.parked:
            self.post(time, HANDED_OVER if i in self.source else ARRIVE, i)
        self.parked.clear()

    # Up and down.

    def target(self, i: int) -> int | None:
        """The instance that fetches the KV of a request, or is about to."""
        k = int(self.instance[i])
        on_its_way = self.due.get(i, (0, None))[1] == LOADED
        return k if k >= 0 and (on_its_way or i in self.fetching[k]) else None

    def unfetch(self, i: int) -> None:
        k = self.target(i)
        engine, one = self.engines[k], self.own[k][i]
        self.present[k] -= 1
        if i in self.fetching[k]:
            self.fetching[k].remove(i)
            return
        one.held = one.blocks = 0
        engine.requests.remove(one)
        engine.max_batch += 1
        del self.due[i]

    def lose(self, k: int, i: int) -> None:
        """The KV of a request at an instance that is down is lost: it arrives anew, unless it waits for one already."""
        engine, one = self.engines[k], self.own[k][i]
        engine.recomputed_tokens += one.held
        one.held = one.blocks = 0
        one.runs = one.decodes = False
        one.lost_in = -1
        for those in (engine.requests, engine.running, engine.waiting):
            if one in those:
                those.remove(one)
        self.present[k] -= 1
        self.source.pop(i, None)
        if i not in self.parked:
            self.post(engine.now, ARRIVE, i)

    def go_down(self, k: int, time: float) -> None:
        self.touch(k, time)
        engine = self.engines[k]
        self.up[k] = False
        left = set()
        for i in range(len(self.data)):
            target = self.target(i)
            if self.source.get(i) == k:
                if target is not None:
                    self.touch(target, time)
                    self.unfetch(i)
                    left.add(target)
                self.lose(k, i)
            elif target == k:
                self.unfetch(i)
                self.post(engine.now, HANDED_OVER, i)
            elif self.own[k][i] in engine.running + engine.waiting:
                self.lose(k, i)
        engine.transfer, self.link_free[k] = 0.0, 0.0
        if hasattr(engine, "stamp"):
            engine.stamp.clear()
            engine.held_by = dict.fromkeys(engine.held_by, 0)
        for other in sorted(left):
            self.fetch(other, time)
        if self.next_role[k] is not None:
            self.finish_change(k, time)

    def up_s(self) -> list[float]:
        """Of each instance the time up, from the first arrival to the last completion."""
        start, end = self.own[0][0].arrival, 1000.0 * max((one for one in self.finish_s if one >= 0), default=0.0)
        totals = []
        for times in self.went:
            spans = list(pairwise([*times, math.inf]))[::2]
            totals.append(sum(max(min(off, end) - max(on, start), 0.0) for on, off in spans) / 1000.0)
        return totals

    # Roles.

    def finish_change(self, k: int, time: float) -> None:
        self.take_role(k, self.next_role[k])
        self.next_role[k] = self.changed_at[k] = None
        self.moves += 1
        self.unpark(time)

    def begin_change(self, k: int, time: float) -> None:
        if self.next_role[k] is not None and self.changed_at[k] is None and self.present[k] == 0:
            self.changed_at[k] = max(time, self.engines[k].now) + self.switch_ms
            heapq.heappush(self.events, (self.changed_at[k], SWITCHED, k))

    def coming(self, k: int) -> str:
        return self.next_role[k] or self.role[k]

    def change(self, time: float, new: str) -> None:
        """Let one more instance become `new`: one that was to leave that role, or one with the fewest requests."""
        able = [k for k in range(len(self.engines)) if self.up[k] and self.changed_at[k] is None]
        able = [k for k in able if self.coming(k) not in ("mixed", new)]
        if able:
            k = min(able, key=lambda k: (self.next_role[k] is None, self.present[k], k))
            if self.next_role[k] is not None:
                self.next_role[k] = None
                self.unpark(time)
            else:
                self.next_role[k] = new

    def tick(self, time: float) -> bool:
        """Ask the controller; returns whether the roles are to change."""
        count = len(self.engines)
        busy = [min((self.engines[k].busy - self.busy_before[k]) / self.every, 1.0) for k in range(count)]
        self.busy_before = [engine.busy for engine in self.engines]
        able = [k for k in range(count) if self.up[k] and self.role[k] != "mixed"]
        computing, answering = ([k for k in able if self.role[k] == role] for role in ("prefill", "decode"))
        coming = sum(self.coming(k) == "prefill" for k in able)
        predicted = [max(float(self.data.predicted_output_tokens[i]), 0.0) for i in self.arrived]

        def mean(values):
            values = list(values)
            return sum(values) / max(len(values), 1)

        columns = {
            "share": coming / max(len(able), 1),
            "instances": float(len(able)),
            "changing": float(sum(self.next_role[k] is not None for k in able)),
            "now": time / 1000.0,
            "interval": self.every / 1000.0,
            "prefill_tokens": mean(self.to_compute(k) for k in computing),
            "decode_requests": mean(self.present[k] for k in answering),
            "prefill_busy": mean(busy[k] for k in computing),
            "decode_busy": mean(busy[k] for k in answering),
            "arrived": float(len(self.arrived)),
            "arrived_input": float(sum(self.data.input_tokens[i] for i in self.arrived)),
            "arrived_predicted": float(sum(predicted)),
        }
        self.arrived = []
        function, parameters = self.control
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        share = function(**{name: (columns | parameters)[name] for name in names})
        if len(able) < 2:
            return False
        wanted = int(min(max(math.floor(share * len(able) + 0.5), 1), len(able) - 1))
        for _ in range(abs(wanted - coming)):
            self.change(time, "prefill" if wanted > coming else "decode")
        return wanted != coming

    def goes_on(self) -> bool:
        """Whether anything can still happen by itself."""
        runs = any((one.waiting or one.running) and not self.stuck[k] for k, one in enumerate(self.engines))
        return runs or bool(self.events)

    def happen(self, time, kind, i):
        if kind == CHANGE:
            _, k, what = self.changes[i]
            if self.up[k] != (what == "up"):
                self.went[k].append(time)
                if what == "down":
                    self.go_down(k, time)
                else:
                    self.up[k] = True
                    self.engines[k].now = max(self.engines[k].now, time)
                    self.unpark(time)
        elif kind == SWITCHED and self.changed_at[i] == time:
            self.finish_change(i, time)
        elif kind == TICK:
            changes = self.tick(time)
            if self.left > 0 and (changes or self.goes_on()):
                heapq.heappush(self.events, (time + self.every, TICK, 0))
        elif kind != SWITCHED:
            self.left -= kind == END
            if kind == ARRIVE and self.due.get(i) == (time, kind) and i in self.to_arrive:
                self.to_arrive.remove(i)
                self.arrived.append(i)
            refused = len(self.refused)
            super().happen(time, kind, i)
            self.left -= len(self.refused) - refused
        # Whoever has been left by its last request, begins to change.
        for k in range(len(self.engines)):
            self.begin_change(k, time)
        self.check_conserved()

    def check_conserved(self) -> None:
        """Each request is in one place, counts where it is, and has blocks nowhere else."""
        count = len(self.engines)
        leaves = {i for _, kind, i in self.events if kind == END}  # has ended, and counts until the iteration has
        at: list[set[int]] = [set() for _ in range(count)]
        for i in range(len(self.data)):
            due = self.due.get(i, (0.0, None))[1]
            served = [k for k in range(count) if self.own[k][i] in self.engines[k].waiting + self.engines[k].running]
            fetched = [k for k in range(count) if i in self.fetching[k]]
            places = [
                due in (ARRIVE, HANDED_OVER, LOADED),
                i in self.parked,
                i in self.refused,
                (END, i) in self.posted,
            ]
            assert sum(places) + len(served) + len(fetched) == 1, f"request {i} is in none or several places"
            for k in {*served, *fetched, self.target(i), self.source.get(i)} - {None}:
                at[k].add(i)
            if i in leaves:
                at[int(self.instance[i])].add(i)
        assert self.present == [len(there) for there in at], "who is there is not counted"
        for k, engine in enumerate(self.engines):
            held = {one.number for one in engine.requests if one.blocks}
            assert held <= at[k] - set(self.fetching[k]) and engine.free >= 0, "blocks that belong to nobody"
