"""The single-server kernels serve every job exactly when their slow, obvious twins do."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import slow_queue
from openqueues.models.errors import InputError
from openqueues.models.exponential import fill_exponential
from openqueues.models.laws import joint_law
from openqueues.models.policies import names, policy
from openqueues.models.queues import Server, simulate

JOBS = 400
JOINT = joint_law("exponential", "exponential")


def trace(seed, load=0.9, jobs=JOBS, ties=False):
    rng = np.random.default_rng(seed)
    gaps = rng.standard_exponential(jobs) / load
    sizes = rng.standard_exponential(jobs)
    predictions = sizes * rng.standard_exponential(jobs)
    if ties:
        predictions = np.ceil(predictions)
    return gaps, sizes, predictions


def kernel_response(spec, theta, gaps, sizes, predictions, chunk=97):
    """Response times in order of arrival, served in chunks that have nothing to do with the busy periods."""
    server = Server(policy(spec), theta)
    done = [
        server.serve(*(column[first : first + chunk] for column in (gaps, sizes, predictions))).copy()
        for first in range(0, len(gaps), chunk)
    ]
    done = np.concatenate([*done, server.drain()])
    assert len(done) == len(gaps)
    done = done[np.argsort(done[:, 2], kind="stable")]
    np.testing.assert_array_equal(done[:, 1], sizes)
    return done[:, 0]


FALLING = {
    "fcfs": lambda s, p, t, a: t,
    "lcfs": lambda s, p, t, a: -t,
    "sjf": lambda s, p, t, a: s if a == 0 else -math.inf,
    "psjf": lambda s, p, t, a: s,
    "srpt": lambda s, p, t, a: s - a,
    "spjf": lambda s, p, t, a: p if a == 0 else -math.inf,
    "pspjf": lambda s, p, t, a: p,
    "sprpt": lambda s, p, t, a: p - a,
}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", FALLING)
def test_falling_ranks_serve_each_job_as_the_slow_twin_does(name, ties):
    gaps, sizes, predictions = trace(1, ties=ties)
    slow = slow_queue.by_rank(FALLING[name], np.cumsum(gaps).tolist(), sizes.tolist(), predictions.tolist())
    np.testing.assert_allclose(kernel_response(name, (), gaps, sizes, predictions), slow, rtol=1e-9)


def one_bit(column, threshold, preemptive):
    def rank(s, p, t, a):
        short = (s if column == "size" else p) < threshold
        if preemptive:
            return (0, -t) if short else (1, 0)
        return (-1, 0) if a > 0 else (int(not short), 0)

    return rank


@pytest.mark.parametrize("preemptive", [True, False])
@pytest.mark.parametrize(("name", "column"), [("onebit", "predicted"), ("onebit-true", "size")])
def test_one_bit_serves_each_job_as_the_slow_twin_does(name, column, preemptive):
    gaps, sizes, predictions = trace(2)
    slow = slow_queue.by_rank(
        one_bit(column, 1.2, preemptive), np.cumsum(gaps).tolist(), sizes.tolist(), predictions.tolist()
    )
    fast = kernel_response(name, (1.2, float(preemptive)), gaps, sizes, predictions)
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


@pytest.mark.parametrize("preemptive", [True, False])
def test_k_bits_serve_each_job_as_the_slow_twin_does(preemptive):
    thresholds = np.array([0.3, 0.9, 2.0])

    def rank(s, p, t, a):
        bucket = int(np.searchsorted(thresholds, p, side="right"))
        if preemptive:
            return (bucket, -t if bucket < 3 else t)
        return (-1, 0) if a > 0 else (bucket, 0)

    gaps, sizes, predictions = trace(3)
    slow = slow_queue.by_rank(rank, np.cumsum(gaps).tolist(), sizes.tolist(), predictions.tolist())
    spec = f"kbit:preemptive={str(preemptive).lower()}"
    fast = kernel_response(spec, (2.0, thresholds, float(preemptive)), gaps, sizes, predictions)
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


def test_one_bit_is_k_bits_with_one_threshold():
    gaps, sizes, predictions = trace(4)
    bit = kernel_response("onebit", (0.8, 1.0), gaps, sizes, predictions)
    bits = kernel_response("kbit", (1.0, np.array([0.8]), 1.0), gaps, sizes, predictions)
    np.testing.assert_array_equal(bit, bits)


def test_least_attained_service_shares_among_the_youngest():
    def share(age):
        youngest = min(age.values())
        tied = [job for job in age if age[job] <= youngest + 1e-11]
        return {job: 1 / len(tied) if job in tied else 0.0 for job in age}

    gaps, sizes, predictions = trace(5)
    slow = slow_queue.by_sharing(share, np.cumsum(gaps).tolist(), sizes.tolist())
    np.testing.assert_allclose(kernel_response("las", (), gaps, sizes, predictions), slow, rtol=1e-7)


def test_processor_sharing_shares_among_all():
    gaps, sizes, predictions = trace(6)
    slow = slow_queue.by_sharing(lambda age: dict.fromkeys(age, 1 / len(age)), np.cumsum(gaps).tolist(), sizes.tolist())
    np.testing.assert_allclose(kernel_response("ps", (), gaps, sizes, predictions), slow, rtol=1e-9)


RISING = {
    "bounce": (None, lambda s, p, t, a: min(abs(p - a), p)),
    # A rank that jumps up when the prediction is outlived: stages, as in policies that pay for predictions.
    "stages": (
        "def rank(predicted, age):\n    return predicted - age if age < predicted else predicted + 2.0\n"
        "def turn(predicted, age):\n    return predicted if age < predicted else math.inf\n",
        lambda s, p, t, a: p - a if a < p else p + 2.0,
    ),
    # Jobs that rise at different, non-constant paces: the shares are unequal and found by root search.
    "curved": (
        "def rank(predicted, age):\n    return predicted * (age + age * age)\n"
        "def turn(predicted, age):\n    return math.inf\n",
        lambda s, p, t, a: p * (a + a * a),
    ),
    # Up and down: a saw tooth of period one, jumping down at its end.
    "saw": (
        "def rank(predicted, age):\n    return predicted + age - math.floor(age)\n"
        "def turn(predicted, age):\n    return math.floor(age) + 1.0\n",
        lambda s, p, t, a: p + a - math.floor(a),
    ),
}


def test_ranks_that_rise_to_a_waiting_jobs_and_stay_there_leave_the_tie_to_arrival():
    # Predictions of three values: a bounced job rises to the rank of the waiting ones of its own class.
    gaps, sizes, predictions = trace(8, load=0.8, jobs=150)
    predictions = np.array([0.1, 0.49467490757109506, 1.2269108706225298])[np.searchsorted([0.3, 0.8], predictions)]
    fast = kernel_response("bounce", (), gaps, sizes, predictions)
    arrivals = np.cumsum(gaps).tolist()
    rank = RISING["bounce"][1]
    slow = slow_queue.by_quantum(rank, arrivals, sizes.tolist(), predictions.tolist(), 1e-3)
    assert np.abs(np.array(slow) - fast).max() < 0.05


@pytest.mark.parametrize("name", RISING)
def test_general_ranks_approach_the_twin_that_serves_by_small_quanta(name, tmp_path):
    source, rank = RISING[name]
    spec = name
    if source:
        spec = str(tmp_path / f"{name}.py")
        header = "import math\nSEES = ('predicted', 'age')\nSHAPE = 'general'\n"
        (tmp_path / f"{name}.py").write_text(header + source)
    gaps, sizes, predictions = trace(7, load=0.7, jobs=60)
    arrivals = np.cumsum(gaps).tolist()
    fast = kernel_response(spec, (), gaps, sizes, predictions, chunk=13)
    coarse, fine = (
        np.array(slow_queue.by_quantum(rank, arrivals, sizes.tolist(), predictions.tolist(), quantum))
        for quantum in (2e-3, 2.5e-4)
    )
    # Eight times finer quanta must come closer to the kernel: it is the limit, not just near.
    assert np.abs(fine - fast).max() < 0.01
    assert np.abs(fine - fast).sum() < 0.4 * np.abs(coarse - fast).sum() + 1e-9


def test_ranks_that_order_jobs_alike_serve_them_alike(tmp_path):
    # The age and its square: one group rises in straight lines, the other in curves found by root search.
    path = tmp_path / "curved.py"
    path.write_text(
        "import math\nSEES = ('age',)\nSHAPE = 'general'\ndef rank(age):\n    return age * age\n"
        "def turn(age):\n    return math.inf\n"
    )
    straight, curved = (simulate(JOINT, 0.95, spec, seed=4, jobs=200_000) for spec in ("las", str(path)))
    assert straight == pytest.approx(curved, rel=1e-7)


RANKED = [name for name in names() if policy(name).shape != "decision" and not policy(name).parameters]


@pytest.mark.parametrize("spec", RANKED)
def test_work_is_conserved_and_number_obeys_littles_law(spec):
    result = simulate(JOINT, 0.8, spec, seed=11, jobs=100_000)
    other = simulate(JOINT, 0.8, "fcfs", seed=11, jobs=100_000)
    assert result["mean_work"] == pytest.approx(other["mean_work"], rel=1e-9)
    # The window of time cuts through a few jobs at its two ends, which the count of jobs does not.
    assert result["mean_number"] / 0.8 == pytest.approx(result["mean_response"], rel=5e-3)
    assert result["completed_share"] > 0.999
    assert result["unstable"] == 0.0


def test_quantiles_and_moments_are_those_of_the_response_times():
    joint, jobs = joint_law("weibull:shape=0.5", "exponential"), 50_000
    result = simulate(joint, 0.7, "sprpt", seed=5, jobs=jobs)
    from openqueues.models.queues.replication import chunks

    server, done, started = Server(policy("sprpt")), [], 0.0
    for counted, *columns in chunks(joint, 0.7, 5, jobs // 10, jobs, True):
        done.append(server.serve(*columns).copy())
        started = started if counted else server.now
    done = np.concatenate([*done, server.drain()])
    done = done[done[:, 2] > started]
    assert len(done) == jobs
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        assert result[name] == pytest.approx(np.quantile(done[:, 0], q), rel=4e-3)
    assert result["mean_response"] == pytest.approx(done[:, 0].mean(), rel=1e-12)
    assert result["second_moment"] == pytest.approx((done[:, 0] ** 2).mean(), rel=1e-12)
    assert result["mean_slowdown"] == pytest.approx((done[:, 0] / done[:, 1]).mean(), rel=1e-12)


@pytest.mark.parametrize("spec", ["fcfs", "srpt", "las", "ps"])
def test_an_overloaded_system_is_flagged_and_a_stable_one_is_not(spec):
    overloaded = simulate(JOINT, 1.2, spec, seed=1, jobs=20_000)
    assert overloaded["unstable"] == 1.0
    assert overloaded["completed_share"] < 0.99
    assert simulate(JOINT, 0.95, spec, seed=1, jobs=20_000)["unstable"] == 0.0


@pytest.mark.parametrize("load", [0.8, 1.5])
def test_lindleys_recursion_gives_what_the_ranked_kernel_gives(load, tmp_path):
    path = tmp_path / "oldest.py"
    path.write_text("SEES = ('arrival',)\nSHAPE = 'falling'\ndef rank(arrival):\n    return arrival\n")
    joint = joint_law("weibull:shape=0.5", "exact")
    ranked, lindley = (simulate(joint, load, spec, seed=8, jobs=60_000) for spec in (str(path), "fcfs"))
    assert lindley["completed_share"] == ranked["completed_share"] < 1.0
    # Lindley's recursion counts the time in system of the jobs that are still there, too.
    del lindley["mean_number"], ranked["mean_number"]
    assert lindley == pytest.approx(ranked, rel=1e-9)


def test_the_same_seed_gives_the_same_numbers_in_any_thread():
    def run(seed):
        return simulate(JOINT, 0.8, "sprpt", seed, 30_000)

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(4))) == alone


def test_exponential_draws_are_numpys_bits_and_leave_the_stream_where_numpy_would():
    ours, numpys = (np.random.Generator(np.random.PCG64(9)) for _ in range(2))
    for n in (1, 10, 100_000):
        np.testing.assert_array_equal(fill_exponential(ours, np.empty(n)), numpys.standard_exponential(n))
    assert ours.random() == numpys.random()


def test_policies_are_compared_on_the_same_jobs():
    specs = ("fcfs", "bounce", "srpt")
    work = [simulate(JOINT, 0.8, spec, seed=3, jobs=20_000)["mean_work"] for spec in specs]
    assert work == pytest.approx([work[0]] * 3, rel=1e-9)


def test_a_rank_that_is_not_a_number_is_refused_with_the_job_that_caused_it(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "SEES = ('predicted',)\nSHAPE = 'falling'\n"
        "def rank(predicted):\n    return predicted if predicted < 2 else float('nan')\n"
    )
    with pytest.raises(InputError, match="not a number for predicted="):
        simulate(JOINT, 0.8, str(path), 1, 10_000)
