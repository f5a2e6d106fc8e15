"""The kernel that shares the server by weights serves every job when its slow twin does; FSP is never behind PS."""

import math
from pathlib import Path

import numpy as np
import pytest
import slow_choosing
from openqueues.models import queues
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.fair import Sharer, simulate

JOINT = joint_law("exponential", "exponential")
FSP = Path(__file__).parents[1] / "problems" / "beyond-rank" / "policies" / "fsp.py"


def write(folder, name, sees, body, **parameters):
    path = folder / f"{name}.py"
    head = f'"""A policy."""\nSEES = {tuple(sees)!r}\nSHAPE = "decision"\nPARAMETERS = {parameters!r}\n'
    path.write_text(head + f"def decide({', '.join([*sees, *parameters])}):\n    return {body}\n")
    return str(path)


def trace(seed, load=0.9, jobs=400, noise=True):
    rng = np.random.default_rng(seed)
    gaps, sizes = rng.standard_exponential((2, jobs))
    return gaps / load, sizes, sizes * rng.standard_exponential(jobs) if noise else sizes


def response(spec, columns, chunk=97):
    chosen = policy(spec)
    server = Sharer(chosen, resolve(chosen, JOINT, 0.9), 0.9)
    done = [
        server.serve(*(column[first : first + chunk] for column in columns)).copy()
        for first in range(0, len(columns[0]), chunk)
    ]
    done = np.concatenate([*done, server.drain()])
    done = done[np.argsort(done[:, 2], kind="stable")]
    np.testing.assert_array_equal(done[:, 1], columns[1])
    return done[:, 0]


def first_of(state):
    """The job that is not late and ends first in the virtual system, None if there is none."""
    waiting = [j for j in state["virtual"] if j in state["age"]]
    return min(waiting, key=lambda j: (state["virtual"][j], j)) if waiting else None


def shared(state):
    return dict.fromkeys(state["late"], 1.0) or {first_of(state): 1.0}


def in_order(state):
    return {state["late"][0]: 1.0} if state["late"] else {first_of(state): 1.0}


def beside(state):
    first = first_of(state)
    return dict.fromkeys(state["late"] + ([first] if first is not None else []), 1.0)


def least_served(state):
    if not state["late"]:
        return {first_of(state): 1.0}
    least = min(state["age"][j] for j in state["late"])
    return {j: 1.0 for j in state["late"] if state["age"][j] <= least + 1e-11}


def half_shortest(state):
    left = {j: v for j, v in state["left"].items() if v > 1e-12}
    weight = dict.fromkeys(state["age"], 0.5 / len(state["age"]))
    if left:
        weight[min(left, key=lambda j: (left[j], j))] += 0.5
    return weight


VARIANTS = {"": shared, "order=true": in_order, "beside=true": beside, "las=true": least_served}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_each_job_is_served_when_the_slow_twin_serves_it(variant, seed):
    columns = trace(seed)
    slow = slow_choosing.by_weights(VARIANTS[variant], np.cumsum(columns[0]), *columns[1:])
    spec = f"{FSP}:{variant}" if variant else str(FSP)
    np.testing.assert_allclose(response(spec, columns), slow, rtol=1e-7)


def test_a_hedge_between_shortest_and_all_is_the_twins(tmp_path):
    columns = trace(3)
    slow = slow_choosing.by_weights(half_shortest, np.cumsum(columns[0]), *columns[1:])
    spec = write(tmp_path, "half", ("queue", "shortest"), "0.5 / queue + 0.5 * shortest")
    np.testing.assert_allclose(response(spec, columns), slow, rtol=1e-7)


def test_equal_weights_are_processor_sharing(tmp_path):
    spec = write(tmp_path, "equal", (), "weight", weight=1)
    ours, ps = (run(JOINT, 0.8, text, 5, 30_000) for run, text in ((simulate, spec), (queues.simulate, "ps")))
    assert ours == pytest.approx(ps, rel=1e-7)


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_exact_sizes_no_job_is_later_than_under_processor_sharing(variant):
    gaps, sizes, _ = trace(4, load=0.95, jobs=20_000)
    server = queues.Server(policy("ps"))
    done = np.concatenate([server.serve(gaps, sizes, sizes).copy(), server.drain()])
    ps = done[np.argsort(done[:, 2], kind="stable")][:, 0]
    spec = f"{FSP}:{variant}" if variant else str(FSP)
    fsp = response(spec, (gaps, sizes, sizes))
    assert (fsp - ps).max() < 1e-8
    assert fsp.mean() < 0.8 * ps.mean()


@pytest.mark.parametrize("predictions", ["exponential", "constant"])
def test_work_is_conserved_and_number_obeys_littles_law(predictions):
    joint = joint_law("exponential", predictions)
    result = simulate(joint, 0.8, str(FSP), seed=11, jobs=60_000)
    other = queues.simulate(joint, 0.8, "fcfs", seed=11, jobs=60_000)
    assert result["mean_work"] == pytest.approx(other["mean_work"], rel=1e-9)
    rate = other["mean_number"] / other["mean_response"]
    assert result["mean_number"] == pytest.approx(rate * result["mean_response"], rel=1e-3)


def test_predictions_much_too_large_leave_the_virtual_system_small():
    gaps, sizes, _ = trace(6, load=0.8, jobs=50_000)
    server = Sharer(policy(str(FSP)), (0.0, 0.0, 0.0), 0.8)
    for first in range(0, len(gaps), 1000):
        server.serve(*(column[first : first + 1000] for column in (gaps, sizes, 100 * sizes)))
    assert server.count[2] < 1000


@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_equal_weights_have_the_mean_of_processor_sharing(sizes, load, tmp_path):
    joint = joint_law(sizes, "exact")
    spec = write(tmp_path, "equal", (), "weight", weight=1)
    runs = [simulate(joint, load, spec, seed, 20_000)["mean_response"] for seed in range(8)]
    spread = np.std(runs, ddof=1) / math.sqrt(len(runs))
    assert abs(np.mean(runs) - 1 / (1 - load)) < 5.4 * spread  # Student at 99.9%, 7 degrees of freedom


@pytest.mark.parametrize("weight", [-1, 0])
def test_weights_that_cannot_share_the_server_are_refused(weight, tmp_path):
    with pytest.raises(InputError, match="weights that cannot share the server"):
        simulate(JOINT, 0.5, write(tmp_path, "equal", (), "weight", weight=1) + f":weight={weight}", 1, 10)
