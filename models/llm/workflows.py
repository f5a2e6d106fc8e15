"""Programs of several requests to several models: chains, forks that join again, and random graphs in layers.

    programs = workflow("fork:branches=4", "poisson:rate=1", "azure-conv", 1000, seed=1)

Shapes:

    single                                      one stage
    chain:stages=K                              each stage waits for the one before
    fork:branches=B,rounds=R,need=M,split=true  R times (default 1): a stage that splits the task (unless split=false),
                                                B at once, and one that joins their answers when M are done (default B)
    layered:layers=L,width=W,share=P            L layers of 1 to W stages (uniform); each waits for one of the layer
                                                before, uniform, and for each other of these with probability P
                                                (default 0.3)

The prompt of a stage is one by the law of lengths, followed by the answers of the stages that it waits for (where it
needs M of B, by M/B of their tokens); with carry=false without them. models=M serves the stages with models 0 to M -
1, each drawn uniformly for every stage (default 1: any model), and `lengths` may then be a list, one law for each
model. The first value of each stage is its layer from 0, the second 1 for a stage that waits for several
(aggregation) and 0 for the others (expansion).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws.parameters import Parameters, law_of, read
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.requests import Requests
from openqueues.models.llm.workloads import Replay, arrivals_law, lengths_law
from openqueues.models.streams import streams

MOST_STAGES = 4096
"""Most stages of a program."""


@dataclass(frozen=True)
class Graph:
    """The stages of one program: of each its layer, those that it waits for, and how many of them must be done."""

    layer: list[int]
    after: list[list[int]]
    need: list[int]

    def add(self, layer: int, after: Sequence[int] = (), need: int | None = None) -> int:
        """Add a stage; returns its number."""
        self.layer.append(layer)
        self.after.append(list(after))
        self.need.append(len(after) if need is None else need)
        return len(self.layer) - 1


class Shape:
    """The law of a program's graph."""

    most: int
    """Most stages that it can have."""

    def graph(self, uniform: np.ndarray) -> Graph:
        """A graph by (most, most + 1) uniform numbers."""
        raise NotImplementedError


@dataclass(frozen=True)
class Single(Shape):
    """One stage."""

    @classmethod
    def read(cls, given: Parameters) -> Single:
        return cls()

    @property
    def most(self):
        return 1

    def graph(self, uniform):
        graph = Graph([], [], [])
        graph.add(0)
        return graph


@dataclass(frozen=True)
class Chain(Shape):
    """Stages one after the other."""

    stages: int

    @classmethod
    def read(cls, given: Parameters) -> Chain:
        return cls(given.integer("stages", 1, MOST_STAGES))

    @property
    def most(self):
        return self.stages

    def graph(self, uniform):
        graph = Graph([], [], [])
        for k in range(self.stages):
            graph.add(k, [k - 1] if k else [])
        return graph


@dataclass(frozen=True)
class Fork(Shape):
    """Rounds of a split, branches at once and a join."""

    branches: int
    rounds: int
    need: int
    split: bool

    @classmethod
    def read(cls, given: Parameters) -> Fork:
        branches = given.integer("branches", 1, 1000)
        rounds = given.integer("rounds", 1, MOST_STAGES // (branches + 2), 1)
        need = given.integer("need", 1, branches, branches)
        return cls(branches, rounds, need, given.choice("split", (True, False), True))

    @property
    def most(self):
        return self.rounds * (self.branches + 1 + self.split)

    def graph(self, uniform):
        graph = Graph([], [], [])
        layer, ends = 0, []
        for _ in range(self.rounds):
            if self.split:
                ends, layer = [graph.add(layer, ends)], layer + 1
            branches = [graph.add(layer, ends) for _ in range(self.branches)]
            ends, layer = [graph.add(layer + 1, branches, self.need)], layer + 2
        return graph


@dataclass(frozen=True)
class Layered(Shape):
    """Layers of stages that wait for some of the layer before."""

    layers: int
    width: int
    share: float

    @classmethod
    def read(cls, given: Parameters) -> Layered:
        layers = given.integer("layers", 1, 64)
        share = given.number("share", 0.3, right="a probability from 0 to 1", valid=lambda value: 0 <= value <= 1)
        return cls(layers, given.integer("width", 1, 64), share)

    @property
    def most(self):
        return self.layers * self.width

    def graph(self, uniform):
        graph = Graph([], [], [])
        above: list[int] = []
        for layer in range(self.layers):
            rows = uniform[layer * self.width : (layer + 1) * self.width].tolist()
            stages = []
            for row in rows[: 1 + int(rows[0][-1] * self.width)]:
                sure = int(row[0] * len(above))
                after = [v for place, v in enumerate(above) if place == sure or row[1 + place] < self.share]
                stages.append(graph.add(layer, after))
            above = stages
        return graph


SHAPES = {"single": Single, "chain": Chain, "fork": Fork, "layered": Layered}


def workflow(shape: str, arrivals: str, lengths: str | Sequence[str], n: int, seed: int) -> Programs:
    """n programs of a shape; the same for every use of the seed, and the first ones the same for every n."""
    name, values = read(shape, "shape")
    given = Parameters(f"shape '{name}'", values)
    models = given.integer("models", 1, 64, 1)
    carry = given.choice("carry", (True, False), True)
    form = law_of(
        SHAPES, "shape", name, {key: value for key, value in values.items() if key not in ("models", "carry")}
    )
    laws = [lengths_law(text) for text in ([lengths] if isinstance(lengths, str) else lengths)]
    if len(laws) not in (1, models):
        raise InputError(f"{len(laws)} laws of lengths were given for {models} models: give one, or one for each.")
    when = arrivals_law(arrivals)
    if isinstance(when, Replay):
        raise InputError("programs have no trace of arrivals to replay: give poisson, gamma, deterministic or closed.")
    if not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"{n} programs were asked for: ask for at least 1.")
    drawn = streams(seed)
    most = form.most
    if n * most * (most + 1) > 1 << 28:
        raise InputError(f"{n} programs of up to {most} stages are too many: ask for fewer.")
    arrival = when.draw(drawn.gaps, n)
    graphs = [form.graph(uniform) for uniform in _uniform(form, drawn.routing, n)]
    # As many pairs of lengths for each program as it could have stages, so that the first programs do not depend on n.
    pairs = [
        np.stack(law.draw(rng, n * most), axis=1) for law, rng in zip(laws, drawn.sizes.spawn(len(laws)), strict=True)
    ]
    own = drawn.sizes.random(n * most)
    who = np.concatenate([p * most + np.arange(len(graph.layer)) for p, graph in enumerate(graphs)])
    model = (own[who] * models).astype(np.int64)
    drawn_pairs = np.stack(pairs)[model if len(laws) > 1 else 0, who]
    program = who // most
    first = np.searchsorted(program, np.arange(n)).tolist()
    after = [[first[p] + v for v in stage] for p, graph in enumerate(graphs) for stage in graph.after]
    start = np.concatenate([[0], np.cumsum([len(stage) for stage in after])]).astype(np.int64)
    flat = np.array([v for stage in after for v in stage], np.int64)
    inputs, outputs = drawn_pairs.T.copy()
    need = np.concatenate([graph.need for graph in graphs])
    if carry:
        written = np.zeros(len(who), np.int64)
        np.add.at(written, np.repeat(np.arange(len(who)), np.diff(start)), outputs[flat])
        inputs += written * need // np.maximum(np.diff(start), 1)
    layer = np.concatenate([graph.layer for graph in graphs])
    return Programs(
        Requests(arrival[program], inputs, outputs),
        program=program,
        after_start=start,
        after=flat,
        need=need,
        model=model if models > 1 else None,
        values=np.stack([layer, np.diff(start) > 1], axis=1).astype(np.float64),
    )


def _uniform(form: Shape, rng: np.random.Generator, n: int):
    """Uniform numbers for the graph of each program; none where the shape is fixed."""
    if not isinstance(form, Layered):
        return [np.empty(0)] * n
    return rng.random((n, form.most, form.width + 2))
