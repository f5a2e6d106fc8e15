"""Drifting predictors: the kernel against its twin and against closed forms, the monitors, and bad input."""

import math
from pathlib import Path

import numpy as np
import pytest
from openqueues import registry
from openqueues.models.analysis import mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law, size_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import drifting
from slow_drifting import by_quantum

FOLDER = Path(__file__).parent.parent / "problems" / "drifting-predictor" / "policies"
FLIP = '''"""Change the mind after every third job."""
SEES = ("trust", "memory")
SHAPE = "decision"
def decide(trust, memory):
    memory[0] += 1.0
    return 1.0 - trust if memory[0] % 3.0 == 0.0 else trust
'''


def own(name):
    return read_policy(str(FOLDER / f"{name}.py"))


def written(folder, text, name="mine"):
    (folder / f"{name}.py").write_text(text)
    return read_policy(str(folder / f"{name}.py"))


def served(policy, blind, gaps, sizes, predictions, wrong, cut=7):
    """Response times in the order of arrival and misplaced trust, fed in two chunks."""
    server = drifting.Watched(policy, (), blind)
    done = [
        server.serve(gaps[part], sizes[part], predictions[part], wrong[part]).copy()
        for part in (slice(0, cut), slice(cut, None))
    ]
    done = np.concatenate([*done, server.drain().copy()])
    return done[np.argsort(done[:, 2], kind="stable"), 0], server.misjudged


@pytest.mark.parametrize("blind", [(1.0, 0.0), (1.3, 0.5)])
@pytest.mark.parametrize("monitor", ["always", "never", "flip"])
def test_every_job_ends_when_its_twin_does(tmp_path, blind, monitor):
    policy = written(tmp_path, FLIP, "flip") if monitor == "flip" else own(monitor)
    rng = np.random.default_rng(5)
    for n in (12, 40, 120) if blind[1] == 0 else (12, 30):
        gaps, sizes = rng.exponential(1.1, n), rng.weibull(0.6, n)
        predictions = np.where(rng.random(n) < 0.3, math.nan, sizes * rng.exponential(1.0, n))
        wrong = (rng.random(n) < 0.5).astype(float)
        seen = [0]

        def decide(predicted, size, trust, wrong, seen=seen):
            seen[0] += 1
            return {"always": 1.0, "never": 0.0, "flip": 1 - trust if seen[0] % 3 == 0 else trust}[monitor]

        quantum = math.inf if blind[1] == 0 else 2e-4
        expected, misjudged = by_quantum(decide, np.cumsum(gaps), sizes, predictions, wrong, *blind, quantum)
        response, found = served(policy, blind, gaps, sizes, predictions, wrong)
        assert np.allclose(response, expected, rtol=1e-9, atol=1e-9 if blind[1] == 0 else 20 * quantum)
        assert found == misjudged


def run(monitor, sizes, predictions, load, jobs, replications=8, **options):
    joint = joint_law(sizes, predictions)
    runs = [drifting.simulate(joint, load, own(monitor), seed, jobs, **options) for seed in range(replications)]
    means = np.array([values["mean_response"] for values in runs])
    return means.mean(), 3.5 * means.std(ddof=1) / math.sqrt(replications), runs


@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5"])
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_without_drift_it_is_the_analysed_queue(sizes, load):
    jobs = 60_000
    mean, width, _ = run("always", sizes, "exponential", load, jobs)
    assert abs(mean - mean_response(joint_law(sizes, "exponential"), load, "sprpt").mean_response) <= width
    mean, width, _ = run("never", sizes, "exponential", load, jobs)
    blind = "las" if sizes != "exponential" else "fcfs"
    assert abs(mean - mean_response(joint_law(sizes, "exact"), load, blind).mean_response) <= width
    mean, width, _ = run("always", sizes, "exact", load, jobs, unknown_share=1.0)
    assert abs(mean - mean_response(joint_law(sizes, "exact"), load, blind).mean_response) <= width


def test_any_order_that_knows_nothing_is_first_come_first_served_for_exponential_sizes():
    mean, width, _ = run("always", "exponential", "exact", 0.8, 100_000, drift="always", wrong="independent")
    assert abs(mean - 5.0) <= width


def test_an_oracle_answers_for_each_job(tmp_path):
    text = FLIP.replace('("trust", "memory")', '("wrong", "predicted", "memory")').replace(
        "def decide(trust, memory):\n",
        "def decide(wrong, predicted, memory):\n    return 1.0 if wrong < 0.5 else 0.0\n",
    )
    rng = np.random.default_rng(6)
    gaps, sizes = rng.exponential(1.1, 60), rng.weibull(0.6, 60)
    predictions, wrong = sizes * rng.exponential(1.0, 60), (rng.random(60) < 0.4).astype(float)
    left = np.where(wrong < 0.5, predictions, math.nan)
    expected, _ = by_quantum(lambda *_: 1.0, np.cumsum(gaps), sizes, left, wrong, 1.0, 0.0, math.inf)
    response, misjudged = served(written(tmp_path, text), (1.0, 0.0), gaps, sizes, predictions, wrong)
    assert np.allclose(response, expected, rtol=1e-9)
    assert misjudged == 0


def test_unknown_sizes_beside_known_ones_lie_between_the_two():
    means = [
        run("always", "weibull:shape=0.5", "exact", 0.8, 60_000, unknown_share=share)[0]
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert means == sorted(means)
    assert means[4] > means[0] + 0.5


@pytest.mark.parametrize("monitor", ["cusum", "page-hinkley", "concordance"])
def test_monitors_find_a_sudden_drift_and_its_end(monitor):
    options = {"drift": "sudden", "wrong": "inverted", "period": 10_000}
    _, _, runs = run(monitor, "exponential", "lognormal:sigma=0.5", 0.8, 20_000, replications=3, **options)
    assert max(values["misjudged"] for values in runs) < 0.06
    _, _, runs = run(monitor, "weibull:shape=0.5", "lognormal:sigma=0.5", 0.8, 20_000, replications=3)
    assert max(values["misjudged"] for values in runs) < 0.06, "false alarms"


def test_knowing_the_drift_costs_no_regret_and_the_same_seed_gives_the_same_numbers():
    entry = registry.entry("drifting-predictor")
    problem = registry.problem(entry)
    point = entry.experiments[0].points("smoke")[0].parameters
    values = problem.simulate(point, str(FOLDER / "knows-drift.py"), 1, 3000)
    assert values["regret"] == 0.0
    first, second = (problem.simulate(point, str(FOLDER / "cusum.py"), 1, 3000) for _ in range(2))
    assert first == second


def test_share_of_wrong_predictions_over_a_period():
    number = np.arange(8)
    assert list(drifting.wrong_share("sudden", 8, number)) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert list(drifting.wrong_share("gradual", 8, number)) == [0, 0, 0, 0, 0, 0.25, 0.5, 0.75]
    assert list(drifting.wrong_share("none", 8, number)) == [0] * 8


def test_blind_rank_is_the_inverse_hazard_rate():
    law = size_law("weibull:shape=0.5")
    scale, power = drifting.blind_rank(law, "gittins")
    for age in (0.1, 1.0, 7.0):
        assert scale * age**power == pytest.approx(law.sf(age) / law.pdf(age), rel=1e-12)
    assert drifting.blind_rank(law, "fcfs") == (1.0, 0.0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"drift": "sudenly"}, "sudden"),
        ({"wrong": "invert"}, "inverted"),
        ({"period": 0}, "period"),
        ({"period": math.nan}, "period"),
        ({"unknown_share": 1.5}, "from 0 to 1"),
        ({"unknown_share": math.nan}, "from 0 to 1"),
        ({"fallback": "lass"}, "fcfs"),
        ({"jobs": 0}, "jobs"),
        ({"load": math.nan}, "load"),
    ],
)
def test_bad_arguments_are_refused(options, complaint):
    given = {"load": 0.8, "jobs": 100, **options}
    load, jobs = given.pop("load"), given.pop("jobs")
    with pytest.raises(InputError, match=complaint):
        drifting.simulate(joint_law("exponential", "exact"), load, own("always"), 1, jobs, **given)


def test_bad_monitors_points_and_laws_are_refused(tmp_path):
    with pytest.raises(InputError, match="SHAPE = 'decision'"):
        drifting.Watched(read_policy("fcfs"), (), (1.0, 0.0))
    with pytest.raises(InputError, match="unknown column in SEES of policy 'mine' 'colour'"):
        text = '"""."""\nSEES = ("colour",)\nSHAPE = "decision"\ndef decide(colour):\n    return colour\n'
        drifting.Watched(written(tmp_path, text), (), (1.0, 0.0))
    with pytest.raises(InputError, match="did not return a number"):
        text = '"""."""\nSEES = ("size",)\nSHAPE = "decision"\ndef decide(size):\n    return float("nan")\n'
        nan = written(tmp_path, text, "nan")
        drifting.simulate(joint_law("exponential", "exact"), 0.8, nan, 1, 100)
    with pytest.raises(InputError, match="use fallback 'fcfs'"):
        drifting.blind_rank(size_law("lognormal:sigma=1"), "gittins")
    with pytest.raises(InputError, match="did you mean 'drift'"):
        drifting.read_point({"sizes": "exponential", "drif": "none"})
