"""Accuracy against time: two models, and who is sent to the larger one as the load changes.

A point has the keys weight (seconds that a wrong answer is worth), load, swing (of the load, over ten minutes) and
noise (of the prediction of quality), and may have seconds: then it is about policies that do not look at the queues,
sized and threshold with this parameter, and mix with the share that threshold sends to the larger model.
"""

from dataclasses import replace
from functools import lru_cache

from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.quality import pair
from openqueues.models.llm.several_bounds import least_cost, static, threshold
from openqueues.models.llm.several_runs import replication
from openqueues.models.llm.several_stream import family, stream
from openqueues.models.policies import policy as read_policy

MODELS = family("8b,70b")
CORRELATION = pair("mmlu").correlation
LENGTH_NOISE = 0.5
NO_JUDGE = 1e6  # who reads an answer learns nothing of it
LIMIT_S = 10.0
KEYS = ("weight", "load", "swing", "noise", "seconds")
FIXED = ("mix", "threshold", "sized")
SECONDS = (2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40, 60)  # that best-sized tries


def simulate(point, policy, seed, jobs):
    """One replication of so many requests, the first tenth to warm up: several_runs.summary, with loss_s.

    loss_s is the mean latency and weight times the share of wrong answers.
    """
    chosen, values = _chosen(point, policy), _values(point)
    drawn = stream(
        MODELS,
        point["load"],
        jobs,
        seed,
        noise=float(point["noise"]),
        length_noise=LENGTH_NOISE,
        judge=NO_JUDGE,
        swing=float(point.get("swing", 0)),
    )
    tried = [chosen]
    if chosen.name == "best-sized":
        tried = [replace(chosen, parameters=chosen.parameters | {"seconds": float(one)}) for one in SECONDS]
    found = min((replication(drawn, MODELS, one, values, LIMIT_S) for one in tried), key=lambda one: one["cost"])
    overloaded = _of_fixed(point, chosen) is None if chosen.name in FIXED else False
    return found | {"loss_s": found["cost"], "unstable": max(found["unstable"], float(overloaded))}


def exact(point, policy):
    """Means of the policies that do not look at the queues, at a constant load that the models can bear."""
    chosen = _chosen(point, policy)
    if point.get("swing", 0) != 0 or chosen.name not in FIXED:
        return None
    found = _of_fixed(point, chosen)
    if found is None:
        return None
    return {
        "loss_s": (found["cost"], 1e-4 * found["cost"]),
        "accuracy": (100 * found["accuracy"], 1e-3),
        "mean_latency_s": (found["mean_latency_s"], 1e-4 * found["mean_latency_s"]),
    }


def bound(point):
    """No policy that knows no more of the answers than the predictor loses less."""
    value = _bound(point["load"], float(point["noise"]), _values(point))
    return {"loss_s": (value, 1e-3 * value)}


def _of_fixed(point, chosen):
    """Exact means of a fixed rule at this mean load, None where a model cannot bear it."""
    values, parameters = _values(point), chosen.parameters
    try:
        if chosen.name == "mix":
            share = parameters["share"]
            accuracy = (1 - share) * MODELS[0].accuracy + share * MODELS[1].accuracy
            return static(MODELS, point["load"], (1 - share, share), accuracy, values)
        length_noise = LENGTH_NOISE if chosen.name == "sized" else None
        return _threshold(point["load"], point["noise"], parameters["seconds"], values, length_noise)
    except InputError:
        return None


@lru_cache
def _bound(load, noise, values):
    return least_cost(MODELS, load, values, CORRELATION, noise)


@lru_cache
def _threshold(load, noise, seconds, values, length_noise=None):
    return threshold(MODELS, load, seconds / values[0], float(noise), CORRELATION, values, length_noise)


def _values(point):
    return (float(point["weight"]), 1.0, 0.0)


def _chosen(point, policy):
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    chosen = read_policy(policy)
    if "seconds" not in point:
        return chosen
    if chosen.name == "mix":
        values = _values(point)
        share = _threshold(0.01, point["noise"], point["seconds"], values)["largest_share"]
        return replace(chosen, parameters={"share": share})
    if "seconds" in chosen.parameters:
        return replace(chosen, parameters=chosen.parameters | {"seconds": float(point["seconds"])})
    return chosen
