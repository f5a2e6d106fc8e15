"""The states of one queue with classes of jobs, and its moves: what the fluid limit is a law on.

A job's type, exponential in size, is drawn when its service begins: given its class it does not depend on the past.
So a queue is a Markov chain on: without preemption, jobs waiting by class, class and type of the job in service;
with preemption, jobs by class, and the type of each class's first job. Only queues with at most `most` jobs are
kept; arrivals beyond are lost.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from openqueues.models.analysis.fluid_laws import Types


@dataclass(frozen=True)
class Chain:
    """States with jobs by class, and moves between them.

    counts (s, c). arrivals: (source, class, target, probability); departures: (source, target, rate).
    """

    counts: np.ndarray
    arrivals: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    departures: tuple[np.ndarray, np.ndarray, np.ndarray]


class _Vectors:
    """All vectors of c whole numbers from 0 with a sum of at most `most`, in order of the sum, and their places."""

    def __init__(self, c: int, most: int):
        rows = [np.array(v) for v in _compositions(c, most)]
        self.rows = np.array(rows).reshape(len(rows), c)
        self._base = (most + 2) ** np.arange(c, dtype=np.int64)
        codes = self.rows @ self._base
        self._order = np.argsort(codes)
        self._codes = codes[self._order]

    def place(self, rows: np.ndarray) -> np.ndarray:
        """The place of each row, -1 for one that is not among them."""
        codes = rows @ self._base
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return np.where((self._codes[at] == codes) & (rows >= 0).all(axis=1), self._order[at], -1)


def _compositions(c, most):
    for total in range(most + 1):
        # Stars and bars: c - 1 bars among total + c - 1 places.
        for bars in itertools.combinations(range(total + c - 1), c - 1):
            ends = (-1, *bars, total + c - 1)
            yield [ends[i + 1] - ends[i] - 1 for i in range(c)]


def without_preemption(types: Types, most: int) -> Chain:
    """A queue that serves its lowest class first, first come first served within it, and never interrupts."""
    c, given = len(types.values), types.type_given_class
    pairs = [(k, t) for k in range(c) for t in range(len(types.means)) if given[k, t] > 0]
    of_class = np.array([k for k, _ in pairs])
    rate = np.array([1 / types.means[t] for _, t in pairs])
    vectors = _Vectors(c, most - 1)
    waiting, size = vectors.rows, len(pairs)
    counts = np.concatenate((np.zeros((1, c), int), np.repeat(waiting, size, axis=0)))
    counts[1:] += np.eye(c, dtype=int)[np.tile(of_class, len(waiting))]

    def state(row, pair):
        return 1 + row * size + pair

    arrivals, departures = [], []
    rows = np.arange(len(waiting))
    unit = np.eye(c, dtype=int)
    for k in range(c):
        to = vectors.place(waiting + unit[k])
        for pair, (own, t) in enumerate(pairs):
            if own == k:
                arrivals.append(([0], k, [state(0, pair)], given[k, t]))
            arrivals.append((state(rows, pair)[to >= 0], k, state(to, pair)[to >= 0], 1.0))
    empty = waiting.sum(axis=1) == 0
    first = np.argmax(waiting > 0, axis=1)
    for pair in range(size):
        departures.append((state(rows[empty], pair), np.zeros(empty.sum(), int), rate[pair]))
        for k in range(c):
            here = rows[~empty & (first == k)]
            to = vectors.place(waiting[here] - unit[k])
            for next_pair, (own, t) in enumerate(pairs):
                if own == k:
                    departures.append((state(here, pair), state(to, next_pair), rate[pair] * given[k, t]))
    return _chain(counts, arrivals, departures)


def with_preemption(types: Types, most: int) -> Chain:
    """A queue that serves its lowest class first, first come first served within it; a lower class interrupts."""
    c, given = len(types.values), types.type_given_class
    of_class = [np.flatnonzero(given[k] > 0) for k in range(c)]
    heads = np.array(list(itertools.product(*(range(max(len(own), 1)) for own in of_class)))).reshape(-1, c)
    step = np.array([np.prod([max(len(own), 1) for own in of_class[k + 1 :]], dtype=int) for k in range(c)])
    vectors = _Vectors(c, most)
    size = len(heads)
    jobs, head = np.repeat(vectors.rows, size, axis=0), np.tile(heads, (len(vectors.rows), 1))
    kept = ((jobs > 0) | (head == 0)).all(axis=1)
    place = np.cumsum(kept) - 1  # of a pair (vector, heads) among the states that are kept
    jobs, head = jobs[kept], head[kept]
    states = np.arange(len(jobs))
    unit = np.eye(c, dtype=int)

    def state(row, heads_code):
        return place[row * size + heads_code]

    code = head @ step
    arrivals, departures = [], []
    first = np.where(jobs.sum(axis=1) > 0, np.argmax(jobs > 0, axis=1), -1)
    for k in range(c):
        to = vectors.place(jobs + unit[k])
        busy = (jobs[:, k] > 0) & (to >= 0)
        arrivals.append((states[busy], k, state(to[busy], code[busy]), 1.0))
        idle = (jobs[:, k] == 0) & (to >= 0)
        for h, t in enumerate(of_class[k]):
            arrivals.append((states[idle], k, state(to[idle], code[idle] + h * step[k]), given[k, t]))
        to = vectors.place(jobs - unit[k])
        for h, t in enumerate(of_class[k]):
            here = (first == k) & (head[:, k] == h)
            last, more = here & (jobs[:, k] == 1), here & (jobs[:, k] > 1)
            rate = 1 / types.means[t]
            departures.append((states[last], state(to[last], code[last] - h * step[k]), rate))
            for g, s in enumerate(of_class[k]):
                departures.append((states[more], state(to[more], code[more] + (g - h) * step[k]), rate * given[k, s]))
    return _chain(jobs, arrivals, departures)


def _chain(counts, arrivals, departures) -> Chain:
    source = np.concatenate([np.asarray(s, int) for s, _, _, _ in arrivals])
    of_class = np.concatenate([np.full(len(s), k) for s, k, _, _ in arrivals])
    target = np.concatenate([np.asarray(t, int) for _, _, t, _ in arrivals])
    probability = np.concatenate([np.full(len(s), p) for s, _, _, p in arrivals])
    left = np.concatenate([np.asarray(s, int) for s, _, _ in departures])
    to = np.concatenate([np.asarray(t, int) for _, t, _ in departures])
    rate = np.concatenate([np.full(len(s), r) for s, _, r in departures])
    return Chain(counts, (source, of_class, target, probability), (left, to, rate))
