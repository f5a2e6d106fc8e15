"""Several servers: the kernel against its slow twin, against one server and against closed forms; the bounds."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import slow_servers
from openqueues.models.analysis import mean_response
from openqueues.models.analysis.servers import (
    critical_threshold,
    erlang_a,
    erlang_c,
    erlang_c_response,
    pooled_lower,
    pspjf_upper,
    served_limit,
    srpt_upper,
)
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy
from openqueues.models.queues import Server, simulate
from openqueues.models.queues import abandonment as impatient
from openqueues.models.queues import servers as many

LOADS = (0.5, 0.8, 0.9)
RANKS = {
    "fcfs": lambda s, p, t, a: t,
    "lcfs": lambda s, p, t, a: -t,
    "srpt": lambda s, p, t, a: s - a,
    "spjf": lambda s, p, t, a: p if a == 0 else -math.inf,
    "pspjf": lambda s, p, t, a: p,
    "sprpt": lambda s, p, t, a: p - a,
}


def trace(seed, load=0.9, jobs=400, ties=False):
    rng = np.random.default_rng(seed)
    gaps, sizes = rng.standard_exponential(jobs) / load, rng.standard_exponential(jobs)
    predictions = sizes * rng.standard_exponential(jobs)
    return gaps, sizes, np.ceil(predictions) if ties else predictions, rng.standard_exponential(jobs)


def kernel(k, spec, gaps, sizes, predictions, patience=None, chunk=97):
    """(time in system, left unserved) in order of arrival, fed in chunks."""
    system = many.Servers(k, policy(spec), impatient=patience is not None)
    columns = [gaps, sizes, predictions] + ([patience] if patience is not None else [])
    done = [system.serve(*(c[i : i + chunk] for c in columns)).copy() for i in range(0, len(gaps), chunk)]
    done = np.concatenate([*done, system.drain()])
    done = done[np.argsort(done[:, 2], kind="stable")]
    np.testing.assert_array_equal(done[:, 1], sizes)
    return done[:, 0], done[:, 3]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [1, 2, 5, 10])
@pytest.mark.parametrize("name", RANKS)
def test_each_job_is_served_as_the_slow_twin_does(name, k, ties):
    gaps, sizes, predictions, _ = trace(1, ties=ties)
    arrivals = np.cumsum(gaps).tolist()
    slow, _ = slow_servers.by_rank(
        RANKS[name], arrivals, sizes.tolist(), predictions.tolist(), k, newest_first=name == "lcfs"
    )
    np.testing.assert_allclose(kernel(k, name, gaps, sizes, predictions)[0], slow, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 10])
@pytest.mark.parametrize("name", ["fcfs", "lcfs", "spjf", "sprpt"])
def test_jobs_leave_when_the_slow_twin_says_so(name, k):
    gaps, sizes, predictions, patience = trace(2, load=1.3)
    patience *= 0.7 * k
    slow, lost = slow_servers.by_rank(
        RANKS[name], np.cumsum(gaps).tolist(), sizes.tolist(), predictions.tolist(), k, patience, name == "lcfs"
    )
    fast, gone = kernel(k, name, gaps, sizes, predictions, patience)
    assert 20 < sum(lost) < 380
    np.testing.assert_array_equal(gone, np.array(lost, float))
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


@pytest.mark.parametrize("spec", RANKS)
def test_one_server_serves_each_job_to_the_bit_as_the_kernel_of_one_server_does(spec):
    gaps, sizes, predictions, _ = trace(3, load=0.95, jobs=20_000)
    single = Server(policy(spec))
    done = np.concatenate([single.serve(gaps, sizes, predictions).copy(), single.drain()])
    np.testing.assert_array_equal(
        kernel(1, spec, gaps, sizes, predictions, chunk=1000)[0], done[np.argsort(done[:, 2], kind="stable"), 0]
    )


def test_all_metrics_of_one_server_are_those_of_the_single_server():
    joint = joint_law("weibull:shape=0.5", "exponential")
    for spec in ("sprpt", "onebit", "kbit:bits=2"):
        one = simulate(joint, 0.8, spec, seed=3, jobs=30_000)
        assert many.simulate(joint, 0.8, 1, spec, seed=3, jobs=30_000) == pytest.approx(one, rel=1e-9)


def estimate(run, replications=16, metric="mean_response"):
    with ThreadPoolExecutor(2) as pool:
        values = np.array([result[metric] for result in pool.map(run, range(replications))])
    return values.mean(), values.std(ddof=1) / math.sqrt(replications)


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("k", [2, 10])
def test_first_come_first_served_obeys_erlang_c(k, load):
    joint, exact = joint_law("exponential", "exact"), erlang_c_response(k, load)
    jobs = {0.5: 40_000, 0.8: 100_000, 0.9: 300_000}[load]

    def less_its_control(seed):
        # The same jobs at one server, whose mean is known, tell how busy this sample happens to be.
        run = many.simulate(joint, load, k, "fcfs", seed, jobs)["mean_response"]
        return {"mean_response": run - simulate(joint, load, "fcfs", seed, jobs)["mean_response"] + 1 / (1 - load)}

    value, error = estimate(less_its_control, 24)
    assert abs(value - exact) <= 4 * error < 0.01 * exact


def test_erlang_c_for_two_servers_is_the_textbooks():
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 0.8) == pytest.approx(2 * 0.8**2 / 1.8)
    assert erlang_c_response(1, 0.7) == pytest.approx(1 / 0.3)


def test_with_exponential_sizes_the_mean_does_not_depend_on_an_order_that_is_blind():
    # Equal predictions: orders that ignore sizes leave the number of jobs in M/M/k as it is.
    joint = joint_law("exponential", "constant")
    exact = erlang_c_response(3, 0.7)
    for spec in ("lcfs", "pspjf", "spjf"):
        value, error = estimate(lambda seed, spec=spec: many.simulate(joint, 0.7, 3, spec, seed, 100_000))
        assert abs(value - exact) <= 4 * error < 0.02 * exact


@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
def test_at_light_load_a_job_is_alone_in_service(sizes):
    result = many.simulate(joint_law(sizes, "exponential"), 0.01, 5, "sprpt", seed=1, jobs=20_000)
    sample = many.simulate(joint_law(sizes, "exponential"), 0.01, 20, "fcfs", seed=1, jobs=20_000)
    assert result["mean_slowdown"] == pytest.approx(1.0, abs=1e-4)
    assert sample["mean_slowdown"] == pytest.approx(1.0, abs=1e-4)
    assert result["mean_response"] / 5 == pytest.approx(sample["mean_response"] / 20, rel=1e-3)


def test_littles_law_and_a_system_that_drifts():
    joint = joint_law("exponential", "exponential")
    result = many.simulate(joint, 0.8, 4, "sprpt", seed=11, jobs=100_000)
    assert result["mean_number"] / 0.8 == pytest.approx(result["mean_response"], rel=5e-3)
    assert result["completed_share"] > 0.999 and result["unstable"] == 0.0
    assert many.simulate(joint, 1.2, 4, "sprpt", seed=1, jobs=20_000)["unstable"] == 1.0


def test_the_same_seed_gives_the_same_numbers_in_any_thread():
    joint = joint_law("exponential", "exponential")

    def run(seed):
        waits = impatient.simulate(joint, 1.2, 5, "exponential", "spjf", seed, 20_000)
        return waits, many.simulate(joint, 0.8, 5, "sprpt", seed, 20_000)

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(4))) == alone


# Bounds


@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("load", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
def test_srpt_lies_between_its_bounds(sizes, k, load):
    joint = joint_law(sizes, "exact")
    jobs = 60_000 if load < 0.9 else 200_000
    value, error = estimate(lambda seed: many.simulate(joint, load, k, "srpt", seed, jobs), 8)
    assert error < 0.03 * value
    pooled = mean_response(joint, load, "srpt").mean_response
    assert pooled_lower(sizes, load, k)[0] == max(k, pooled)
    assert max(k, pooled) < value + 4 * error
    assert value - 4 * error < srpt_upper(sizes, load, k)[0]


def test_the_bounds_on_srpt_meet_at_one_server_and_near_saturation():
    for sizes in ("exponential", "weibull:shape=0.5", "uniform"):
        single = mean_response(joint_law(sizes, "exact"), 0.8, "srpt").mean_response
        assert srpt_upper(sizes, 0.8, 1)[0] == pytest.approx(single, rel=1e-9)
        ratios = [srpt_upper(sizes, load, 4)[0] / pooled_lower(sizes, load, 4)[0] for load in (0.9, 0.99, 0.9999)]
        assert ratios[0] > ratios[1] > ratios[2]
    assert srpt_upper("exponential", 0.01, 5)[0] == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("predictions", ["exact", "exponential", "bounded:low=0.5,high=2"])
@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
def test_pspjf_lies_below_its_bound(sizes, predictions):
    joint = joint_law(sizes, predictions)
    for k, load in ((2, 0.5), (2, 0.9), (10, 0.8)):
        value, error = estimate(lambda seed: many.simulate(joint, load, k, "pspjf", seed, 60_000), 6)  # noqa: B023
        assert value - 4 * error < pspjf_upper(joint, load, k)[0]
    single = mean_response(joint, 0.8, "pspjf").mean_response
    assert pspjf_upper(joint, 0.8, 1)[0] == pytest.approx(single, rel=1e-6)
    assert pspjf_upper(joint, 0.8, 7)[0] <= 7 * single * (1 + 1e-9)


# Abandonment


@pytest.mark.parametrize(("k", "load", "patience"), [(1, 0.8, 2.0), (5, 0.9, 1.0), (20, 1.3, 0.5), (20, 1.0, 1.0)])
def test_first_come_first_served_with_impatient_jobs_obeys_erlang_a(k, load, patience):
    joint, exact = joint_law("exponential", "exact"), erlang_a(k, load, patience)
    spec = f"exponential:mean={patience}"
    for metric in ("abandoned_share", "mean_wait", "mean_response", "throughput"):
        value, error = estimate(lambda seed: impatient.simulate(joint, load, k, spec, "fcfs", seed, 50_000), 8, metric)
        assert abs(value - exact[metric]) <= 5 * error
        assert error < 0.02 * exact[metric]


def test_erlang_a_with_patience_without_end_is_erlang_c():
    patient = erlang_a(4, 0.8, 1e4)
    assert patient["mean_response"] == pytest.approx(erlang_c_response(4, 0.8), rel=1e-3)
    assert patient["abandoned_share"] < 1e-3


def test_no_policy_serves_more_than_the_limit_and_many_servers_come_near_to_it():
    joint = joint_law("exponential", "exponential")
    limit, clairvoyant = served_limit(joint, 1.3), served_limit(joint, 1.3, "size")
    assert 1 / 1.3 < limit < clairvoyant < 1
    threshold = critical_threshold(joint, 1.3)
    two = f"onebit:preemptive=false,threshold={threshold!r}"
    served = {}
    for k in (10, 100):
        for spec in ("fcfs", "spjf", two, "srpt"):
            result = impatient.simulate(joint, 1.3, k, "exponential", spec, 5, 100_000)
            served[spec, k] = result["completed_share"]
            assert served[spec, k] < (clairvoyant if spec == "srpt" else limit) + 0.005
    for spec in ("spjf", two):
        assert 0 < limit - served[spec, 100] < 0.5 * (limit - served[spec, 10])
    assert served["fcfs", 100] == pytest.approx(1 / 1.3, abs=0.01)


def test_limits_of_a_law_with_few_predictions():
    joint = joint_law("deterministic", "exact")
    assert served_limit(joint, 1.25) == pytest.approx(0.8)
    assert critical_threshold(joint, 1.25) == 1.0
    assert served_limit(joint, 0.9) == 1.0 and critical_threshold(joint, 0.9) == math.inf


BAD = [
    (lambda joint: many.simulate(joint, 0.8, 0, "fcfs", 1, 10), "servers is 0: give a whole number"),
    (lambda joint: many.simulate(joint, 0.8, 2.5, "fcfs", 1, 10), "servers is 2.5"),
    (lambda joint: many.simulate(joint, 0.8, math.nan, "fcfs", 1, 10), "servers is nan"),
    (lambda joint: many.simulate(joint, math.nan, 2, "fcfs", 1, 10), "load is nan"),
    (lambda joint: many.simulate(joint, 0.8, 2, "fcfs", 1, 0), "jobs is 0"),
    (lambda joint: many.simulate(joint, 0.8, 2, "las", 1, 10), "has the shape 'general'"),
    (lambda joint: many.simulate(joint, 0.8, 2, "sprtp", 1, 10), "did you mean 'sprpt'"),
    (lambda joint: impatient.simulate(joint, 1.2, 2, "exponentail", "fcfs", 1, 10), "did you mean 'exponential'"),
    (lambda joint: srpt_upper("exponential", 1.0, 2), "load is 1.0"),
    (lambda joint: served_limit(joint, 1.2, "rank"), "unknown order of jobs 'rank'"),
    (lambda joint: erlang_a(2, 0.8, math.nan), "patience nan"),
]


@pytest.mark.parametrize(("call", "sentence"), BAD)
def test_bad_input_is_refused_in_one_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call(joint_law("exponential", "exact"))


def test_a_rank_that_is_not_a_number_is_refused_with_the_job_that_caused_it(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "SEES = ('predicted', 'age')\nSHAPE = 'falling'\n"
        "def rank(predicted, age):\n    return predicted if age < 2 else float('nan')\n"
    )
    with pytest.raises(InputError, match="not a number for predicted="):
        many.simulate(joint_law("exponential", "exact"), 0.9, 2, str(path), 1, 10_000)
