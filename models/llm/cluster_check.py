"""How a run of a cluster ended: who broke a rule, and whether every request, token and block is accounted for."""

from __future__ import annotations

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import stages
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy

# Columns of the kernel's tables: of job, its states, of fleet, and of count those that are 0 once nothing runs.
_INPUT, _MADE, _HELD, _STATE, _SHARED, _ASIDE, _AT, _SOURCE = 0, 2, 3, 4, 10, 14, 15, 16
_COMING, _WAITS, _ENDED, _PARKED, _REFUSED, _CANCELLED = 0, 1, 4, 7, 8, 9
_PRESENT, _FETCHES, _MOVING = 7, 11, 12
_FREE, _WAITING, _KEPT_TOKENS, _TWICE, _WAITING_TOKENS = 0, 5, 10, 18, 24
_RUNS = [1, 3, 25]  # tokens and number of those that decode, KV caches on their way
_HERE = 1


def check_rules(count, total, job, requests: Requests, orders: list[Policy], router: Policy, control) -> None:
    """Raise InputError for a policy, a router or a controller that broke a rule."""
    if total[7] > 0:
        raise InputError(
            f"router '{router.name}' gives an instance a score for request {total[7] - 1} that is not a number: scores "
            "must be numbers or infinite."
        )
    if total[7] < 0:
        raise InputError(f"controller '{control.name}' gives a share that is not a number.")
    stuck = count[:, _WAITING] > 0
    # Nobody is to blame where the memory is held by requests that wait for an instance to come up.
    stuck[job[(job[:, _STATE] == _PARKED) & (job[:, _SOURCE] >= 0), _SOURCE]] = False
    failed = np.flatnonzero((count[:, 11] != 0) | stuck)
    if not failed.size:
        return
    k = int(failed[0])
    order, why = orders[k], int(count[k, 11])
    if why > 0:
        i = why - 1
        raise InputError(
            f"policy '{order.name}' gives request {i} (arrival {requests.arrival_s[i]:g} s, "
            f"{requests.input_tokens[i]} input tokens) a rank that is not a number: ranks must be numbers or "
            "infinite."
        )
    if why == -2:
        raise InputError(
            f"policy '{order.name}' preempts without end ({int(count[k, 14])} times at instance {k}): a running "
            "request must not rank behind those that it took the place of."
        )
    stages.check_handled(why, order)
    raise InputError(
        f"policy '{order.name}' admits none of the {int(count[k, _WAITING])} requests that wait at instance {k} while "
        "nothing runs there and none is to come: admit one then."
    )


def check_conserved(count, total, fleet, job, trees, setting, output_tokens: np.ndarray) -> None:
    """Raise RuntimeError unless each request is in one place, and each token and block of memory belongs to somebody.

    Where instances stay down, requests may be left: parked, with their KV cache at an instance or without, or waiting
    there for the memory; and stages that wait for these.
    """
    instances, state = len(fleet), job[:, _STATE]
    parked, waits, done = state == _PARKED, state == _WAITS, state == _ENDED
    held_up = parked & (job[:, _SOURCE] >= 0)

    def of_each(these, values, place):
        return np.bincount(job[these, place], values[these], instances).astype(np.int64)

    ones, held = np.ones(len(job), np.int64), job[:, _HELD]
    blocks = -(-held // setting[0, 0])
    kept = job[:, _ASIDE] == _HERE
    moving = of_each(held_up, held, _SOURCE)
    own = blocks - job[:, _SHARED] * setting[0, 16]
    cached = trees[:, :, 2].sum(axis=1) * setting[:, 16]
    used = of_each(held_up, own, _SOURCE) + of_each(kept, blocks, _AT) + np.where(setting[:, 15] != 0, cached, 0)
    whole = (
        np.array_equal(job[done, _MADE], output_tokens[done])
        and done.sum() == total[1]
        and np.count_nonzero(state == _REFUSED) == total[3]
        and np.isin(state, (_COMING, _WAITS, _ENDED, _PARKED, _REFUSED, _CANCELLED)).all()
        and (parked.any() or not np.isin(state, (_COMING, _WAITS)).any())
        and not count[:, _RUNS].any()
        and not fleet[:, _FETCHES].any()
        and np.array_equal(fleet[:, _PRESENT], of_each(held_up, ones, _SOURCE) + of_each(waits, ones, _AT))
        and np.array_equal(count[:, _WAITING_TOKENS], of_each(waits, job[:, _INPUT] + job[:, _MADE], _AT))
        and np.array_equal(fleet[:, _MOVING], moving)
        and np.array_equal(count[:, _KEPT_TOKENS], moving + of_each(kept, held, _AT))
        and np.array_equal(count[:, _FREE], setting[:, 20] - used)
        and (held_up.any() or not count[:, _TWICE].any())
    )
    if not whole:
        raise RuntimeError("the cluster lost requests, tokens or blocks: please report this.")
