"""A network of stations that serve jobs made of stages: chains, re-entrant lines, forks and joins, any DAG.

Each station has so many servers of speed 1 (a pool of instances of one model). A stage waits at its station from
when all its predecessors have ended; a job has ended when all its stages have. What travels between stations takes
no time.

A policy is a file of SHAPE "decision": `decide` ranks a stage, and at each station the lowest is served first. Its
columns, all floats:

    arrival          of the job
    ready            when the stage's last predecessor ended
    stage, station   numbers from 0: of the stage in its job, of its station
    size             service that the stage still needs
    predicted        the same by prediction, at least 0
    work, path       of the job's stages that have not ended: sum of what is left; of this stage and what comes after
                     it: the longest sum of sizes along successors
    remaining_work, remaining_path   the same by prediction
    job_path         the longest path, by prediction, of all that is left of the job: never below remaining_path
    attained         service that the job has got, in all its stages
    age              service that this stage has got
    stages_left      stages of the job that have not ended

A rank is taken when a stage becomes ready and when it is preempted, and kept while it waits; in service it is taken
anew whenever it is compared. Between stages that are equal in rank, who became ready first is first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import Policy
from openqueues.models.queues.compiled import load
from openqueues.models.queues.network_kernel import paths, serve, shortest_first, visits

COLUMNS = (
    "arrival",
    "ready",
    "stage",
    "station",
    "size",
    "predicted",
    "work",
    "remaining_work",
    "path",
    "remaining_path",
    "job_path",
    "attained",
    "age",
    "stages_left",
)
MOST_PARAMETERS = 4
_NUMBERS = tuple(f"theta{place}" for place in range(MOST_PARAMETERS))


@dataclass(frozen=True, eq=False)
class Jobs:
    """Jobs in the order of arrival, and their stages one job after another, predecessors before successors."""

    arrival: np.ndarray
    """(n,) ascending, from 0 on."""
    first: np.ndarray
    """(n + 1,) int64: the stages of job i are first[i], ..., first[i + 1] - 1; at least one."""
    station: np.ndarray
    """(stages,) int64, from 0."""
    size: np.ndarray
    """(stages,) service times, positive."""
    predicted: np.ndarray
    """(stages,) their predictions, at least 0."""
    after_first: np.ndarray
    """(stages + 1,) int64: the successors of stage v are after[after_first[v]:after_first[v + 1]]."""
    after: np.ndarray
    """int64, numbers of stages of the same job, above that of the predecessor."""

    def __len__(self) -> int:
        return len(self.arrival)

    @property
    def job(self) -> np.ndarray:
        """(stages,) the job of each stage."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))


@dataclass(frozen=True, eq=False)
class Served:
    response: np.ndarray
    """(n,) time from the job's arrival to the end of its last stage."""
    finish: np.ndarray
    """(stages,) when each stage ended."""
    work: np.ndarray
    """(n,) service that all jobs in the network still needed when this one came."""
    preemptions: int


def jobs(arrival, station, size, predicted, links) -> Jobs:
    """Jobs from lists: station[i], size[i] and predicted[i] hold a value for each stage of job i, and links[i] pairs
    (before, after) of its stages' numbers. Raises InputError as serve_network does."""
    first = np.concatenate([[0], np.cumsum([len(one) for one in station])]).astype(np.int64)
    pairs = sorted((first[i] + a, first[i] + b) for i, one in enumerate(links) for a, b in one)
    counts = np.zeros(first[-1] + 1, np.int64)
    for a, b in pairs:
        if not 0 <= a < b < first[-1]:
            raise InputError(f"a link leads from stage {a} to {b}: a predecessor comes before its successor.")
        counts[a + 1] += 1
    flat = [np.concatenate([np.asarray(one, np.float64) for one in each]) for each in (station, size, predicted)]
    made = Jobs(
        np.asarray(arrival, np.float64),
        first,
        flat[0].astype(np.int64),
        flat[1],
        flat[2],
        np.cumsum(counts),
        np.array([b for _, b in pairs], np.int64),
    )
    _check(made, np.full(int(made.station.max()) + 1, 1))
    return made


def serve_network(jobs: Jobs, servers, policy: str | Policy, preempt: bool = True) -> Served:
    """Serve the jobs to the end. servers: the number of servers of each station.

    Raises InputError for jobs that make no sense and for a policy that cannot be used.
    """
    chosen = policies.policy(policy) if isinstance(policy, str) else policy
    servers = np.asarray(servers)
    _check(jobs, servers)
    waits = np.bincount(jobs.after, minlength=len(jobs.size)).astype(np.int64)
    finish, work = np.empty(len(jobs.size)), np.empty(len(jobs))
    theta = tuple(_number(chosen, name) for name in chosen.parameters)
    _, preemptions = given = serve(
        rank_of(chosen),
        theta + (0.0,) * (MOST_PARAMETERS - len(theta)),
        preempt,
        servers.astype(np.int64),
        jobs.arrival,
        jobs.first,
        jobs.job,
        jobs.station,
        np.stack([jobs.size, jobs.predicted]),
        waits,
        jobs.after_first,
        jobs.after,
        finish,
        work,
    )
    if given[0] < 0:
        raise InputError(f"policy '{chosen.name}': decide did not return a number; it must return a rank.")
    response = np.maximum.reduceat(finish, jobs.first[:-1]) - jobs.arrival
    return Served(response, finish, work, int(preemptions))


def path_lengths(jobs: Jobs) -> np.ndarray:
    """(n,) the longest path of each job: what it takes when nobody else is there."""
    head, tail = paths(jobs.first, jobs.after_first, jobs.after, jobs.size)
    return np.maximum.reduceat(head + jobs.size + tail, jobs.first[:-1])


def response_bounds(jobs: Jobs, servers) -> np.ndarray:
    """Proven lower bounds on the sum of response times: of the longest paths, then one for each station.

    That of a station takes the others as if they had a server for everyone. A job's stages at the station cannot
    begin before the least path that leads to one of them, and when all have ended the job still needs at least the
    least path that leads on from one of them. In between they are work for servers whose speeds add up to their
    number; one server of that speed that serves by shortest remaining processing time ends a sum of completion times
    that no order of any servers beats (Schrage 1968). Jobs that do not come to the station take their longest path.
    """
    head, tail = paths(jobs.first, jobs.after_first, jobs.after, jobs.size)
    totals = [float(path_lengths(jobs).sum())]
    for at, count in enumerate(servers):
        least_head, work, least_tail, path = visits(jobs.first, jobs.station, jobs.size, head, tail, at)
        here = work > 0
        release = jobs.arrival[here] + least_head[here]
        order = np.argsort(release, kind="stable")
        done = shortest_first(release[order], work[here][order] / count) - float(jobs.arrival[here].sum())
        totals.append(float(done + least_tail[here].sum() + path[~here].sum()))
    return np.array(totals)


def rank_of(policy: Policy):
    """The policy's decide, compiled as a function of (*COLUMNS, four numbers)."""
    if policy.shape != "decision":
        raise InputError(f"policy '{policy.name}' has SHAPE = '{policy.shape}': a network takes 'decision'.")
    for column in policy.sees:
        if column not in COLUMNS:
            raise unknown(f"column in SEES of policy '{policy.name}'", column, COLUMNS)
    if len(policy.parameters) > MOST_PARAMETERS:
        raise InputError(f"policy '{policy.name}' has more than {MOST_PARAMETERS} parameters: take some out.")
    return _compiled(policy.source, policy.name, policy.arguments, tuple(policy.parameters))


@lru_cache(maxsize=256)
def _compiled(source: str, name: str, arguments: tuple[str, ...], parameters: tuple[str, ...]):
    names = dict(zip(parameters, _NUMBERS, strict=False))
    passed = ", ".join(names.get(one, one) for one in arguments)
    taken = (*COLUMNS, *_NUMBERS)
    lines = [
        source,
        "from numba import cfunc as _cfunc, float64 as _float64, njit as _njit",
        "decide = _njit(decide, error_model='numpy')",
        f"@_cfunc(_float64(*[_float64] * {len(taken)}), cache=True, error_model='numpy')",
        f"def serve({', '.join(taken)}):",
        f"    return float(decide({passed}))",
    ]
    return load("\n".join(lines) + "\n", name, "decide")


def _number(policy: Policy, name: str) -> float:
    value = policy.parameters[name]
    if isinstance(value, str) or not math.isfinite(value):
        raise InputError(f"policy '{policy.name}': parameter '{name}' is '{value}': it must be a number.")
    return float(value)


def _check(jobs: Jobs, servers: np.ndarray) -> None:
    if servers.ndim != 1 or servers.dtype.kind not in "iu" or not len(servers) or np.any(servers < 1):
        raise InputError(f"servers is {servers.tolist()}: give each station a whole number of servers, at least 1.")
    if not len(jobs) or np.any(np.diff(jobs.arrival) < 0) or not jobs.arrival[0] >= 0:
        raise InputError("arrival must hold at least one time and ascend from 0 or later: sort the jobs.")
    if len(jobs.first) != len(jobs) + 1 or np.any(np.diff(jobs.first) < 1) or jobs.first[-1] != len(jobs.size):
        raise InputError("first must ascend by the numbers of stages of the jobs, at least one each.")
    wrong = np.flatnonzero((jobs.station < 0) | (jobs.station >= len(servers)))
    if len(wrong):
        v = int(wrong[0])
        raise InputError(f"stage {v} is at station {jobs.station[v]}: there are stations 0 to {len(servers) - 1}.")
    if not np.all((jobs.size > 0) & np.isfinite(jobs.size)):
        raise InputError("size must hold a positive number for each stage.")
    if len(jobs.predicted) != len(jobs.size) or not np.all(jobs.predicted >= 0):
        raise InputError("predicted must hold a number of at least 0 for each stage.")
    job = jobs.job
    before = np.repeat(np.arange(len(jobs.size)), np.diff(jobs.after_first))
    if np.any(jobs.after <= before) or np.any(job[jobs.after] != job[before]):
        raise InputError("a stage's successors must be later stages of the same job.")
