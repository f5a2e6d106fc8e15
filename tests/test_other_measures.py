"""The entry other-measures: its sums against plain Python, closed forms, the best policies, bad input."""

import numpy as np
import pytest
import slow_queue
from openqueues import registry
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.queues.replication import chunks

ENTRY = registry.entry("other-measures")
PROBLEM = registry.problem(ENTRY)
SPTP = registry.policy_argument(ENTRY, "sptp")
POINT = {"sizes": "exponential", "predictions": "exponential", "load": 0.8}
RANKS = {
    SPTP: lambda size, predicted, arrival, age: max(size, 0.01) * (size - age),
    "sprpt": lambda size, predicted, arrival, age: predicted - age,
    "fcfs": lambda size, predicted, arrival, age: arrival,
}


@pytest.mark.parametrize("policy", RANKS, ids=["sptp", "sprpt", "fcfs"])
def test_the_measures_are_those_of_plain_python(policy):
    jobs = 1_500
    joint = joint_law(POINT["sizes"], POINT["predictions"])
    drawn = [np.array(rest) for _, *rest in chunks(joint, POINT["load"], 7, jobs // 10, jobs, True)]
    gaps, sizes, predictions = np.concatenate(drawn, axis=1)
    response = slow_queue.by_rank(RANKS[policy], list(np.cumsum(gaps)), list(sizes), list(predictions))
    t, x = np.array(response)[jobs // 10 :], sizes[jobs // 10 :]
    got = PROBLEM.measures(POINT, policy, 7, jobs)
    expected = {
        "mean": t.mean(),
        "second": (t**2).mean(),
        "slowdown": (t / np.maximum(x, 0.01)).mean(),
        "weighted": (x * t).sum() / x.sum(),
        "largest": t[x > np.log(100)].mean(),
    }
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-9), name
    # A quantile of few jobs lies between two of them.
    for name, q in (("p99", 0.99), ("p999", 0.999)):
        low, high = np.sort(t)[[int(q * jobs) - 3, min(int(q * jobs) + 2, jobs - 1)]]
        assert low * 0.995 <= got[name] <= high * 1.005, name


@pytest.mark.parametrize(("sizes", "second"), [("exponential", 2.0), ("weibull:shape=0.5", 6.0)])
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_first_come_first_served_has_closed_forms(sizes, second, load):
    """Weighted: the wait and E[X^2]. Slowdown: the wait and the size apart, over the size."""
    point = {"sizes": sizes, "predictions": "exponential", "load": load}
    runs = [PROBLEM.measures(point, "fcfs", seed, 100_000) for seed in range(8)]
    wait = load * second / (2 * (1 - load))
    law = joint_law(sizes, "exact").sizes
    x = law.ppf((np.arange(400_000) + 0.5) / 400_000)
    expected = {
        "weighted": wait + second,
        "slowdown": wait * (1 / np.maximum(x, 0.01)).mean() + (x / np.maximum(x, 0.01)).mean(),
        "largest": wait + x[x > law.ppf(0.99)].mean(),
    }
    for name, value in expected.items():
        found = np.array([run[name] for run in runs])
        error = found.std(ddof=1) / np.sqrt(len(found))
        assert abs(found.mean() - value) < 4.5 * error and error < 0.04 * value, name


@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
def test_the_best_policies_are_best_on_the_same_jobs(sizes):
    point = POINT | {"sizes": sizes}
    policies = ("srpt", SPTP, "pspjf", "bounce", "sprpt", "fcfs", "spjf")
    found = {policy: PROBLEM.measures(point, policy, 3, 200_000) for policy in policies}
    for measure, best in (("mean", "srpt"), ("slowdown", SPTP), ("weighted", "fcfs")):
        for policy in policies:
            assert found[best][measure] <= found[policy][measure] * (1 + 1e-3), (measure, policy)
    assert found["spjf"]["weighted"] == pytest.approx(found["fcfs"]["weighted"], rel=1e-3)


def test_exact_gives_the_mean_only_and_one_for_srpt():
    assert PROBLEM.exact(POINT, "srpt")["mean_to_srpt"] == (1.0, 0.0)
    assert PROBLEM.exact(POINT, SPTP) is None
    ratio, error = PROBLEM.exact(POINT, "pspjf")["mean_to_srpt"]
    assert ratio == pytest.approx(3.1943 / 2.3528, rel=1e-3) and error < 1e-6
    assert PROBLEM.simulate(POINT, "srpt", 1, 1_000)["slowdown_to_srpt"] == 1.0


@pytest.mark.parametrize(
    ("change", "jobs", "words"),
    [
        ({"load": 1.0}, 100, "above 0 and below 1"),
        ({"load": float("nan")}, 100, "above 0 and below 1"),
        ({"lod": 0.5}, 100, "did you mean 'load'"),
        ({"sizes": "exponental"}, 100, "did you mean 'exponential'"),
        ({}, 0, "at least one job"),
    ],
)
def test_bad_input(change, jobs, words):
    with pytest.raises(InputError, match=words):
        PROBLEM.simulate(POINT | change, "pspjf", 1, jobs)
