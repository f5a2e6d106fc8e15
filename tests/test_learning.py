"""Learning to schedule: features, gradients, what each loss converges to, the anchors of theory, and bad input."""

import math
from pathlib import Path

import numpy as np
import pytest
from openqueues import registry
from openqueues.models.analysis import mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy

FOLDER = Path(__file__).parent.parent / "problems" / "learning-to-schedule" / "policies"
POINT = {"data": "exponential", "model": "full", "scheduler": "spjf", "load": 0.8, "train": 300}


@pytest.fixture(scope="module")
def problem():
    return registry.problem(registry.entry("learning-to-schedule"))


def own(name):
    stem, colon, parameters = name.partition(":")
    return str(FOLDER / f"{stem}.py") + colon + parameters


def test_features_have_the_stated_correlations_and_are_the_same_drawn_in_pieces(problem):
    for data in ("exponential", "weibull:shape=0.5", "ssjf:data=histogram"):
        joint = problem._law(data, 0.8)[0]
        sizes = joint.sizes.sample(np.random.default_rng(1), 40_000)
        whole = problem.features.draw(joint, np.random.default_rng(2), sizes)
        rng = np.random.default_rng(2)
        pieces = [problem.features.draw(joint, rng, part) for part in (sizes[:777], sizes[777:])]
        assert np.array_equal(whole, np.concatenate(pieces))
        if whole.ndim == 2:
            from scipy.special import ndtri

            z = ndtri(np.minimum(joint.sizes.cdf(sizes), 1 - 1e-16))
            for vague, r in ((0, 0.95), (1, 0.3)):
                mine = whole[:, 1] == vague
                assert np.corrcoef(z[mine], whole[mine, 0])[0, 1] == pytest.approx(r, abs=0.02)
                assert whole[mine, 0].std() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("data", ["exponential", "weibull:shape=0.5", "ssjf:data=histogram"])
def test_conditional_means_average_to_the_mean_and_fit_best(problem, data):
    joint = problem._law(data, 0.8)[0]
    sizes = joint.sizes.sample(np.random.default_rng(3), 400_000)
    seen = problem.features.draw(joint, np.random.default_rng(4), sizes)
    mean = problem.features.conditional_mean(joint, seen)
    width = 4 * sizes.std() / math.sqrt(len(sizes))
    assert abs(mean.mean() - 1.0) < width
    # Errors of the conditional mean are orthogonal to every function of the features.
    parts = problem.features.design(seen, "full")
    errors = (sizes - mean)[:, None] * parts
    assert np.all(np.abs(errors.mean(axis=0)) < 4 * errors.std(axis=0) / math.sqrt(len(sizes)))


@pytest.mark.parametrize("name", ["squared", "log", "quantile", "zero-one:power=1", "pairs", "pairs:power=1"])
def test_slopes_are_derivatives_of_the_mean_loss(problem, name):
    policy = read_policy(own(name))
    learner = problem.learning.Learner(policy, tuple(policy.parameters.values()), 1.5)
    rng = np.random.default_rng(5)
    scores, sizes = rng.normal(size=40), rng.exponential(size=40)
    shifts = np.array(problem.learning.SHIFTS if learner.pairs else (0,))
    slope, other = np.empty(40), np.empty(40)
    value = learner._call(scores, sizes, np.ones(40), shifts, slope)
    for i in (0, 17, 39):
        moved = scores.copy()
        moved[i] += 1e-4
        up = learner._call(moved, sizes, np.ones(40), shifts, other)
        moved[i] -= 2e-4
        down = learner._call(moved, sizes, np.ones(40), shifts, other)
        assert slope[i] == pytest.approx((up - down) / 2e-4, rel=1e-4, abs=1e-7)
    # The mean loss, written down again.
    names = {}
    exec(policy.source, names)
    seen = []
    for shift in shifts:
        for i in range(40):
            j = (i + shift) % 40
            columns = {"score": scores[i], "size": sizes[i], "other_score": scores[j], "other_size": sizes[j]}
            columns |= {"threshold": 1.5} | policy.parameters
            seen.append(names["decide"](*(columns[argument] for argument in policy.arguments)))
    assert value == pytest.approx(np.mean(seen), rel=1e-12)


def test_losses_find_what_they_are_said_to_find(problem):
    sizes = np.random.default_rng(6).weibull(0.5, 2000)
    ones = np.ones((2000, 1))
    found = {}
    for name in ("squared", "log", "quantile:round=0.01", "quantile:level=0.9,round=0.01"):
        policy = read_policy(own(name))
        learner = problem.learning.Learner(policy, tuple(policy.parameters.values()), 1.0)
        found[name] = learner.fit(ones, sizes, sizes).scores(ones[:1], sizes)[0]
    assert found["squared"] == pytest.approx(math.log(sizes.mean()), abs=1e-3)
    assert found["log"] == pytest.approx(np.log(sizes).mean(), abs=1e-3)
    assert found["quantile:round=0.01"] == pytest.approx(np.log(np.median(sizes)), abs=0.02)
    assert found["quantile:level=0.9,round=0.01"] == pytest.approx(np.log(np.quantile(sizes, 0.9)), abs=0.05)


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_five_measured_classes_are_the_analysed_queue(problem, load):
    point = POINT | {"data": "ssjf:data=histogram", "load": load}
    means = np.array(
        [problem.simulate(point, own("conditional-mean"), seed, 60_000)["mean_response"] for seed in range(8)]
    )
    joint = joint_law("ssjf:data=histogram", "ssjf:classes=5")
    value = mean_response(joint, load, "spjf").mean_response
    assert problem.exact(point, own("conditional-mean"))["mean_response"][0] == pytest.approx(value)
    assert abs(means.mean() - value) <= 3.5 * means.std(ddof=1) / math.sqrt(8)


def test_without_preemption_the_conditional_mean_is_ahead_and_wrong_orders_do_not_decide(problem):
    point = POINT | {"data": "weibull:shape=0.5", "train": 1000}
    runs = {
        name: [problem.simulate(point, own(name), seed, 40_000) for seed in range(6)]
        for name in ("conditional-mean", "squared", "log")
    }
    mean = {name: np.mean([run["mean_response"] for run in runs[name]]) for name in runs}
    wrong = {name: np.mean([run["discordance"] for run in runs[name]]) for name in runs}
    assert mean["conditional-mean"] < mean["squared"] < mean["log"]
    assert wrong["log"] < wrong["squared"]


def test_the_same_seed_trains_and_serves_alike_and_a_training_set_is_the_seeds_own(problem):
    first, second, other = (problem.simulate(POINT, own("log"), seed, 2000) for seed in (1, 1, 2))
    assert first == second
    assert first["mean_response"] != other["mean_response"]
    joint, threshold = problem._law("exponential", 0.8)
    learners = [problem.trained(joint, threshold, "full", 50, read_policy(own("log")), 0.8, seed) for seed in (1, 2)]
    assert not np.allclose(learners[0].weights, learners[1].weights)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"scheduler": "srpt"}, "scheduler"),
        ({"model": "linaer"}, "did you mean 'linear'"),
        ({"train": 5}, "at least 20"),
        ({"train": math.nan}, "at least 20"),
        ({"load": 1.0}, "below 1"),
        ({"load": math.nan}, "below 1"),
        ({"data": "exponentail"}, "did you mean 'exponential'"),
        ({"colour": 1}, "unknown parameter"),
    ],
)
def test_bad_points_are_refused(problem, change, complaint):
    with pytest.raises(InputError, match=complaint):
        problem.simulate(POINT | change, own("log"), 1, 100)


def test_bad_losses_are_refused(problem, tmp_path):
    def loss(body, sees=("score", "size"), name="mine"):
        file = tmp_path / f"{name}.py"
        file.write_text(f'"""."""\nSEES = {sees!r}\nSHAPE = "decision"\ndef decide({", ".join(sees)}):\n    {body}\n')
        return str(file)

    with pytest.raises(InputError, match="did not|not a number"):
        problem.simulate(POINT, loss('return float("nan")', name="nan"), 1, 100)
    with pytest.raises(InputError, match="unknown column"):
        problem.simulate(POINT, loss("return weight", ("weight",), "column"), 1, 100)
    with pytest.raises(InputError, match="SHAPE = 'decision'"):
        problem.learning.Learner(read_policy("fcfs"), (), 1.0)
