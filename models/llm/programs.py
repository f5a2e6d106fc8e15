"""Programs: requests that wait for each other, as calls to tools, chains, graphs of agents and reasoning make them.

A program is a set of stages, each of them one request to a model. A stage is released when `need` of the stages that
it waits for are done, and arrives `delay_s` later: a call to a tool, a person who thinks. What is kept of the context
of the stage that it continues need not be computed again. programs_kernel.py serves them, in a cluster.

    programs = Programs(requests, program=[0, 0, 1], after_start=[0, 0, 1, 1], after=[0], delay_s=[0, 2.5, 0])

Here request 1 waits for request 0 and another 2.5 s, and request 2 is a program of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heappop, heappush

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.requests import Requests

MOST_VALUES = 4


@dataclass(frozen=True, eq=False)
class Programs:
    """n stages of programs in order of arrival; arrays of length n unless said. Absent arrays get their defaults.

    Raises InputError, naming the field and the stage (counted from 0), for values that make no sense.
    """

    requests: Requests
    """One a stage. arrival_s is that of the program; its stages stand together, after those that they wait for."""
    program: np.ndarray | None = None
    """int64, the number of the stage's program, from 0 up without gaps (default: each stage is one)."""
    after_start: np.ndarray | None = None
    """int64, length n + 1: stage i waits for after[after_start[i] : after_start[i + 1]] (default: for none)."""
    after: np.ndarray | None = None
    """int64, earlier stages of the same program, each at most once."""
    need: np.ndarray | None = None
    """int64, how many of these must be done (default: all). The others are cancelled then, unless another stage wants
    them, and so is what only they want."""
    delay_s: np.ndarray | None = None
    """float64, at least 0: from the release of the stage to its arrival (default 0)."""
    predicted_delay_s: np.ndarray | None = None
    """float64, at least 0, or None: no prediction is known."""
    continues: np.ndarray | None = None
    """int64, the stage whose prompt and answer begin the prompt of this one, one that it waits for; -1: none."""
    model: np.ndarray | None = None
    """int64, the model that must serve the stage; -1: any (default)."""
    skippable: np.ndarray | None = None
    """bool, whether a router may refuse the stage, which is then done without an answer (default: no)."""
    values: np.ndarray | None = None
    """float64 (n, up to 4): what routers and policies see as value0 to value3 (default: none)."""

    def __post_init__(self):
        n = len(self.requests)
        put = lambda name, values: object.__setattr__(self, name, values)  # noqa: E731
        put("program", np.arange(n) if self.program is None else self._whole("program", 0, n - 1))
        self._check_program()
        self._put_after(put)
        waits = np.diff(self.after_start)
        put("need", waits.copy() if self.need is None else self._whole("need", 0, n))
        bad = (self.need > waits) | ((self.need == 0) & (waits > 0))
        if bad.any():
            i = int(np.argmax(bad))
            right = f"from 1 to {waits[i]}" if waits[i] else "0"
            raise InputError(f"need of stage {i} is {self.need[i]}, but it waits for {waits[i]}: it must be {right}.")
        put("delay_s", np.zeros(n) if self.delay_s is None else self._times("delay_s"))
        if self.predicted_delay_s is not None:
            put("predicted_delay_s", self._times("predicted_delay_s"))
        put("model", np.full(n, -1) if self.model is None else self._whole("model", -1, 1 << 20))
        put("continues", np.full(n, -1) if self.continues is None else self._whole("continues", -1, n - 1))
        self._check_continues()
        if self.skippable is None:
            put("skippable", np.zeros(n, bool))
        else:
            put("skippable", self._whole("skippable", 0, 1).astype(bool))
        put("values", self._values())

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def count(self) -> int:
        """The number of programs."""
        return int(self.program[-1]) + 1

    @cached_property
    def begins(self) -> np.ndarray:
        """int64, length count + 1: the stages of program p are those from begins[p] to below begins[p + 1]."""
        return np.searchsorted(self.program, np.arange(self.count + 1)).astype(np.int64)

    @property
    def arrival_s(self) -> np.ndarray:
        """float64 (count,), when each program arrives."""
        return self.requests.arrival_s[self.begins[:-1]]

    @cached_property
    def followers(self) -> tuple[np.ndarray, np.ndarray]:
        """(start, stages): those that wait for stage i are stages[start[i] : start[i + 1]], in ascending order."""
        who = np.repeat(np.arange(len(self)), np.diff(self.after_start))
        start = np.concatenate([[0], np.cumsum(np.bincount(self.after, minlength=len(self)))])
        return start.astype(np.int64), who[np.argsort(self.after, kind="stable")].astype(np.int64)

    @cached_property
    def continued_by(self) -> np.ndarray:
        """int64 (n,), the stage that continues each stage; -1: none."""
        by = np.full(len(self), -1)
        theirs = np.flatnonzero(self.continues >= 0)
        by[self.continues[theirs]] = theirs
        return by

    @cached_property
    def new_tokens(self) -> np.ndarray:
        """int64 (n,), tokens of the prompt that are not the context of the stage that it continues."""
        before = self.continues
        context = self.requests.input_tokens[before] + self.requests.output_tokens[before]
        return self.requests.input_tokens - np.where(before >= 0, context, 0)

    def path(self, lengths: np.ndarray, own: bool = True) -> np.ndarray:
        """float64 (n,): the largest sum of `lengths` over a chain of stages from each one on to the program's end.

        Of stages that need not wait for all, too. Without `own` the stage's own length is left out.
        """
        # Lists, since numpy takes ten times as long for single numbers.
        longest = np.asarray(lengths, np.float64).tolist()
        start, after = self.after_start.tolist(), self.after.tolist()
        beyond = [0.0] * len(self)
        for i in range(len(self) - 1, -1, -1):
            longest[i] += beyond[i]
            for before in after[start[i] : start[i + 1]]:
                beyond[before] = max(beyond[before], longest[i])
        return np.array(longest if own else beyond)

    def with_requests(self, requests: Requests) -> Programs:
        """The same programs with other predictions, deadlines or blocks of their requests."""
        return replace(self, requests=requests)

    def _check_program(self):
        step = np.diff(self.program, prepend=-1)
        bad = (step < 0) | (step > 1)
        if bad.any() or self.program[0] != 0:
            i = int(np.argmax(bad)) if bad.any() else 0
            raise InputError(
                f"program of stage {i} is {self.program[i]}: programs are numbered from 0 up without gaps, and their "
                "stages stand together."
            )
        late = (step == 0) & (np.diff(self.requests.arrival_s, prepend=0.0) != 0)
        if late.any():
            i = int(np.argmax(late))
            raise InputError(
                f"arrival_s of stage {i} differs from that of stage {i - 1} of the same program: give all stages the "
                "arrival of their program, and what happens before them as delay_s."
            )

    def _put_after(self, put):
        n = len(self)
        if self.after is None:
            put("after", np.empty(0, np.int64))
            put("after_start", np.zeros(n + 1, np.int64))
            return
        start, after = np.array(self.after_start), np.array(self.after)
        if after.dtype.kind not in "iu" and after.size:
            raise InputError("after must be an array of whole numbers: the stages that are waited for.")
        put("after", after.astype(np.int64))
        good = start.shape == (n + 1,) and start.dtype.kind in "iu" and start[0] == 0 and start[-1] == len(after)
        if not good or np.any(np.diff(start) < 0):
            raise InputError(f"after_start must ascend from 0 to the length of after in {n + 1} whole numbers.")
        put("after_start", start.astype(np.int64))
        who = np.repeat(np.arange(n), np.diff(start))
        bad = (after < 0) | (after >= who)
        bad[~bad] = self.program[after[~bad]] != self.program[who[~bad]]
        if bad.any():
            k = int(np.argmax(bad))
            raise InputError(
                f"stage {who[k]} waits for stage {after[k]}: it can only wait for earlier stages of its own program."
            )
        pairs = np.sort(who * n + after)
        twice = pairs[1:] == pairs[:-1]
        if twice.any():
            i, before = divmod(int(pairs[1:][twice][0]), n)
            raise InputError(f"stage {i} waits for stage {before} twice: name it once.")

    def _check_continues(self):
        theirs = np.flatnonzero(self.continues >= 0)
        before = self.continues[theirs]
        waits = np.diff(self.after_start)
        who = np.repeat(np.arange(len(self)), waits)
        waited_for = np.bincount(who[self.after == self.continues[who]], minlength=len(self)) > 0
        bad = theirs[~waited_for[theirs] | (self.need[theirs] < waits[theirs])]
        if len(bad):
            raise InputError(
                f"stage {bad[0]} continues stage {self.continues[bad[0]]}, so it must wait for it and for all others "
                "that it names in after."
            )
        if len(np.unique(before)) < len(before):
            first = np.sort(before)
            j = int(first[1:][first[1:] == first[:-1]][0])
            raise InputError(
                f"stage {j} is continued by two stages: let one continue it, and others share prefix_blocks."
            )
        short = self.new_tokens[theirs] < 0
        if short.any():
            i = int(theirs[np.argmax(short)])
            raise InputError(
                f"stage {i} has {self.requests.input_tokens[i]} input tokens, fewer than the input and output tokens "
                f"of stage {self.continues[i]} that it continues: its prompt begins with both."
            )
        moved = self.model[theirs] != self.model[before]
        if moved.any():
            i = int(theirs[np.argmax(moved)])
            raise InputError(f"stage {i} continues a stage of another model: a context belongs to one model.")

    def _values(self) -> np.ndarray:
        if self.values is None:
            return np.zeros((len(self), 0))
        values = np.array(self.values, np.float64)
        if values.ndim != 2 or values.shape[0] != len(self) or values.shape[1] > MOST_VALUES:
            raise InputError(f"values must have a row for each of the {len(self)} stages, of at most {MOST_VALUES}.")
        if not np.isfinite(values).all():
            raise InputError(f"values of stage {int(np.argmin(np.isfinite(values).all(axis=1)))} are not all finite.")
        return values

    def _times(self, name) -> np.ndarray:
        values = self._column(name).astype(np.float64)
        good = (values >= 0) & (values < np.inf)
        if not good.all():
            i = int(np.argmin(good))
            raise InputError(f"{name} of stage {i} is {values[i]:g}, but must be a finite number of at least 0.")
        return values

    def _whole(self, name, low, high) -> np.ndarray:
        values = self._column(name)
        good = (values >= low) & (values <= high) & (values == np.floor(values))
        if not good.all():
            i = int(np.argmin(good))
            right = f"a whole number from {low} to {high}"
            raise InputError(f"{name} of stage {i} is {values[i]:g}, but must be {right}.")
        return values.astype(np.int64)

    def _column(self, name) -> np.ndarray:
        values = np.array(getattr(self, name), ndmin=1)
        if values.dtype.kind not in "biuf" or values.shape != (len(self),):
            raise InputError(f"{name} must be an array of {len(self)} numbers, one for each stage.")
        return values if values.dtype.kind == "f" else values.astype(np.int64)


def fair_finish(programs: Programs, rate: float) -> np.ndarray:
    """float64 (n,): for each stage the virtual time at which fair sharing would end its program.

    The cost of a program is the sum over its stages of the tokens that its KV cache holds when each output token is
    made, by predicted outputs o: input o + o^2 / 2. `rate` of it are served in a second, shared alike by the programs
    that are there: virtual time runs at rate / (number of these), and a program ends when its cost has passed.
    """
    if not 0 < rate < np.inf:
        raise InputError(f"rate is {rate:g}: it must be a finite number above 0.")
    guess = programs.requests.predicted_output_tokens
    if guess is None:
        raise InputError("fair_finish needs predicted_output_tokens of the stages: give them or a law of predictions.")
    cost = np.bincount(programs.program, programs.requests.input_tokens * guess + 0.5 * guess**2)
    ends: list[float] = []
    virtual, now, result = 0.0, 0.0, np.empty(programs.count)
    for p, arrival in enumerate(programs.arrival_s):
        while ends and (ends[0] - virtual) * len(ends) / rate <= arrival - now:
            now += (ends[0] - virtual) * len(ends) / rate
            virtual = heappop(ends)
        if ends:
            virtual += (arrival - now) * rate / len(ends)
        now = arrival
        result[p] = virtual + cost[p]
        heappush(ends, result[p])
    return result[programs.program]


def alone(requests: Requests) -> Programs:
    """Each request as a program of one stage."""
    return Programs(requests)
