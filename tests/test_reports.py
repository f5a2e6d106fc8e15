"""Self-reported sizes: the run against the plain simulator, gains against theory, the search, and bad input."""

import math
from pathlib import Path

import numpy as np
import pytest
from openqueues import registry
from openqueues.models import mg1
from openqueues.models.errors import InputError
from openqueues.models.policies import policy as read_policy
from slow_queue import by_quantum

FOLDER = Path(__file__).parent.parent / "problems" / "self-reported-sizes" / "policies"
POINT = {"sizes": "exponential", "estimates": "exact", "load": 0.8, "strategic": 0.5}


@pytest.fixture(scope="module")
def problem():
    return registry.problem(registry.entry("self-reported-sizes"))


def own(name):
    stem, colon, parameters = name.partition(":")
    return str(FOLDER / f"{stem}.py") + colon + parameters


@pytest.mark.parametrize("name", ["punished", "punished:probability=0.4", "punished-remaining", "doubled"])
def test_every_job_ends_when_its_twin_does(name):
    from openqueues.models.queues import Server

    policy = read_policy(own(name))
    values = tuple(policy.parameters.values())
    names = {}
    exec(policy.source, names)
    rng = np.random.default_rng(4)
    gaps, sizes = rng.exponential(1.1, 40), rng.weibull(0.7, 40)
    reports = sizes * rng.choice([0.3, 1.0, 2.0], 40)

    def rank(size, predicted, arrival, age):
        columns = {"predicted": predicted, "arrival": arrival, "age": age} | policy.parameters
        return names["rank"](*(columns[argument] for argument in policy.arguments))

    expected = by_quantum(rank, np.cumsum(gaps), sizes, reports, 2e-4)
    server = Server(policy, values)
    done = np.concatenate([server.serve(gaps, sizes, reports).copy(), server.drain().copy()])
    assert np.allclose(done[np.argsort(done[:, 2]), 0], expected, atol=10 * 2e-4)


def test_a_truthful_run_is_the_plain_simulator(problem):
    for policy in ("pspjf", "sprpt", "fcfs"):
        system = problem._system(POINT | {"estimates": "exponential"}, policy, 7, 20_000)
        found = problem.reports.run(system, problem.reports.edges_of(system.joint), (problem.reports.TRUTH,) * 3)
        plain = mg1.simulate({"sizes": "exponential", "predictions": "exponential", "load": 0.8}, policy, 7, 20_000)
        for name in ("mean_response", "second_moment", "completed_share", "unstable"):
            assert getattr(found, name) == pytest.approx(plain[name], rel=1e-9)


def test_common_factors_leave_an_order_by_report_as_it_was(problem):
    system = problem._system(POINT | {"strategic": 1.0}, "pspjf", 3, 5000)
    edges = problem.reports.edges_of(system.joint)
    truth, halved = (problem.reports.run(system, edges, (factor,) * 3, factor) for factor in (4, 2))
    assert np.array_equal(truth.response, halved.response)


def test_a_lie_gains_what_the_formula_of_priorities_says(problem):
    """A job of size x with report r under PSPJF: E[T] = x/(1-load below r) + lambda m2(below r)/(2 (1-load)^2)."""
    system = problem._system(POINT | {"strategic": 0.05}, "pspjf", 11, 400_000)
    edges, factors = problem.reports.edges_of(system.joint), (problem.reports.TRUTH,) * 3
    quarter = problem.reports.FACTORS.index(0.25)
    law = system.joint.sizes
    x = law.ppf((np.arange(4000) + 0.5) / 4000)
    for tried, factor in ((None, 1.0), (quarter, 0.25)):
        found = problem.reports.run(system, edges, factors, tried)
        below = 1 - 0.8 * law.partial_moment(1, factor * x)
        expected = x / below + 0.8 * law.partial_moment(2, factor * x) / (2 * below**2)
        for band, part in ((0, x < edges[0]), (2, x >= edges[1])):
            mine = found.response[found.band == band]
            # The testers' own reports move the queue by less than a percent.
            width = 3.5 * mine.std() / math.sqrt(len(mine)) + 0.01 * expected[part].mean()
            assert abs(mine.mean() - expected[part].mean()) < width


def test_trust_is_a_race_to_the_bottom_and_punishment_ends_it_when_estimates_are_exact(problem):
    trusting = problem.simulate(POINT, "pspjf", 1, 8000)
    assert trusting["equilibrium"] == 1.0
    assert trusting["truth_gain"] > 0.5
    assert trusting["factor_long"] == problem.reports.FACTORS[0]
    assert trusting["honest_response"] > trusting["truthful_response"] * 1.3
    punished = problem.simulate(POINT, own("punished"), 1, 8000)
    assert punished["truth_gain"] == punished["gain"] == 0.0
    assert punished["mean_response"] == punished["truthful_response"]
    noisy = problem.simulate(POINT | {"estimates": "lognormal:sigma=0.5"}, own("punished"), 1, 8000)
    assert noisy["truth_gain"] > 0.5
    assert noisy["factor_short"] > 1.0


def test_a_cycle_is_found_and_a_last_state_told(problem, monkeypatch):
    reports = problem.reports
    state = reports.Run(1.0, 2.0, 3.0, 1.0, 0.0, np.zeros(0, int), np.zeros(0))

    def moves(gain_of):
        def deviations(system, edges, factors):
            gains = np.zeros((3, len(reports.FACTORS)))
            for factor, gain in gain_of(factors).items():
                gains[0, factor] = gain
            return gains, gains > 0, state

        return deviations

    system = problem._system(POINT, "pspjf", 1, 10)
    monkeypatch.setattr(reports, "deviations", moves(lambda factors: {0: 0.5} if factors[0] == 4 else {4: 0.2}))
    gain_from_truth, _, factors, gain, runs = reports.search(system)
    assert (gain_from_truth, factors[0], gain, len(runs)) == (0.5, 0, 0.2, 2)
    monkeypatch.setattr(reports, "deviations", moves(lambda factors: {0: 0.5} if factors[0] == 4 else {}))
    assert reports.search(system)[2:4] == ((0, 4, 4), 0.0)
    monkeypatch.setattr(reports, "deviations", moves(lambda factors: {0: 0.009}))
    assert reports.search(system)[0] == 0.0, "a gain of less than WORTH does not make a job deviate"


def test_the_same_seed_gives_the_same_numbers(problem):
    first, second = (problem.simulate(POINT, own("doubled"), 5, 2000) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("change", "jobs", "complaint"),
    [
        ({"load": 1.2}, 10, "load is 1.2"),
        ({"load": math.nan}, 10, "load is nan"),
        ({"strategic": -0.1}, 10, "share from 0 to 1"),
        ({"strategic": math.nan}, 10, "share from 0 to 1"),
        ({"estimates": "exat"}, 10, "did you mean 'exact'"),
        ({"honest": 1}, 10, "unknown parameter"),
        ({}, 0, "at least one job"),
    ],
)
def test_bad_points_are_refused(problem, change, jobs, complaint):
    with pytest.raises(InputError, match=complaint):
        problem.simulate(POINT | change, "pspjf", 1, jobs)
