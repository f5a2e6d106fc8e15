"""Costs of predictions: the kernel against its slow twin, the analysis against simulation and closed forms."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import slow_costs
from openqueues.models.analysis import mean_response, mean_response_given
from openqueues.models.analysis.costs_exact import best_share_of, share_cost
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues import predicting
from openqueues.models.queues import simulate as simulate_single
from openqueues.models.queues.predicting import MODELS, Costs, Predicting

RANDOM = Path(__file__).parents[1] / "problems/predict-a-share/policies/random.py"
EXPONENTIAL = joint_law("exponential", "exponential")
WEIBULL = joint_law("weibull:shape=0.5", "exponential")

# One policy that uses every answer, and the same decisions for the twin.
EVERY = '''"""Every answer there is."""
SEES = ("queue", "predicting", "load", "cost", "step", "long", "age", "draw")
SHAPE = "decision"
PARAMETERS = {"threshold": 0.8, "limit": 0.6}


def decide(queue, predicting, load, cost, step, long, age, draw):
    if step == 0:
        if queue >= 2 and draw < 0.2:
            return -4.0
        if draw < 0.5:
            return -1.0
        if draw < 0.7:
            return -3.0
        if draw < 0.8:
            return -2.0
        return 1.0 if draw < 0.9 and load < 2 else 0.0
    if step == 1:
        return -3.0 if long and draw < 0.4 and age < 0.5 else (-2.0 if long else 0.0)
    return -4.0 if draw < 0.45 or predicting > 5 else (-2.0 if cost > 0 else 2.0)
'''


def decide_every(queue, predicting, load, job, step):
    scope = {}
    exec(EVERY, scope)
    long = job.long if step > 0 else 0.0
    return scope["decide"](queue, predicting, load, 0.2, step, long, job.age, job.draw)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("joint", [EXPONENTIAL, WEIBULL], ids=["exponential", "weibull"])
def test_kernel_serves_every_job_as_its_twin(tmp_path, joint, model):
    file = tmp_path / "every.py"
    file.write_text(EVERY)
    policy, n = read_policy(str(file)), 1500
    costs = Costs(model=model, cheap=0.05, full=0.2, window=0.3, rate=0.9, stations=2, station_time=0.7)
    theta = resolve(policy, joint, 0.7)
    server = Predicting(policy, theta, joint, 0.7, 5, costs)
    rng = np.random.default_rng(7)
    gaps = rng.exponential(1.3, n)
    sizes, predictions = joint.sample(rng, rng, n)
    same = Predicting(policy, theta, joint, 0.7, 5, costs)
    longs = np.empty(n)
    joint.fill_predictions(same._cheap, sizes, longs)
    longs = (longs >= 0.8).astype(float)
    draws = same._uniform.random(n)
    done = []
    for first in range(0, n, 400):  # chunks, as the state passes from one call to the next
        part = slice(first, first + 400)
        done.append(server.serve(gaps[part], sizes[part], predictions[part]).copy())
    done = np.concatenate([*done, server.drain()])
    done = done[np.argsort(done[:, 2])]
    twin = slow_costs.serve(
        decide_every, server.costs, np.cumsum(gaps), sizes, predictions, longs, draws, np.full(n, 0.7)
    )
    assert len(done) == n
    np.testing.assert_allclose(done[:, [0, 3, 4]], np.array(twin, float), rtol=1e-9, atol=1e-9)
    assert server.work == 0.0
    assert 0 < done[:, 4].mean() < 1


def estimate(joint, load, run, jobs, replications=12):
    """Mean cost and its standard error, with FCFS on the same jobs, whose mean is known, as a control."""
    with ThreadPoolExecutor(2) as pool:
        costs = np.array(list(pool.map(run, range(replications))))
        plain = [simulate_single(joint, load, "fcfs", seed, jobs)["mean_response"] for seed in range(replications)]
    control = np.array(plain) - mean_response(joint, load, "fcfs").mean_response
    design = np.column_stack([np.ones(replications), control])
    coefficients, residual, *_ = np.linalg.lstsq(design, costs, rcond=None)
    variance = residual[0] / (replications - 2) * np.linalg.inv(design.T @ design)[0, 0]
    return coefficients[0], math.sqrt(variance)


SPECS = [
    f"{policy},model={model},window=0.4"
    for policy in ("skippredict:threshold=1.5,cost1=0.01,cost2=0.04", "delaypredict:limit=0.8,cost=0.04")
    for model in MODELS
]


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("joint", [EXPONENTIAL, WEIBULL], ids=["exponential", "weibull"])
def test_simulation_agrees_with_analysis(joint, spec, load):
    jobs = 2_000_000
    exact = mean_response(joint, load, spec)
    assert exact.error < 1e-6 * exact.mean_response
    value, error = estimate(
        joint, load, lambda seed: simulate_single(joint, load, spec, seed, jobs)["mean_response"], jobs
    )
    assert abs(value - exact.mean_response) < 4.5 * error  # t with 10 degrees of freedom: once in a thousand
    assert 4.5 * error < 0.02 * exact.mean_response


@pytest.mark.parametrize("spec", [SPECS[1], SPECS[4]])
def test_simulation_agrees_with_analysis_quickly(spec):
    load, jobs = 0.5, 150_000
    exact = mean_response(EXPONENTIAL, load, spec).mean_response
    value, error = estimate(
        EXPONENTIAL, load, lambda seed: simulate_single(EXPONENTIAL, load, spec, seed, jobs)["mean_response"], jobs
    )
    assert abs(value - exact) < 4.5 * error < 0.01 * exact


@pytest.mark.parametrize(("share", "level", "model"), [(0.5, 1.0, "external"), (0.3, 0.0, "server")])
def test_share_agrees_with_simulation(share, level, model):
    costs, jobs, load = Costs(model=model, full=0.05), 150_000, 0.5
    exact, error = share_cost(EXPONENTIAL, load, share, level, 0.05, model)
    assert error < 1e-7 * exact
    spec = f"{RANDOM}:share={share},level={level}"
    value, error = estimate(
        EXPONENTIAL,
        load,
        lambda seed: predicting.simulate(EXPONENTIAL, load, spec, seed, jobs, costs)["mean_cost"],
        jobs,
    )
    assert abs(value - exact) < 4.5 * error < 0.01 * exact


@pytest.mark.parametrize("predictions", ["exponential", "exact", "uniform:a=0.5", "lognormal:sigma=0.3"])
@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
def test_limits_are_known_policies(sizes, predictions):
    joint, load = joint_law(sizes, predictions), 0.8
    sprpt = mean_response(joint, load, "sprpt").mean_response
    fcfs = mean_response(joint, load, "fcfs").mean_response

    def value(spec):
        return mean_response(joint, load, spec).mean_response

    assert value("delaypredict:limit=0,cost=0.1") == pytest.approx(sprpt + 0.1, rel=1e-7)
    assert value("delaypredict:limit=inf,cost=0.1,model=server") == pytest.approx(fcfs, rel=1e-9)
    assert value("skippredict:threshold=0,cost1=0.1,cost2=0.3") == pytest.approx(sprpt + 0.4, rel=1e-7)
    assert value("skippredict:threshold=inf,cost1=0.1") == pytest.approx(fcfs + 0.1, rel=1e-9)
    assert share_cost(joint, load, 1.0, 1.0, 0.2)[0] == pytest.approx(sprpt + 0.2, rel=1e-7)
    assert share_cost(joint, load, 0.0, 1.0, 0.2, "server")[0] == pytest.approx(fcfs, rel=1e-9)


def test_all_called_short_in_server_time_is_a_longer_service():
    rate, cost = 0.8, 0.1
    expected = 1 + cost + rate * (cost**2 + 2 * cost + 2) / (2 * (1 - rate * (1 + cost)))
    spec = f"skippredict:threshold=inf,cost1={cost},model=server"
    assert mean_response(EXPONENTIAL, rate, spec).mean_response == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("spec", [SPECS[2], SPECS[5]])
def test_given_averages_to_the_mean(spec):
    rng = np.random.default_rng(3)
    sizes, predictions = EXPONENTIAL.sample(rng, rng, 200_000)
    given = mean_response_given(EXPONENTIAL, 0.7, spec, sizes, predictions)
    error = given.std() / math.sqrt(len(given))
    assert abs(given.mean() - mean_response(EXPONENTIAL, 0.7, spec).mean_response) < 4 * error


@pytest.mark.parametrize(
    "spec", ["skippredict:cost1=0.02,cost2=0.1,model=server", "delaypredict:cost=0.1,model=server"]
)
def test_optimal_is_not_beaten_by_its_neighbours(spec):
    best = mean_response(WEIBULL, 0.8, spec).mean_response
    key = "threshold" if spec.startswith("skip") else "limit"
    for value in (0.3, 0.7, 1.0, 1.5, 3.0):
        assert mean_response(WEIBULL, 0.8, f"{spec},{key}={value}").mean_response > best


def test_best_share_is_all_for_free_and_none_when_dear():
    assert best_share_of(EXPONENTIAL, 0.8, 1.0, 0.0) == 1.0
    assert best_share_of(EXPONENTIAL, 0.8, 1.0, 50.0) == 0.0


def test_a_station_that_nobody_waits_for_delays_only():
    file = RANDOM.parents[2] / "prediction-servers/policies/station.py"
    costs = Costs(stations=500, station_time=0.5)
    jobs, load = 150_000, 0.5
    expected = mean_response(EXPONENTIAL, load, "sprpt").mean_response + 0.5
    value, error = estimate(
        EXPONENTIAL,
        load,
        lambda seed: predicting.simulate(EXPONENTIAL, load, str(file), seed, jobs, costs)["mean_cost"],
        jobs,
    )
    assert abs(value - expected) < 4.5 * error < 0.01 * expected


def test_same_seed_same_numbers_in_threads_too_and_swing_keeps_the_mean_load():
    def run(seed):
        return predicting.simulate(WEIBULL, 0.6, "delaypredict:limit=1,cost=0.1", seed, 20_000, swing=0.3)

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == alone
    gaps, loads = [], []
    for _, (gap, _, _, load) in predicting._chunks(EXPONENTIAL, 0.5, 1, 0, 100_000, 0.4, 100.0):
        gaps.append(gap)
        loads.append(load)
    times, loads = np.cumsum(np.concatenate(gaps)), np.concatenate(loads)
    high = times % 100 < 50
    np.testing.assert_array_equal(loads, np.where(high, 0.7, 0.3))
    assert 100_000 / times[-1] == pytest.approx(0.5, rel=0.02)
    assert high.mean() == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("skippredict:model=sever", "did you mean 'server'"),
        ("skippredict:cost1=-1", "cost1 is -1.0"),
        ("skippredict:cost2=inf", "cost2 is inf"),
        ("skippredict:threshold=nan", "threshold is nan"),
        ("skippredict:threshold=small", "threshold is small"),
        ("skippredict:window=0", "window is 0.0"),
        ("delaypredict:limit=-1", "limit is -1.0"),
        ("delaypredict:cost1=1", "did you mean 'cost'"),
        ("delaypredict:limit=0,cost=0.5,model=server", "load 1.2"),
        ("skippredict:cost1=1,model=server", "no time for these predictions"),
    ],
)
def test_bad_policies_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        mean_response(EXPONENTIAL, 0.8, spec)


def test_laws_without_a_density_are_refused_by_the_analysis_only():
    joint = joint_law("deterministic", "exponential")
    with pytest.raises(InputError, match="sizes with a density"):
        mean_response(joint, 0.8, "skippredict:threshold=1")
    assert simulate_single(joint, 0.5, "skippredict:threshold=1", 1, 1000)["mean_response"] > 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "extern"}, "did you mean 'external'"),
        ({"full": math.nan}, "full is nan"),
        ({"station_time": math.inf}, "station_time is infinite"),
        ({"rate": 0}, "rate is 0"),
        ({"stations": 0}, "stations is 0"),
        ({"limit": -1}, "limit is -1"),
    ],
)
def test_bad_costs_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        Costs(**given)


def test_bad_runs_are_refused(tmp_path):
    with pytest.raises(InputError, match="swing is 1"):
        predicting.simulate(EXPONENTIAL, 0.5, "fcfs", 1, 100, swing=1)
    with pytest.raises(InputError, match="load is nan"):
        predicting.simulate(EXPONENTIAL, math.nan, "fcfs", 1, 100)
    with pytest.raises(InputError, match="share is 2"):
        share_cost(EXPONENTIAL, 0.5, 2.0, 1.0, 0.1)
    file = tmp_path / "wrong.py"
    file.write_text('"""Wrong."""\nSEES = ()\nSHAPE = "decision"\n\n\ndef decide():\n    return -7.0\n')
    with pytest.raises(InputError, match="an answer that is not possible"):
        predicting.simulate(EXPONENTIAL, 0.5, str(file), 1, 100)
