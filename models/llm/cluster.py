"""A cluster: several engines on one clock, with a router that says which of them gets a request.

    cluster = Cluster([Instance("llama3-8b-a100", count=8)])
    served = serve_cluster(requests, cluster, "sarathi", "jsq")
    cluster_summary(served, requests)

Each instance is an engine (engine.py) of its own law, memory, limits and, if it gives one, policy. A request is sent to
an instance when it arrives, by the router (routers/), and stays there. A cluster of one mixed instance is the engine.

Roles split a request: an instance of role prefill computes its prompt and the first token; then the router is asked
again, for an instance that decodes, which fetches the KV cache as soon as it has room (cluster_move_kernel.py has the
rules). Instances go down and come up, and a controller (controllers/) may change roles (cluster_change_kernel.py).

The clock of the cluster goes from event to event; iterations begin in their order in time. What a router sees of an
instance is its state at the end of the iteration that it is in, but for `requests`, which leave when they have ended.

For whoever builds on this: the kernel keeps a heap of events (time, kind, number); `release(c, i, time)` of
cluster_state_kernel.py lets request i arrive, now or later, and `ended(c, i, time)` of programs_kernel.py is
called for each completion in order of time, before any iteration that begins then (with `reactive`: otherwise other
instances, and the one it ended at, may already have run further, up to the next arrival).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import cluster_check, controllers, fleets, plans, ranking, routers, stages
from openqueues.models.llm.fleets import LAYERS, ROLES, Cluster, Instance
from openqueues.models.llm.hardware import hardware_law
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy
from openqueues.models.streams import derive_seed

_HERE = Path(__file__).parent
MOST_POLICIES = 4
_COUNTS = {
    "iterations": 13,
    "preemptions": 14,
    "recomputed_tokens": 15,
    "swapped_tokens": 16,
    "reused_tokens": 20,
}


@dataclass(frozen=True, eq=False)
class ServedCluster:
    """What came out: arrays of a value a request, in the order of the requests, or a value an instance, and totals."""

    first_token_s: np.ndarray
    finish_s: np.ndarray
    """nan for a request that was refused."""
    preemptions_of: np.ndarray
    instance: np.ndarray
    """int64, the last instance that a request was sent to, -1 if it was to none."""
    refused: np.ndarray
    """bool"""
    cancelled: np.ndarray
    """bool, of a stage that nobody waited for any longer; false for plain requests."""
    arrival_s: np.ndarray
    """When a request arrived, or the stage of a program; nan for one that never did."""
    wasted_tokens: int
    """Output tokens that cancelled stages had made."""
    iterations: np.ndarray
    preemptions: np.ndarray
    recomputed_tokens: np.ndarray
    swapped_tokens: np.ndarray
    reused_tokens: np.ndarray
    peak_kv_tokens: np.ndarray
    mean_kv_tokens: np.ndarray
    """Resident tokens, averaged over the makespan."""
    mean_batch: np.ndarray
    """Requests computed in an iteration, on average over the iterations; nan for an instance without any."""
    busy_s: np.ndarray
    up_s: np.ndarray
    """Time up, from the first arrival to the last completion anywhere."""
    routed: np.ndarray
    """How often a request was sent to the instance."""
    output_tokens_of: np.ndarray
    """Output tokens of the requests that ended at the instance."""
    usd: np.ndarray
    """Price of the time up; 0 for an instance without a price."""
    energy_j: np.ndarray
    """nan where the power is not known."""
    role: np.ndarray
    """The place in ROLES, at the end."""
    makespan_s: float
    """From the first arrival to the last completion."""
    output_tokens: int
    transferred_tokens: int
    """Tokens whose KV was moved from one instance to another."""


def serve_cluster(
    requests: Requests | Programs,
    cluster: Cluster,
    policy: str | Policy,
    router: str | Policy = "jsq",
    *,
    model: np.ndarray | None = None,
    values: np.ndarray | None = None,
    block_tokens: int = 16,
    watermark: float = 0.01,
    seed: int = 0,
) -> ServedCluster:
    """Serve all requests in the cluster and return what came out.

    policy: of the instances that give none, as in serve, like block_tokens and watermark. router: `name[:key=value]` or
    a file, see routers. model (n,): the number of the model that must serve a request, -1 any (default). values (n, 4)
    or (n,): columns value0, ... of the requests for the router. seed: of the random numbers that routers see.

    Raises InputError as serve does, for a cluster that cannot serve a request, and for a router that breaks its rules.
    """
    programs = requests if isinstance(requests, Programs) else None
    if programs is not None:
        if model is not None or values is not None:
            raise InputError("programs say their model and values themselves: leave these arguments out.")
        requests, model, values = programs.requests, programs.model, programs.values
    each, n = cluster.each, len(requests)
    sends = routers.router(router) if isinstance(router, str) else router
    _check_router(sends, requests)
    kinds = list(dict.fromkeys(cluster.instances))
    made = [
        plans.planned(
            requests,
            hardware_law(one.hardware),
            one.policy or policy,
            kv_tokens=one.kv_tokens,
            max_batch=one.max_batch,
            token_budget=one.token_budget,
            block_tokens=block_tokens,
            watermark=watermark,
            programs=programs,
        )
        for one in kinds
    ]
    plan_of = np.array([kinds.index(one) for one in each])
    wanted = _wanted(model, n)
    _check_fits(requests, wanted, each, [made[place] for place in plan_of])
    orders, policy_of = _orders(made)
    job, real = _tables(requests)
    first = np.arange(n) if programs is None else stages.arrive(programs, real)
    told = stages.tables(programs)
    # All prefix caches have the same tree, since they share the size of a block; the others have none.
    tree, path_start, path = next((plan.tree for plan in made if plan.setting[15]), made[0].tree)
    trees = np.repeat(tree[None], len(each), axis=0)
    fleet, meter = np.zeros((len(each), 13), np.int64), np.zeros((len(each), 7))
    fleet[:, 0], fleet[:, 1] = [ROLES.index(one.role) for one in each], [one.model for one in each]
    fleet[:, 2], fleet[:, 3], fleet[:, 4] = 1, np.array(policy_of)[plan_of], plan_of
    fleet[:, 5] = fleet[:, 10] = -1
    meter[:, 1], meter[:, 5] = -np.inf, [fleets.price(one) for one in each]
    meter[:, 6] = [fleets.link_ms(one, cluster) for one in each]
    moves = any(one.role == "prefill" for one in each)
    setting = np.array([made[place].setting for place in plan_of], np.int64)
    control = None if cluster.control is None else controllers.controller(cluster.control)
    controls = np.zeros(len(controllers.COLUMNS) + controllers.MOST_PARAMETERS)
    if control is not None:
        fleets.check_control(control, requests, each)
        controls[controllers.COLUMNS.index("interval")] = cluster.control_every_s
        values_of = [float(value) for value in control.parameters.values()]
        controls[len(controllers.COLUMNS) : len(controllers.COLUMNS) + len(values_of)] = values_of
    if moves and not setting[:, 7].all():
        raise InputError("KV caches move between instances with pages only: use mechanism vllm or sarathi everywhere.")
    if moves:
        setting[:, 10] = np.minimum(setting[:, 10], 1)  # memory is freed by other than completions, too: not SETTLED
    own = [float(value) for key, value in sends.parameters.items() if key != "choices"]
    # Where each stage is a program of its own, nothing that happens at one instance changes what comes to the others.
    reactive = int(programs is not None and programs.count < n)
    columns = np.zeros(len(routers.COLUMNS) + routers.MOST_PARAMETERS)
    columns[len(routers.COLUMNS) : len(routers.COLUMNS) + len(own)] = own
    count, clock, total = _kernel()(
        tuple(ranking.rank_of(order) for order in orders),
        tuple(ranking.admit_of(order) for order in orders),
        ranking.score_of(sends),
        job,
        real,
        _stack([made[place].constants for place in plan_of]),
        np.ascontiguousarray(requests.refreshed_start, dtype=np.int64),
        np.ascontiguousarray(requests.refreshed, dtype=np.float64),
        trees,
        path_start,
        path,
        int(requests.refresh_every) if len(requests.refreshed) else 0,
        setting,
        np.stack([one.reserved for one in made]),
        fleet,
        meter,
        wanted,
        _values(values, n),
        first,
        columns,
        ranking.control_of(control),
        controls,
        np.array([(k, what == "up") for _, k, what in cluster.events], np.int64).reshape(-1, 2),
        np.array([time * 1000.0 for time, _, _ in cluster.events], np.float64),
        1000.0 * cluster.switch_s,
        (
            int(sends.parameters.get("choices", 0)),
            _looks(sends),
            derive_seed("router", seed),
            int(moves or reactive),
            LAYERS if cluster.transfer == "layers" else 1,
        ),
        told,
        tuple(ranking.handle_of(order) for order in orders),
        stages.slots(orders),
    )
    if programs is not None:
        stages.check_refused(programs, job[:, 4] == 8, sends.name)
    cluster_check.check_rules(count, total, job, requests, [made[place].policy for place in plan_of], sends, control)
    cluster_check.check_conserved(count, total, fleet, job, trees, setting, requests.output_tokens)
    return _result(requests, cluster, job, real, count, clock, fleet, meter, total, told[-1])


def _check_router(router: Policy, requests: Requests) -> None:
    seen = {"predicted", "predicted_left"} & set(router.sees)
    if seen and requests.predicted_output_tokens is None:
        raise InputError(
            f"router '{router.name}' looks at predictions, but the requests have none: give predicted_output_tokens or "
            "a law of predictions."
        )
    if seen and requests.rank_only:
        raise InputError(
            f"router '{router.name}' takes predictions for numbers of tokens (it sees {', '.join(sorted(seen))}), but "
            "those of the requests only say which answer is longer: predict tokens."
        )


def _wanted(model: np.ndarray | None, n: int) -> np.ndarray:
    if model is None:
        return np.full(n, -1, np.int64)
    wanted = np.array(model)
    if wanted.shape != (n,) or wanted.dtype.kind not in "iu" or np.any(wanted < -1):
        raise InputError(f"model must be {n} whole numbers, one a request, of at least -1 (any model).")
    return wanted.astype(np.int64)


def _values(values: np.ndarray | None, n: int) -> np.ndarray:
    result = np.zeros((n, 4))
    if values is not None:
        given = np.array(values, dtype=np.float64)
        given = given[:, None] if given.ndim == 1 else given
        if given.ndim != 2 or given.shape[0] != n or given.shape[1] > 4:
            raise InputError(f"values has the shape {given.shape}: it must be ({n}, up to 4).")
        result[:, : given.shape[1]] = given
    return result


def _check_fits(requests: Requests, wanted: np.ndarray, each: list[Instance], made: list[plans.Plan]) -> None:
    """Raise InputError for a request that no instance can ever serve."""
    for phase, no in (("computes prompts", "decode"), ("decodes", "prefill")):
        able = np.zeros(len(requests), bool)
        for one, plan in zip(each, made, strict=True):
            if one.role == no:
                continue
            tokens = requests.input_tokens + (0 if one.role == "prefill" else requests.output_tokens)
            fits = -(-tokens // plan.setting[0]) + plan.setting[3] <= plan.setting[-1]
            able |= fits & ((wanted < 0) | (wanted == one.model))
        if not np.all(able):
            i = int(np.argmin(able))
            asked = f" of model {wanted[i]}" if wanted[i] >= 0 else ""
            raise InputError(
                f"no instance{asked} that {phase} can take request {i} of {requests.input_tokens[i]} input and "
                f"{requests.output_tokens[i]} output tokens: add one, or raise kv_tokens."
            )


def _orders(made: list[plans.Plan]) -> tuple[list[Policy], list[int]]:
    """MOST_POLICIES policies, the last of them repeated, and which of them each plan has."""
    orders: list[Policy] = []
    places = []
    for plan in made:
        names = [(order.source, order.parameters.keys()) for order in orders]
        name = (plan.policy.source, plan.policy.parameters.keys())
        if name not in names:
            orders.append(plan.policy)
            names.append(name)
        places.append(names.index(name))
    if len(orders) > MOST_POLICIES:
        raise InputError(f"the instances have {len(orders)} different policies: a cluster takes up to {MOST_POLICIES}.")
    return orders + [orders[-1]] * (MOST_POLICIES - len(orders)), places


def _tables(requests: Requests) -> tuple[np.ndarray, np.ndarray]:
    """job (n, 18) and real (n, 11) of cluster_state_kernel.py."""
    job, real = plans.rows(requests)
    n = len(requests)
    links = np.full((n, 3), -1, np.int64)
    return np.concatenate([job, links], axis=1), np.concatenate([real, np.full((n, 1), np.nan)], axis=1)


def _stack(constants: list[np.ndarray]) -> np.ndarray:
    """Arrays of unlike lengths as rows; what stands behind the end of one is never read."""
    result = np.zeros((len(constants), max(map(len, constants))))
    for row, one in zip(result, constants, strict=True):
        row[: len(one)] = one
    return result


def _looks(router: Policy) -> int:
    """The bits LOOK_... of cluster_route_kernel.py."""
    bits = int(bool(routers.MOVING & set(router.sees)))
    return bits | sum(2 << place for place, name in enumerate(routers.SOUGHT) if name in router.sees)


@cache
def _kernel() -> Callable:
    from openqueues.models.queues.compiled import kernel

    engine = ("timing.py", "state_kernel.py", "prefix_kernel.py", "memory_kernel.py", "engine_kernel.py")
    own = ("cluster_state", "programs", "cluster_route", "cluster_move", "cluster_change", "cluster")
    compiled = kernel([], [_HERE / file for file in (*engine, *(f"{part}_kernel.py" for part in own))], heap_width=2)

    def run(*arguments):
        # Functions in a tuple are a feature that numba calls experimental each time that it sees one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compiled(*arguments)

    return run


def _result(requests, cluster, job, real, count, clock, fleet, meter, total, wasted) -> ServedCluster:
    each = cluster.each
    start, done = requests.arrival_s[0] * 1000.0, job[:, 4] == 4
    end = np.max(real[done, 6], initial=start)
    span_s = float((end - start) / 1000.0)
    busy_s, up_s = clock[:, 2] / 1000.0, fleets.up_s(cluster, start / 1000.0, end / 1000.0)
    laws = [hardware_law(one.hardware) for one in each]
    energy = [law.energy_j(busy, up) for law, busy, up in zip(laws, busy_s, up_s, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_batch = clock[:, 4] / count[:, 13]
        mean_kv = clock[:, 3] / (end - start)
    return ServedCluster(
        first_token_s=real[:, 5] / 1000.0,
        finish_s=real[:, 6] / 1000.0,
        preemptions_of=job[:, 7].copy(),
        instance=job[:, 15].copy(),
        refused=job[:, 4] == 8,
        cancelled=job[:, 4] == 9,
        arrival_s=np.where(np.isnan(real[:, 10]), np.nan, real[:, 0] / 1000.0),
        wasted_tokens=int(wasted.sum()),
        **{name: count[:, place].copy() for name, place in _COUNTS.items()},
        peak_kv_tokens=count[:, 17].copy(),
        mean_kv_tokens=mean_kv,
        mean_batch=mean_batch,
        busy_s=busy_s,
        up_s=up_s,
        routed=fleet[:, 8].copy(),
        output_tokens_of=np.bincount(job[done, 15], requests.output_tokens[done], len(each)).astype(np.int64),
        usd=meter[:, 5] * up_s / 3600.0,
        energy_j=np.array([np.nan if one is None else one for one in energy]),
        role=fleet[:, 0].copy(),
        makespan_s=span_s,
        output_tokens=int(requests.output_tokens[done].sum()),
        transferred_tokens=int(total[9]),
    )
