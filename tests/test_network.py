"""Networks of stations: the kernel against its slow twin, closed forms, stability, bounds and optima."""

from pathlib import Path

import numpy as np
import pytest
import slow_network
from openqueues.models import policies
from openqueues.models.errors import InputError
from openqueues.models.queues import network, network_jobs, shop

FOLDER = Path(__file__).parents[1] / "problems" / "multi-stage-networks" / "policies"
ALL = ("arrival", "ready", "stage", "station", "size", "predicted", "work", "remaining_work", "path", "remaining_path")
ALL += ("job_path", "attained", "age", "stages_left")


def own(name):
    return policies.policy(f"{FOLDER / name}.py")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A policy whose rank moves with every column."""
    file = tmp_path_factory.mktemp("policies") / "mixed.py"
    terms = " + ".join(f"{0.1 + 0.37 * k % 1:.2f} * {name}" for k, name in enumerate(ALL) if name != "attained")
    text = f'"""Everything."""\n\nSEES = {ALL!r}\nSHAPE = "decision"\nPARAMETERS = {{"weight": 0.4}}\n\n\n'
    file.write_text(text + f"def decide({', '.join(ALL)}, weight):\n    return {terms} - weight * attained\n")
    return policies.policy(str(file))


def random_jobs(rng, stations=3):
    """Up to 9 jobs of up to 5 stages, linked at random; sizes on a grid or not, so that ties occur."""
    n = int(rng.integers(1, 10))
    counts = rng.integers(1, 6, n)
    links = [
        [(a, b) for b in range(count) for a in range(b) if rng.random() < rng.choice([0.2, 0.7])] for count in counts
    ]
    coarse = rng.random() < 0.3
    size = [rng.integers(1, 4, c).astype(float) if coarse else rng.exponential(size=c) + 1e-3 for c in counts]
    predicted = [one * rng.lognormal(0, rng.choice([0.0, 1.0]), len(one)) for one in size]
    arrival = np.cumsum(rng.integers(0, 4, n).astype(float) if coarse else rng.exponential(1.0, n))
    return network.jobs(arrival, [rng.integers(0, stations, c) for c in counts], size, predicted, links)


def pairs_of(jobs):
    return [
        (v, int(w)) for v in range(len(jobs.size)) for w in jobs.after[jobs.after_first[v] : jobs.after_first[v + 1]]
    ]


@pytest.mark.parametrize("preempt", [True, False])
def test_the_kernel_equals_the_slow_network(mixed, preempt):
    rng = np.random.default_rng(7 + preempt)
    preempted = 0
    chosen = [mixed, own("srpt-work"), own("first-ready")]
    for turn in range(80):
        jobs, policy = random_jobs(rng), chosen[turn % 3]
        servers = rng.integers(1, 3, 3)
        scope = {}
        exec(policy.source, scope)
        weight = tuple(policy.parameters.values())

        def decide(*values, scope=scope, weight=weight):
            return scope["decide"](*values, *weight)

        finish, work, preemptions = slow_network.serve(
            *(values.tolist() for values in (jobs.arrival, jobs.first, jobs.station, jobs.size, jobs.predicted)),
            pairs_of(jobs),
            servers.tolist(),
            decide,
            policy.sees,
            preempt,
        )
        served = network.serve_network(jobs, servers, policy, preempt)
        np.testing.assert_allclose(served.finish, finish, rtol=1e-9)
        np.testing.assert_allclose(served.work, work, rtol=1e-9, atol=1e-9)
        assert served.preemptions == preemptions
        preempted += preemptions
    assert (preempted > 30) == preempt


def test_a_fork_and_a_join_by_hand():
    # 0 (1) forks to 1 (2, station 1) and 2 (5, station 2), which join in 3 (1): the critical path is 1 + 5 + 1.
    jobs = network.jobs([2.0], [[0, 1, 2, 0]], [[1, 2, 5, 1]], [[1, 2, 5, 1]], [[(0, 1), (0, 2), (1, 3), (2, 3)]])
    served = network.serve_network(jobs, [1, 1, 1], own("first-ready"))
    assert served.finish.tolist() == [3, 5, 8, 9] and served.response.tolist() == [7]
    assert network.path_lengths(jobs).tolist() == [7]
    assert network.response_bounds(jobs, [1, 1, 1]).tolist() == pytest.approx([7, 2, 4, 7])


@pytest.mark.parametrize(
    "family, load, exact",
    [("tandem", 0.5, 4.0), ("pair", 0.5, 2.875), ("pair", 0.8, 7.0), ("returning", 0.6, 1.5 + 3 / 7)],
)
def test_first_come_first_served_has_its_closed_form(family, load, exact):
    means = []
    for seed in range(8):
        jobs = network_jobs.drawn(family, "exponential", "exact", load, 60_000, seed)
        means.append(network.serve_network(jobs, network_jobs.servers_of(family), own("first-ready")).response.mean())
    error = np.std(means, ddof=1) / 8**0.5
    assert error < 0.02 * exact
    assert np.mean(means) == pytest.approx(exact, abs=4 * error)


def test_several_servers_are_erlangs():
    """M/M/2 of load 0.8: mean response 1 / (1 - 0.8^2)."""
    means = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        arrival, size = np.cumsum(rng.exponential(1 / 1.6, 40_000)), rng.exponential(size=40_000)
        zero = np.zeros(40_000, np.int64)
        jobs = network.Jobs(arrival, np.arange(40_001), zero, size, size, np.zeros(40_001, np.int64), zero[:0])
        means.append(network.serve_network(jobs, [2], own("first-ready")).response.mean())
    error = np.std(means, ddof=1) / 8**0.5
    assert error < 0.05 and np.mean(means) == pytest.approx(1 / 0.36, abs=4 * error)


@pytest.mark.parametrize("sizes", ["exponential", "deterministic"])
def test_exit_priority_is_unstable_in_the_crossed_network_at_the_rate_of_its_fluid_limit(sizes):
    """Loads are 0.9 at both stations, but the two second stages keep each other waiting: 0.6 + 0.6 > 1.

    In the fluid limit each cycle has 1.5 times the jobs of the one before, and the work in the network divided by
    the time goes to and fro between 0.2375 and 0.3 for ever (in units of the work that a job brings, 3, at 0.6 jobs
    per unit of time).
    """
    jobs = network_jobs.drawn("crossed", sizes, "exact", 0.9, 200_000, 5)
    servers = network_jobs.servers_of("crossed")
    work = network.serve_network(jobs, servers, own("lbfs")).work / jobs.arrival
    assert work[100_000:].min() == pytest.approx(0.2375, abs=0.01)
    assert work[100_000:].max() == pytest.approx(0.3, abs=0.01)
    for stable in ("first-ready", "fbfs", "shortest-stage"):
        assert network.serve_network(jobs, servers, own(stable)).work[-1] < 0.003 * jobs.arrival[-1]


def test_no_policy_beats_the_bounds_and_one_station_attains_its_own():
    for family in ("crossed", "reentrant", "fork-join", "agents"):
        jobs = network_jobs.drawn(family, "weibull:shape=0.5", "exact", 0.7, 2_000, 3)
        servers = network_jobs.servers_of(family)
        bounds = network.response_bounds(jobs, servers)
        sums = [network.serve_network(jobs, servers, own(p)).response.sum() for p in ("srpt-path", "stage-and-path")]
        assert len(bounds) == 1 + len(servers) and min(sums) > max(bounds)
    # With a station that is all of the network, shortest remaining processing time is the bound.
    size = np.random.default_rng(1).exponential(size=500)
    zero = np.zeros(501, np.int64)
    alone = network.Jobs(np.arange(500.0), np.arange(501), zero[:500], size, size, zero, zero[:0])
    served = network.serve_network(alone, [1], own("srpt-work"))
    assert served.response.sum() == pytest.approx(network.response_bounds(alone, [1])[1], rel=1e-12)


def integer_program(jobs):
    """The least sum of response times by HiGHS, with an order variable for each two stages of a station."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    stages, n = len(jobs.size), len(jobs)
    pairs = [(v, w) for v in range(stages) for w in range(v + 1, stages) if jobs.station[v] == jobs.station[w]]
    columns = stages + n + len(pairs)  # begin of each stage, end of each job, whether v goes before w
    big = float(jobs.arrival[-1] + jobs.size.sum())
    rows, low = [], []

    def at_least(value, *terms):
        row = np.zeros(columns)
        for column, factor in terms:
            row[column] = factor
        rows.append(row)
        low.append(value)

    for v in range(stages):
        at_least(jobs.arrival[jobs.job[v]], (v, 1))
        at_least(jobs.size[v], (stages + jobs.job[v], 1), (v, -1))
    for v, w in pairs_of(jobs):
        at_least(jobs.size[v], (w, 1), (v, -1))
    for k, (v, w) in enumerate(pairs):
        at_least(jobs.size[v] - big, (w, 1), (v, -1), (stages + n + k, -big))
        at_least(jobs.size[w], (v, 1), (w, -1), (stages + n + k, big))
    cost = np.zeros(columns)
    cost[stages : stages + n] = 1
    order = np.arange(columns) >= stages + n
    solved = milp(
        cost,
        constraints=LinearConstraint(np.array(rows), low, np.inf),
        integrality=order,
        bounds=Bounds(0, np.where(order, 1, np.inf)),
        options={"mip_rel_gap": 0.0},
    )
    assert solved.status == 0
    return solved.fun - jobs.arrival.sum()


def test_the_optimum_is_that_of_an_integer_program():
    rng = np.random.default_rng(11)
    for _ in range(4):
        n = 3
        counts = rng.integers(1, 4, n)
        links = [[(0, b) for b in range(1, count)] for count in counts]
        size = [rng.exponential(size=count) for count in counts]
        jobs = network.jobs(
            np.cumsum(rng.exponential(0.3, n)), [rng.integers(0, 2, c) for c in counts], size, size, links
        )
        best = shop.optimum(jobs)
        assert best.proven and best.total == pytest.approx(integer_program(jobs), rel=1e-6)
        ends = np.maximum.reduceat(best.finish, jobs.first[:-1])
        assert (ends - jobs.arrival).sum() == pytest.approx(best.total)


def test_the_optimum_keeps_the_rules_and_is_never_beaten():
    rng = np.random.default_rng(13)
    for _ in range(60):
        jobs = random_jobs(rng, 2)
        if len(jobs) > 4 or len(jobs.size) > 14:
            continue
        best = shop.optimum(jobs)
        begin = best.finish - jobs.size
        assert best.proven and np.all(begin >= jobs.arrival[jobs.job] - 1e-9)
        assert all(begin[w] >= best.finish[v] - 1e-9 for v, w in pairs_of(jobs))
        for at in (0, 1):
            here = np.flatnonzero(jobs.station == at)
            order = here[np.argsort(begin[here])]
            assert np.all(begin[order[1:]] >= best.finish[order[:-1]] - 1e-9)
        for name in ("first-ready", "srpt-work", "stage-and-path"):
            assert network.serve_network(jobs, [1, 1], own(name), False).response.sum() >= best.total * (1 - 1e-9)
        assert network.response_bounds(jobs, [1, 1]).max() <= best.total * (1 + 1e-9)


@pytest.mark.slow
def test_the_optimum_is_that_of_the_integer_program_for_families():
    for family in ("crossed", "chain", "fork-join"):
        for seed in range(6):
            jobs = network_jobs.drawn(family, "exponential", "exact", 10.0, 4, seed)
            assert shop.optimum(jobs).total == pytest.approx(integer_program(jobs), rel=1e-6)


@pytest.mark.parametrize("family", ["chain", "reentrant", "fork-join", "agents", "crossed"])
def test_a_family_has_its_load_and_its_form(family):
    jobs = network_jobs.drawn(family, "exponential", "lognormal:sigma=1", 0.8, 20_000, 2)
    servers = network_jobs.servers_of(family)
    loads = np.bincount(jobs.station, jobs.size) / servers / jobs.arrival[-1]
    assert loads.max() == pytest.approx(0.8, rel=0.03)
    error = np.log(jobs.predicted / jobs.size)
    assert error.std() == pytest.approx(1, rel=0.02)
    assert np.all(jobs.job[jobs.after] == jobs.job[np.repeat(np.arange(len(jobs.size)), np.diff(jobs.after_first))])
    assert network_jobs.drawn(family, "exponential", "exact", 0.8, 50, 2).arrival[-1] < jobs.arrival[-1]


def test_what_makes_no_sense_is_said():
    jobs = network_jobs.drawn("chain", "exponential", "exact", 0.5, 5, 1)
    with pytest.raises(InputError, match="station 1"):
        network.serve_network(jobs, [1], own("first-ready"))
    with pytest.raises(InputError, match="at least 1"):
        network.serve_network(jobs, [1, 0, 1], own("first-ready"))
    with pytest.raises(InputError, match="'decision'"):
        network.serve_network(jobs, [1, 1, 1], "srpt")
    with pytest.raises(InputError, match="family of jobs 'chian': did you mean 'chain'"):
        network_jobs.drawn("chian", "exponential", "exact", 0.5, 5, 1)
    with pytest.raises(InputError, match="load is 0"):
        network_jobs.drawn("chain", "exponential", "exact", 0, 5, 1)
    with pytest.raises(InputError, match="a predecessor comes before"):
        network.jobs([0.0], [[0, 0]], [[1, 1]], [[1, 1]], [[(1, 0)]])
    with pytest.raises(InputError, match="positive"):
        network.jobs([0.0], [[0]], [[0.0]], [[1]], [[]])
    many = network_jobs.drawn("chain", "exponential", "exact", 0.5, 30, 1)
    with pytest.raises(InputError, match="90 stages"):
        shop.optimum(many)


def test_a_rank_that_is_no_number_is_said(tmp_path):
    file = tmp_path / "own.py"
    text = '"""A policy."""\n\nSEES = ("ready",)\nSHAPE = "decision"\n\n\ndef decide(ready):\n    return ready\n'
    jobs = network_jobs.drawn("chain", "exponential", "exact", 0.5, 5, 1)
    file.write_text(text.replace("return ready", "return (ready - ready) / 0.0"))
    with pytest.raises(InputError, match="must return a rank"):
        network.serve_network(jobs, [1, 1, 1], policies.policy(str(file)))
    file = tmp_path / "another.py"
    file.write_text(text.replace("ready", "redy"))
    with pytest.raises(InputError, match="did you mean 'ready'"):
        network.serve_network(jobs, [1, 1, 1], policies.policy(str(file)))
