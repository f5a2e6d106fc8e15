"""Approximations of two stations in tandem against simulation.

A point has the keys

    workload      unit (stations of one request at a time, mean prompt and answer by `balance`) or one of TOKENS, on
                  Llama-2 70B and four H100 by its law of iteration times
    balance       unit only: equal (mean prompt and answer 1), prompts (answer 0.6) or answers (prompt 0.6)
    sizes         law of prompts and of answers, scaled to their means
    organisation  k:m servers for prompts and answers, pooled:n, or each:n, which is all of pooled:n, 1:n-1, ..., n-1:1
    load          of the busier station, or with `each` of all GPUs, were no GPU ever idle or a batch not full

and may have correlation (0), room (places before the answer station beside those in service; default without limit),
order (fcfs) and measure (latency, or first for the end of the prompt).
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from openqueues.models import llm, policies
from openqueues.models.analysis import tandem as theory
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import size_law
from openqueues.models.llm.replication import growing
from openqueues.models.queues import tandem
from openqueues.models.streams import derive_seed

HARDWARE = "llama2-70b-h100-tp4"
TOKENS = {"conversation": (1155, 211), "code": (2048, 28), "reasoning": (1037, 1366)}
"""Mean prompt and answer: Azure's conversations and code of 2023, and ServeGen's sample of DeepSeek-R1."""
BALANCES = {"equal": (1.0, 1.0), "prompts": (1.0, 0.6), "answers": (0.6, 1.0)}
BATCH = 64
LINK = 25e9
"""Bytes a second between two GPUs of different stations (a link of 200 Gbit/s)."""
KEYS = ("workload", "balance", "sizes", "organisation", "load", "correlation", "room", "order", "measure")
NUMBERS = ("rate", "prompt", "answer", "prompt_scv", "answer_scv", "correlation")
SHAPE = ("prompt_servers", "answer_servers", "batch", "step0", "step1", "room", "transfer")
COLUMNS = (*theory.THEORIES, "again", *NUMBERS, *SHAPE)


def simulate(point, policy, seed, jobs):
    """One replication of `jobs` requests in each organisation, the same ones.

    error: mean over the organisations of |predicted / simulated - 1|, at most 1 each; signed_error: the same without
    the bars. ratio_to_best: latency of the organisation of the least predicted one over that of the best.
    mean_latency_s and mean_first_s: of the organisation chosen. An organisation that no policy could keep stable, or
    whose backlog grows, counts in neither; unstable where the chosen one is such.
    """
    demand, systems, measure = _setting(tuple(sorted(point.items())))
    key = tuple(sorted(point.items()))
    found = _simulated(key, seed, jobs)
    guesses = [_guess(policy, place, key, seed, jobs) for place in range(len(systems))]
    counted = [place for place, one in enumerate(found) if one is not None]
    chosen = min(range(len(systems)), key=lambda place: guesses[place])
    if chosen not in counted:
        names = ("error", "signed_error", "ratio_to_best", "mean_latency_s", "mean_first_s")
        return dict.fromkeys(names, math.nan) | {"unstable": 1.0}
    errors = np.array([min(guesses[place] / found[place][measure] - 1, 1.0) for place in counted])
    best = min(found[place][measure] for place in counted)
    return {
        "error": float(np.mean(np.abs(errors))),
        "signed_error": float(np.mean(errors)),
        "ratio_to_best": found[chosen][measure] / best,
        "mean_latency_s": found[chosen][1],
        "mean_first_s": found[chosen][0],
        "unstable": 0.0,
    }


def exact(point, policy):
    """What the policy predicts, in a single organisation; and the mean latency where a theory is exact."""
    key = tuple(sorted(point.items()))
    demand, systems, measure = _setting(key)
    if len(systems) > 1:
        return None
    result = {}
    if "again" not in policies.policy(policy).sees:
        guess = _guess(policy, 0, key, 0, 0)
        if math.isfinite(guess):
            result["predicted_s"] = (guess, 0.0)
    system = systems[0]
    jackson = demand.prompts == demand.answers == "exponential" and demand.correlation == 0 and system.batch == 1
    if jackson and not system.pooled and system.room == math.inf and demand.order == "fcfs":
        first, latency = theory.product_form(demand, system)
        result |= {"mean_latency_s": (latency, 1e-9 * latency), "mean_first_s": (first, 1e-9 * first)}
    return result


def bound(point):
    """A perfect prediction, and the best organisation."""
    return {"error": (0.0, 0.0), "ratio_to_best": (1.0, 0.0)}


@lru_cache(maxsize=256)
def _setting(key):
    """(Demand, the organisations, what is measured: 0 end of the prompt, 1 latency) of a point."""
    point = dict(key)
    for name in point:
        if name not in KEYS:
            raise unknown("parameter", name, KEYS)
    law = size_law(point["sizes"])
    scv = law.moment(2) / law.mean**2 - 1
    if point["workload"] == "unit":
        if point.get("balance") not in BALANCES:
            raise unknown("balance", str(point.get("balance")), BALANCES)
        prompt, answer = BALANCES[point["balance"]]
        shape = {}
    else:
        if point["workload"] not in TOKENS:
            raise unknown("workload", str(point["workload"]), ("unit", *TOKENS))
        prompt, answer, shape = _served(*TOKENS[point["workload"]])
    shape["room"] = float(point.get("room", math.inf))
    systems = _organisations(point["organisation"], shape)
    load = point["load"]
    if not (isinstance(load, int | float) and 0 < load < 1):
        raise InputError(f"load is {load}: it must be above 0 and below 1.")
    rate = load * systems[0].capacity(prompt, answer)
    measures = ("first", "latency")
    if point.get("measure", "latency") not in measures:
        raise unknown("measure", str(point["measure"]), measures)
    correlation = float(point.get("correlation", 0))
    demand = theory.Demand(
        rate, prompt, answer, scv, scv, _correlation(point["sizes"], correlation), point.get("order", "fcfs"),
        point["sizes"], point["sizes"],
    )  # fmt: skip
    return demand, systems, measures.index(point.get("measure", "latency"))


def _served(tokens, answer):
    """(time of a mean prompt, tokens of a mean answer, shape of the stations) by the law of iteration times."""
    hardware = llm.hardware_law(HARDWARE)
    prompt = hardware.step_ms(tokens, tokens**2, 0, 0) / 1000
    held = tokens + answer / 2
    step1 = (hardware.decode_seq_ms + hardware.kv_token_ms * held) / 1000
    transfer = tokens * hardware.kv_bytes_per_token / LINK
    return prompt, answer, dict(batch=BATCH, step0=hardware.decode_step_ms / 1000, step1=step1, transfer=transfer)


def _organisations(text, shape):
    """The systems that a text names, pooled first."""
    name, _, number = str(text).partition(":")
    if not (number.isdigit() and (name.isdigit() or name in ("pooled", "each"))):
        raise InputError(f"organisation is '{text}': write k:m, pooled:n or each:n with whole numbers.")
    n = int(number)
    if name.isdigit():
        return [tandem.Tandem(int(name), n, **shape)]
    pooled = tandem.Tandem(n, 0, **(shape | {"transfer": 0.0}))
    return [pooled, *(tandem.Tandem(k, n - k, **shape) for k in range(1, n))] if name == "each" else [pooled]


@lru_cache(maxsize=64)
def _correlation(sizes, normal):
    """The correlation of two sizes of this law made from normal numbers of the given one (Gauss-Hermite)."""
    from scipy.special import ndtr

    law = size_law(sizes)
    if normal == 0 or law.moment(2) == law.mean**2:
        return 0.0
    node, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    most = 1 - 2.0**-53  # a size beyond would be infinite, its weight is far below the rounding

    def size(number):
        return law.ppf(np.minimum(ndtr(number), most))

    one, two = size(node)[:, None], size(normal * node[:, None] + math.sqrt(1 - normal**2) * node[None, :])
    product = float((weight[:, None] * weight[None, :] * one * two).sum())
    return min(max((product - law.mean**2) / (law.moment(2) - law.mean**2), -1.0), 1.0)


@lru_cache(maxsize=4096)
def _simulated(key, seed, jobs):
    """(mean time to the end of the prompt, mean latency) by organisation, None for one that is not stable."""
    point = dict(key)
    demand, systems, _ = _setting(key)
    law = size_law(point["sizes"])
    arrival, prompt, answer = tandem.draw(demand.rate, law, law, float(point.get("correlation", 0)), seed, jobs)
    prompt, answer = prompt * (demand.prompt / law.mean), answer * (demand.answer / law.mean)
    found = []
    for system in systems:
        if demand.rate >= system.capacity(demand.prompt, demand.answer):
            found.append(None)
            continue
        times = tandem.serve(system, arrival, prompt, answer, demand.order)
        if growing(arrival, times.finish):
            found.append(None)
            continue
        counted = slice(jobs // 10, None)
        means = [float(np.mean((when - arrival)[counted])) for when in (times.first, times.finish)]
        found.append(tuple(means))
    return found


def _guess(policy, place, key, seed, jobs):
    """What the policy predicts for an organisation, in s."""
    demand, systems, measure = _setting(key)
    system = systems[place]
    chosen = policies.policy(policy, Path(__file__).parent / "policies")
    if chosen.shape != "decision":
        raise InputError(f"policy '{chosen.name}' has SHAPE = '{chosen.shape}': here it must be 'decision'.")
    columns = {}
    for name in chosen.sees:
        if name not in COLUMNS:
            raise unknown(f"column in SEES of policy '{chosen.name}'", name, COLUMNS)
        if name in theory.THEORIES:
            columns[name] = theory.predict(name, demand, system)[measure]
        elif name == "again":
            other = _simulated(key, derive_seed("again", seed), jobs)[place]
            columns[name] = math.inf if other is None else other[measure]
        else:
            columns[name] = float(getattr(demand if name in NUMBERS else system, name))
    scope = {}
    exec(compile(chosen.source, str(chosen.path), "exec"), scope)
    value = scope["decide"](*((columns | chosen.parameters)[name] for name in chosen.arguments))
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value >= 0:
        raise InputError(f"policy '{chosen.name}': decide returned {value!r}; it must return a time of at least 0 s.")
    return float(value)
