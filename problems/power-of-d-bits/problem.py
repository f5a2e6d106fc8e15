"""n queues behind a dispatcher that asks d of them and is told some bits of each job's size.

A point has the keys sizes, load, n, d and service (the local policy of every queue), and says what is told about a
job in one of two ways:

    predictions, bits   `bits` bits ("all" for all, 0 for none) of a prediction of the size, in classes of equal load
    told                one of TOLD: the class of a job's hidden type; the sizes are a mixture of 2^types exponential
                        types (`types` is 2 where the point does not say) that stands for the law `sizes` and for
                        which the fluid limit is exact
"""

from functools import lru_cache

import numpy as np
from openqueues.models.analysis.fluid_laws import EqualLoad, Types, equal_load_types
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import JointLaw, joint_law, prediction_law, size_law

FALSE_ALARM, MISS = 0.6, 0.1  # of the bit that is mostly wrong
TOLD = {"nothing": 0, "one bit": 1, "wrong bit": 1, "two bits": 2}
KEYS = ("sizes", "load", "n", "d", "service")


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.queues.dispatching."""
    from openqueues.models.queues import dispatching

    joint = _joint(*_law(point))
    return dispatching.simulate(joint, point["load"], point["n"], point["d"], policy, point["service"], seed, jobs)


def exact(point, policy):
    """Mean response time: of random dispatch to first come first served queues; else the fluid limit, n infinite.

    None where neither is known: the limit needs hidden types and a policy that looks at numbers of jobs only.
    """
    from openqueues.models.queues.dispatching import fluid_columns, orders_of

    dispatch, everyone, own = orders_of(policy)
    service = point["service"] if own == "point" else own
    if dispatch.name == "random" and service == "fcfs":
        sizes = _joint(*_law(point)).sizes
        waiting = point["load"] * sizes.moment(2) / (2 * sizes.mean * (1 - point["load"]))
        return {"mean_response": (sizes.mean + waiting, 0.0)}
    blind_fcfs = service == "fcfs" and set(dispatch.sees) != {"count"}
    if "told" not in point or everyone or not dispatch.sees or not fluid_columns(dispatch) or blind_fcfs:
        return None
    if service not in ("fcfs", "spjf", "pspjf") or point["d"] < 2:
        return None
    return {"mean_response": _fluid(_law(point), point["load"], point["d"], service, policy)}


def bound(point):
    """No policy is faster than a job alone, nor than one server of n times the speed that serves by SRPT."""
    from openqueues.models.analysis import mean_response

    sizes, told = _law(point)
    if told[0] == "told":
        return {"mean_response": (_types(sizes, *told[1:]).mean, 0.0)}
    pooled = mean_response(joint_law(sizes, "exact"), point["load"], "srpt")
    alone = size_law(sizes).mean
    return {"mean_response": (max(alone, pooled.mean_response / point["n"]), pooled.error / point["n"])}


def _law(point):
    """(sizes, what is told) of a point, fit as a key of caches; InputError for a point that says too little."""
    for key in KEYS:
        if key not in point:
            raise InputError(f"the point has no '{key}': give {', '.join(KEYS)}, and told or predictions and bits.")
    load = point["load"]
    if not isinstance(load, int | float) or not 0 < load < 1:
        raise InputError(f"load is {load}: it must be above 0 and below 1.")
    if "told" in point:
        if point["told"] not in TOLD:
            raise unknown("value of told", str(point["told"]), TOLD)
        return point["sizes"], ("told", point["told"], point.get("types", 2))
    if "predictions" not in point or "bits" not in point:
        raise InputError("the point does not say what is told: give told, or predictions and bits.")
    return point["sizes"], ("bits", point["predictions"], point["bits"])


@lru_cache(maxsize=64)
def _joint(sizes, told):
    if told[0] == "told":
        return _types(sizes, *told[1:]).joint
    predictions, bits = told[1:]
    if bits == "all":
        return joint_law(sizes, predictions)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 0 <= bits <= 10:
        raise InputError(f"bits is {bits!r}: give a whole number from 0 to 10, or 'all'.")
    if bits == 0:
        return joint_law(sizes, "constant")
    base = prediction_law(predictions)
    if not base.is_exact and base.noise is None:
        raise InputError(f"predictions = '{predictions}' are classes already: give a law of noise, or exact.")
    return JointLaw(size_law(sizes), EqualLoad(bits, base))


def _types(sizes, told, types):
    right = equal_load_types(size_law(sizes), types, TOLD[told])
    if told != "wrong bit":
        return right
    wrong = np.array([[1 - FALSE_ALARM, FALSE_ALARM], [MISS, 1 - MISS]])
    return Types(right.shares, right.means, right.announced @ wrong, right.values)


@lru_cache(maxsize=1024)
def _fluid(law, load, d, service, policy):
    from openqueues.models.analysis.fluid import mean_field
    from openqueues.models.queues.dispatching import decide_in_python, orders_of

    score = decide_in_python(orders_of(policy)[0])
    limit = mean_field(_types(law[0], *law[1][1:]), load, d, service, score, 1e-7)
    return limit.mean_response, limit.error
