"""Parallel queues behind a dispatcher: every job is served when the slow twin serves it; known limits hold."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import slow_dispatching
from openqueues.models.analysis import mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy
from openqueues.models.queues.dispatching import Farm, simulate

FOLDER = Path(__file__).parents[1] / "problems" / "power-of-d-bits" / "policies"
NOISY = joint_law("exponential", "exponential")
BITS = joint_law("weibull:shape=0.5", "kbit:bits=2,of=exponential")
RANKS = {
    "fcfs": lambda s, p, t, a: t,
    "spjf": lambda s, p, t, a: p if a == 0 else -math.inf,
    "pspjf": lambda s, p, t, a: p,
    "sprpt": lambda s, p, t, a: p - a,
}
RULES = {
    "random": lambda **c: 0.0,
    "round-robin": lambda **c: c["turn"],
    "shortest": lambda **c: c["count"],
    "shortest:choices=all": lambda **c: c["count"],
    "least-predicted-work": lambda **c: c["predicted_work"],
    "same-class": lambda **c: c["same_class"],
    "same-class:shorter_weight=1,longer_weight=0.25": lambda **c: c["same_class"] + c["shorter"] + 0.25 * c["longer"],
    "all-columns": lambda **c: c["ahead"] + 2 * c["work"] + c["size"] * c["count"] + c["predicted"] * c["longer"],
}
ALL_COLUMNS = (
    "SEES = ('ahead', 'work', 'size', 'count', 'predicted', 'longer')\nSHAPE = 'decision'\nINFORMATION = 'oracle'\n"
    "def decide(ahead, work, size, count, predicted, longer):\n"
    "    return ahead + 2 * work + size * count + predicted * longer\n"
)


def own(spec):
    name, colon, given = spec.partition(":")
    return f"{FOLDER / name}.py{colon}{given}"


@pytest.fixture
def path(tmp_path):
    def of(spec):
        if spec != "all-columns":
            return own(spec)
        file = tmp_path / "all-columns.py"
        file.write_text(ALL_COLUMNS)
        return str(file)

    return of


def trace(joint, n, choices, jobs, load=0.9, seed=5):
    rng = np.random.default_rng(seed)
    gaps = rng.standard_exponential(jobs) / (load * n)
    sizes, predictions = joint.sample(rng, rng, jobs)
    return gaps, sizes, predictions, rng.random((jobs, choices + 1))


@pytest.mark.parametrize("service", RANKS)
@pytest.mark.parametrize("rule", RULES)
def test_every_job_is_served_when_the_slow_twin_serves_it(rule, service, path):
    # Work by prediction ties by chance of rounding when predictions are few values, so it gets a continuous law.
    joint = NOISY if rule == "least-predicted-work" else BITS
    n, choices, jobs = 5, 2, 300
    columns = trace(joint, n, choices, jobs)
    farm = Farm(policy(path(rule)), service, n, choices, joint, 0.9)
    parts = [farm.serve(*(column[i : i + 77] for column in columns)).copy() for i in range(0, jobs, 77)]
    parts.append(farm.catch_up(math.inf).copy())
    done = np.concatenate(parts)
    assert len(done) == jobs
    done = done[np.argsort(done[:, 2], kind="stable")]
    gaps, sizes, predictions, routing = columns
    slow, _ = slow_dispatching.dispatch(
        RULES[rule], RANKS[service], n, "all" in rule and "columns" not in rule or rule == "round-robin",
        np.cumsum(gaps).tolist(), sizes.tolist(), predictions.tolist(), routing.tolist(),
    )  # fmt: skip
    np.testing.assert_allclose(done[:, 0], slow, rtol=1e-9)


def test_sampled_queues_are_distinct_and_equally_likely():
    # The twin draws without replacement from a list; here: each of the queues gets its share under random.
    farm = Farm(own("random"), "fcfs", 7, 3, NOISY, 0.9)
    columns = trace(NOISY, 7, 3, 20_000)
    farm.serve(*columns)
    served = farm._numbers.sum(axis=0)  # heads count all that have left a ring, lengths those still in it
    assert abs(served / 20_000 - 1 / 7).max() < 5 * math.sqrt(1 / 7 * 6 / 7 / 20_000) + 1e-3


def joint_interval(values, level_z=2.9):
    return np.mean(values), level_z * np.std(values, ddof=1) / math.sqrt(len(values))


@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_random_dispatch_is_a_single_queue(sizes, load):
    joint = joint_law(sizes, "exponential")
    for service in ("fcfs", "sprpt"):
        known = mean_response(joint, load, service).mean_response
        runs = [simulate(joint, load, 10, 2, own("random"), service, seed, 60_000) for seed in range(8)]
        mean, width = joint_interval([run["mean_response"] for run in runs], 3.5)
        assert abs(mean - known) < width
        assert width < 0.25 * known


def test_round_robin_of_n_queues_is_an_erlang_arrival_stream():
    # E_n/M/1: the root z of z = (n load / (n load + 1 - z))^n gives E[T] = 1/(1 - z).
    n, load = 10, 0.8
    z = 0.5
    for _ in range(200):
        z = (n * load / (n * load + 1 - z)) ** n
    runs = [simulate(NOISY, load, n, 2, own("round-robin"), "fcfs", seed, 150_000) for seed in range(8)]
    mean, width = joint_interval([run["mean_response"] for run in runs])
    assert abs(mean - 1 / (1 - z)) < width < 0.01 * mean


def test_power_of_two_meets_its_closed_form():
    load, n = 0.9, 1000
    limit = sum(load ** (2.0**i - 2) for i in range(1, 12))
    runs = [simulate(NOISY, load, n, 2, own("shortest"), "fcfs", seed, 400_000) for seed in range(4)]
    mean, width = joint_interval([run["mean_response"] for run in runs], 4.0)
    assert abs(mean - limit) < width + 6 * limit / n
    assert width + 6 * limit / n < 0.02 * limit


def test_join_the_shortest_queue_of_one_or_two_queues():
    one = simulate(NOISY, 0.8, 1, 1, own("shortest"), "fcfs", 3, 20_000)
    both = simulate(NOISY, 0.8, 2, 2, own("shortest"), "fcfs", 3, 20_000)
    assert both == simulate(NOISY, 0.8, 2, 2, own("shortest:choices=all"), "fcfs", 3, 20_000)
    assert both["mean_response"] < one["mean_response"]


def test_same_seed_same_numbers_in_threads_too():
    def run(seed):
        return simulate(BITS, 0.9, 20, 2, own("same-class"), "sprpt", seed, 5_000)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, [1, 2, 1])) == [run(1), run(2), run(1)]
    assert run(1) != run(2)


def test_the_rest_of_the_metrics():
    run = simulate(NOISY, 0.8, 10, 2, own("shortest"), "sprpt", 4, 20_000)
    assert run["unstable"] == 0.0 and 0.99 < run["completed_share"] < 1.0
    assert run["mean_response"] < run["second_moment"] and run["p50"] < run["p99"] < run["p999"]
    fifo = simulate(NOISY, 0.8, 10, 2, own("random:service=fcfs"), "sprpt", 4, 20_000)
    assert fifo == simulate(NOISY, 0.8, 10, 2, own("random"), "fcfs", 4, 20_000)
    assert fifo["completed_share"] < run["completed_share"] < 1.0


@pytest.mark.parametrize("service", ["fcfs", "pspjf"])
def test_overload_is_recognised_and_queues_grow(service):
    run = simulate(NOISY, 1.3, 3, 1, own("random"), service, 1, 20_000)
    assert run["unstable"] == 1.0 and run["completed_share"] < 0.9


BAD = {
    "queues is 0": {"queues": 0},
    "queues is True": {"queues": True},
    "choices is 11: it must be a whole number from 1 to 10": {"choices": 11},
    "choices is 1.5": {"choices": 1.5},
    "load is nan": {"load": math.nan},
    "load is -1": {"load": -1},
    "jobs is 0": {"jobs": 0},
    "SHAPE = 'general'": {"service": "las"},
    "did you mean 'sprpt'": {"service": "sprt"},
    "is no dispatcher": {"policy": "srpt"},
    "did you mean 'shorter_weight'": {"policy": own("same-class:shorter_wait=1")},
    "'choices' of policy 'shortest'": {"policy": own("shortest:choices=some")},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_said_in_one_sentence(message):
    right = {"joint": NOISY, "load": 0.8, "queues": 10, "choices": 2, "policy": own("shortest"), "service": "fcfs"}
    with pytest.raises(InputError) as caught:
        simulate(**{**right, "seed": 1, "jobs": 1000, **BAD[message]})
    assert message in str(caught.value) and "\n" not in str(caught.value)


GOOD = "SEES = ('count',)\nSHAPE = 'decision'\ndef decide(count):\n    return count\n"
FILES = {
    GOOD.replace("'count',", "'counts',"): "'counts'",
    GOOD.replace("return count", "return float('nan')"): "must return a number",
    GOOD.replace("return count", "return None"): "must return a number",
    GOOD.replace("return count", "return 1 / 0"): "ZeroDivisionError",
    GOOD.replace("return count", "return count if count != 1 else float('nan')"): "score that is not a number",
    GOOD.replace("count", "work"): "sees true sizes",
    GOOD.replace("count", "shorter"): "sees predictions",
}


@pytest.mark.parametrize("source", FILES)
def test_a_bad_policy_file_is_refused_with_one_sentence(source, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(InputError) as caught:
        simulate(NOISY, 0.8, 10, 2, str(file), "fcfs", 1, 1000)
    text = str(caught.value)
    assert (FILES[source] in text or "count" in text) and "\n" not in text
