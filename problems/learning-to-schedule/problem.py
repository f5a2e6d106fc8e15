"""A predictor trained under a loss, and the response time that it gives under the scheduler that uses it.

A point has the keys data (ssjf, or a law of sizes with synthetic features), model (see features.design), train (jobs
in the training set), scheduler and load.
"""

import math
from functools import cache

import numpy as np
from openqueues.models import mg1
from openqueues.models.analysis import optimal_threshold
from openqueues.models.errors import InputError, unknown
from openqueues.models.exponential import fill_exponential
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues import Server
from openqueues.models.queues.replication import CHUNK, WARM_UP
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import derive_seed, streams

from . import features, learning

KEYS = ("data", "model", "train", "scheduler", "load")
SCHEDULERS = {
    "spjf": "spjf",
    "sprpt": "sprpt",
    "one bit": "onebit:preemptive=false,threshold={threshold!r}",
}


def simulate(point, policy, seed, jobs):
    """One replication: train on a set of the seed's own, then serve `jobs` counted jobs after a tenth to warm up.

    mean_response, p99, second_moment, completed_share, unstable; discordance: the share of pairs of jobs whose
    predictions are in the wrong order, a pair with equal predictions counting one half.
    """
    joint, threshold = _read(point)
    chosen = read_policy(policy)
    if chosen.shape != "decision":
        return mg1.simulate(_plain(point), policy, seed, jobs) | {"discordance": 0.5 if chosen.name == "fcfs" else 0.0}
    learner = trained(joint, threshold, point["model"], int(point["train"]), chosen, float(point["load"]), seed)
    scheduler = read_policy(SCHEDULERS[point["scheduler"]].format(threshold=threshold))
    server = Server(scheduler, resolve(scheduler, joint, point["load"]))
    source, tally, started, square = streams(seed), Tally(), 0.0, 0.0
    scale = joint.sizes.mean / point["load"]
    room = np.empty((2, CHUNK))
    wrong, compared = 0.0, 0
    warm = int(WARM_UP * jobs)
    for counted, length in ((False, warm), (True, jobs)):
        for first in range(0, length, CHUNK):
            gaps, sizes = room[:, : min(CHUNK, length - first)]
            fill_exponential(source.gaps, gaps)
            gaps *= scale
            joint.sizes.fill(source.sizes, sizes)
            predictions = np.exp(_scores(joint, learner, point["model"], source.predictions, sizes))
            done = server.serve(gaps, sizes, predictions)
            square += float(np.square(sizes).sum())
            if counted:
                tally.add(done, started)
                half = len(sizes) // 2
                order = np.sign(predictions[:half] - predictions[half : 2 * half])
                order *= np.sign(sizes[:half] - sizes[half : 2 * half])
                wrong += float((1 - order).sum() / 2)
                compared += half
        if not counted:
            started = server.now
    in_time, left = tally.sums[0], server.work
    tally.add(server.drain(), started)
    count, total, second, _ = tally.sums
    return {
        "mean_response": total / count,
        "p99": tally.quantile(0.99),
        "second_moment": second / count,
        "discordance": wrong / max(compared, 1),
        "completed_share": in_time / count,
        "unstable": float(left > 3.0 * math.sqrt(square)),
    }


def exact(point, policy):
    """The mean response time of FCFS, and of the mean given the announced class under SPJF."""
    chosen = read_policy(policy)
    if chosen.shape != "decision":
        return mg1.exact(_plain(point), policy)
    joint, _ = _read(point)
    if chosen.name == "conditional-mean" and point["scheduler"] == "spjf" and joint.classes is not None:
        # The means rise with the class, so their order is that of the classes.
        return mg1.exact({"sizes": point["data"], "predictions": "ssjf:classes=5", "load": point["load"]}, "spjf")
    return None


def bound(point):
    """SRPT, which knows all sizes."""
    return mg1.exact(_plain(point), "srpt")


def trained(joint, threshold, model, train, policy, load, seed):
    """The learner under the loss `policy`, trained on `train` jobs drawn from a seed of its own."""
    learner = learning.Learner(policy, resolve(policy, joint, load), threshold)
    if not learner.learns:
        return learner
    source = streams(derive_seed("training set", seed))
    sizes = joint.sizes.sample(source.sizes, train)
    seen = features.draw(joint, source.predictions, sizes)
    return learner.fit(features.design(seen, model), sizes, features.conditional_mean(joint, seen))


def _scores(joint, learner, model, rng, sizes):
    seen = features.draw(joint, rng, sizes)
    mean = features.conditional_mean(joint, seen) if not learner.learns else np.empty(0)
    return learner.scores(features.design(seen, model), mean)


def _plain(point):
    _read(point)
    return {"sizes": point["data"], "predictions": "exact", "load": point["load"]}


def _read(point):
    """(joint law, threshold of one bit) of a point; InputError where a key or a value is wrong."""
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    if point["scheduler"] not in SCHEDULERS:
        raise unknown("scheduler", str(point["scheduler"]), SCHEDULERS)
    if point["model"] not in features.MODELS:
        raise unknown("model", str(point["model"]), features.MODELS)
    load, train = point["load"], point["train"]
    if not (isinstance(load, int | float) and 0 < load < 1):
        raise InputError(f"load is {load}: a stable single server needs a load above 0 and below 1.")
    if not (isinstance(train, int | float) and 20 <= train < math.inf and train == int(train)):
        raise InputError(f"train is {train}: a training set needs a whole number of jobs, at least 20.")
    return _law(point["data"], float(load))


@cache
def _law(data, load):
    """The joint law, and the threshold that is best without preemption for a bit that is right."""
    measured = data.partition(":")[0] == "ssjf"
    threshold = optimal_threshold(joint_law(data, "exact"), load, False, "size")
    return joint_law(data, "ssjf:classes=5" if measured else "exact"), threshold
