"""The entry graceful-constants: the analysis of bands against the package's and against simulation; bounds; search."""

import math

import numpy as np
import pytest
from openqueues import registry
from openqueues.models.analysis import mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import JointLaw, joint_law, size_law
from openqueues.models.laws.classes import Classes
from openqueues.models.laws.predictions import PredictionLaw
from openqueues.models.queues import simulate
from tabled import Sizes, Table

PROBLEM = registry.problem(registry.entry("graceful-constants"))
BANDS = __import__(PROBLEM.__name__ + ".bands", fromlist=["bands"])
SEARCH = __import__(PROBLEM.__name__ + ".search", fromlist=["search"])
POLICIES = ("fcfs", "srpt", "psjf", "pspjf", "sprpt", "bounce")


class _Told(PredictionLaw):
    """A prediction that is a function of the size; `pairs` maps every size to its prediction."""

    def __init__(self, pairs):
        self.pairs = pairs

    spec = property(lambda self: f"told:{self.pairs}")

    def classes(self, sizes):
        values = np.array(sorted(set(self.pairs.values())))
        pairs = self.pairs

        class Told(Classes):
            def probability(self, x):
                return np.array([[float(pairs[float(v)] == value) for value in values] for v in np.atleast_1d(x)])

        return Told(values, np.array([]))


def test_bands_are_the_limit_of_many_atoms():
    """Every band as m sizes close together: the package's analysis of discrete laws, with error of order 1/m."""
    bands = BANDS.Bands((0.3, 0.25, 0.25), (1.0, 2.0, 3.0), (1.9, 0.8, 0.4))
    values = []
    for m in (12, 24):
        pairs, counts = {}, []
        for load, size, factor in zip(bands.loads, bands.values, bands.factors, strict=True):
            for k in range(m):
                x = size * (1 + 1e-7 * k)
                pairs[x] = factor * x
                counts.append(round(load / size * 600))
        joint = JointLaw(Sizes(list(pairs), counts), _Told(pairs))
        values.append([mean_response(joint, bands.load, policy).mean_response for policy in POLICIES])
    limit = 2 * np.array(values[1]) - values[0]
    ours = np.array([bands.numbers[policy] for policy in POLICIES]) * bands.mean / bands.load
    np.testing.assert_allclose(ours, limit, rtol=2e-3)
    assert abs(values[0][2] / ours[2] - 1) > 2e-3, "the limit must be seen to be needed"


def test_one_band_has_closed_forms():
    load = 0.7
    got = BANDS.numbers(np.array([load]), np.array([3.0]), np.array([0.5]))
    log = -math.log1p(-load)
    assert got["srpt"] == pytest.approx(load + load**2 / (2 * (1 - load)))
    assert got["fcfs"] == pytest.approx(got["srpt"]) and got["sprpt"] == pytest.approx(got["srpt"])
    assert got["psjf"] == got["pspjf"] == pytest.approx(0.5 * (1 / (1 - load) - 1 - log) + log)
    assert got["bounce"] == pytest.approx(0.5 * load / (1 - load) + log - load / 2)


def test_error_free_bands_are_the_formulas_for_densities():
    """Two hundred bands in place of an exponential law, against the package's analysis of that law."""
    law = size_law("exponential")
    edges = law.ppf(np.linspace(0, 1, 801)[:-1])
    middle = law.ppf((np.arange(800) + 0.5) / 800)
    work = np.diff(np.append(law.partial_moment(1, edges), 1.0))
    got = BANDS.numbers(0.8 * work, middle, np.ones(800), ("srpt", "psjf"))
    rate = (0.8 * work / middle).sum()
    for policy in got:
        expected = mean_response(joint_law("exponential", "exact"), 0.8, policy).mean_response
        assert got[policy] / rate == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("policy", POLICIES)
def test_bands_agree_with_simulation(policy):
    bands = BANDS.Bands((0.3, 0.25, 0.2), (1.0, 2.0, 5.0), (2.0, 0.9, 0.3))
    expected = bands.numbers[policy] / bands.load * bands.mean
    runs = np.array([simulate(bands, bands.load, policy, seed, 150_000)["mean_response"] for seed in range(8)])
    error = runs.std(ddof=1) / math.sqrt(len(runs))
    assert abs(runs.mean() - expected) < 4.5 * error + 1e-3 * expected
    assert error < (0.02 if policy == "fcfs" else 0.006) * expected


def test_a_band_is_drawn_as_documented():
    bands = PROBLEM.instance("pspjf", 2)
    rng = np.random.default_rng(1)
    sizes, predictions, pieces = np.empty(50_000), np.empty(50_000), np.empty(50_000)
    bands.fill(rng, sizes)
    bands.fill_predictions(rng, sizes, predictions)
    again = np.random.default_rng(1)
    bands.fill(again, pieces[:10])
    bands.fill(again, pieces[10:])
    assert pieces.tobytes() == sizes.tobytes()
    assert abs(sizes.mean() / bands.mean - 1) < 0.02
    ratio = predictions / sizes
    assert ratio.max() / ratio.min() <= 2 * (1 + 3e-4)
    assert predictions[sizes > 1.5].max() < predictions[sizes < 1.5].min(), "the longer jobs go first"


def _random_instance(rng):
    """Loads, sizes (ascending) and factors of up to five bands: mild and extreme ones, at any load."""
    n = int(rng.integers(1, 6))
    free = np.exp(-np.concatenate(([0.0], np.cumsum(rng.exponential(0.5, n)))))
    sizes = np.cumprod(1.001 + rng.exponential(rng.choice([0.05, 1.0, 20.0]), n))
    ratio = float(1 + rng.exponential(rng.choice([0.01, 0.5, 5.0])))
    # Half of the instances have errors at the two ends only.
    place = rng.random(n) if rng.random() < 0.5 else rng.integers(0, 2, n)
    return -np.diff(free), sizes, float(np.exp(rng.normal(0, 0.7))) * ratio**place


def test_no_instance_breaks_a_proven_bound():
    """Random instances of up to five bands: the constants stay below what is proven, and SRPT below all."""
    rng = np.random.default_rng(5)
    worst = dict.fromkeys(("pspjf", "bounce"), 0.0)
    for _ in range(4_000):
        loads, sizes, factors = _random_instance(rng)
        found = BANDS.numbers(loads, sizes, factors)
        actual = factors.max() / factors.min()
        assert found["srpt"] <= min(found.values()) * (1 + 1e-12)
        for policy in worst:
            constant = found[policy] / (actual * found["srpt"])
            assert constant <= SEARCH.proven(policy, actual, factors.max())
            worst[policy] = max(worst[policy], constant)
    assert worst["pspjf"] > 1.1 and worst["bounce"] > 1.1, "the instances must come near the bounds"


def test_each_step_of_the_proofs_holds_on_random_instances():
    """The identities and inequalities of the entry's statement, one by one, and that they can be nearly tight."""
    rng = np.random.default_rng(6)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    slack = {}

    def at_most(step, low, high):
        assert low <= high * (1 + 1e-9), step
        slack[step] = max(slack.get(step, 0.0), low / high)

    def integral(loads, sizes, orders):
        """The integral of V_y dy / y^2, V_y = rate E[X^2; order <= y] / (2 (1 - load of orders <= y))."""
        told = np.lexsort((-sizes, orders))
        y = orders[told]
        v = np.cumsum((loads * sizes)[told]) / (2 * (1 - np.cumsum(loads[told])))
        return (v * (1 / y - np.append(1 / y[1:], 0.0))).sum()

    for _ in range(1_500):
        d, x, factors = _random_instance(rng)
        r, high, low = factors.max() / factors.min(), factors.max(), factors.min()
        found = BANDS.numbers(d, x, factors)
        b = 1 - (np.cumsum(d) - d)
        log = -np.log1p(-d / b)
        q = np.triu(x[:, None] / x, 1)
        P = log.sum()
        W = 0.5 * ((q * np.outer(d, d / (b * (b - d)))).sum() + (d / (b - d) - log).sum())
        D = (q * np.outer(d / (b * (b - d)), d)).sum() + (log - d / b).sum()
        assert found["psjf"] == pytest.approx(W + P) and found["srpt"] == pytest.approx(W + P - D / 2)
        # Step 1, with P' as the residence of PSPJF, which is P in the limit of narrow bands.
        middle = high * integral(d, x, factors * x)
        at_most("parts", found["pspjf"] - P / 2, middle)
        at_most("order", middle, r * integral(d, x, x))
        assert integral(d, x, x) == pytest.approx(W + P / 2)
        # Step 2: t by its definition, at the nodes of each band.
        v = (1 - b)[:, None] + d[:, None] * (nodes + 1) / 2
        t = ((1 - b + d)[:, None] - v + (q @ d)[:, None]) / (1 - v)
        measure = d[:, None] / 2 * weights / (1 - v)
        assert (t * measure).sum() == pytest.approx(D)
        at_most("rearranged", (t / (1 - t) * measure).sum() / 2, W)
        # Bounce beside PSPJF: by alpha P, and by r P / 2 where beta >= 1.
        at_most("bounce", found["bounce"] - found["pspjf"], high * P)
        if low >= 1:
            at_most("bounce, beta >= 1", found["bounce"] - found["pspjf"], r * P / 2)
    assert min(slack[step] for step in ("parts", "order", "rearranged")) > 0.99, slack


def test_no_law_breaks_a_proven_bound():
    """The package's analysis: few sizes with random predictions, ties among them; mixtures; and laws with a density."""
    rng = np.random.default_rng(7)
    worst = dict.fromkeys(("pspjf", "bounce"), 0.0)

    def hold(joint, load, low, high):
        best = mean_response(joint, load, "srpt").mean_response
        for policy in worst:
            constant = mean_response(joint, load, policy).mean_response / (high / low * best)
            assert constant <= SEARCH.proven(policy, high / low, high) * (1 + 1e-9), (joint, load, policy)
            worst[policy] = max(worst[policy], constant)

    for _ in range(300):
        n = int(rng.integers(1, 4))
        sizes = np.cumprod(1.0 + rng.exponential(rng.choice([0.3, 3.0, 30.0]), n))
        counts = np.ceil(1e4 * rng.dirichlet(np.full(n, 0.5)) * rng.choice([1, sizes.min()]) / sizes)
        ratio = float(1 + rng.exponential(rng.choice([0.3, 3.0])))
        low = float(np.exp(rng.normal(0, 0.5)))
        # Some predictions at the ends of what is allowed, some equal for two sizes.
        values = np.unique(np.concatenate((low * sizes, low * ratio * sizes)))
        fits = (values >= low * sizes[:, None] * (1 - 1e-9)) & (values <= low * ratio * sizes[:, None] * (1 + 1e-9))
        rows = fits * rng.dirichlet(np.full(len(values), 0.3), n) + 1e-12 * fits
        rows /= rows.sum(axis=1, keepdims=True)
        joint = JointLaw(Sizes(list(sizes), list(counts)), Table(sizes, values, rows))
        hold(joint, float(1 - np.exp(-rng.exponential(1.5)) * 0.999), low, low * ratio)
    for sizes in ("exponential", "weibull:shape=0.5", "pareto:alpha=1.5,ratio=10000", "uniform"):
        for low, high in ((0.5, 0.5001), (0.5, 1.0), (1.0, 2.0), (0.1, 10.0)):
            joint = joint_law(sizes, f"bounded:low={low},high={high},form=loguniform")
            for load in (0.5, 0.9, 0.99):
                hold(joint, load, low, high)
    assert worst["pspjf"] > 1.05 and worst["bounce"] > 1.05, "the laws must come near the bounds"


def test_proven_constants():
    assert SEARCH.proven("pspjf", 1) == pytest.approx((1 + math.sqrt(2)) / 2)
    assert SEARCH.proven("bounce", 1) == pytest.approx((1 + math.sqrt(10)) / 2)
    assert SEARCH.proven("bounce", 2, high=2) == pytest.approx((1 + math.hypot(1, 1.5)) / 2)
    assert SEARCH.proven("bounce", 2, high=0.5) == pytest.approx((1 + math.sqrt(2)) / 2)
    assert SEARCH.proven("sprpt", 2) == math.inf


def test_the_search_finds_the_known_worst_and_repeats_itself():
    found = SEARCH.search("pspjf", 1, bands=1, budget=600, seed=3)
    assert found.constant == pytest.approx(1.16993, abs=1e-4)
    again = SEARCH.search("pspjf", 1, bands=1, budget=600, seed=3)
    assert again == found
    assert SEARCH.constant("pspjf", found.bands) == pytest.approx(found.constant)
    bounce = SEARCH.search("bounce", 1, bands=1, budget=1500, seed=3, around=False)
    assert bounce.constant == pytest.approx(1.33986, abs=2e-3)
    for against in ("pspjf", "bounce"):
        for ratio in (1, 1.1, 1.25, 1.5, 2, 4, 8, 16):
            assert SEARCH.constant(against, PROBLEM.instance(against, ratio)) > 0.9


def test_the_search_has_a_command_line(capsys):
    import tomllib

    SEARCH.main(["pspjf", "2", "--bands", "2", "--budget", "200", "--load", "0.9"])
    table = tomllib.loads(capsys.readouterr().out)["instances"][0]
    assert table["against"] == "pspjf" and len(table["loads"]) == 2 and sum(table["loads"]) <= 0.9 + 1e-9
    with pytest.raises(SystemExit):
        SEARCH.main(["pspjf", "0.5"])
    assert "at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SEARCH.search("sprtp", 2), "did you mean 'sprpt'"),
        (lambda: SEARCH.search("pspjf", float("nan")), "alpha/beta is a finite number"),
        (lambda: SEARCH.search("pspjf", 2, bands=0), "at least 1 band"),
        (lambda: SEARCH.search("pspjf", 2, load=1.0), "above 0 and below 1"),
        (lambda: PROBLEM.instance("pspjf", 3), "has no instance against 'pspjf' at ratio 3"),
        (lambda: PROBLEM.instance("pspjf", 2, "file=none.toml"), "write file=NAME"),
        (lambda: PROBLEM.exact({"sizes": "exponential", "ratio": 0.5, "load": 0.9}, "pspjf"), "ratio is 0.5"),
        (lambda: BANDS.Bands((0.5, 0.6), (1.0, 2.0), (1.0, 1.0)), "less than 1"),
        (lambda: BANDS.Bands((0.5,), (1.0, 2.0), (1.0, 1.0)), "as many loads"),
        (lambda: BANDS.Bands((0.5,), (float("nan"),), (1.0,)), "finite number above 0"),
        (lambda: BANDS.Bands((0.2, 0.2), (2.0, 1.0), (1.0, 1.0)), "ascend"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
