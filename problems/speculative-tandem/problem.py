"""Speculative decoding in a batch, by load. A point has the keys

    hardware    of the target model: one of HARDWARE or a law
    drafts      small, large or both: draft models of RATIOS and ACCEPTANCE
    max_batch   most requests that run at once
    spread      of the requests' acceptance: mixed (beta laws) or none
    own         0, or parts of the batch for a draft model on a server of its own (models/llm/speculative.py)

and one of load (Poisson arrivals, of the capacity of plain decoding in full batches) and arrivals (a law). It may have
acceptance (of all drafts, in place of the means), lengths (a law) and sigma (deviation of the error of the logit of
predicted acceptance; 0).
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from openqueues.models import llm, policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm import speculative
from openqueues.models.streams import derive_seed, streams

HARDWARE = {"mistral-7b": "mistral-7b-rtx6000ada-slai", "llama2-70b": "llama2-70b-h100-tp4:compute_token_ms=0.107349"}
"""Of Llama-2 70B a token costs to compute, in prompts and in verifying, what a token more of a prompt costs."""
RATIOS = {"small": 1 / 15, "large": 1 / 6}
"""Time of a draft step over that of the target's."""
ACCEPTANCE = {"small": 0.65, "large": 0.8}
WEIGHT = 8
"""Of the beta law of the acceptance: the larger, the nearer all requests are to the mean."""
DRAFTS = {"small": ("small",), "large": ("large",), "both": ("small", "large")}
LENGTHS = "lognormal:input_mean=100,output_mean=300"
MEANS = 100, 300
FOLDER = Path(__file__).parent / "policies"
KEYS = (
    "hardware", "drafts", "max_batch", "spread", "own", "load", "arrivals", "acceptance", "lengths", "sigma",
)  # fmt: skip


def simulate(point, policy, seed, jobs):
    """One replication: speculative.metrics, and speedup, the mean latency without drafts over the policy's."""
    key = tuple(sorted((point | {"own": 0, "drafts": "small"}).items()))  # of these plain decoding knows nothing
    result = speculative.metrics(*_served(point, policy, seed, jobs))
    return result | {"speedup": _plain(key, seed, jobs) / result["mean_latency_s"]}


def exact(point, policy):
    """Mean latency of a request alone under `none` or `fixed`, where all have the same lengths and acceptance."""
    read = policies.policy(policy, FOLDER)
    alone = str(point.get("arrivals", "")).startswith("deterministic") and point["spread"] == "none"
    if not (alone and str(point.get("lengths", "")).startswith("fixed") and read.name in ("none", "fixed")):
        return None
    hardware = _hardware(point)
    requests = llm.generated("closed", point["lengths"], 1, 0)
    prompt, output = int(requests.input_tokens[0]), int(requests.output_tokens[0])
    models = DRAFTS[point["drafts"]]
    g = 0 if read.name == "none" else int(read.parameters["length"])
    model = models[int(read.parameters.get("model", 0))]
    alpha = point.get("acceptance", ACCEPTANCE[model])
    chances = [alpha**right * (1 - alpha) for right in range(g)] + [alpha**g]
    left, plain = [0.0] * (output + 1), [0.0] * (output + 1)  # mean time to the end, by the tokens made
    for made in range(output - 1, 0, -1):
        step = hardware.step_ms(0, 0, 1, prompt + made)
        cycle = g * RATIOS[model] * step + speculative.verify_ms(hardware, 1, g + 1, prompt + made)
        later = sum(p * left[min(made + right + 1, output)] for right, p in enumerate(chances))
        left[made], plain[made] = cycle + later, step + plain[made + 1]
    prefill = hardware.step_ms(prompt, prompt**2, 0, 0)
    mean, without = (prefill + left[1]) / 1000, (prefill + plain[1]) / 1000
    return {"mean_latency_s": (mean, 1e-9 * mean), "speedup": (without / mean, 1e-9)}


def _hardware(point):
    return llm.hardware_law(HARDWARE.get(point["hardware"], point["hardware"]))


def _served(point, policy, seed, jobs):
    """(Speculated, Requests) of a replication."""
    for name in point:
        if name not in KEYS:
            raise unknown("parameter", name, KEYS)
    if point["drafts"] not in DRAFTS:
        raise unknown("drafts", str(point["drafts"]), DRAFTS)
    if point["spread"] not in ("mixed", "none"):
        raise unknown("spread", str(point["spread"]), ("mixed", "none"))
    hardware = _hardware(point)
    models = DRAFTS[point["drafts"]]
    requests = llm.generated(_arrivals(point, hardware), point.get("lengths", LENGTHS), jobs, seed)
    means = np.array([point.get("acceptance", ACCEPTANCE[model]) for model in models])
    alpha = _acceptance(means, point["spread"], seed, jobs)
    error = point.get("sigma", 0) * streams(seed).predictions.standard_normal((jobs, 2))[:, : len(models)]
    predicted = alpha
    if point.get("sigma", 0):
        inside = np.clip(alpha, 1e-6, 1 - 1e-6)
        predicted = 1 / (1 + (1 - inside) / inside * np.exp(-error))
    served = speculative.serve(
        requests,
        hardware,
        tuple(RATIOS[model] for model in models),
        alpha,
        policy,
        predicted=predicted,
        own=point["own"],
        max_batch=point["max_batch"],
        seed=derive_seed("acceptance", seed),
    )
    return served, requests


def _arrivals(point, hardware):
    if ("load" in point) == ("arrivals" in point):
        raise InputError("the point must have either load or arrivals: give one of them.")
    if "arrivals" in point:
        return point["arrivals"]
    load = point["load"]
    if not (isinstance(load, int | float) and 0 < load < math.inf):
        raise InputError(f"load is {load}: it must be above 0.")
    prompt, output = MEANS
    batch = point["max_batch"]
    step = hardware.step_ms(0, 0, batch, batch * (prompt + output))
    alone = hardware.step_ms(prompt, prompt**2, 0, 0)
    more = hardware.step_ms(2 * prompt, 2 * prompt**2, 0, 0) - alone
    return f"poisson:rate={1000 * load / (more + output * step / batch)!r}"


def _acceptance(means, spread, seed, n):
    """(n, models) acceptance probabilities; one number of a request says how easy it is for all draft models."""
    if spread == "none":
        return np.tile(means, (n, 1))
    from scipy.special import betaincinv

    easy = streams(derive_seed("easy", seed)).routing.random(n)[:, None]
    return betaincinv(WEIGHT * means, WEIGHT * (1 - means), easy)


@lru_cache(maxsize=4096)
def _plain(key, seed, jobs):
    """Mean latency without drafts, in s, on the same requests."""
    served, requests = _served(dict(key), str(FOLDER / "none.py"), seed, jobs)
    return speculative.metrics(served, requests)["mean_latency_s"]
