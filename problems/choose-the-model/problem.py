"""Which of three language models to ask, by predicted quality and length, if errors, time and tokens have prices.

A point has the keys wrong (dollars that 1,000 wrong answers cost), load, noise (of the prediction of quality) and judge
(of who reads an answer). A point with the key `pair` instead asks the two models that RouteLLM compares on that set of
questions, for their accuracies alone.
"""

from dataclasses import replace
from functools import lru_cache

from openqueues.models.errors import unknown
from openqueues.models.llm.quality import pair
from openqueues.models.llm.several_bounds import least_cost, static
from openqueues.models.llm.several_runs import replication
from openqueues.models.llm.several_stream import family, stream
from openqueues.models.policies import policy as read_policy

MODELS = "1b,8b,70b"
SECOND = 0.02  # dollars that 1,000 seconds of waiting cost
LIMIT_S = 10.0
KEYS = ("wrong", "load", "noise", "judge", "pair")


def simulate(point, policy, seed, jobs):
    """One replication of so many requests, the first tenth to warm up: several_runs.summary, in dollars per 1,000."""
    models, values, given = _setting(point)
    drawn = stream(models, point.get("load", 0.4), jobs, seed, **given)
    found = replication(drawn, models, read_policy(policy), values, LIMIT_S)
    return found | {"usd_per_1000": 1000 * found["usd"]}


def exact(point, policy):
    """Means of the policies that look at nothing, and the accuracies that RouteLLM's counts give."""
    models, values, _ = _setting(point)
    chosen = read_policy(policy)
    last = len(models) - 1
    if chosen.name == "mix":
        small, largest = chosen.parameters["small"], chosen.parameters["largest"]
        shares = (small, 1 - small - largest, largest)
    else:
        place = {"always-small": 0, "always-large": last}.get(chosen.name)
        if place is None:
            return None
        shares = tuple(float(k == place) for k in range(len(models)))
    accuracy = sum(share * model.accuracy for share, model in zip(shares, models, strict=True))
    if "pair" in point:
        return {"accuracy": (100 * accuracy, 0.0)}
    if shares[last] * point["load"] >= 1:
        return None
    found = static(models, point["load"], shares, accuracy, values)
    return {
        "cost": (found["cost"], 0.0),
        "accuracy": (100 * accuracy, 0.0),
        "mean_latency_s": (found["mean_latency_s"], 0.0),
        "usd_per_1000": (1000 * found["usd"], 0.0),
    }


def bound(point):
    """No policy costs less, not even one that knows which answers will be right."""
    return None if "pair" in point else {"cost": (_bound(point["load"], point["wrong"]), 1e-4)}


@lru_cache
def _bound(load, wrong):
    return least_cost(family(MODELS), load, (float(wrong), SECOND, 1000.0), pair("mmlu").correlation)


def _setting(point):
    """(models, dollars per 1,000 of a wrong answer, a second and a dollar, what `stream` is told)."""
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    models = family(MODELS)
    questions_like = "mmlu"
    if "pair" in point:
        questions_like = point["pair"]
        accuracies = pair(questions_like).accuracies
        models = tuple(replace(model, accuracy=p) for model, p in zip(models[1:], accuracies, strict=True))
    given = {name: float(point[name]) for name in ("noise", "judge") if name in point}
    return models, (float(point.get("wrong", 1)), SECOND, 1000.0), given | {"questions_like": questions_like}
