"""Jobs that run on several of k servers at once: malleable jobs and multiserver jobs.

Every server has speed 1/k, so that load = arrival rate times mean size, and one server of speed 1 bounds from
below what the k can do. Malleable: on n servers a job runs at n/k up to one server and at n**p / k beyond, its
power p in (0, 1] being predicted; any number of servers may be given to it at any time. Multiserver: a job needs a
fixed number of servers, a power of two, and runs at need/k or not at all.

Policies of malleable jobs, by their shape: `sharing` gives every job an equal part (EQUI), `falling` all servers
to the job of lowest rank, and `decision` lets jobs bid: each server in turn goes to the job whose decide(...) is
the largest, from the columns in BIDS. Servers are dealt at arrivals and completions only.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import Policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import kernel
from openqueues.models.queues.replication import QUANTILES, WARM_UP, chunks
from openqueues.models.queues.server import check_rank
from openqueues.models.queues.servers import checked
from openqueues.models.queues.tally import Tally
from openqueues.models.spec import parse_spec
from openqueues.models.streams import streams

BIDS = (
    "size",
    "predicted",
    "arrival",
    "age",  # work done for the job
    "power",
    "predicted_power",
    "given",  # servers that the job has been given so far in this dealing
    "gain",  # by how much one more server raises its speed by its predicted power, in speeds of one server
    "place",  # how many jobs are shorter by their predicted remaining size
    "jobs",  # present
    "servers",
)
RULES = ("in order", "first fit", "server filling")
MOST = 1000  # jobs present: with more a run ends as unstable
_HERE = Path(__file__).parent
_TEMPLATES = {"sharing": "malleable_equal", "falling": "malleable_first", "decision": "malleable_bids"}


class Pool:
    """k servers with their malleable jobs or, with a `rule`, multiserver jobs; fed chunks of arrivals."""

    def __init__(self, servers: int, policy: Policy, theta: tuple[Any, ...] = (), rule: str = "") -> None:
        if rule and rule not in RULES:
            raise unknown("rule", rule, RULES)
        if policy.shape not in (("falling",) if rule else _TEMPLATES):
            raise InputError(
                f"policy '{policy.name}' has the shape '{policy.shape}': jobs on several servers take "
                + ("ranks of the shape 'falling'." if rule else "the shapes sharing, falling and decision.")
            )
        self.policy, self.theta = policy, theta or (0.0,)
        if policy.shape == "falling":
            check_rank(policy, self.theta)
        self._servers = servers
        self._option = RULES.index(rule) if rule else int("place" in policy.sees)
        names = ("malleable_rows", "malleable_needs" if rule else _TEMPLATES[policy.shape], "malleable_loop")
        templates = [_HERE / f"{name}.py" for name in names]
        columns = {"columns": BIDS} if policy.shape == "decision" else {}
        self._serve = kernel([policy], templates, **columns)
        self.clock, self.count = np.zeros(3), np.zeros(2, np.int64)
        self._jobs, self._scratch = np.zeros((MOST, 8)), np.empty((MOST, 3))
        self._done = np.empty((MOST, 3))

    @property
    def now(self) -> float:
        """Time of the last arrival."""
        return self.clock[0]

    @property
    def work(self) -> float:
        """Work in the system just after the last arrival."""
        jobs = self._jobs[: self.count[0]]
        return float((jobs[:, 1] - jobs[:, 5]).sum())

    @property
    def full(self) -> bool:
        """Whether more than MOST jobs would have been present: what came after was not served."""
        return bool(self.count[1])

    def drain(self) -> np.ndarray:
        """Serve on without arrivals until the system is empty; returns as `serve` does."""
        none = np.empty(0)
        return self.serve(none, none, none, none, none, drain=True)

    def serve(self, gaps, sizes, predictions, traits, guesses, drain: bool = False) -> np.ndarray:
        """Serve the arrivals, all (n,): gaps, sizes, predictions, powers or needs, predicted powers.

        Returns the completed jobs, (m, 3): response time, size, arrival; valid until the next call.
        Raises InputError when the policy's answer is not a number or it leaves all servers idle for good.
        """
        if MOST + len(gaps) > len(self._done):
            self._done = np.empty((MOST + len(gaps), 3))
        columns = gaps, sizes, predictions, traits, guesses
        state = self._jobs, self._scratch, self.clock, self.count
        done = self._serve(self.theta, self._option, self._servers, *columns, *state, drain, self._done)
        function = "decide" if self.policy.shape == "decision" else "rank"
        if done == -1:
            raise InputError(
                f"policy '{self.policy.name}' returned what is not a number: {function} must return a number."
            )
        if done == -2:
            raise InputError(
                f"policy '{self.policy.name}' leaves every server idle while jobs are waiting: let a job bid "
                "more than minus infinity."
            )
        return self._done[:done]


def simulate(
    joint: Any, load: float, servers: int, powers: str, error: float, policy: str | Policy, seed: int, jobs: int
) -> dict[str, float]:
    """One replication of malleable jobs: `jobs` counted arrivals after a tenth as many to warm up.

    powers: values and probabilities, for example `0.5=0.3,0.9=0.7`, independent of the size. error: probability
    that a job's predicted power is that of another job instead of its own. Returns mean_response,
    second_moment, quantiles, efficiency (work done over what the servers that were given could have done one
    by one), busy (share of the servers given to jobs), completed_share and unstable.
    """
    servers, policy = checked(load, servers, policy, jobs)
    values, edges = mixture(powers, "powers", lambda value: 0 < value <= 1, "a number above 0 and at most 1")
    if isinstance(error, bool) or not (isinstance(error, int | float) and 0 <= error <= 1):
        raise InputError(f"error is {error}: give the probability of a wrong power, from 0 to 1.")
    pool = Pool(servers, policy, resolve(policy, joint, load))

    def draw(rng, n):
        own, wrong, other = rng.random((n, 3)).T
        power = values[np.searchsorted(edges, own, side="right")]
        guess = values[np.searchsorted(edges, other, side="right")]
        return power, np.where(wrong < error, guess, power)

    return _simulate(pool, draw, joint, load, seed, jobs)


def simulate_needs(
    joint: Any, load: float, servers: int, needs: str, rule: str, policy: str | Policy, seed: int, jobs: int
) -> dict[str, float]:
    """One replication of multiserver jobs, with the metrics of `simulate`.

    needs: powers of two up to `servers`, itself one, and their probabilities, for example `1=0.5,8=0.5`,
    independent of the size, which is the work: need times duration over the number of servers. rule: one of
    RULES. policy: the order of the jobs, of the shape falling.
    """
    servers, policy = checked(load, servers, policy, jobs)
    if servers & (servers - 1):
        raise InputError(f"servers is {servers}: multiserver jobs take a power of two.")
    values, edges = mixture(
        needs,
        "needs",
        lambda value: value in [2.0**i for i in range(servers.bit_length())],
        f"a power of two up to {servers}",
    )
    pool = Pool(servers, policy, resolve(policy, joint, load), rule or "none")

    def draw(rng, n):
        need = values[np.searchsorted(edges, rng.random(n), side="right")]
        return need, need

    return _simulate(pool, draw, joint, load, seed, jobs)


def _simulate(pool, draw, joint, load, seed, jobs):
    source = streams(seed).routing
    tally, started, before, square = Tally(), 0.0, np.zeros(3), 0.0
    warm = int(WARM_UP * jobs)
    for counted, gaps, sizes, predictions in chunks(
        joint, load, seed, warm, jobs, "predicted" in pool.policy.sees or "place" in pool.policy.sees
    ):
        done = pool.serve(gaps, sizes, predictions, *draw(source, len(gaps)))
        square += float(np.square(sizes).sum())
        if counted:
            tally.add(done, started)
        else:
            started, before = pool.now, pool.clock.copy()
        if pool.full:
            break
    elapsed, work, given = pool.clock - before
    left, in_time, full = pool.work, tally.sums[0], pool.full
    if not full:
        tally.add(pool.drain(), started)
    count, total, second, _ = tally.sums
    if count == 0:
        return dict.fromkeys(_METRICS, math.nan) | {"completed_share": 0.0, "unstable": 1.0}
    return {
        "mean_response": total / count,
        "second_moment": second / count,
        **{name: tally.quantile(q) for name, q in QUANTILES.items()},
        "efficiency": work / given * pool._servers if given > 0 else math.nan,
        "busy": given / (elapsed * pool._servers),
        "completed_share": in_time / jobs if full else in_time / count,
        "unstable": float(full or left > 3.0 * math.sqrt(square + pool._servers * joint.sizes.moment(2))),
    }


_METRICS = ("mean_response", "second_moment", *QUANTILES, "efficiency", "busy")


def mixture(text: str, what: str, valid: Any, right: str) -> tuple[np.ndarray, np.ndarray]:
    """(values, upper edges of their parts of [0, 1) but the last) of a text like `0.5=0.3,0.9=0.7`."""
    _, given = parse_spec(f"{what}:{text}", what)
    values = []
    for key, share in given.items():
        try:
            value = float(key)
        except ValueError:
            value = math.nan
        if not valid(value):
            raise InputError(f"{what} has the value '{key}': it must be {right}.")
        if isinstance(share, bool) or not (isinstance(share, float) and 0 < share <= 1):
            raise InputError(f"{what} gives {key} the probability {share}: it must be a number above 0, at most 1.")
        values.append(value)
    if not math.isclose(sum(given.values()), 1.0, abs_tol=1e-9):
        raise InputError(f"the probabilities of {what} add to {sum(given.values()):g}: they must add to 1.")
    return np.array(values), np.cumsum(list(given.values()))[:-1]
