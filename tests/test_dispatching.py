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
# All rules as weights of the columns, so that one kernel a template serves them all.
COLUMN_WEIGHTS = {
    "nothing": {},
    "turn": {"turn": 1.0},
    "count": {"count": 1.0},
    "work": {"work": 1.0},
    "predicted work": {"predicted_work": 1.0},
    "same class": {"same_class": 1.0},
    "own and shorter": {"same_class": 1.0, "shorter": 1.0, "longer": 0.25},
    "ahead": {"ahead": 1.0},
    "the job too": {"sized": 0.5, "ahead": 1.0, "count": 0.1},
}
NAMES = ("turn", "count", "work", "predicted_work", "same_class", "shorter", "longer", "ahead")
LINEAR = f"""SEES = ("size", "predicted", {", ".join(map(repr, NAMES))})
SHAPE = "decision"
INFORMATION = "oracle"
PARAMETERS = {{"choices": "point", "w_sized": 0.0, {", ".join(f"'w_{name}': 0.0" for name in NAMES)}}}


def decide(size, predicted, {", ".join(NAMES)}, w_sized, {", ".join(f"w_{name}" for name in NAMES)}):
    total = w_sized * (size * count + predicted * longer)
    return total + {" + ".join(f"w_{name} * {name}" for name in NAMES)}
"""
SERVICE = """SEES = ("predicted", "arrival", "age")
SHAPE = "falling"
PARAMETERS = {"w_arrival": 0.0, "w_predicted": 0.0, "w_age": 0.0, "stay": False}


def rank(predicted, arrival, age, w_arrival, w_predicted, w_age, stay):
    if stay > 0.0 and age > 0.0:
        return -float("inf")
    return w_arrival * arrival + w_predicted * predicted + w_age * age
"""
SERVICES = {
    "ranked fcfs": ("w_arrival=1", RANKS["fcfs"]),
    "spjf": ("w_predicted=1,stay=true", RANKS["spjf"]),
    "pspjf": ("w_predicted=1", RANKS["pspjf"]),
    "sprpt": ("w_predicted=1,w_age=-1", RANKS["sprpt"]),
}


def weighted(weights):
    def decide(**columns):
        columns["sized"] = columns["size"] * columns["count"] + columns["predicted"] * columns["longer"]
        return sum(weight * columns[name] for name, weight in weights.items())

    return decide


def own(spec):
    name, colon, given = spec.partition(":")
    return f"{FOLDER / name}.py{colon}{given}"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for name, text in (("linear", LINEAR), ("weighted", SERVICE)):
        (folder / f"{name}.py").write_text(text)
    return folder


def trace(joint, n, choices, jobs, load=0.9, seed=5):
    rng = np.random.default_rng(seed)
    gaps = rng.standard_exponential(jobs) / (load * n)
    sizes, predictions = joint.sample(rng, rng, jobs)
    return gaps, sizes, predictions, rng.random((jobs, choices + 1))


def served(dispatcher, service, n, choices, joint, columns):
    """Response times in order of arrival; the chunks have nothing to do with the queues."""
    farm = Farm(policy(dispatcher), service, n, choices, joint, 0.9)
    jobs = len(columns[0])
    parts = [farm.serve(*(column[i : i + 77] for column in columns)).copy() for i in range(0, jobs, 77)]
    done = np.concatenate([*parts, farm.catch_up(math.inf)])
    assert len(done) == jobs
    return done[np.argsort(done[:, 2], kind="stable"), 0]


def slowly(decide, rank, n, everyone, columns):
    gaps, sizes, predictions, routing = (column.tolist() for column in columns)
    arrivals = np.cumsum(gaps).tolist()
    return slow_dispatching.dispatch(decide, rank, n, everyone, arrivals, sizes, predictions, routing)[0]


@pytest.mark.parametrize("choices", ["point", "all"])
@pytest.mark.parametrize("service", ["fcfs", *SERVICES])
@pytest.mark.parametrize("rule", COLUMN_WEIGHTS)
def test_every_job_is_served_when_the_slow_twin_serves_it(rule, service, choices, files):
    # Work by prediction ties by chance of rounding when predictions are few values, so it gets a continuous law.
    weights = COLUMN_WEIGHTS[rule]
    joint = NOISY if {"predicted_work", "ahead"} & set(weights) else BITS
    columns = trace(joint, 5, 2, 250)
    given = ",".join([f"choices={choices}", *(f"w_{name}={weight}" for name, weight in weights.items())])
    local, rank = SERVICES.get(service, ("", RANKS["fcfs"]))
    local = f"{files / 'weighted.py'}:{local}" if local else "fcfs"
    fast = served(f"{files / 'linear.py'}:{given}", local, 5, 2, joint, columns)
    np.testing.assert_allclose(fast, slowly(weighted(weights), rank, 5, choices == "all", columns), rtol=1e-9)


@pytest.mark.parametrize("service", ["fcfs", pytest.param("sprpt", marks=pytest.mark.slow)])
def test_the_shortest_of_three_is_found_without_a_look_at_the_jobs(service):
    columns = trace(NOISY, 8, 3, 400)
    slow = slowly(weighted({"count": 1.0}), RANKS[service], 8, False, columns)
    np.testing.assert_allclose(served(own("shortest"), service, 8, 3, NOISY, columns), slow, rtol=1e-9)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(("name", "weights"), [("random", {}), pytest.param("round-robin", {"turn": 1.0}, marks=SLOW)])
def test_rules_that_look_at_no_queue(name, weights):
    columns = trace(NOISY, 8, 2, 400)
    slow = slowly(weighted(weights), RANKS["fcfs"], 8, name == "round-robin", columns)
    np.testing.assert_allclose(served(own(name), "fcfs", 8, 2, NOISY, columns), slow, rtol=1e-9)


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
def test_random_dispatch_is_a_single_queue(sizes, load, files):
    joint = joint_law(sizes, "exponential")
    sprpt = f"{files / 'weighted.py'}:w_predicted=1,w_age=-1"
    for name, random, service in (("fcfs", own("random"), "fcfs"), ("sprpt", f"{files / 'linear.py'}", sprpt)):
        known = mean_response(joint, load, name).mean_response
        runs = [simulate(joint, load, 10, 2, random, service, seed, 60_000) for seed in range(8)]
        mean, width = joint_interval([run["mean_response"] for run in runs], 4.5)
        assert abs(mean - known) < width
        assert width < 0.4 * known


def test_round_robin_of_n_queues_is_an_erlang_arrival_stream(files):
    # E_n/M/1: the root z of z = (n load / (n load + 1 - z))^n gives E[T] = 1/(1 - z).
    n, load = 10, 0.5
    turns = f"{files / 'linear.py'}:choices=all,w_turn=1"
    z = 0.5
    for _ in range(200):
        z = (n * load / (n * load + 1 - z)) ** n
    runs = [simulate(NOISY, load, n, 2, turns, "fcfs", seed, 200_000) for seed in range(8)]
    mean, width = joint_interval([run["mean_response"] for run in runs])
    assert abs(mean - 1 / (1 - z)) < width < 0.01 * mean


def test_power_of_two_meets_its_closed_form():
    load, n = 0.9, 1000
    limit = sum(load ** (2.0**i - 2) for i in range(1, 12))
    runs = [simulate(NOISY, load, n, 2, own("shortest"), "fcfs", seed, 400_000) for seed in range(6)]
    mean, width = joint_interval([run["mean_response"] for run in runs], 4.0)
    assert abs(mean - limit) < width + 6 * limit / n
    assert width + 6 * limit / n < 0.03 * limit


def test_join_the_shortest_queue_of_one_or_two_queues():
    one = simulate(NOISY, 0.8, 1, 1, own("shortest"), "fcfs", 3, 20_000)
    both = simulate(NOISY, 0.8, 2, 2, own("shortest"), "fcfs", 3, 20_000)
    assert both == simulate(NOISY, 0.8, 2, 2, own("shortest:choices=all"), "fcfs", 3, 20_000)
    assert both["mean_response"] < one["mean_response"]


def test_same_seed_same_numbers_in_threads_too(files):
    classes, sprpt = f"{files / 'linear.py'}:w_same_class=1", f"{files / 'weighted.py'}:w_predicted=1,w_age=-1"

    def run(seed):
        return simulate(BITS, 0.9, 20, 2, classes, sprpt, seed, 5_000)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, [1, 2, 1])) == [run(1), run(2), run(1)]
    assert run(1) != run(2)


def test_the_rest_of_the_metrics(files):
    sprpt = f"{files / 'weighted.py'}:w_predicted=1,w_age=-1"
    run = simulate(NOISY, 0.8, 10, 2, f"{files / 'linear.py'}:w_count=1", sprpt, 4, 20_000)
    assert run["unstable"] == 0.0 and 0.99 < run["completed_share"] < 1.0
    assert run["mean_response"] < run["second_moment"] and run["p50"] < run["p99"] < run["p999"]
    fifo = simulate(NOISY, 0.8, 10, 2, own("random:service=fcfs"), "pspjf", 4, 20_000)
    assert fifo == simulate(NOISY, 0.8, 10, 2, own("random"), "fcfs", 4, 20_000)
    assert fifo["completed_share"] < run["completed_share"] < 1.0


@pytest.mark.parametrize("service", ["fcfs", "w_predicted=1,w_age=-1"])
def test_overload_is_recognised_and_queues_grow(service, files):
    local = service if service == "fcfs" else f"{files / 'weighted.py'}:{service}"
    run = simulate(NOISY, 1.3, 3, 2, f"{files / 'linear.py'}:w_count=1", local, 1, 20_000)
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


@pytest.mark.parametrize(
    "source", [pytest.param(s, marks=SLOW) if "score that" in FILES[s] else s for s in FILES], ids=range(len(FILES))
)
def test_a_bad_policy_file_is_refused_with_one_sentence(source, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(InputError) as caught:
        simulate(NOISY, 0.8, 10, 2, str(file), "fcfs", 1, 1000)
    text = str(caught.value)
    assert (FILES[source] in text or "count" in text) and "\n" not in text
