"""The kernel of policies that look at the whole state serves every job exactly when its slow twin does."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import slow_choosing
from openqueues.models import queues
from openqueues.models.analysis import mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy
from openqueues.models.queues.choosing import COLUMNS, Chooser, simulate

JOINT = joint_law("exponential", "exponential")
GATED = Path(__file__).parents[1] / "problems" / "queue-gated" / "policies" / "gated.py"


def file(folder, name, sees, body, parameters=""):
    path = folder / f"{name}.py"
    names = ", ".join([*sees, *(part.partition("=")[0] for part in parameters.split(",") if part)])
    given = ", ".join(f"'{part.partition('=')[0]}': {part.partition('=')[2]}" for part in parameters.split(",") if part)
    path.write_text(
        f'"""A policy."""\nimport math\nSEES = {tuple(sees)!r}\nSHAPE = "decision"\nPARAMETERS = {{{given}}}\n'
        f"def decide({names}):\n    return {body}\n"
    )
    return str(path)


def trace(seed, load=0.9, jobs=400):
    rng = np.random.default_rng(seed)
    gaps, sizes = rng.standard_exponential((2, jobs))
    return gaps / load, sizes, sizes * rng.standard_exponential(jobs), rng.random(jobs)


def response(server, columns, chunk=97):
    """Response times in order of arrival, served in chunks that have nothing to do with the busy periods."""
    done = [
        server.serve(*(column[first : first + chunk] for column in columns)).copy()
        for first in range(0, len(columns[0]), chunk)
    ]
    done = np.concatenate([*done, server.drain()])
    done = done[np.argsort(done[:, 2], kind="stable")]
    np.testing.assert_array_equal(done[:, 1], columns[1])
    return done[:, 0]


# Each policy twice: in the words of a policy file and in those of the twin.
POLICIES = {
    "gate": (
        ("queue", "predicted", "age", "arrival"),
        "predicted - age if queue >= 4 else arrival",
        lambda p, t: lambda j, s: p[j] - s["age"][j] if s["queue"] >= 4 else t[j],
    ),
    "stay": (
        ("running", "predicted"),
        "-1.0 if running else predicted",
        lambda p, t: lambda j, s: -1.0 if j == s["running"] else p[j],
    ),
    "random": (
        ("random", "predicted", "age", "arrival"),
        "predicted - age if random < 0.5 else arrival",
        lambda p, t: lambda j, s: p[j] - s["age"][j] if s["random"][j] < 0.5 else t[j],
    ),
    "late-last": (
        ("overdue", "predicted", "age"),
        "predicted - age if age < predicted or overdue > 2 else 100.0 + age",
        lambda p, t: lambda j, s: p[j] - s["age"][j] if s["age"][j] < p[j] or s["overdue"] > 2 else 100.0 + s["age"][j],
    ),
    "learned": (("expected", "age"), "expected - age", lambda p, t: lambda j, s: s["expected"][j] - s["age"][j]),
    "backlog": (
        ("work_predicted", "predicted", "arrival", "now", "load"),
        "predicted if work_predicted > 3.0 * load else -(now - arrival) / predicted",
        lambda p, t: lambda j, s: p[j] if s["work_predicted"] > 2.7 else -(s["now"] - t[j]) / p[j],
    ),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("quantum", [math.inf, 0.3])
def test_each_job_is_served_when_the_slow_twin_serves_it(name, quantum, tmp_path):
    sees, body, twin = POLICIES[name]
    columns = trace(1, jobs=120 if name == "learned" else 400)
    gaps, sizes, predictions, randoms = columns
    arrivals = np.cumsum(gaps)
    chosen = policy(file(tmp_path, name, sees, body))
    server = Chooser(chosen, (), 0.9)
    server.quantum = quantum
    slow = slow_choosing.by_choice(
        twin(predictions, arrivals), arrivals, sizes, predictions, randoms, quantum, name == "learned"
    )
    np.testing.assert_allclose(response(server, columns), slow, rtol=1e-9)


def test_ranks_are_served_as_the_ranked_kernel_does(tmp_path):
    path = file(tmp_path, "remaining", ("predicted", "age"), "predicted - age")
    ours, ranked = (
        run(JOINT, 0.8, spec, seed=5, jobs=50_000) for run, spec in ((simulate, path), (queues.simulate, "sprpt"))
    )
    assert ours == pytest.approx(ranked, rel=1e-9)


def test_a_gate_of_two_jobs_is_no_gate_and_an_endless_one_is_first_come_first_served():
    jobs = 30_000
    for gate, preemptive, same in (
        (2, "true", "sprpt"),
        (2, "false", "spjf"),
        (math.inf, "true", "fcfs"),
        (math.inf, "false", "fcfs"),
    ):
        spec = f"{GATED}:threshold={gate},preemptive={preemptive}"
        ours, other = (
            run(JOINT, 0.8, text, seed=5, jobs=jobs)["mean_response"]
            for run, text in ((simulate, spec), (queues.simulate, same))
        )
        assert ours == pytest.approx(other, rel=1e-9)


def test_with_exact_sizes_a_gate_keeps_at_most_its_threshold_less_two_jobs_more_than_srpt():
    gaps, sizes, _, randoms = trace(3, load=0.95, jobs=3000)
    arrivals = np.cumsum(gaps)
    srpt = queues.Server(policy("srpt"))
    done = np.concatenate([srpt.serve(gaps, sizes, sizes).copy(), srpt.drain()])
    best = np.sort(done[:, 0] + done[:, 2])
    for gate in (3, 6, 12):
        server = Chooser(policy(f"{GATED}:threshold={gate}"), (float(gate), 1.0, 0.0), 0.95)
        ends = np.sort(arrivals + response(server, (gaps, sizes, sizes, randoms)))
        # Completed by SRPT less completed by the gate, just after each end: the difference in the numbers present.
        excess = np.searchsorted(best, best, side="right") - np.searchsorted(ends, best + 1e-9, side="right")
        assert 0 < excess.max() <= gate - 2


@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_the_open_gate_has_the_mean_of_the_analysis(sizes, load):
    joint = joint_law(sizes, "exponential")
    exact = mean_response(joint, load, "sprpt").mean_response
    runs = [simulate(joint, load, f"{GATED}:threshold=0", seed, 40_000)["mean_response"] for seed in range(8)]
    spread = np.std(runs, ddof=1) / math.sqrt(len(runs))
    assert abs(np.mean(runs) - exact) < 5.4 * spread  # Student at 99.9%, 7 degrees of freedom


def test_work_is_conserved_and_number_obeys_littles_law():
    result = simulate(JOINT, 0.8, f"{GATED}:threshold=4", seed=11, jobs=100_000)
    other = queues.simulate(JOINT, 0.8, "fcfs", seed=11, jobs=100_000)
    assert result["mean_work"] == pytest.approx(other["mean_work"], rel=1e-9)
    assert result["mean_number"] / 0.8 == pytest.approx(result["mean_response"], rel=5e-3)


def test_the_same_seed_gives_the_same_numbers_in_any_thread():
    def run(seed):
        return simulate(JOINT, 0.8, f"{GATED}:threshold=4", seed, 20_000)

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(4))) == alone


def test_an_overloaded_system_is_flagged():
    assert simulate(JOINT, 1.3, f"{GATED}:threshold=4", seed=1, jobs=3_000)["unstable"] == 1.0


def test_bad_input_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="not a number for the job with size="):
        simulate(JOINT, 0.8, file(tmp_path, "nan", ("predicted",), "predicted if predicted < 2 else math.nan"), 1, 5000)
    with pytest.raises(InputError, match="quantum is 0"):
        simulate(JOINT, 0.8, file(tmp_path, "zero", ("age",), "age", "quantum=0"), 1, 10)
    with pytest.raises(InputError, match="must have SHAPE = 'decision'"):
        simulate(JOINT, 0.8, "sprpt", 1, 10)
    with pytest.raises(InputError, match="column in SEES"):
        simulate(JOINT, 0.8, file(tmp_path, "colour", ("colour",), "colour"), 1, 10)
    with pytest.raises(InputError, match="cannot be compiled"):
        simulate(JOINT, 0.8, file(tmp_path, "text", ("age",), "(age, age)"), 1, 10)
    with pytest.raises(InputError, match="load is"):
        simulate(JOINT, -1.0, f"{GATED}", 1, 10)
    with pytest.raises(InputError, match="jobs is 0"):
        simulate(JOINT, 0.5, f"{GATED}", 1, 0)
    assert "size" in COLUMNS
