"""Jobs on several servers at once: the kernels against their slow twins, against other kernels and closed forms."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import slow_servers
from openqueues import registry
from openqueues.models.analysis import mean_response
from openqueues.models.analysis.servers import birth_death_response, equal_shares_response
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy
from openqueues.models.queues import malleable, simulate
from openqueues.models.queues import servers as many

FOLDER = Path(registry.problems_folder()) / "malleable-jobs" / "policies"
OWN = {name: str(FOLDER / f"{name}.py") for name in ("greedy", "efficient-first", "gain-per-size", "hesrpt")}
K = 6


def trace(seed, load=0.6, jobs=300):
    rng = np.random.default_rng(seed)
    gaps, sizes = rng.standard_exponential(jobs) / load, rng.standard_exponential(jobs)
    predictions = sizes * rng.standard_exponential(jobs)
    powers, guesses = rng.choice([0.4, 0.7, 1.0], (2, jobs))
    return gaps, sizes, predictions, powers, guesses


def kernel(spec, columns, servers=K, rule="", chunk=41):
    """Response times in order of arrival, fed in chunks."""
    chosen = policy(spec)
    pool = malleable.Pool(servers, chosen, tuple(map(float, chosen.parameters.values())), rule)
    done = [pool.serve(*(c[i : i + chunk] for c in columns)).copy() for i in range(0, len(columns[0]), chunk)]
    assert not pool.full
    done = np.concatenate([*done, pool.drain()])
    return done[np.argsort(done[:, 2], kind="stable"), 0]


def twin(deal, columns, powers, servers=K):
    return slow_servers.on_several(deal, np.cumsum(columns[0]).tolist(), columns[1].tolist(), powers.tolist(), servers)


def test_equal_shares():
    columns = trace(1)
    slow = twin(lambda present, age: dict.fromkeys(present, K / len(present)), columns, columns[3])
    np.testing.assert_allclose(kernel("ps", columns), slow, rtol=1e-9)


def test_all_servers_for_the_shortest():
    columns = trace(2, load=0.3)
    _, sizes, predictions, powers, _ = columns
    for spec, left in (("srpt", sizes), ("sprpt", predictions)):
        slow = twin(
            lambda present, age, left=left: {min(present, key=lambda job: left[job] - age[job]): K}, columns, powers
        )
        np.testing.assert_allclose(kernel(spec, columns), slow, rtol=1e-9)


@pytest.mark.parametrize("name", OWN)
def test_servers_go_to_the_highest_bids(name):
    columns = trace(3)
    _, _, predictions, powers, guesses = columns

    def gain(job, given):
        return 1.0 if given == 0 else (given + 1) ** guesses[job] - given ** guesses[job]

    def hesrpt(job, age, given, present):
        by_size = sorted(present, key=lambda other: predictions[other] - age[other])
        i, c = len(present) - by_size.index(job), 1 / max(1 - guesses[job], 0.01)
        return K * ((i / len(present)) ** c - ((i - 1) / len(present)) ** c) - given

    bids = {
        "greedy": lambda job, age, given, present: gain(job, given) - 1e-6 * guesses[job],
        "efficient-first": lambda job, age, given, present: (given + 1) ** (guesses[job] - 1) + 1e-6 * guesses[job],
        "gain-per-size": lambda job, age, given, present: (
            gain(job, given) * max(predictions[job] - age[job], 0.1 * predictions[job]) ** -0.03
        ),
        "hesrpt": hesrpt,
    }
    slow = twin(slow_servers.by_bids(bids[name], K), columns, powers)
    np.testing.assert_allclose(kernel(OWN[name], columns), slow, rtol=1e-7)


@pytest.mark.parametrize("rule", malleable.RULES)
@pytest.mark.parametrize("spec", ["fcfs", "srpt"])
def test_multiserver_jobs(rule, spec):
    gaps, sizes, predictions, *_ = trace(4, load=0.4)
    needs = np.random.default_rng(5).choice([1.0, 2.0, 4.0, 8.0], len(gaps))

    def rank(job, age):
        return sizes[job] - age[job] if spec == "srpt" else job

    columns = gaps, sizes, predictions, needs, needs
    slow = twin(slow_servers.by_rule(rank, needs, rule, 8), columns, np.ones(len(gaps)), 8)
    np.testing.assert_allclose(kernel(spec, columns, 8, rule), slow, rtol=1e-9)


@pytest.mark.parametrize("rule", malleable.RULES)
def test_jobs_that_need_one_server_are_served_as_by_many_servers(rule):
    joint = joint_law("weibull:shape=0.5", "exponential")
    for spec in ("fcfs", "sprpt"):
        packed = malleable.simulate_needs(joint, 0.8, 4, "1=1", rule, spec, 3, 20_000)
        plain = many.simulate(joint, 0.8, 4, spec, 3, 20_000)
        for metric in ("mean_response", "second_moment", "p99", "completed_share"):
            assert packed[metric] == pytest.approx(plain[metric], rel=1e-9)


def test_jobs_that_scale_perfectly_or_need_all_servers_make_one_server():
    joint = joint_law("exponential", "exponential")
    one = simulate(joint, 0.8, "sprpt", 3, 20_000)["mean_response"]
    scaled = malleable.simulate(joint, 0.8, 16, "1=1", 0.5, "sprpt", 3, 20_000)
    packed = malleable.simulate_needs(joint, 0.8, 16, "16=1", "in order", "sprpt", 3, 20_000)
    assert scaled["mean_response"] == pytest.approx(one, rel=1e-9)
    assert packed["mean_response"] == pytest.approx(one, rel=1e-9)
    assert scaled["efficiency"] == pytest.approx(1.0) and packed["efficiency"] == pytest.approx(1.0)


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_equal_shares_and_greed_obey_birth_and_death(load):
    joint, k, power = joint_law("exponential", "exact"), 4, 0.5
    n = np.arange(1, k + 1)
    dealt = (k % n) * (k // n + 1) ** power + (n - k % n) * (k // n) ** power
    exact = {"ps": equal_shares_response(k, load, power), OWN["greedy"]: birth_death_response(dealt / k, load)}
    jobs = {0.5: 30_000, 0.8: 60_000, 0.9: 150_000}[load]
    for spec, value in exact.items():

        def less_its_control(seed, spec=spec):
            # The same jobs at one server, first come first served, whose mean is known.
            run = malleable.simulate(joint, load, k, f"{power}=1", 0.0, spec, seed, jobs)["mean_response"]
            return run - simulate(joint, load, "fcfs", seed, jobs)["mean_response"] + 1 / (1 - load)

        with ThreadPoolExecutor(2) as pool:
            runs = np.array(list(pool.map(less_its_control, range(16))))
        error = runs.std(ddof=1) / 4
        assert abs(runs.mean() - value) <= 4 * error < 0.025 * value


def test_no_policy_is_faster_than_one_pooled_server():
    joint = joint_law("weibull:shape=0.5", "exact")
    bound = mean_response(joint, 0.7, "srpt").mean_response
    for spec in ("ps", *OWN.values()):
        run = malleable.simulate(joint, 0.7, 8, "0.5=0.5,0.9=0.5", 0.0, spec, 1, 30_000)
        assert run["mean_response"] > bound and run["unstable"] == 0.0
        assert 0.7 < run["efficiency"] <= 1.0 and run["busy"] <= 1.0
    filled = malleable.simulate_needs(joint, 0.9, 8, "1=0.5,8=0.5", "server filling", "srpt", 1, 30_000)
    assert filled["mean_response"] > mean_response(joint, 0.9, "srpt").mean_response


def test_wrong_powers_cost_greed_something_and_equal_shares_nothing():
    joint = joint_law("exponential", "exact")

    def run(error, spec):
        return malleable.simulate(joint, 0.7, 16, "0.3=0.5,1=0.5", error, spec, 2, 40_000)["mean_response"]

    assert run(1.0, "ps") == run(0.0, "ps")
    assert run(1.0, OWN["greedy"]) > 1.02 * run(0.0, OWN["greedy"])


def test_a_system_that_fills_up_ends_as_unstable():
    joint = joint_law("exponential", "exact")
    run = malleable.simulate(joint, 0.9, 16, "0.5=1", 0.0, "srpt", 1, 50_000)
    assert run["unstable"] == 1.0 and run["completed_share"] < 0.9
    assert malleable.simulate_needs(joint, 0.9, 8, "1=0.5,8=0.5", "in order", "fcfs", 1, 50_000)["unstable"] == 1.0


def test_the_same_seed_gives_the_same_numbers_in_any_thread():
    joint = joint_law("exponential", "exponential")

    def run(seed):
        return malleable.simulate(joint, 0.7, 4, "0.5=0.5,0.9=0.5", 0.2, OWN["greedy"], seed, 20_000)

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(4))) == alone


def call(**given):
    usual = {"load": 0.5, "servers": 4, "powers": "0.5=1", "error": 0.0, "policy": "ps", "seed": 1, "jobs": 100}
    malleable.simulate(joint_law("exponential", "exact"), **(usual | given))


def call_needs(**given):
    usual = {"load": 0.5, "servers": 4, "needs": "1=1", "rule": "first fit", "policy": "fcfs", "seed": 1, "jobs": 9}
    malleable.simulate_needs(joint_law("exponential", "exact"), **(usual | given))


BAD = [
    (call, {"powers": "0.5=0.4,0.9=0.4"}, "add to 0.8: they must add to 1"),
    (call, {"powers": "1.5=1"}, "value '1.5': it must be a number above 0 and at most 1"),
    (call, {"powers": "nan=1"}, "value 'nan'"),
    (call, {"powers": "half=1"}, "value 'half'"),
    (call, {"powers": "0.5"}, "write key=value"),
    (call, {"powers": "0.5=some,0.9=0.5"}, "probability some"),
    (call, {"error": 1.5}, "error is 1.5"),
    (call, {"error": math.nan}, "error is nan"),
    (call, {"servers": 0}, "servers is 0"),
    (call, {"load": -1}, "load is -1"),
    (call, {"policy": "las"}, "has the shape 'general'"),
    (call_needs, {"needs": "3=1"}, "a power of two up to 4"),
    (call_needs, {"servers": 6}, "take a power of two"),
    (call_needs, {"rule": "first-fit"}, "did you mean 'first fit'"),
    (call_needs, {"rule": ""}, "unknown rule"),
    (call_needs, {"policy": "ps"}, "ranks of the shape 'falling'"),
]


@pytest.mark.parametrize(("function", "given", "sentence"), BAD)
def test_bad_input_is_refused_in_one_sentence(function, given, sentence):
    with pytest.raises(InputError, match=sentence):
        function(**given)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("float('nan')", "decide must return a number"),
        ("-float('inf')", "leaves every server idle"),
        ("given + 'much'", "cannot be compiled"),
    ],
)
def test_a_decision_that_is_no_bid_is_refused(body, sentence, tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(f"SEES = ('given',)\nSHAPE = 'decision'\ndef decide(given):\n    return {body}\n")
    with pytest.raises(InputError, match=sentence):
        call(policy=str(path))


def test_a_decision_that_looks_at_what_there_is_not_is_refused(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("SEES = ('queue',)\nSHAPE = 'decision'\ndef decide(queue):\n    return queue\n")
    with pytest.raises(InputError, match="unknown column in SEES of policy 'bad' 'queue'"):
        call(policy=str(path))
