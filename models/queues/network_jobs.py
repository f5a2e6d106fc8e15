"""Families of jobs for a network of stations, drawn at a given load.

    tandem       station 0, then 1; one server each, mean size 1
    returning    station 0, then 1, then 0 again; means 0.3 (first come first served: a Kelly network)
    pair         one stage at each of two stations, at the same time; the job ends with the later one
    crossed      Rybko and Stolyar: half of the jobs go to station 0 and then 1, half to 1 and then 0; a second stage
                 is twice as long as a first one
    chain        three stations one after another, of means 0.6, 1 and 0.8
    reentrant    one to four rounds, equally often, of a model (station 0, mean 0.5) and a tool (station 1, mean 0.4),
                 and the model once more
    fork-join    a planner (station 0, mean 0.3), a worker at each of stations 1, 2 and 3 (mean 1), and the planner
                 again once all three have ended (mean 0.5)
    agents       a planner (station 0, mean 0.4), one to four helpers, equally often, at stations 1 and 2 by turns
                 (mean 1; the first is at 1 or 2, equally often), some of which (none to all, equally often) have a
                 second stage at the other station (mean 0.6), and the planner again once all have ended (mean 0.6);
                 stations 1 and 2 have two servers each

Arrivals are Poisson. All sizes are independent, of one law scaled to these means; predictions follow a law given the
size, scaled alike. The load is that of the busiest station, per server.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import joint_law
from openqueues.models.queues.network import Jobs
from openqueues.models.streams import streams


@dataclass(frozen=True)
class Pattern:
    """A kind of job: the station and mean size of each stage, and pairs (before, after)."""

    station: tuple[int, ...]
    mean: tuple[float, ...]
    links: tuple[tuple[int, int], ...]


def _line(station: tuple[int, ...], mean: tuple[float, ...]) -> Pattern:
    return Pattern(station, mean, tuple((k, k + 1) for k in range(len(station) - 1)))


def _agents() -> list[Pattern]:
    found = []
    for width in range(1, 5):
        for again in range(width + 1):
            for begin in (0, 1):
                helpers = [1 + (begin + k) % 2 for k in range(width)]
                seconds = [3 - at for at in helpers[:again]]
                last = 1 + width + again
                links = [(0, 1 + k) for k in range(width)] + [(1 + k, 1 + width + k) for k in range(again)]
                links += [(1 + k, last) for k in range(again, width)] + [(1 + width + k, last) for k in range(again)]
                stations = (0, *helpers, *seconds, 0)
                found += [Pattern(stations, (0.4, *[1.0] * width, *[0.6] * again, 0.6), tuple(links))] * (
                    60 // (width + 1)
                )
    return found


@cache
def _family(name: str) -> tuple[tuple[int, ...], list[Pattern]]:
    """(servers of the stations, kinds of jobs, equally often)."""
    families = {
        "tandem": ((1, 1), [_line((0, 1), (1.0, 1.0))]),
        "returning": ((1, 1), [_line((0, 1, 0), (0.3, 0.3, 0.3))]),
        "pair": ((1, 1), [Pattern((0, 1), (1.0, 1.0), ())]),
        "crossed": ((1, 1), [_line((0, 1), (1.0, 2.0)), _line((1, 0), (1.0, 2.0))]),
        "chain": ((1, 1, 1), [_line((0, 1, 2), (0.6, 1.0, 0.8))]),
        "reentrant": (
            (1, 1),
            [_line((0, 1) * rounds + (0,), (0.5, 0.4) * rounds + (0.5,)) for rounds in range(1, 5)],
        ),
        "fork-join": (
            (1, 1, 1, 1),
            [
                Pattern(
                    (0, 1, 2, 3, 0),
                    (0.3, 1.0, 1.0, 1.0, 0.5),
                    tuple((a, b) for k in (1, 2, 3) for a, b in ((0, k), (k, 4))),
                )
            ],
        ),
        "agents": ((1, 2, 2), _agents()),
    }
    if name not in families:
        raise unknown("family of jobs", name, families)
    return families[name]


def servers_of(family: str) -> np.ndarray:
    """The number of servers of each station."""
    return np.array(_family(family)[0])


def arrival_rate(family: str, load: float) -> float:
    """Jobs per unit of time at which the busiest station has this load."""
    servers, patterns = _family(family)
    work = np.zeros(len(servers))
    for pattern in patterns:
        np.add.at(work, list(pattern.station), np.array(pattern.mean) / len(patterns))
    return load / float(np.max(work / np.array(servers)))


def drawn(family: str, sizes: str, predictions: str, load: float, n: int, seed: int) -> Jobs:
    """n jobs of a family; an infinite load: all come at time 0. Raises InputError for a bad argument."""
    if not (isinstance(load, int | float) and load > 0):
        raise InputError(f"load is {load}: it must be a positive number.")
    if n < 1:
        raise InputError(f"jobs is {n}: at least one job must be drawn.")
    _, patterns = _family(family)
    source, joint = streams(seed), joint_law(sizes, predictions)
    most = max(len(pattern.station) for pattern in patterns)
    lengths = np.array([len(pattern.station) for pattern in patterns])
    station, mean = np.zeros((len(patterns), most), np.int64), np.zeros((len(patterns), most))
    fan = np.zeros((len(patterns), most), np.int64)
    targets = np.zeros((len(patterns), most, most), np.int64)
    for k, pattern in enumerate(patterns):
        station[k, : lengths[k]], mean[k, : lengths[k]] = pattern.station, pattern.mean
        for a, b in sorted(pattern.links):
            targets[k, a, fan[k, a]] = b
            fan[k, a] += 1
    gaps = source.gaps.standard_exponential(n) / arrival_rate(family, load)
    kind = source.routing.integers(0, len(patterns), n)
    first = np.concatenate([[0], np.cumsum(lengths[kind])])
    of = np.repeat(kind, lengths[kind])
    place = np.arange(first[-1]) - np.repeat(first[:-1], lengths[kind])
    unit = joint.sizes.sample(source.sizes, int(first[-1])) / joint.sizes.mean
    told = unit.copy()
    if not joint.is_exact:
        joint.fill_predictions(source.predictions, unit * joint.sizes.mean, told)
        told /= joint.sizes.mean
    scale = mean[of, place]
    counts = fan[of, place]
    after_first = np.concatenate([[0], np.cumsum(counts)])
    edge = np.arange(after_first[-1]) - np.repeat(after_first[:-1], counts)
    owner = np.repeat(np.arange(first[-1]), counts)
    after = targets[of[owner], place[owner], edge] + (owner - place[owner])
    return Jobs(np.cumsum(gaps), first, station[of, place], unit * scale, told * scale, after_first, after)
